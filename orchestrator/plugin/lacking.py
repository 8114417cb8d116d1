"""What a plugin's file imports and that is not there, found from syntax trees: nothing of the plugin is imported or run.

An import counts only where it is certain to run when the file is imported: at the top level, in classes, in branches whose test
is known (`sys.version_info`, `sys.platform`, `TYPE_CHECKING`), and in a `try` that does not catch its failure. Of modules from
outside only the first part of the name is looked for, which runs none of it; the plugin's own modules are followed.
"""

from __future__ import annotations

import ast
import difflib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import PluginError
from orchestrator.ir.model import Origin
from orchestrator.plugin.loading import find_module
from orchestrator.plugin.static_truth import bound_names, may_catch, moves_path, truth
from orchestrator.plugin.syntax import parse_module, place_of

MAX_FILES = 50
Parts = tuple[str, ...]
_OWN_API = "orchestrator.plugin"
# what brings a module whose name is not its package's
_BROUGHT_BY = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "dbos": '"orchestrator-flows[dbos]"',
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "jwt": "PyJWT",
    "mcp": '"orchestrator-flows[mcp]"',
    "psycopg": '"orchestrator-flows[postgres]"',
    "pydantic_ai": '"orchestrator-flows[agents]"',
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}


@dataclass(frozen=True, slots=True)
class Lack:
    """An import that cannot succeed: why, the way out, and where it stands."""

    message: str
    help: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Home:
    """Where a plugin's own modules are: `folder` holds those of `package`; a plugin folder is a package without a name."""

    folder: Path
    package: str = ""
    brought_by: str = ""


def lack_of_file(folder: Path, file: Path) -> Lack | None:
    """The first import that a file of the plugin folder cannot have."""
    return _first_lack(_Reader(Home(folder)).file(file, _parts_of(folder, file)))


def lack_of_module(module: str, brought_by: str) -> Lack | None:
    """The first import that an installed module cannot have; `brought_by` is its distribution, for the advice."""
    package, *_ = parts = tuple(module.split("."))
    root = find_module(package)
    if root is None:
        return None  # another finding
    is_package = root.file.name == "__init__.py"
    home = Home(root.file.parent if is_package else root.file.parent / package, package, brought_by)
    return _first_lack(_Reader(home).modules(tuple(parts[1:]), None))


def _first_lack(lacks: Iterator[Lack]) -> Lack | None:
    try:
        return next(lacks, None)
    except RecursionError:  # a file built to be deep; importing it says what is wrong with it
        return None


def _parts_of(folder: Path, file: Path) -> Parts:
    parts = file.relative_to(folder).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


@dataclass(slots=True)
class _Reader:
    """Reads one plugin's files, each once."""

    home: Home
    seen: set[Path] = field(default_factory=set)

    def file(self, file: Path, parts: Parts) -> Iterator[Lack]:
        """What the import of an own file lacks; `parts` is its name below the home."""
        if file in self.seen or len(self.seen) >= MAX_FILES:
            return
        self.seen.add(file)
        try:
            tree = parse_module(file).tree
        except PluginError as problem:
            yield Lack(problem.message, f"mend {file.name}", place_of(file, problem))
            return
        package = parts if file.name == "__init__.py" else parts[:-1]
        yield from self._body(tree.body, _Place(file, tree, package))

    def modules(self, parts: Parts, at: tuple[_Place, ast.stmt] | None) -> Iterator[Lack]:
        """What the import of an own module lacks, the packages above it first; `at` names it if it is not there."""
        for depth in range(len(parts) + 1):
            found = self._find(parts[:depth])
            if found is None:
                if at is not None:
                    yield self._missing(parts[:depth], *at)
                return
            if found.suffix == ".py":
                yield from self.file(found, parts[:depth])

    def _find(self, parts: Parts) -> Path | None:
        """The source of an own module, or its folder; None if there is none."""
        if not parts:
            source = self.home.folder / "__init__.py"
            single = self.home.folder.with_suffix(".py")
            if self.home.package and not source.is_file():
                return single if single.is_file() else self.home.folder
            return source if self.home.package else self.home.folder
        folder = self.home.folder.joinpath(*parts[:-1])
        spec = importlib.machinery.PathFinder.find_spec(parts[-1], [str(folder)])
        if spec is None:
            return None
        return Path(spec.origin) if spec.origin else folder / parts[-1]

    def _body(self, body: Iterable[ast.stmt], place: _Place) -> Iterator[Lack]:
        for node in body:
            match node:
                case ast.Import():
                    for alias in node.names:
                        yield from self._imported(tuple(alias.name.split(".")), (), place, node)
                case ast.ImportFrom(level=0, module=str() as name):
                    yield from self._imported(tuple(name.split(".")), node.names, place, node)
                case ast.ImportFrom():
                    yield from self._relative(place, node)
                case ast.If():
                    taken = truth(node.test)
                    if taken is not None:
                        yield from self._body(node.body if taken else node.orelse, place)
                case ast.Try():
                    yield from self._tried(node, place)
                case ast.ClassDef():
                    yield from self._body(node.body, place)
                case ast.With(items=[ast.withitem(context_expr=ast.Call(func=ast.Attribute(attr="catch_warnings")))]):
                    yield from self._body(node.body, place)
                case _:
                    pass

    def _tried(self, node: ast.Try, place: _Place) -> Iterator[Lack]:
        lack = next(self._body(node.body, place), None)
        if lack is None:
            yield from self._body(node.orelse, place)
        else:
            guard = next((handler for handler in node.handlers if may_catch(handler)), None)
            if guard is None or any(isinstance(statement, ast.Raise) for statement in guard.body):
                yield lack
            else:
                yield from self._body(guard.body, place)
        yield from self._body(node.finalbody, place)

    def _relative(self, place: _Place, node: ast.ImportFrom) -> Iterator[Lack]:
        above = node.level - 1
        if above > len(place.package):
            dots = "." * node.level
            yield Lack(
                f"{place.shown} imports from `{dots}{node.module or ''}`, which is above the plugin's own folder",
                "use fewer dots, or install what it needs as a package",
                place.of(node),
            )
            return
        base = place.package[: len(place.package) - above]
        parts = (*base, *(node.module.split(".") if node.module else ()))
        yield from self._own(parts, node.names, place, node)

    def _own(self, parts: Parts, names: Iterable[ast.alias], place: _Place, node: ast.stmt) -> Iterator[Lack]:
        """An import of the plugin's own module, and of names of it, which may be modules below it."""
        lack = next(self.modules(parts, (place, node)), None)
        if lack is not None:
            yield lack
            return
        found = self._find(parts)
        bound = bound_names(found) if found is not None and found.suffix == ".py" else frozenset[str]()
        if found is None or bound is None:
            return
        for alias in names:
            if alias.name == "*" or alias.name in bound:
                continue
            if found.suffix == ".py" and found.name != "__init__.py":
                yield Lack(
                    f"{place.shown} imports `{alias.name}` from {_shown(found)}, which does not define it",
                    f"define `{alias.name}` there, or mend the name",
                    place.of(node),
                )
            else:
                yield from self.modules((*parts, alias.name), (place, node))

    def _imported(self, parts: Parts, names: Iterable[ast.alias], place: _Place, node: ast.stmt) -> Iterator[Lack]:
        """An import by full name: of the plugin's own package, of ours, or of anything installed."""
        if self.home.package and parts[0] == self.home.package:
            yield from self._own(parts[1:], names, place, node)
        elif ".".join(parts) == _OWN_API:
            yield from _unknown_api(names, place, node)
        elif not is_there(parts[0]) and not moves_path(place.tree):
            yield self._not_installed(parts[0], place, node)

    def _not_installed(self, root: str, place: _Place, node: ast.stmt) -> Lack:
        if not self.home.package and self._find((root,)) is not None:
            message = f"{place.shown} imports `{root}`, which is a file of the plugin folder and not on the import path"
            return Lack(message, f"write `from . import {root}` or `from .{root} import …`", place.of(node))
        brought = _BROUGHT_BY.get(root, root)
        advice = f"`pip install {brought}` into the environment of this program ({sys.prefix})"
        if self.home.brought_by:
            advice += f"; {self.home.brought_by} should name it under its dependencies"
        return Lack(f"{place.shown} imports `{root}`, which is not installed here", advice, place.of(node))

    def _missing(self, parts: Parts, place: _Place, node: ast.stmt) -> Lack:
        name = ".".join((*([self.home.package] if self.home.package else []), *parts))
        where = _shown(self.home.folder.joinpath(*parts[:-1]))
        return Lack(
            f"{place.shown} imports `{name}`, and there is no `{parts[-1]}` in {where}",
            f"add {parts[-1]}.py there, or mend the name",
            place.of(node),
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """The file that an import stands in, and the package that its dots count from."""

    file: Path
    tree: ast.Module
    package: Parts

    @property
    def shown(self) -> str:
        return _shown(self.file)

    def of(self, node: ast.stmt) -> Origin:
        return Origin(
            str(self.file),
            node.lineno,
            node.col_offset + 1,
            node.end_lineno or node.lineno,
            (node.end_col_offset or 0) + 1,
        )


def is_there(root: str) -> bool:
    """Whether a top-level module can be found; runs none of it."""
    if root in sys.modules:
        return sys.modules[root] is not None
    try:
        return importlib.util.find_spec(root) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _unknown_api(names: Iterable[ast.alias], place: _Place, node: ast.stmt) -> Iterator[Lack]:
    import orchestrator.plugin as api

    known = {"*", *api.__all__, *vars(api)}
    for alias in names:
        if alias.name not in known and find_module(f"{_OWN_API}.{alias.name}") is None:
            near = difflib.get_close_matches(alias.name, api.__all__, 1)
            advice = f"did you mean `{near[0]}`?" if near else f"it offers {', '.join(api.__all__)}"
            message = f"{place.shown} imports `{alias.name}` from {_OWN_API}, which has no such name"
            yield Lack(message, advice, place.of(node))


def _shown(file: Path) -> str:
    """A file as people find it: from here on if it is below."""
    try:
        return str(file.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return os.path.join(*file.parts[-2:])
