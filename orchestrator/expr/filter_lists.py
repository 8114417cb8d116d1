"""The filters that work on lists and objects. Each takes the fuel of the evaluation, the value, and its arguments.

Those that ask for something of each item (`map`, `select` and the like) get it as a function; the evaluator makes it
of their arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from orchestrator.expr.errors import Fault
from orchestrator.expr.filter_text import need_text
from orchestrator.expr.limits import TEXT_BYTES, Fuel, allow_items, allow_text, burn
from orchestrator.expr.operators import (
    MISSING,
    NUMBERS,
    PLAIN,
    add,
    field_of,
    item_of,
    kind,
    refuse_foreign,
    to_json,
    to_text,
)

# Any is a plain value of the expression language throughout.
PerItem: TypeAlias = Callable[[Any], Any]


def need_list(name: str, value: Any) -> list[Any]:
    """The value as the list that a filter works on; of an object the keys, as in a loop over it."""
    if type(value) is list:
        return value
    if type(value) is dict:
        return list(value)
    help = "`.split(',')` is written `| split(',')`" if type(value) is str else None
    raise Fault(f"`{name}` works on a list, not on {kind(value)}", help)


def need_object(name: str, value: Any) -> dict[str, Any]:
    """The value as the object that a filter works on."""
    if type(value) is dict:
        return value
    raise Fault(f"`{name}` works on an object, not on {kind(value)}")


class Fail:
    """The type of `FAIL`: what is not there is a fault."""

    __slots__ = ()


FAIL: Final = Fail()


def attribute_getter(path: Any, default: Any = FAIL) -> PerItem:
    """Reads `a.b.0` of an item; what is not there is `default`, or a fault."""
    if type(path) is int:
        parts: list[str | int] = [path]
    elif type(path) is str and path:
        parts = [int(part) if part.isdecimal() and part.isascii() else part for part in path.split(".")]
    else:
        raise Fault("`attribute` must be the name of a field")

    def get(item: Any) -> Any:
        value = item
        for part in parts:
            value = field_of(value, part) if isinstance(part, str) else item_of(value, part)
            if value is MISSING:
                if default is not FAIL:
                    return default
                raise Fault(f"an item has no `{path}`: {_shape(item)}")
        return value

    return get


def identity(item: Any) -> Any:
    """The item itself, for filters without `attribute`."""
    return item


def length(fuel: Fuel, value: Any) -> int:
    if type(value) in (str, list, dict):
        return len(value)
    raise Fault(f"`length` counts a list, an object or a text, not {kind(value)}")


def first(fuel: Fuel, value: Any) -> Any:
    items = value if type(value) is str else need_list("first", value)
    return _plain(items[0]) if items else MISSING


def last(fuel: Fuel, value: Any) -> Any:
    items = value if type(value) is str else need_list("last", value)
    return _plain(items[-1]) if items else MISSING


def as_list(fuel: Fuel, value: Any) -> list[Any]:
    if type(value) is str:
        allow_items(len(value), fuel)
        burn(fuel, len(value))
        return list(value)
    items = need_list("list", value)
    burn(fuel, len(items) // 8)
    return list(items)


def items(fuel: Fuel, value: Any) -> list[Any]:
    pairs = need_object("items", value)
    burn(fuel, len(pairs))
    return [[key, item] for key, item in pairs.items()]


def keys(fuel: Fuel, value: Any) -> list[str]:
    burn(fuel, len(need_object("keys", value)) // 8)
    return list(value)


def values(fuel: Fuel, value: Any) -> list[Any]:
    burn(fuel, len(need_object("values", value)) // 8)
    return list(value.values())


def reverse(fuel: Fuel, value: Any) -> Any:
    if type(value) is str:
        allow_text(len(value), fuel)
        return value[::-1]
    entries = need_list("reverse", value)
    burn(fuel, len(entries) // 8)
    return entries[::-1]


def join(fuel: Fuel, value: Any, separator: Any, attribute: Any) -> str:
    get = identity if attribute is None else attribute_getter(attribute)
    between = need_text("join", separator)
    entries = need_list("join", value)
    burn(fuel, 2 * len(entries))
    parts: list[str] = []
    size = 0
    for entry in entries:
        text = to_text(get(entry), fuel)
        size += len(text) + len(between)
        if size - len(between) > TEXT_BYTES:
            break
        parts.append(text)
    allow_text(max(size - len(between), 0), fuel)
    return between.join(parts)


def total(fuel: Fuel, value: Any, attribute: Any, start: Any) -> Any:
    get = identity if attribute is None else attribute_getter(attribute)
    entries = need_list("sum", value)
    burn(fuel, 2 * len(entries))
    result = start
    for entry in entries:
        number = get(entry)
        if type(number) not in NUMBERS:
            raise Fault(f"`sum` adds numbers, and an item is {kind(number)}", "pick a field with `sum(attribute='…')`")
        result = add(result, number, fuel)
    return result


def smallest(fuel: Fuel, value: Any, case_sensitive: Any, attribute: Any) -> Any:
    return _extreme("min", min, fuel, value, case_sensitive, attribute)


def largest(fuel: Fuel, value: Any, case_sensitive: Any, attribute: Any) -> Any:
    return _extreme("max", max, fuel, value, case_sensitive, attribute)


def sort(fuel: Fuel, value: Any, reverse: Any, case_sensitive: Any, attribute: Any) -> list[Any]:
    entries = need_list("sort", value)
    burn(fuel, 6 * len(entries))
    paths = attribute.split(",") if type(attribute) is str else [attribute]
    columns = [_sort_keys("sort", fuel, entries, bool(case_sensitive), path) for path in paths]
    order = list(range(len(entries)))
    for column in reversed(columns):  # a stable sort by the least column first
        order.sort(key=column.__getitem__, reverse=bool(reverse))
    return [entries[i] for i in order]


def unique(fuel: Fuel, value: Any, case_sensitive: Any, attribute: Any) -> list[Any]:
    get = identity if attribute is None else attribute_getter(attribute)
    entries = need_list("unique", value)
    burn(fuel, 3 * len(entries))
    seen: set[Any] = set()
    kept: list[Any] = []
    for entry in entries:
        mark = _identity_key(get(entry), bool(case_sensitive), fuel)
        if mark not in seen:
            seen.add(mark)
            kept.append(entry)
    return kept


def apply(fuel: Fuel, value: Any, per_item: PerItem) -> list[Any]:
    entries = need_list("map", value)
    burn(fuel, 3 * len(entries))
    return [per_item(entry) for entry in entries]


def select(fuel: Fuel, value: Any, per_item: PerItem) -> list[Any]:
    entries = need_list("select", value)
    burn(fuel, 3 * len(entries))
    return [entry for entry in entries if per_item(entry)]


def reject(fuel: Fuel, value: Any, per_item: PerItem) -> list[Any]:
    entries = need_list("reject", value)
    burn(fuel, 3 * len(entries))
    return [entry for entry in entries if not per_item(entry)]


def _extreme(
    name: str,
    choose: Callable[..., int],
    fuel: Fuel,
    value: Any,
    case_sensitive: Any,
    attribute: Any,
) -> Any:
    entries = need_list(name, value)
    if not entries:
        return MISSING
    burn(fuel, 3 * len(entries))
    column = _sort_keys(name, fuel, entries, bool(case_sensitive), attribute)
    return _plain(entries[choose(range(len(entries)), key=column.__getitem__)])


def _sort_keys(name: str, fuel: Fuel, entries: list[Any], is_case_sensitive: bool, attribute: Any) -> list[Any]:
    """One key per item, all of them numbers or all texts, so that comparing them cannot fail."""
    get = identity if attribute is None else attribute_getter(attribute)
    column = [get(entry) for entry in entries]
    if all(type(key) in NUMBERS for key in column):
        return column
    if all(type(key) is str for key in column):
        size = sum(map(len, column))
        burn(fuel, size // 16)
        return column if is_case_sensitive else [key.lower() for key in column]
    if all(type(key) is list for key in column):
        return _list_keys(name, column)
    odd = next(key for key in column if type(key) is not type(column[0]) or type(key) not in (str, int, float))
    help = "pick a field with `attribute='…'`" if type(odd) is dict else "drop such items first, for example `| select`"
    raise Fault(f"`{name}` compares numbers with numbers or texts with texts, and an item is {kind(odd)}", help)


def _list_keys(name: str, column: list[list[Any]]) -> list[Any]:
    """Lists such as those of `items` compare by their first item."""
    heads = [key[0] if key else None for key in column]
    if all(type(head) is str for head in heads) or all(type(head) in NUMBERS for head in heads):
        return heads
    raise Fault(f"`{name}` cannot compare these lists", f"pick the item that counts: `{name}(attribute=0)`")


def _identity_key(value: Any, is_case_sensitive: bool, fuel: Fuel) -> Any:
    if type(value) is str:
        burn(fuel, len(value) // 32)
        return value if is_case_sensitive else value.lower()
    if type(value) in (dict, list):
        return (type(value), to_json(value, fuel))
    if type(value) in PLAIN:
        return value
    raise refuse_foreign(value)


def _plain(value: Any) -> Any:
    if type(value) in PLAIN:
        return value
    raise refuse_foreign(value)


def _shape(item: Any) -> str:
    if type(item) is dict:
        return f"it has {', '.join(list(map(str, item))[:12]) or 'no fields'}"
    return f"it is {kind(item)}"
