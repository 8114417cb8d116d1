"""Every callable a flow can name, found without importing any of them; a broken one is a finding, never an exception.

Sources, first match wins: `steps=` and `@register` of this process; the project's plugin folder, read from its syntax tree;
the bundled plugins; the pinned tools of MCP servers; installed packages that the project allows, read from their manifests.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.diagnostics import Diagnostic, Related, Severity, Span
from orchestrator.errors import PluginError
from orchestrator.ir.model import Origin
from orchestrator.plugin.config import ProjectConfig
from orchestrator.plugin.define import REGISTERED, StepDef, define_step
from orchestrator.plugin.info import CallableInfo, Target
from orchestrator.plugin.manifest import manifest_path, read_manifest

if TYPE_CHECKING:  # loads ast, which only projects with a plugin folder need
    from orchestrator.plugin.lacking import Lack
    from orchestrator.plugin.packages import InstalledPlugin
    from orchestrator.plugin.syntax import FileScan

BUNDLED = ("http", "llm", "text", "data", "files", "notify", "process")
BUNDLED_PACKAGE = "orchestrator_plugins"


@dataclass(frozen=True, slots=True)
class PluginProblem:
    """Why a callable or a whole namespace cannot be used. `name` is a callable, or `ns.*` for all of a namespace."""

    code: str
    name: str
    message: str
    help: str | None = None
    origin: Origin | None = None

    def covers(self, callable_name: str) -> bool:
        return self.name == callable_name or (
            self.name.endswith(".*") and callable_name.startswith(self.name.removesuffix("*"))
        )

    def to_json(self) -> dict[str, str | None]:
        """The problem as commands and the server give it."""
        where = str(self.origin) if self.origin else None
        return {"code": self.code, "name": self.name, "message": self.message, "help": self.help, "at": where}

    def at(self, span: Span) -> Diagnostic:
        """The finding at the `call:` that needs the callable, with the place in the plugin beside it."""
        related: tuple[Related, ...] = ()
        if (at := self.origin) is not None:
            end = (at.end_line, at.end_column) if at.end_line else (at.line, at.column + 1)
            related = (Related(Span(at.file, at.line, at.column, *end), "in the plugin, here"),)
        return Diagnostic(self.code, Severity.ERROR, self.message, span, help=self.help, related=related)


class Catalog:
    """Callables by name. Answers are kept; `refresh` looks at the files again.

    Example:
        catalog = Catalog(load_config(Path("."))[0])
        info = catalog.get("http.get")
    """

    def __init__(
        self, config: ProjectConfig | None = None, *, steps: Mapping[str, Callable[..., object]] | None = None
    ) -> None:
        self.config = config or ProjectConfig()
        self.generation = 0  # how often it was refreshed
        self._steps = {name: define_step(name, function) for name, function in (steps or {}).items()}
        self._infos: dict[str, CallableInfo] = {}
        self._problems: dict[str, PluginProblem] = {}
        self._described: dict[str, tuple[StepDef, CallableInfo | None]] = {}
        self._scans: dict[str, FileScan] | None = None
        self._clashes: set[str] = set()  # names that two files of the folder define
        self._bundled: dict[str, dict[str, CallableInfo]] = {}
        self._pinned: dict[str, dict[str, CallableInfo]] = {}
        self._installed: dict[str, CallableInfo] | None = None
        self._packages: dict[str, InstalledPlugin] = {}
        self._sound: set[str] = set()  # files and modules whose imports are all there

    def get(self, name: str) -> CallableInfo | None:
        """What is known about a callable; None if there is none, or if it is broken (then `problem` says why)."""
        step = self._steps.get(name) or REGISTERED.get(name)
        if step is not None:
            return self._live(step)
        if name not in self._infos:
            found = self._from_project(name) or self._from_bundled(name) or self._from_mcp(name)
            found = found or self._from_installed(name)
            if found is None:
                return None
            self._infos[name] = found
        return self._infos[name]

    def problem(self, name: str) -> PluginProblem | None:
        """Why a callable that was asked for cannot be used; None if it is fine or simply unknown.

        One that is known may have a problem too (PLG006): what its file imports is not there.
        """
        if self.get(name) is not None:
            return self._lack(name)
        exact = self._problems.get(name)
        return exact or next((p for p in self._problems.values() if p.covers(name)), None)

    def problems(self) -> tuple[PluginProblem, ...]:
        """Everything that is broken, for `doctor` and `plugin list`."""
        lacks: dict[str, PluginProblem] = {}
        for name in self.names():
            if self.get(name) is not None and (lack := self._lack(name)) is not None:
                lacks.setdefault(str(lack.origin), lack)  # one for all callables of a file
        return (*self._problems.values(), *lacks.values())

    def names(self) -> tuple[str, ...]:
        """The names of all callables, broken ones too, sorted."""
        found = {*self._steps, *REGISTERED, *self._project_names(), *self._all_installed()}
        for namespace in BUNDLED:
            found.update(self._bundled_namespace(namespace))
        for server in self.config.mcp_servers:
            found.update(self._mcp_tools(server))
        return tuple(sorted(found))

    def packages(self) -> tuple[InstalledPlugin, ...]:
        """The installed packages that the project allows and that can be read."""
        self._all_installed()
        return tuple(self._packages.values())

    def suggest(self, name: str) -> str | None:
        """The callable that was probably meant."""
        names = self.names()
        near = difflib.get_close_matches(name, names, 1, 0.7)
        if near:
            return near[0]
        verb = name.rpartition(".")[2]
        return next((n for n in names if n.rpartition(".")[2] == verb), None)

    def refresh(self) -> None:
        """Forget what was read from files, so that changed plugins show; for `dev`."""
        from orchestrator.plugin.loading import forget_folder

        folder = self.config.plugins_path
        if folder is not None:
            forget_folder(folder)
        self.generation += 1
        self._infos.clear()
        self._problems.clear()
        self._described.clear()
        self._scans = None
        self._installed = None
        self._sound.clear()
        self._pinned.clear()

    def _live(self, step: StepDef) -> CallableInfo | None:
        known = self._described.get(step.name)
        if known is not None and known[0] is step:
            return known[1]
        from orchestrator.plugin.signature import describe

        self._problems.pop(step.name, None)
        info = None
        try:
            info = describe(step, provider="code")
        except PluginError as problem:
            self._note("PLG003", step.name, problem.message)
        self._described[step.name] = (step, info)
        return info

    def _from_project(self, name: str) -> CallableInfo | None:
        for scan in self._project().values():
            step = scan.steps.get(name)
            if step is None:
                continue
            if name.partition(".")[0] in BUNDLED:
                self._note(
                    "PLG005", name, f"{name} is a name of a bundled plugin; choose another namespace", step.origin
                )
                return None
            if name in self._clashes:  # which one is meant nobody can say
                return None
            try:
                return step.info()
            except PluginError as problem:
                self._note("PLG003", name, problem.message, step.origin)
                return None
        return None

    def _project(self) -> dict[str, FileScan]:
        if self._scans is None:
            folder = self.config.plugins_path
            self._scans = {}
            if folder is not None and not folder.is_dir():
                self._note("PLG001", "*", f"the plugin folder {folder} of the config does not exist")
            elif folder is not None:
                from orchestrator.plugin.syntax import scan_folder

                self._scans = {str(scan.file): scan for scan in scan_folder(folder)}
            owners: dict[str, Path] = {}
            self._clashes = set()
            for scan in self._scans.values():
                for fault in scan.faults:
                    way_out = (
                        "mend it; until then nothing of this file can be called" if fault.code == "PLG002" else None
                    )
                    self._note(fault.code, fault.name, fault.message, fault.origin, way_out)
                for name, step in scan.steps.items():
                    if name in owners:
                        self._clashes.add(name)
                        self._note("PLG005", name, f"{name} is defined in {owners[name].name} too", step.origin)
                    owners.setdefault(name, scan.file)
        return self._scans

    def _project_names(self) -> Iterator[str]:
        for scan in self._project().values():
            yield from scan.steps

    def _lack(self, name: str) -> PluginProblem | None:
        """PLG006: what the file of a callable imports and that is not there; looked for anew until it is."""
        if name in self._steps or name in REGISTERED or name.partition(".")[0] in (*BUNDLED, *self.config.mcp_servers):
            return None
        from orchestrator.plugin import lacking

        folder = self.config.plugins_path
        scan = next((scan for scan in self._project().values() if name in scan.steps), None)
        package = self._packages.get(name.partition(".")[0])
        if scan is not None and folder is not None:
            return self._unless_sound(str(scan.file), name, lambda: lacking.lack_of_file(folder, scan.file))
        if package is not None:
            return self._unless_sound(
                package.module, name, lambda: lacking.lack_of_module(package.module, package.distribution)
            )
        return None

    def _unless_sound(self, file: str, name: str, look: Callable[[], Lack | None]) -> PluginProblem | None:
        if file in self._sound:
            return None
        lack = look()
        if lack is None:
            self._sound.add(file)
            return None
        return PluginProblem("PLG006", name, lack.message, lack.help, lack.origin)

    def _from_bundled(self, name: str) -> CallableInfo | None:
        return self._bundled_namespace(name.partition(".")[0]).get(name)

    def _bundled_namespace(self, namespace: str) -> dict[str, CallableInfo]:
        if namespace not in BUNDLED:
            return {}
        if namespace not in self._bundled:
            found: tuple[CallableInfo, ...] = ()
            try:
                found = _bundled(namespace)
            except PluginError as problem:
                self._note(problem.code, f"{namespace}.*", problem.message)
            self._bundled[namespace] = {info.name: info for info in found}
        return self._bundled[namespace]

    def _from_mcp(self, name: str) -> CallableInfo | None:
        return self._mcp_tools(name.partition(".")[0]).get(name)

    def _mcp_tools(self, server: str) -> dict[str, CallableInfo]:
        if server not in self.config.mcp_servers:
            return {}
        if server not in self._pinned:
            from orchestrator.plugin.mcp import read_pinned

            self._pinned[server] = {}
            if server in BUNDLED:
                self._note(
                    "PLG005", f"{server}.*", f"{server} is the name of a bundled plugin; name the MCP server otherwise"
                )
                return {}
            try:
                path = manifest_path(self.config.mcp_path / "-", server)
                infos = read_pinned(self.config.mcp_servers[server], path)
            except PluginError as problem:
                self._note("PLG001", f"{server}.*", problem.message)
            else:
                self._pinned[server] = {info.name: info for info in infos}
        return self._pinned[server]

    def _from_installed(self, name: str) -> CallableInfo | None:
        return self._all_installed().get(name)

    def _all_installed(self) -> dict[str, CallableInfo]:
        if self._installed is None:
            from orchestrator.plugin.packages import installed_plugins

            found = installed_plugins(self.config.plugins_allow, reserved=BUNDLED)
            self._installed = {info.name: info for info in found.infos}
            self._packages = found.packages
            for problem in found.problems:
                self._problems.setdefault(problem.name, problem)
        return self._installed

    def _note(
        self, code: str, name: str, message: str, origin: Origin | None = None, way_out: str | None = None
    ) -> None:
        self._problems.setdefault(name, PluginProblem(code, name, message, way_out, origin))


def with_loader(info: CallableInfo, loader: Callable[[], Target]) -> CallableInfo:
    """The same description with another way to get the function."""
    return replace(info, loader=loader)


@lru_cache(maxsize=len(BUNDLED))
def _bundled(namespace: str) -> tuple[CallableInfo, ...]:
    """The callables of a bundled plugin, read once per process. Raises: PluginError."""
    from orchestrator.plugin.loading import find_module

    module = f"{BUNDLED_PACKAGE}.{namespace}"
    place = find_module(module)
    if place is None:
        raise PluginError(f"the bundled plugin {namespace} is not installed", plugin="bundled", code="PLG001")
    try:
        manifest = manifest_path(place.file, namespace)
        return read_manifest(manifest, provider="bundled", loader_of=_module_loader(module))
    except PluginError as problem:
        raise PluginError(problem.message, plugin="bundled", code="PLG002") from None


def _module_loader(module: str) -> Callable[[str], Callable[[], Target]]:
    def for_name(name: str) -> Callable[[], Target]:
        def load() -> Target:
            from orchestrator.plugin.loading import load_from_module

            return load_from_module(module, name).function

        return load

    return for_name
