"""Importing a plugin's code: the only place where a plugin's module is run, and only when a callable is about to be.

Files of the project's folder become modules of a package of their own, so that `from .models import X` works between them and
the folder is never on the import path.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.util
import sys
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from orchestrator.errors import PluginError
from orchestrator.plugin.define import CAPTURED, REGISTERED, Plugin, StepDef

_LOCKS: dict[tuple[str, int], AbstractContextManager[bool]] = {}


@dataclass(frozen=True, slots=True)
class ModulePlace:
    """Where a module's source is, found without importing anything."""

    module: str
    file: Path


def find_module(name: str) -> ModulePlace | None:
    """The source of a module on the import path. Parents are looked up as folders, not imported."""
    path: list[str] | None = None
    parts = name.split(".")
    for index, _ in enumerate(parts):
        try:
            spec = importlib.machinery.PathFinder.find_spec(".".join(parts[: index + 1]), path)
        except (ImportError, ValueError, AttributeError):
            return None
        if spec is None:
            return None
        if index == len(parts) - 1:
            return ModulePlace(name, Path(spec.origin)) if spec.origin else None
        if spec.submodule_search_locations is None:
            return None
        path = list(spec.submodule_search_locations)
    return None


def load_from_module(module: str, name: str) -> StepDef:
    """A callable of an installed package; imports it. Raises: PluginError."""
    return _find(load_module(module), name, module)


def load_module(module: str) -> ModuleType:
    """A module of an installed package. Raises: PluginError."""
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as problem:  # importing runs the author's code, which can raise anything
        raise PluginError(f"plugin module {module} cannot be imported: {_cause(problem)}", plugin=module) from problem


def load_from_file(folder: Path, file: Path, name: str) -> StepDef:
    """A callable of the project's plugin folder; imports its file. Raises: PluginError."""
    return _find(load_file(folder, file), name, str(file))


def load_file(folder: Path, file: Path) -> ModuleType:
    """A file of the plugin folder as a module, read again if it has changed. Raises: PluginError."""
    package = _package_of(folder)
    module_name = f"{package}.{file.parent.name if file.name == '__init__.py' else file.stem}"
    stamp = file.stat().st_mtime_ns
    with _LOCKS.setdefault(
        (module_name, stamp), threading.RLock()
    ):  # of this version: one that hangs holds up no other
        loaded = sys.modules.get(module_name)
        if loaded is None or getattr(loaded, "__orchestrator_stamp__", None) != stamp:
            loaded = _execute(module_name, file, stamp)
        return loaded


def forget_folder(folder: Path) -> None:
    """Drop every loaded module of a plugin folder, so that the next call sees the files as they are now."""
    package = _package_of(folder)
    for name in [n for n in sys.modules if n == package or n.startswith(package + ".")]:
        del sys.modules[name]


def _package_of(folder: Path) -> str:
    """The package that a folder's files are modules of; made at first use."""
    resolved = str(folder.resolve())
    name = "orchestrator_project_" + hashlib.sha256(resolved.encode()).hexdigest()[:12]
    if name not in sys.modules:
        package = ModuleType(name, f"The plugins of {resolved}.")
        package.__path__ = [resolved]
        sys.modules[name] = package
    return name


def _execute(module_name: str, file: Path, stamp: int) -> ModuleType:
    is_package = file.name == "__init__.py"
    spec = importlib.util.spec_from_file_location(
        module_name, file, submodule_search_locations=[str(file.parent)] if is_package else None
    )
    if spec is None or spec.loader is None:
        raise PluginError(f"{file} is not a Python file", plugin=str(file))
    module = importlib.util.module_from_spec(spec)
    registered: dict[str, StepDef] = {}
    sys.modules[module_name] = module
    token = CAPTURED.set(registered)
    try:
        source = file.read_bytes()
        exec(compile(source, str(file), "exec"), module.__dict__)  # the source as it is now, never a stale .pyc
    except (Exception, SystemExit) as problem:  # the author's code can raise anything, and `sys.exit` is no end of ours
        if sys.modules.get(module_name) is module:  # not if a newer version of the file has taken its place meanwhile
            del sys.modules[module_name]
        raise PluginError(f"{file} cannot be imported: {_cause(problem)}", plugin=str(file)) from problem
    finally:
        CAPTURED.reset(token)
    module.__dict__["__orchestrator_registered__"] = registered
    module.__dict__["__orchestrator_stamp__"] = stamp
    return module


def _find(module: ModuleType, name: str, where: str) -> StepDef:
    own: dict[str, StepDef] = module.__dict__.get("__orchestrator_registered__", {})
    for value in vars(module).values():
        if isinstance(value, Plugin) and name in value.steps:
            return value.steps[name]
    step = own.get(name) or REGISTERED.get(name)
    if step is None:
        raise PluginError(f"{where} was imported but defines no {name}", plugin=name)
    return step


def _cause(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
