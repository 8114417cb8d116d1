"""Annotations of a syntax tree as type objects, built from a closed list of names. No code of the file is run.

Classes of the file become classes of ours with the same fields (pydantic models, dataclasses, typed dictionaries, enums,
events), so that one code path makes the schemas of live and of unread functions. What is not known reads as any value, with a
note that says so.
"""

from __future__ import annotations

import ast
import collections.abc
import copy
import dataclasses
import datetime
import decimal
import enum
import functools
import inspect
import logging
import pathlib
import typing
import uuid
from typing import Any, TypeGuard

import pydantic
import typing_extensions

from orchestrator.errors import PluginError
from orchestrator.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent
from orchestrator.plugin.files import ProjectFiles
from orchestrator.plugin.http_client import HttpClient, HttpResponse
from orchestrator.plugin.info import CallableInfo
from orchestrator.plugin.llm import ChatReply, Llm
from orchestrator.plugin.mail import Mailer
from orchestrator.plugin.notice import Notice
from orchestrator.plugin.process import Processes
from orchestrator.plugin.secrets import Secret
from orchestrator.plugin.services import Clock, StepContext
from orchestrator.plugin.signature import MISSING, UNKNOWN, Param, Signature, TypeForm, build_info, make_signature
from orchestrator.plugin.syntax import MAX_DEPTH, Module, StaticStep, dotted, follow, literal
from orchestrator.plugin.types import Duration

_OURS: dict[str, TypeForm] = {
    "Context": StepContext,
    "StepContext": StepContext,
    "Clock": Clock,
    "Secret": Secret,
    "HttpClient": HttpClient,
    "HttpResponse": HttpResponse,
    "Llm": Llm,
    "ChatReply": ChatReply,
    "ProjectFiles": ProjectFiles,
    "Mailer": Mailer,
    "Processes": Processes,
    "Duration": Duration,
    "Notice": Notice,
}
_BUILTINS: dict[str, TypeForm] = {
    t.__name__: t for t in (str, int, float, bool, bytes, list, dict, tuple, set, frozenset, object)
} | {"None": None}
_TYPING = (
    "Any",
    "Literal",
    "Optional",
    "Union",
    "Annotated",
    "List",
    "Dict",
    "Tuple",
    "Set",
    "FrozenSet",
    "Mapping",
    "Sequence",
    "Iterable",
    "Required",
    "NotRequired",
    "AsyncIterator",
    "AsyncGenerator",
    "AsyncIterable",
)
_ABC = ("Mapping", "MutableMapping", "Sequence", "Iterable", "Set", "AsyncIterator", "AsyncGenerator", "AsyncIterable")
_PYDANTIC = (
    "BaseModel",
    "PositiveInt",
    "NonNegativeInt",
    "PositiveFloat",
    "NonNegativeFloat",
    "HttpUrl",
    "AnyUrl",
    "StrictStr",
    "StrictInt",
    "StrictBool",
    "StrictFloat",
    "JsonValue",
)
KNOWN: dict[str, TypeForm] = {
    **{f"orchestrator.plugin.{name}": value for name, value in _OURS.items()},
    **{f"typing.{name}": getattr(typing, name) for name in _TYPING},
    **{
        f"typing_extensions.{name}": getattr(typing_extensions, name)
        for name in _TYPING
        if hasattr(typing_extensions, name)
    },
    **{f"collections.abc.{name}": getattr(collections.abc, name) for name in _ABC},
    **{f"pydantic.{name}": getattr(pydantic, name) for name in _PYDANTIC},
    **{f"datetime.{name}": getattr(datetime, name) for name in ("datetime", "date", "time", "timedelta")},
    "decimal.Decimal": decimal.Decimal,
    "uuid.UUID": uuid.UUID,
    "pathlib.Path": pathlib.Path,
    "logging.Logger": logging.Logger,
}
_ENUMS: dict[str, type[enum.Enum]] = {
    "enum.Enum": enum.Enum,
    "enum.StrEnum": enum.StrEnum,
    "enum.IntEnum": enum.IntEnum,
}
_EVENTS: dict[str, type[Event]] = {
    "orchestrator.plugin.Event": Event,
    **{
        f"{module}.{cls.__name__}": cls
        for module in ("orchestrator", "orchestrator.events")
        for cls in (Event, StartEvent, StopEvent, InputRequiredEvent, HumanResponseEvent)
    },
}
_FIELD_OPTIONS = frozenset(
    [
        "default",
        "description",
        "title",
        "examples",
        "ge",
        "gt",
        "le",
        "lt",
        "multiple_of",
        "min_length",
        "max_length",
        "pattern",
        "alias",
    ]
)
_FACTORIES: dict[str, Any] = {"list": list, "dict": dict, "set": set}  # Any: constructors of any type


def describe_node(step: StaticStep) -> CallableInfo:
    """A callable's description from its syntax tree. Raises: PluginError."""
    reader = TypeReader(step.module)
    signature = _signature(step, reader)
    info = build_info(
        step.definition,
        signature,
        doc=ast.get_docstring(step.node) or "",
        origin=step.origin,
        provider=step.provider,
        notes=tuple(dict.fromkeys(reader.notes)),
    )
    return dataclasses.replace(info, loader=step.loader)


def _signature(step: StaticStep, reader: TypeReader) -> Signature:
    name, arguments = step.definition.name, step.node.args
    refused = arguments.vararg or arguments.kwarg or next(iter(arguments.posonlyargs), None)
    if refused is not None:
        raise PluginError(
            f"parameter {refused.arg} of {name} has no name that `with:` could use; write plain named parameters",
            plugin=name,
        )
    first = len(arguments.args) - len(arguments.defaults)
    defaults = [None] * first + list(arguments.defaults) + list(arguments.kw_defaults)
    params = []
    for argument, default in zip([*arguments.args, *arguments.kwonlyargs], defaults, strict=True):
        annotation = Any if argument.annotation is None else reader.read(argument.annotation)
        params.append(Param(argument.arg, annotation, MISSING if default is None else reader.default(default)))
    returns = Any if step.node.returns is None else reader.read(step.node.returns)
    is_async = isinstance(step.node, ast.AsyncFunctionDef)
    streams = is_async and any(isinstance(n, ast.Yield) for n in _own_nodes(step.node))
    return make_signature(params, returns, is_async=is_async, streams=streams, secrets=step.definition.secrets)


def _own_nodes(node: ast.AST) -> typing.Iterator[ast.AST]:
    """Nodes of a function without those of functions inside it."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield from _own_nodes(child)


class TypeReader:
    """Reads annotations of one file. `notes` collects what could not be known."""

    def __init__(self, module: Module, depth: int = 0) -> None:
        self._module = module
        self._made: dict[str, TypeForm] = {}
        self._depth = depth
        self.notes: list[str] = []

    def read(self, node: ast.expr) -> TypeForm:
        """The type that an annotation means; Any where it cannot be known."""
        match node:
            case ast.Constant(value=None):
                return None
            case ast.Constant(value=str(text)):
                return self._forward(text, node)
            case ast.BinOp(op=ast.BitOr(), left=left, right=right):
                return typing.Union[self.read(left), self.read(right)]  # noqa: UP007  # `|` fails on some forms
            case ast.Subscript(value=base, slice=inner):
                return self._subscript(base, inner, node)
            case ast.Name() | ast.Attribute():
                return self._name(node)
            case _:
                return self._unknown(node)

    def default(self, node: ast.expr) -> Any:  # any value
        """A parameter's default; UNKNOWN where it is no literal."""
        try:
            return literal(node, self._module)
        except ValueError:
            if isinstance(node, ast.Attribute):
                owner = self.read(node.value)
                if isinstance(owner, type) and issubclass(owner, enum.Enum) and node.attr in owner.__members__:
                    return owner[node.attr]
            return UNKNOWN

    def _forward(self, text: str, node: ast.expr) -> TypeForm:
        try:
            return self.read(ast.parse(text, mode="eval").body)
        except (SyntaxError, ValueError):
            return self._unknown(node)

    def _name(self, node: ast.expr) -> TypeForm:
        if isinstance(node, ast.Name):
            if node.id in self._module.classes:
                return self._class(node.id)
            if node.id in self._module.values:
                return self.read(self._module.values[node.id])
            if node.id not in self._module.imports and node.id in _BUILTINS:
                return _BUILTINS[node.id]
        full = dotted(node, self._module)
        if full in KNOWN:
            return KNOWN[full]
        if full in _EVENTS:
            return _EVENTS[full]
        if full is not None and "." in full:
            return self._from_other_file(full, node)
        return self._unknown(node)

    def _from_other_file(self, full: str, node: ast.expr) -> TypeForm:
        """A name that is imported from a file beside this one, or from any module whose source can be read."""
        found = follow(self._module, full) if self._depth < MAX_DEPTH else None
        if found is None:
            return self._unknown(node)
        other = TypeReader(found[0], self._depth + 1)
        kind = other.read(ast.Name(found[1], lineno=node.lineno, col_offset=node.col_offset))
        self.notes += other.notes
        return kind

    def _subscript(self, base: ast.expr, inner: ast.expr, node: ast.expr) -> TypeForm:
        generic = self._name(base)
        parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if generic is typing.Literal or generic is typing_extensions.Literal:
            try:
                return typing.Literal[tuple(literal(p, self._module) for p in parts)]
            except ValueError:
                return self._unknown(node)
        if generic is typing.Annotated:
            metadata = [m for m in (self._metadata(p) for p in parts[1:]) if m is not None]
            kind = self.read(parts[0])
            return typing.Annotated[(kind, *metadata)] if metadata else kind
        if generic is Any or (isinstance(generic, type) and not hasattr(generic, "__class_getitem__")):
            return self._unknown(node)
        arguments = tuple(... if isinstance(p, ast.Constant) and p.value is ... else self.read(p) for p in parts)
        try:
            return generic[arguments if len(arguments) > 1 else arguments[0]]
        except TypeError:
            return self._unknown(node)

    def _metadata(self, node: ast.expr) -> Any:  # text, a pydantic field, or None for what is left out
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if self._is_field(node):
            options = self._field_options(node)
            options.pop("default", None)
            return pydantic.Field(**options)
        self.notes.append(f"{ast.unparse(node)[:60]} is not read")
        return None

    def _is_field(self, node: ast.expr) -> TypeGuard[ast.Call]:
        return isinstance(node, ast.Call) and dotted(node.func, self._module) == "pydantic.Field"

    def _field_options(self, call: ast.Call) -> dict[str, Any]:  # Any: arguments of pydantic.Field
        options: dict[str, Any] = {}
        if call.args:
            options["default"] = self.default(call.args[0])
        for keyword in call.keywords:
            if keyword.arg == "default_factory" and isinstance(keyword.value, ast.Name):
                options["default_factory"] = _FACTORIES.get(keyword.value.id, lambda: UNKNOWN)
            elif keyword.arg in _FIELD_OPTIONS:
                try:
                    options[keyword.arg] = literal(keyword.value, self._module)
                except ValueError:
                    self.notes.append(f"{keyword.arg} of a field is not read")
        return options

    def _unknown(self, node: ast.expr) -> TypeForm:
        self.notes.append(f"type {ast.unparse(node)[:80]} is not known without running the file; it reads as any value")
        return Any

    def _class(self, name: str) -> TypeForm:
        if name not in self._made:
            self._made[name] = Any  # a class that refers to itself reads as any value there
            self._made[name] = self._build_class(self._module.classes[name])
        return self._made[name]

    def _build_class(self, node: ast.ClassDef) -> TypeForm:
        bases = [dotted(base, self._module) for base in node.bases]
        decorators = [dotted(d.func if isinstance(d, ast.Call) else d, self._module) for d in node.decorator_list]
        try:
            for base in bases:
                if base in _ENUMS:
                    return self._enum(node, str if "str" in bases else None, _ENUMS[base])
                if base in ("typing.TypedDict", "typing_extensions.TypedDict"):
                    return self._typed_dict(node)
            if "dataclasses.dataclass" in decorators:
                return self._dataclass(node)
            parents = [self._class(b) for b in bases if b in self._module.classes]
            models = [p for p in parents if isinstance(p, type) and issubclass(p, pydantic.BaseModel)]
            models += [_EVENTS[base] for base in bases if base in _EVENTS]
            if models or "pydantic.BaseModel" in bases:
                return self._model(node, models)
        except (TypeError, ValueError, NameError, pydantic.PydanticUserError) as problem:
            self.notes.append(f"class {node.name} cannot be read: {str(problem).partition(chr(10))[0]}")
            return Any
        return self._unknown(ast.copy_location(ast.Name(node.name), node))

    def _fields(self, node: ast.ClassDef) -> typing.Iterator[tuple[str, TypeForm, ast.expr | None]]:
        for statement in node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=value) if not name.startswith("_"):
                    yield name, self.read(kind), value
                case _:
                    pass

    def _model(self, node: ast.ClassDef, parents: list[type[pydantic.BaseModel]]) -> TypeForm:
        fields: dict[str, Any] = {}  # Any: what create_model takes, (type, default)
        for name, kind, default in self._fields(node):
            if default is None:
                fields[name] = (kind, ...)
            elif self._is_field(default):
                fields[name] = (kind, pydantic.Field(**self._field_options(default)))
            else:
                fields[name] = (kind, self.default(default))
        made = pydantic.create_model(node.name, __base__=tuple(parents) or None, __module__=__name__, **fields)
        made.__doc__ = ast.get_docstring(node) or None
        if made.__doc__:
            made.model_rebuild(force=True)
        return made

    def _dataclass(self, node: ast.ClassDef) -> TypeForm:
        fields: list[Any] = []  # Any: what make_dataclass takes
        for name, kind, default in self._fields(node):
            if default is None:
                fields.append((name, kind))
                continue
            value = self.default(default)
            if isinstance(value, list | dict | set) or value is UNKNOWN:
                fields.append((name, kind, dataclasses.field(default_factory=functools.partial(copy.copy, value))))
            else:
                fields.append((name, kind, dataclasses.field(default=value)))
        made = dataclasses.make_dataclass(node.name, fields, kw_only=True)
        made.__doc__ = ast.get_docstring(node) or f"{node.name}{inspect.signature(made)}"
        return made

    def _typed_dict(self, node: ast.ClassDef) -> TypeForm:
        total = next((k.value for k in node.keywords if k.arg == "total"), None)
        is_total = not (isinstance(total, ast.Constant) and total.value is False)
        make: Any = typing_extensions.TypedDict  # Any: a special form that type checkers want literal
        made = make(node.name, {n: k for n, k, _ in self._fields(node)}, total=is_total)
        made.__doc__ = ast.get_docstring(node)
        return made

    def _enum(self, node: ast.ClassDef, mixin: type | None, base: type[enum.Enum]) -> TypeForm:
        members: dict[str, Any] = {}  # Any: values of an enum
        for statement in node.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                name = statement.targets[0].id
                is_auto = (
                    isinstance(statement.value, ast.Call) and dotted(statement.value.func, self._module) == "enum.auto"
                )
                members[name] = enum.auto() if is_auto else literal(statement.value, self._module)
        make: Any = base  # Any: the functional form of an enum, which type checkers want literal
        made = make(node.name, members, type=mixin) if mixin else make(node.name, members)
        made.__doc__ = ast.get_docstring(node)
        return made
