"""The types of the expression language: small, structural, made to find mistakes and not to prove programs.

`any` is compatible with everything, so that what nobody knows gives no findings. A field of a union that only some
members have is `T | null`: that is how `on: [A, B]` reads (see `partial_fields`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any, Final, TypeAlias, assert_never

from orchestrator.expr.nodes import Scalar
from orchestrator.ir.record import record


@record
class Simple:
    """`any null str int float bool duration datetime`."""

    name: str


@record
class EnumT:
    """One of a few literal values."""

    values: tuple[Scalar, ...]


@record
class ListT:
    """A list of items of one type."""

    item: TypeT


@record
class ObjectT:
    """An object; an open one may have more fields, an optional field may be absent."""

    fields: Mapping[str, TypeT] = field(hash=False)
    is_open: bool = False
    optional: frozenset[str] = frozenset()


@record
class UnionT:
    """Any of at least two types; made by `union` only."""

    members: tuple[TypeT, ...]


TypeT: TypeAlias = Simple | EnumT | ListT | ObjectT | UnionT

ANY: Final = Simple("any")
NULL: Final = Simple("null")
STR: Final = Simple("str")
INT: Final = Simple("int")
FLOAT: Final = Simple("float")
BOOL: Final = Simple("bool")
DURATION: Final = Simple("duration")
DATETIME: Final = Simple("datetime")
NUMBER: Final = UnionT((INT, FLOAT))
SIMPLE: Final = {t.name: t for t in (ANY, NULL, STR, INT, FLOAT, BOOL, DURATION, DATETIME)}
TEXT_LIKE: Final = frozenset({STR, DURATION, DATETIME})
NUMERIC: Final = frozenset({INT, FLOAT, BOOL})


def union(*types: TypeT) -> TypeT:
    """The type of what is one of these: flat, without repeats; `any` swallows all, `str` the enums of texts.

    Cost: linear in the size of the types.
    """
    if len(types) == 1 and types[0].__class__ is not EnumT:
        return types[0]  # unions are made by this function only
    flat: dict[object, TypeT] = {}
    literals: dict[object, Scalar] = {}
    for member in members(*types):
        if member is ANY or member == ANY:
            return ANY
        if member.__class__ is EnumT:
            literals.update(((value.__class__, value), value) for value in member.values)
        else:
            flat.setdefault(member if member.__class__ is Simple else _key(member), member)
    if not literals:
        kinds = tuple(flat.values())
        return kinds[0] if len(kinds) == 1 else UnionT(kinds) if kinds else ANY
    rest = tuple(value for value in literals.values() if simple_of(value) not in flat)
    if rest:
        kinds = (EnumT(rest), *flat.values())
    else:
        kinds = tuple(flat.values())
    return kinds[0] if len(kinds) == 1 else UnionT(kinds)


def _key(t: TypeT) -> object:
    """What two types have in common only if they are equal; objects are no keys themselves."""
    match t:
        case ListT(item=item):
            return ("list", _key(item))
        case ObjectT(fields=fields, is_open=is_open, optional=optional):
            return (is_open, optional, frozenset((name, _key(kind)) for name, kind in fields.items()))
        case UnionT(members=parts):
            return tuple(_key(part) for part in parts)
        case _:
            return t


def members(*types: TypeT) -> list[TypeT]:
    """The types with the unions among them taken apart."""
    if len(types) == 1 and not isinstance(types[0], UnionT):
        return [types[0]]
    return [member for t in types for member in (t.members if isinstance(t, UnionT) else (t,))]


def simple_of(value: Any) -> TypeT:
    """The type of a scalar, without its value."""
    match value:
        case None:
            return NULL
        case bool():
            return BOOL
        case int():
            return INT
        case float():
            return FLOAT
        case _:
            return STR


def type_of_value(value: Any) -> TypeT:
    """The type of plain data, such as the first value of a state field (any JSON value)."""
    match value:
        case list():
            return ListT(union(*map(type_of_value, value)) if value else ANY)
        case dict():
            return ObjectT({key: type_of_value(item) for key, item in value.items()}, is_open=not value)
        case _:
            return simple_of(value)


def is_nullable(t: TypeT) -> bool:
    """Whether null is known to be possible."""
    if t.__class__ is Simple:
        return t == NULL
    return any(m == NULL or (isinstance(m, EnumT) and None in m.values) for m in members(t))


def without_null(t: TypeT) -> TypeT:
    """The type of the same value once it is known not to be null."""
    if t.__class__ is Simple or t.__class__ is ListT or t.__class__ is ObjectT:
        return ANY if t == NULL else t
    kept: list[TypeT] = []
    for member in members(t):
        if isinstance(member, EnumT):
            values = tuple(value for value in member.values if value is not None)
            kept += [EnumT(values)] if values else []
        elif member != NULL:
            kept.append(member)
    return union(*kept) if kept else ANY


def widened(t: TypeT) -> TypeT:
    """The type without its literal values: that of a list item or a variable that may change."""
    if t.__class__ is Simple:
        return t
    return union(*(w for m in members(t) for w in (map(simple_of, m.values) if isinstance(m, EnumT) else (m,))))


def literals_of(t: TypeT) -> tuple[Scalar, ...] | None:
    """All values that it can have, if it is an enum (null apart); else None."""
    if t.__class__ is Simple:
        return None
    inner = without_null(t)
    return inner.values if isinstance(inner, EnumT) else None


def field_type(t: ObjectT, name: str) -> TypeT | None:
    """The type of a field: with null if it may be absent, `any` if the object is open, None if there is none."""
    found = t.fields.get(name)
    if found is None:
        return ANY if t.is_open else None
    return union(found, NULL) if name in t.optional else found


def optional_paths(t: TypeT) -> frozenset[str]:
    """The paths below a root of this type that may be absent, as `lenient_fields` takes them."""
    return frozenset(_optional_paths(t, "", 0))


def partial_fields(types: Iterable[TypeT]) -> frozenset[str]:
    """The fields that only some of these objects (the events of `on: [A, B]`) have."""
    return frozenset(path for path in optional_paths(union(*types)) if "." not in path and "[" not in path)


def to_text(t: TypeT) -> str:
    """The type as a flow file writes it."""
    match t:
        case Simple(name=name):
            return name
        case EnumT(values=values):
            return " | ".join(
                "null" if v is None else str(v).lower() if isinstance(v, bool) else str(v) for v in values
            )
        case ListT(item=item):
            return f"[{to_text(item)}]"
        case ObjectT(fields=fields, is_open=is_open):
            inner = [f"{name}: {to_text(kind)}" for name, kind in fields.items()]
            return "{" + ", ".join([*inner, "…"] if is_open else inner) + "}"
        case UnionT(members=parts):
            return " | ".join(map(to_text, parts))
        case _:
            assert_never(t)


def _optional_paths(t: TypeT, prefix: str, depth: int) -> Iterable[str]:
    objects = [m for m in members(t) if isinstance(m, ObjectT)]
    names = dict.fromkeys(name for m in objects for name in m.fields)
    for name in names if depth < 8 else ():
        path = f"{prefix}.{name}" if prefix else name
        holders = [m for m in objects if name in m.fields]
        if len(holders) < len(objects) or any(name in m.optional for m in holders):
            yield path
        yield from _optional_paths(union(*(m.fields[name] for m in holders)), path, depth + 1)
    items = [m.item for m in members(t) if isinstance(m, ListT)]
    if items and depth < 8:
        yield from _optional_paths(union(*items), f"{prefix}[]", depth + 1)
