"""Installed plugins: listed from the metadata of distributions, judged by the project's allow-list, never imported here.

`[plugins] allow` entries: `acme-text`, `acme-text==1.2.0`, or `acme-text==1.2.0#sha256:<hash>`, where the hash is over the
distribution's files (`distribution_hash`, printed by `plugin list --pins`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import PluginError
from orchestrator.plugin.info import CallableInfo, Target
from orchestrator.plugin.loading import find_module, load_from_module
from orchestrator.plugin.manifest import manifest_path, read_manifest

if TYPE_CHECKING:  # catalog imports this module when it first needs packages
    from orchestrator.plugin.catalog import PluginProblem

GROUP = "orchestrator.plugins"
_ALLOW = re.compile(r"([A-Za-z0-9._-]+?)(?:==([A-Za-z0-9.+!_-]+?))?(?:#sha256:([0-9a-f]{64}))?\Z")


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry of the allow-list."""

    name: str
    version: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """An entry point of a distribution."""

    namespace: str
    module: str
    distribution: str
    version: str
    source: metadata.Distribution | None = None

    @property
    def label(self) -> str:
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class Installed:
    """The callables of allowed packages, the packages by namespace, and what is wrong with the others."""

    infos: tuple[CallableInfo, ...]
    packages: dict[str, InstalledPlugin]
    problems: tuple[PluginProblem, ...]


def read_allow(entries: Iterable[str]) -> dict[str, Allowed]:
    """The allow-list by normalised distribution name; what cannot be read is left out (`allow_problems` says so)."""
    found = {}
    for entry in entries:
        match = _ALLOW.match(entry.strip())
        if match:
            found[_normal(match[1])] = Allowed(match[1], match[2] or "", match[3] or "")
    return found


def allow_problems(entries: Iterable[str]) -> tuple[str, ...]:
    """Entries of the allow-list that cannot be read."""
    return tuple(e for e in entries if not _ALLOW.match(e.strip()))


def list_installed() -> tuple[InstalledPlugin, ...]:
    """Every plugin that installed distributions announce, sorted by namespace."""
    found = []
    for entry in metadata.entry_points(group=GROUP):
        dist = entry.dist
        name = dist.metadata["Name"] if dist is not None else ""
        version = dist.version if dist is not None else ""
        found.append(InstalledPlugin(entry.name, entry.module, name or "", version, dist))
    return tuple(sorted(found, key=lambda p: (p.namespace, p.distribution)))


def installed_plugins(allow: Iterable[str], *, reserved: Iterable[str] = ()) -> Installed:
    """The allowed packages, and what is wrong with the others. Imports nothing."""
    from orchestrator.plugin.catalog import PluginProblem

    entries = tuple(allow)
    allowed = read_allow(entries)
    infos: list[CallableInfo] = []
    packages: dict[str, InstalledPlugin] = {}
    problems = [
        PluginProblem(
            "PLG004", f"allow:{entry}", f'"{entry}" in [plugins] allow is not a package', "write acme-text==1.2.0"
        )
        for entry in allow_problems(entries)
    ]
    seen: dict[str, str] = dict.fromkeys(reserved, "the bundled plugins")
    missing = dict(allowed)
    for plugin in list_installed():
        missing.pop(_normal(plugin.distribution), None)
        if plugin.module.partition(".")[0] == "orchestrator_plugins":
            continue
        name = f"{plugin.namespace}.*"
        if plugin.namespace in seen:
            problems.append(
                PluginProblem("PLG005", name, f"{plugin.label} and {seen[plugin.namespace]} both offer {name}")
            )
            continue
        refused = refusal(plugin, allowed.get(_normal(plugin.distribution)))
        if refused is not None:
            problems.append(PluginProblem("PLG004", name, refused, _way_out(plugin, allowed)))
            continue
        seen[plugin.namespace] = plugin.label
        try:
            infos += read_package(plugin)
            packages[plugin.namespace] = plugin
        except PluginError as problem:
            problems.append(PluginProblem("PLG002", name, problem.message))
    problems += [
        PluginProblem(
            "PLG001", f"{entry.name}.*", f"[plugins] allow names {entry.name}, which is not installed", "install it"
        )
        for entry in missing.values()
    ]
    return Installed(tuple(infos), packages, tuple(problems))


def _way_out(plugin: InstalledPlugin, allowed: Mapping[str, Allowed]) -> str:
    """What an operator can do; a changed file is never answered by leaving its hash out."""
    known = allowed.get(_normal(plugin.distribution))
    if known is not None and known.sha256 and known.version in ("", plugin.version):
        return "install it anew, or look at what has changed and pin it again: `orchestrator plugin list --pins`"
    return f'[plugins] allow = ["{_entry_of(plugin)}"]'


def allowed_plugin(namespace: str, allow: Iterable[str]) -> InstalledPlugin | None:
    """The installed plugin of a namespace, if the allow-list covers it."""
    allowed = read_allow(allow)
    for plugin in list_installed():
        if plugin.namespace == namespace and refusal(plugin, allowed.get(_normal(plugin.distribution))) is None:
            return plugin
    return None


def refusal(plugin: InstalledPlugin, allowed: Allowed | None) -> str | None:
    """Why the allow-list does not cover an installed plugin."""
    if allowed is None:
        return f"plugin {plugin.label} is installed but not allowed in this project"
    if allowed.version and allowed.version != plugin.version:
        return f"plugin {plugin.distribution} is installed in version {plugin.version}, allowed is {allowed.version}"
    if allowed.sha256 and (plugin.source is None or distribution_hash(plugin.source) != allowed.sha256):
        return f"the files of {plugin.label} are not the ones that were allowed"
    return None


def read_package(plugin: InstalledPlugin) -> tuple[CallableInfo, ...]:
    """The callables of a package, from its manifest, else from its syntax tree. Raises: PluginError."""
    place = find_module(plugin.module)
    if place is None:
        raise PluginError(
            f"{plugin.label} names module {plugin.module}, which is not installed", plugin=plugin.namespace
        )

    def loader_of(name: str) -> Callable[[], Target]:
        return lambda: load_from_module(plugin.module, name).function

    path = manifest_path(place.file, plugin.namespace)
    if path.exists():
        infos = read_manifest(path, provider=plugin.label, loader_of=loader_of)
    else:
        from orchestrator.plugin.syntax import scan_file

        scan = scan_file(place.file, loader_of=loader_of, provider=plugin.label)
        if scan.faults:
            raise PluginError(f"{plugin.label}: {scan.faults[0].message}", plugin=plugin.namespace)
        infos = tuple(step.info() for step in scan.steps.values())
    foreign = [info.name for info in infos if info.namespace != plugin.namespace]
    if foreign:
        raise PluginError(f'{plugin.label} offers {foreign[0]} under the entry point "{plugin.namespace}"')
    return infos


def distribution_hash(dist: metadata.Distribution) -> str:
    """SHA-256 over the names and contents of a distribution's files, without caches and install records."""
    digest = hashlib.sha256()
    for file in sorted(dist.files or (), key=str):
        if file.suffix == ".pyc" or file.name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
            continue
        path = Path(str(file.locate()))
        if path.is_file():
            digest.update(f"{file}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def pins_of_installed() -> list[str]:
    """Every installed plugin package as the allow-list pins it, by version and hash."""
    found = {
        f"{_entry_of(plugin)}#sha256:{distribution_hash(plugin.source)}"
        for plugin in list_installed()
        if plugin.source is not None and plugin.module.partition(".")[0] != "orchestrator_plugins"
    }
    return sorted(found)


def _entry_of(plugin: InstalledPlugin) -> str:
    return f"{plugin.distribution}=={plugin.version}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
