"""Where secrets come from: `[secrets] provider` is `env`, or a provider that a plugin offers as `namespace.function`.

A plugin's provider is imported when the first secret is asked for, and its answers are kept for the process.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from orchestrator.errors import PluginError
from orchestrator.plugin.config import ProjectConfig
from orchestrator.plugin.define import Plugin
from orchestrator.plugin.secrets import Provider, environment_provider


def configured_provider(config: ProjectConfig) -> Provider:
    """The project's source of secrets. Raises (when first asked): PluginError if there is no such provider."""
    name = config.secrets.provider
    if name in ("", "env"):
        return environment_provider(config.root)
    loaded: list[Provider] = []
    known: dict[str, str | None] = {}

    def ask(secret: str) -> str | None:
        if not loaded:
            loaded.append(load_provider(name, config))
        if known.get(secret) is None:
            known[secret] = loaded[0](secret)
        return known[secret]

    return ask


def load_provider(name: str, config: ProjectConfig) -> Provider:
    """A provider by name: from the project's plugin folder, else from an allowed package. Raises: PluginError."""
    namespace = name.partition(".")[0]
    module = _project_module(namespace, config.plugins_path) or _package_module(namespace, config)
    if module is None:
        raise PluginError(
            f'[secrets] provider = "{name}": no plugin "{namespace}" is in the plugin folder or allowed; use "env" or '
            "add the plugin",
            plugin=namespace,
        )
    for value in vars(module).values():
        if isinstance(value, Plugin) and name in value.secret_providers:
            return value.secret_providers[name]
    raise PluginError(f'plugin "{namespace}" offers no secret provider {name}', plugin=namespace)


def _project_module(namespace: str, folder: Path | None) -> ModuleType | None:
    from orchestrator.plugin.loading import load_file

    if folder is None:
        return None
    for file in (folder / f"{namespace}.py", folder / namespace / "__init__.py"):
        if file.is_file():
            return load_file(folder, file)
    return None


def _package_module(namespace: str, config: ProjectConfig) -> ModuleType | None:
    from orchestrator.plugin.loading import load_module
    from orchestrator.plugin.packages import allowed_plugin

    plugin = allowed_plugin(namespace, config.plugins_allow)
    return None if plugin is None else load_module(plugin.module)
