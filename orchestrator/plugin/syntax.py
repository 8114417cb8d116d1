"""Plugin files read from their syntax tree: which callables they define, never running a line of them.

`scan_file` finds names and promises, which is cheap; a callable's schemas are made when somebody asks for it (`StaticStep.info`),
from annotations rebuilt as objects (annotations.py) and then by the very code that describes live functions.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeGuard

from orchestrator.errors import PluginError, UsageError
from orchestrator.ir.model import Origin
from orchestrator.plugin.define import StepDef, define_step
from orchestrator.plugin.info import CallableInfo, Target
from orchestrator.plugin.loading import find_module, load_from_file

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
MAX_SOURCE_BYTES = 1_000_000
MAX_DEPTH = 16
_OPTIONS = frozenset({"name", "errors", "effect", "idempotent", "hosts", "secrets", "inline", "examples"})


@dataclass(frozen=True, slots=True)
class Fault:
    """What cannot be read in a file; `name` is a callable or `ns.*`."""

    code: str
    name: str
    message: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Module:
    """A parsed file and what its top level binds: imports (local name -> dotted name), classes, assigned values."""

    file: Path
    tree: ast.Module
    imports: dict[str, str]
    classes: dict[str, ast.ClassDef]
    values: dict[str, ast.expr]


@dataclass(frozen=True, slots=True)
class StaticStep:
    """A callable as the syntax tree shows it."""

    definition: StepDef
    node: FunctionNode
    module: Module
    provider: str
    loader: Callable[[], Target]

    @property
    def origin(self) -> Origin:
        return Origin(str(self.module.file), self.node.lineno, self.node.col_offset + 1)

    def info(self) -> CallableInfo:
        """All that is known about the callable. Raises: PluginError."""
        from orchestrator.plugin.annotations import describe_node

        return describe_node(self)


@dataclass(slots=True)
class FileScan:
    """The callables and faults of one file."""

    file: Path
    steps: dict[str, StaticStep] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def scan_folder(folder: Path) -> Iterator[FileScan]:
    """Every plugin file of a folder: `*.py` and packages, by name; names that begin with `_` are private."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        file = path / "__init__.py" if path.is_dir() else path
        if file.suffix == ".py" and file.is_file():
            yield scan_file(file, loader_of=_file_loader(folder, file), provider=f"{folder.name}/{path.name}")


def scan_file(file: Path, *, loader_of: Callable[[str], Callable[[], Target]], provider: str) -> FileScan:
    """The callables of one file; what cannot be read is a fault of that callable, or of the whole file."""
    scan = FileScan(file)
    namespace = file.parent.name if file.name == "__init__.py" else file.stem
    try:
        module = parse_module(file)
    except PluginError as problem:
        scan.faults.append(Fault("PLG002", f"{namespace}.*", problem.message, place_of(file, problem)))
        return scan
    plugins = _plugin_names(module)
    for node in module.tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in node.decorator_list:
            _read_decorator(scan, module, node, decorator, plugins, loader_of, provider)
    return scan


def parse_module(file: Path) -> Module:
    """A file's syntax tree with its top-level names; kept while the file does not change. Raises: PluginError."""
    try:
        state = file.stat()
    except OSError as problem:
        raise PluginError(f"{file.name} cannot be read: {problem.strerror}") from None
    return _parse(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=256)
def _parse(file: Path, changed_ns: int, size_bytes: int) -> Module:
    """`changed_ns` and `size_bytes` are there for the cache only."""
    try:
        source = file.read_bytes()
        if len(source) > MAX_SOURCE_BYTES:
            raise PluginError(f"{file.name} is larger than {MAX_SOURCE_BYTES} bytes")
        tree = ast.parse(source, filename=str(file))
    except OSError as problem:
        raise PluginError(f"{file.name} cannot be read: {problem.strerror}") from None
    except SyntaxError as problem:
        raise PluginError(f"{file.name}:{problem.lineno or 1}: {problem.msg}") from problem
    except (ValueError, RecursionError, MemoryError) as problem:
        raise PluginError(f"{file.name} cannot be parsed: {problem}") from None
    module = Module(file, tree, {}, {}, {})
    for node in tree.body:
        _bind(module, node)
    return module


def _bind(module: Module, node: ast.stmt) -> None:
    match node:
        case ast.Import(names=names):
            for alias in names:
                module.imports[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        case ast.ImportFrom(module=source, names=names, level=level):
            for alias in names:
                module.imports[alias.asname or alias.name] = f"{'.' * level}{source or ''}.{alias.name}"
        case ast.ClassDef(name=name):
            module.classes[name] = node
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            module.values[name] = value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            module.values[name] = value
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), body=body):
            for inner in body:
                _bind(module, inner)
        case _:
            pass


def dotted(node: ast.expr, module: Module) -> str | None:
    """The full dotted name that an expression means, through the file's imports."""
    if isinstance(node, ast.Name):
        return module.imports.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        base = dotted(node.value, module)
        return None if base is None else f"{base}.{node.attr}"
    return None


def follow(module: Module, full: str) -> tuple[Module, str] | None:
    """The file that an imported dotted name comes from, parsed, and the name in it; None if its source cannot be read."""
    source, _, name = full.lstrip(".").rpartition(".")
    if not source:
        return None
    file = None
    if full.startswith("."):
        file = module.file.parent / f"{source.replace('.', '/')}.py"
    elif place := find_module(source):
        file = place.file
    if file is None or file.suffix != ".py" or not file.is_file():
        return None
    try:
        return parse_module(file), name
    except PluginError:
        return None


def literal(node: ast.expr, module: Module, depth: int = 0) -> Any:  # any literal of Python
    """The value of a literal, of names bound to literals, and of lists put together from them. Raises: ValueError."""
    unreadable = ValueError(
        f"line {node.lineno}: {ast.unparse(node)[:60]} must be a literal to be read without running it"
    )
    if depth > MAX_DEPTH:
        raise unreadable
    match node:
        case ast.Name(id=name) if name in module.values:
            return literal(module.values[name], module, depth + 1)
        case ast.Name(id=name) if name in module.imports:
            found = follow(module, module.imports[name])
            if found is None or found[0].file == module.file:
                raise unreadable
            return literal(ast.Name(found[1], lineno=node.lineno, col_offset=node.col_offset), found[0], depth + 1)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            values: list[Any] = []  # Any: see the return type
            for part in parts:
                if isinstance(part, ast.Starred):
                    values.extend(literal(part.value, module, depth + 1))
                else:
                    values.append(literal(part, module, depth + 1))
            return tuple(values) if isinstance(node, ast.Tuple) else values
        case _:
            try:
                return ast.literal_eval(node)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                raise unreadable from None


def _plugin_names(module: Module) -> dict[str, str]:
    """Variables that hold a Plugin, with its namespace."""
    found = {}
    for name, value in module.values.items():
        if not isinstance(value, ast.Call) or not value.args:
            continue
        if _is_name(dotted(value.func, module), "Plugin"):
            try:
                namespace = literal(value.args[0], module)
            except ValueError:
                continue
            if isinstance(namespace, str):
                found[name] = namespace
    return found


def _is_name(full: str | None, name: str) -> TypeGuard[str]:
    return full is not None and full in (
        f"orchestrator.plugin.{name}",
        f"orchestrator.{name}",
        f"orchestrator.plugin.define.{name}",
    )


def _read_decorator(
    scan: FileScan,
    module: Module,
    node: FunctionNode,
    decorator: ast.expr,
    plugins: dict[str, str],
    loader_of: Callable[[str], Callable[[], Target]],
    provider: str,
) -> None:
    call = decorator if isinstance(decorator, ast.Call) else None
    target = call.func if call else decorator
    options = {k.arg: k.value for k in call.keywords if k.arg} if call else {}
    place = Origin(str(module.file), decorator.lineno, decorator.col_offset + 1)
    if isinstance(target, ast.Attribute) and target.attr == "step" and isinstance(target.value, ast.Name):
        namespace = plugins.get(target.value.id)
        if namespace is None:
            return
        name = f"{namespace}.{node.name.rstrip('_')}"
    elif _is_name(dotted(target, module), "register"):
        name = ""
    else:
        return
    try:
        values = {key: literal(value, module) for key, value in options.items()}
        if not name:
            if not call or not call.args:
                raise ValueError('register needs a name, such as @register("crm.score")')
            name = str(literal(call.args[0], module))
        elif "name" in values:
            name = f"{name.partition('.')[0]}.{values['name']}"
        unknown = set(values) - _OPTIONS
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))} is no option of a step")
        values.pop("name", None)
        definition = define_step(name, _never, **values)
    except (ValueError, TypeError, AttributeError, UsageError) as problem:
        scan.faults.append(Fault("PLG003", name or f"{scan.file.stem}.*", str(problem), place))
        return
    if name in scan.steps:
        scan.faults.append(Fault("PLG005", name, f"{name} is defined twice in {module.file.name}", place))
        return
    scan.steps[name] = StaticStep(definition, node, module, provider, loader_of(name))


def _never() -> None:
    """Stands for a function that was not imported."""


def _file_loader(folder: Path, file: Path) -> Callable[[str], Callable[[], Target]]:
    return lambda name: lambda: load_from_file(folder, file, name).function


def place_of(file: Path, problem: PluginError) -> Origin:
    """Where a file that cannot be parsed is wrong."""
    cause = problem.__cause__
    if not isinstance(cause, SyntaxError):
        return Origin(str(file), 1)
    line, column = cause.lineno or 1, max(cause.offset or 1, 1)
    if (cause.end_lineno or 0) == line and (cause.end_offset or 0) > column:
        return Origin(str(file), line, column, line, cause.end_offset or 0)
    return Origin(str(file), line, column)
