"""What the operators do to plain values, bounded. Knows no syntax tree, no place and no scope.

Values are `str int float bool None dict list`, exactly these types, and the placeholders of secrets. Everything that
could grow a value checks the size of the result before it makes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final

from orchestrator.expr.errors import Fault
from orchestrator.expr.limits import (
    EXPONENT,
    INTEGER_BITS,
    JSON_DEPTH,
    RANGE_ITEMS,
    Fuel,
    allow_items,
    allow_text,
    burn,
)
from orchestrator.expr.secrets import SecretRef, SecretText, join_secret
from orchestrator.expr.suggest import listed

# Any below is a plain value (see the docstring): the language is dynamically typed, the checker is in `checking`.
PLAIN: Final = frozenset({dict, list, str, int, float, bool, type(None), SecretRef, SecretText})
NUMBERS: Final = frozenset({int, float, bool})
CONTAINERS: Final = frozenset({dict, list})
SECRETS: Final = frozenset({SecretRef, SecretText})


class Missing:
    """The type of `MISSING`: what is read where nothing is, while `default` or `is defined` asks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()

_KINDS: dict[type, str] = {
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
    list: "a list",
    dict: "an object",
    SecretRef: "a secret",
    SecretText: "a text with a secret",
}


def kind(value: Any) -> str:
    """The word for a value in a message."""
    return _KINDS.get(type(value), f"a Python {type(value).__name__}")


def refuse_foreign(value: Any) -> Fault:
    """The fault for a value that is not plain data: a template that can reach an object can run its code."""
    return Fault(
        f"{kind(value)} cannot be used in an expression",
        "only texts, numbers, true, false, null, lists and objects can; turn it into one of them in the step",
    )


def to_text(value: Any, fuel: Fuel) -> str:
    """A value inside text: JSON's words for true, false, null and numbers, JSON for lists and objects."""
    match value:
        case str() if type(value) is str:
            return value
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
        case int() | float() if type(value) in NUMBERS:
            return number_text(value)
        case dict() | list():
            return to_json(value, fuel)
        case SecretRef() | SecretText():
            raise Fault("a secret can only be placed in text as it is", "use it alone, or inside text with `${{ }}`")
        case _:
            raise refuse_foreign(value)


def to_json(value: Any, fuel: Fuel, indent: int | None = None) -> str:
    """A value as JSON text; refuses what JSON has no word for."""
    allow_text(_weigh_json(value, fuel, 0), fuel)
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    allow_text(len(text), fuel)
    return text


def concat(values: list[Any], fuel: Fuel) -> Any:
    """The values as one text; with a secret among them, as a text that still does not hold it."""
    if any(type(value) in SECRETS for value in values):
        return join_secret(value if type(value) in SECRETS else to_text(value, fuel) for value in values)
    parts = [value if type(value) is str else to_text(value, fuel) for value in values]
    allow_text(sum(map(len, parts)), fuel)
    return "".join(parts)


def add(left: Any, right: Any, fuel: Fuel) -> Any:
    """Numbers added, or two texts or two lists one after the other."""
    kinds = (type(left), type(right))
    if kinds[0] in NUMBERS and kinds[1] in NUMBERS:
        return finite(left + right)
    if kinds == (str, str):
        allow_text(len(left) + len(right), fuel)
        return left + right
    if kinds == (list, list):
        allow_items(len(left) + len(right), fuel)
        return left + right
    help = "`~` joins anything as text" if str in kinds else None
    raise Fault(f"`+` cannot add {kind(left)} and {kind(right)}", help)


def subtract(left: Any, right: Any, fuel: Fuel) -> Any:
    """Numbers subtracted."""
    _need_numbers("-", left, right)
    return finite(left - right)


def multiply(left: Any, right: Any, fuel: Fuel) -> Any:
    """Numbers multiplied, or a text or list repeated, if the result stays in bounds."""
    if type(left) in NUMBERS and type(right) in NUMBERS:
        return finite(left * right)
    if type(left) is int and type(right) in (str, list):
        left, right = right, left
    if type(right) is int and type(left) is str:
        allow_text(len(left) * max(right, 0), fuel)
        return left * right
    if type(right) is int and type(left) is list:
        if any(type(item) in CONTAINERS for item in left):
            raise Fault("`*` cannot repeat a list of lists or objects")
        allow_items(len(left) * max(right, 0), fuel)
        return left * right
    raise Fault(f"`*` cannot multiply {kind(left)} and {kind(right)}")


def divide(left: Any, right: Any, fuel: Fuel) -> Any:
    """Numbers divided."""
    _need_numbers("/", left, right)
    _need_divisor(right)
    try:
        return finite(left / right)
    except OverflowError:
        raise Fault("the number is too large to divide") from None


def floor_divide(left: Any, right: Any, fuel: Fuel) -> Any:
    """Numbers divided, rounded down."""
    _need_numbers("//", left, right)
    _need_divisor(right)
    return finite(left // right)


def modulo(left: Any, right: Any, fuel: Fuel) -> Any:
    """The remainder of a division; never text formatting."""
    if type(left) is str:
        raise Fault("`%` does not format text", "join with `~`, or write the text with `${{ }}` in it")
    _need_numbers("%", left, right)
    _need_divisor(right)
    return finite(left % right)


def power(left: Any, right: Any, fuel: Fuel) -> Any:
    """A number raised to an exponent of at most 64."""
    _need_numbers("**", left, right)
    if abs(right) > EXPONENT:
        raise Fault(f"the exponent {right} is over the limit of {EXPONENT}")
    if left == 0 and right < 0:
        raise Fault("0 cannot be raised to a negative exponent")
    if type(left) is int and left.bit_length() * max(abs(right), 1) > INTEGER_BITS * 2:
        raise Fault("the number would be too large")
    try:
        result = left**right
    except OverflowError:
        raise Fault("the number would be too large") from None
    if isinstance(result, complex):
        raise Fault("a negative number has no such root")
    return finite(result)


def negate(value: Any) -> Any:
    """The number with the other sign."""
    if type(value) not in NUMBERS:
        raise Fault(f"`-` needs a number, not {kind(value)}")
    return -value


def affirm(value: Any) -> Any:
    """The number itself."""
    if type(value) not in NUMBERS:
        raise Fault(f"`+` needs a number, not {kind(value)}")
    return +value


def finite(value: int | float) -> int | float:
    """The number, unless it is none in JSON or larger than any sensible use."""
    if type(value) is int:
        if value.bit_length() > INTEGER_BITS:
            raise Fault("the number would be too large")
    elif not math.isfinite(value):
        raise Fault("the result is not a finite number")
    return value


def equal(left: Any, right: Any, fuel: Fuel) -> bool:
    """Whether two values are the same; lists and objects by content."""
    if type(left) in CONTAINERS and type(left) is type(right):
        weigh(left, fuel)
    return bool(left == right)


def contains(item: Any, container: Any, fuel: Fuel) -> bool:
    """Whether a text is part of a text, a value in a list, or a key in an object."""
    match container:
        case list():
            burn(fuel, len(container) // 4)
            if type(item) in CONTAINERS:
                weigh(container, fuel)
            return item in container
        case dict():
            return type(item) is str and item in container
        case str() if type(container) is str:
            if type(item) is not str:
                raise Fault(f"only text can be `in` a text, not {kind(item)}")
            burn(fuel, len(container) // 256)
            return item in container
        case _:
            raise Fault(f"`in` needs a list, an object or a text on its right, not {kind(container)}")


def unordered(op: str, left: Any, right: Any) -> Fault:
    """The fault for `<` and its kin between values that have no order."""
    help = (
        "a text that holds a number becomes one with `| int` or `| float`" if str in (type(left), type(right)) else None
    )
    return Fault(f"`{op}` cannot compare {kind(left)} with {kind(right)}", help)


def bounded_range(fuel: Fuel, *args: Any) -> list[int]:
    """`range(stop)`, `range(start, stop)` or `range(start, stop, step)` as a list."""
    if any(type(arg) is not int for arg in args):
        raise Fault("`range` needs whole numbers")
    if len(args) == 3 and args[2] == 0:
        raise Fault("the step of `range` cannot be 0")
    numbers = range(*args)
    count = max(0, -((numbers.start - numbers.stop) // numbers.step))  # len() overflows on huge ranges
    if count > RANGE_ITEMS:
        raise Fault(f"the range would have {count:,} numbers; the limit is {RANGE_ITEMS:,}")
    burn(fuel, count // 2)
    return list(numbers)


def field_of(value: Any, name: str) -> Any:
    """A field of an object, or MISSING."""
    if type(value) is dict:
        found = value.get(name, MISSING)
        if found is MISSING or type(found) in PLAIN:
            return found
        raise refuse_foreign(found)
    return MISSING


def item_of(value: Any, key: Any) -> Any:
    """What `value[key]` is, or MISSING."""
    if type(value) is dict:
        return field_of(value, key) if type(key) is str else MISSING
    if type(value) not in (list, str):
        return MISSING
    if type(key) is not int:
        return MISSING
    try:
        found = value[key]
    except IndexError:
        return MISSING
    if type(found) in PLAIN:
        return found
    raise refuse_foreign(found)


def why_missing(base: Any, key: Any, base_text: str, text: str) -> Fault:
    """The fault for a field or item that is not there, with what is."""
    match base:
        case None:
            return Fault(f"`{base_text}` is null, so `{text}` is not there")
        case dict():
            have = f"has: {listed(map(str, base))}" if base else "is empty"
            return Fault(f"`{text}` is not there; `{base_text}` {have}")
        case list() | str() if type(key) is int:
            have = f"has {len(base)} {'items' if type(base) is list else 'characters'}" if base else "is empty"
            return Fault(f"`{text}` is not there; `{base_text}` {have}")
        case list():
            return Fault(f"`{text}` is not there; `{base_text}` is a list", f"take an item first: `{base_text}[0]`")
        case _ if type(base) in PLAIN:
            return Fault(f"`{text}` is not there; `{base_text}` is {kind(base)}")
        case _:
            return refuse_foreign(base)


def weigh(value: Any, fuel: Fuel) -> None:
    """Take the cost of looking at every part of a value: what is built of parts of the scope must stay small."""
    stack = [value]
    while stack:
        current = stack.pop()
        if type(current) is str:
            burn(fuel, len(current) // 64)
        elif type(current) is dict or type(current) is list:
            burn(fuel, len(current) + 1)
            parts = current.values() if type(current) is dict else current
            stack.extend(item for item in parts if type(item) in CONTAINERS or (type(item) is str and len(item) > 64))


def _weigh_json(value: Any, fuel: Fuel, depth: int) -> int:
    if type(value) is str:
        return len(value) + 2
    if type(value) is dict or type(value) is list:
        if depth >= JSON_DEPTH:
            raise Fault(f"the value is nested more than {JSON_DEPTH} deep")
        burn(fuel, 2 * len(value) + 1)
        size = sum(
            _weigh_json(item, fuel, depth + 1) + 2 for item in (value.values() if type(value) is dict else value)
        )
        if type(value) is list:
            return size
        if not all(type(key) is str for key in value):
            raise Fault("the keys of an object are text")
        return size + sum(len(key) + 4 for key in value)
    if type(value) is float and not math.isfinite(value):
        raise Fault("the value holds a number that is not finite")
    if type(value) in NUMBERS or value is None:
        return 1
    if type(value) in SECRETS:
        raise Fault("a secret cannot be written as JSON")
    raise refuse_foreign(value)


def number_text(value: int | float) -> str:
    """A number, true or false as JSON writes it."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float and not math.isfinite(value):
        raise Fault("the number is not finite")
    return repr(value) if type(value) is float else str(finite(value))


def _need_numbers(op: str, left: Any, right: Any) -> None:
    if type(left) not in NUMBERS or type(right) not in NUMBERS:
        raise Fault(f"`{op}` needs numbers, not {kind(left)} and {kind(right)}")


def _need_divisor(value: Any) -> None:
    if value == 0:
        raise Fault("division by zero")


ARITHMETIC: Final[dict[str, Callable[[Any, Any, Fuel], Any]]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "//": floor_divide,
    "%": modulo,
    "**": power,
}
