"""Runs the contract over the callables of a project or of a plugin package that is being written."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.errors import PluginError
from orchestrator.plugin.contract import CANNOT, Breach, check_description, check_import, check_runs
from orchestrator.plugin.manifest import manifest_path, manifest_text, plugins_in
from orchestrator.plugin.packages import GROUP

if TYPE_CHECKING:  # only named
    from orchestrator.authoring.project import Project
    from orchestrator.plugin.info import CallableInfo


def check_callables(infos: Iterable[CallableInfo], project: Project) -> list[Breach]:
    """Every rule that these callables, or the files they stand in, break.

    What the catalog has a problem with (`PLG006`) is not tried as well: importing it would only say the same again.
    """
    breaches: list[Breach] = []
    tried: dict[tuple[str, tuple[str, ...]], tuple[Breach, ...]] = {}
    packages = {plugin.namespace: (plugin.module, ()) for plugin in project.catalog.packages()}
    for info in infos:
        breaches += check_description(info)
        if (problem := project.catalog.problem(info.name)) is not None:
            breaches.append(Breach(info.name, problem.code, f"{problem.message}; {problem.help} ({problem.origin})"))
            continue
        if info.origin is not None and info.provider not in ("code", "bundled"):
            place = local_module(Path(info.origin.file), project) or packages.get(info.namespace)
            if place is not None and place not in tried:
                tried[place] = check_import(*place)  # in a process of its own, before it is imported here
                breaches += tried[place]
            if place is not None and any(breach.message.startswith(CANNOT) for breach in tried[place]):
                continue
        breaches += asyncio.run(check_runs(info, project.root))
    return breaches


def local_module(file: Path, project: Project) -> tuple[str, tuple[str, ...]] | None:
    """The module that a file of the project's plugin folder is, and where to import it from."""
    folder = project.config.plugins_path
    if folder is None or not file.resolve().is_relative_to(folder.resolve()):
        return None
    place = folder.resolve()
    parts = file.resolve().relative_to(place).with_suffix("").parts
    return ".".join((place.name, *(part for part in parts if part != "__init__"))), (str(place.parent),)


def broken_imports(project: Project) -> list[tuple[str, str]]:
    """The plugin files and packages of the project that cannot be imported, and why; each is tried in a process of its own."""
    catalog = project.catalog
    names = [name for name in catalog.names() if catalog.problem(name) is None]  # the others are told already
    infos = [info for name in names if (info := catalog.get(name)) is not None]
    places: dict[str, tuple[str, tuple[str, ...]]] = {}
    for info in infos:
        place = local_module(Path(info.origin.file), project) if info.origin is not None else None
        if place is not None and info.origin is not None:
            places.setdefault(os.path.relpath(info.origin.file, project.root or "."), place)
    sound = {info.namespace for info in infos}
    places |= {p.label: (p.module, ()) for p in catalog.packages() if p.namespace in sound}
    return [
        (what, breach.message)
        for what, place in places.items()
        for breach in check_import(*place)
        if breach.message.startswith(CANNOT)
    ]


def is_package(folder: Path) -> bool:
    """Whether a folder holds a plugin package: a pyproject.toml with our entry points."""
    try:
        return folder.is_dir() and bool(entry_modules(folder))
    except (OSError, ValueError):
        return False


def entry_modules(folder: Path) -> list[str]:
    """The modules that the package in a folder announces. Raises: OSError, ValueError for a pyproject that is no TOML."""
    import tomllib

    text = (folder / "pyproject.toml").read_text("utf-8")
    project: Any = tomllib.loads(text).get("project")
    points = project.get("entry-points", {}).get(GROUP, {}) if isinstance(project, dict) else {}
    return sorted({str(target).partition(":")[0] for target in points.values()}) if isinstance(points, dict) else []


def check_package(folder: Path) -> tuple[list[Breach], list[str]]:
    """Every rule that a plugin package breaks, and the callables that were checked."""
    from orchestrator.plugin.signature import describe

    breaches: list[Breach] = []
    checked: list[str] = []
    for module in entry_modules(folder):
        found = check_import(module, (str(folder.resolve()),))
        breaches += found
        if any("cannot be imported" in breach.message for breach in found):
            continue
        for plugin, source in _plugins(folder, module):
            breaches += _check_manifest(plugin, source, module)
            for step in plugin.steps.values():
                checked.append(step.name)
                try:
                    info = describe(step, provider=plugin.name)
                except PluginError as problem:
                    breaches.append(Breach(step.name, "signature", problem.message))
                    continue
                breaches += check_description(info)
                breaches += asyncio.run(check_runs(info, folder))
    return breaches, checked


def _check_manifest(plugin: Any, source: Path, module: str) -> list[Breach]:  # a Plugin
    path = manifest_path(source, plugin.name)
    try:
        written, wanted = (path.read_text("utf-8") if path.is_file() else None), manifest_text(plugin)
    except (PluginError, OSError) as problem:
        return [Breach(plugin.name, "manifest", f"cannot be described: {problem}")]
    if written == wanted:
        return []
    what = "is missing, so checking a flow has to read the source" if written is None else "is not what the code says"
    return [Breach(module, "manifest", f"{path.name} {what}; `plugin check --fix` writes it")]


def write_manifests(folder: Path) -> list[Path]:
    """Write the manifests of a package beside its modules. Raises: CommandFailed if it cannot be imported."""
    written = []
    for module in entry_modules(folder):
        for plugin, source in _plugins(folder, module):
            path = manifest_path(source, plugin.name)
            path.write_text(manifest_text(plugin), "utf-8")
            written.append(path)
    return written


def _plugins(folder: Path, module: str) -> tuple[tuple[Any, Path], ...]:  # (Plugin, source file)
    with _on_path(folder, module):
        try:
            return plugins_in(module)
        except (Exception, SystemExit) as problem:  # importing runs the author's code, which can raise anything
            raise CommandFailed(
                f"{module} cannot be imported: {type(problem).__name__}: {problem}", Exit.DIAGNOSTICS
            ) from problem


@contextmanager
def _on_path(folder: Path, module: str) -> Iterator[None]:
    """The package's own folder first on the import path, and no module of another package of that name."""
    top = module.partition(".")[0]
    place = folder.resolve()
    loaded = sys.modules.get(top)
    if loaded is not None and not str(getattr(loaded, "__file__", "") or "").startswith(str(place)):
        for name in [n for n in sys.modules if n == top or n.startswith(top + ".")]:
            del sys.modules[name]
    sys.path.insert(0, str(place))
    try:
        yield
    finally:
        sys.path.remove(str(place))
