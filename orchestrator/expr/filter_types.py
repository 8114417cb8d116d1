"""What filters take and give, as types: the rules of `checking` that belong to one filter each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from orchestrator.expr.types import (
    ANY,
    DURATION,
    FLOAT,
    INT,
    NULL,
    NUMBER,
    STR,
    EnumT,
    ListT,
    ObjectT,
    Simple,
    TypeT,
    UnionT,
    members,
    simple_of,
    union,
    widened,
    without_null,
)

Arguments: TypeAlias = Mapping[str, TypeT]
Rule: TypeAlias = Callable[[TypeT, Arguments], TypeT]

_TEXT: Final = frozenset({"str", "int", "float", "bool", "duration", "datetime"})
_NUMBER: Final = frozenset({"int", "float", "bool"})
_ACCEPTED: Final[dict[str, frozenset[str]]] = {
    "text": _TEXT,
    "number": _NUMBER,
    "list": frozenset({"list", "object"}),
    "object": frozenset({"object"}),
    "list or text": frozenset({"list", "object", "str", "duration", "datetime"}),
    "list, object or text": frozenset({"list", "object", "str", "duration", "datetime"}),
    "datetime": frozenset({"str", "int", "float", "datetime"}),
    "duration": frozenset({"str", "int", "float", "duration"}),
}


def accepts(takes: str, t: TypeT) -> bool:
    """Whether a filter that takes this can work on a member of a type that is no union."""
    accepted = _ACCEPTED.get(takes)
    return accepted is None or t == ANY or all(word in accepted for word in shape_words(t))


def shape_words(t: TypeT) -> list[str]:
    """`list`, `object` or the name of the simple types that a type consists of."""
    match t:
        case Simple(name=name):
            return [name]
        case EnumT(values=values):
            return [word for value in values for word in shape_words(simple_of(value))]
        case ListT():
            return ["list"]
        case ObjectT():
            return ["object"]
        case UnionT(members=parts):
            return [word for part in parts for word in shape_words(part)]


def result_of(name: str, base: TypeT, args: Arguments) -> TypeT:
    """The type that a filter gives."""
    rule = _RULES.get(name)
    return ANY if rule is None else rule(base, args)


def item_type(t: TypeT) -> TypeT:
    """The type of the items of a list (of an object its keys, of a text its characters)."""
    found = [
        member.item if isinstance(member, ListT) else ANY if member == ANY else STR
        for member in members(without_null(t))
    ]
    return union(*found)


def _always(t: TypeT) -> Rule:
    return lambda base, args: t


def _same(base: TypeT, args: Arguments) -> TypeT:
    return widened(without_null(base))


def _item(base: TypeT, args: Arguments) -> TypeT:
    return item_type(base)


def _list_of_items(base: TypeT, args: Arguments) -> TypeT:
    return ListT(item_type(base))


def _number(base: TypeT, args: Arguments) -> TypeT:
    found = [FLOAT if word == "float" else INT for word in shape_words(without_null(base)) if word != "any"]
    return union(*found) if found else NUMBER


def _round(base: TypeT, args: Arguments) -> TypeT:
    return NUMBER if "precision" in args else INT


def _or_default(wanted: TypeT) -> Rule:
    return lambda base, args: union(wanted, args["default"]) if "default" in args else wanted


def _default(base: TypeT, args: Arguments) -> TypeT:
    return union(without_null(base), args.get("default_value", STR)) if base != NULL else args.get("default_value", STR)


def _duration(base: TypeT, args: Arguments) -> TypeT:
    return NUMBER if "unit" in args else DURATION


def _values(base: TypeT, args: Arguments) -> TypeT:
    kinds: list[TypeT] = []
    for member in members(without_null(base)):
        kinds += [ANY] if not isinstance(member, ObjectT) or member.is_open else list(member.fields.values())
    return ListT(union(*kinds))


def _items(base: TypeT, args: Arguments) -> TypeT:
    values = _values(base, args)
    return ListT(ListT(union(STR, values.item if isinstance(values, ListT) else ANY)))


_RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(
        ("capitalize", "date", "join", "lower", "replace", "string", "title", "tojson", "trim", "truncate", "upper"),
        _always(STR),
    ),
    "urlencode": _always(STR),
    "split": _always(ListT(STR)),
    "keys": _always(ListT(STR)),
    "fromjson": _always(ANY),
    "length": _always(INT),
    "abs": _number,
    "sum": _always(NUMBER),
    "round": _round,
    "int": _or_default(INT),
    "float": _or_default(FLOAT),
    "default": _default,
    "duration": _duration,
    "items": _items,
    "values": _values,
    "reverse": _same,
    **dict.fromkeys(("first", "last", "min", "max"), _item),
    **dict.fromkeys(("list", "sort", "unique", "select", "reject", "selectattr", "rejectattr"), _list_of_items),
}
