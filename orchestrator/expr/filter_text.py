"""The filters that work on text and numbers. Each takes the fuel of the evaluation, the value, and its arguments."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from urllib.parse import quote, quote_plus

from orchestrator.expr.errors import Fault
from orchestrator.expr.limits import INTEGER_BITS, JSON_DEPTH, TEXT_BYTES, Fuel, allow_items, allow_text, burn
from orchestrator.expr.operators import MISSING, NUMBERS, finite, kind, number_text, refuse_foreign, to_json, to_text

# Any is a plain value of the expression language throughout.
_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
_DECIMAL = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*", re.ASCII)
_WORD = re.compile(r"[^\s\-({\[<]+")


def need_text(name: str, value: Any) -> str:
    """The value as the text that a filter works on; numbers and the like count as their text."""
    if type(value) is str:
        return value
    if type(value) in NUMBERS:
        return number_text(value)
    raise Fault(f"`{name}` works on text, not on {kind(value)}")


def need_number(name: str, value: Any) -> int | float:
    """The value as the number that a filter works on."""
    if type(value) is int or type(value) is float or type(value) is bool:
        return value
    raise Fault(f"`{name}` works on a number, not on {kind(value)}", _number_help(value))


def need_int(name: str, what: str, value: Any, low: int, high: int) -> int:
    """An argument that must be a whole number within bounds."""
    if type(value) is not int or not low <= value <= high:
        raise Fault(f"{what} of `{name}` must be a whole number from {low} to {high:,}, not {_shown(value)}")
    return value


def absolute(fuel: Fuel, value: Any) -> Any:
    return abs(need_number("abs", value))


def capitalize(fuel: Fuel, value: Any) -> str:
    return _cut(fuel, need_text("capitalize", value)).capitalize()


def lower(fuel: Fuel, value: Any) -> str:
    return _cut(fuel, need_text("lower", value)).lower()


def upper(fuel: Fuel, value: Any) -> str:
    return _cut(fuel, need_text("upper", value)).upper()


def title(fuel: Fuel, value: Any) -> str:
    text = _cut(fuel, need_text("title", value))
    burn(fuel, len(text) // 2)
    return _WORD.sub(lambda found: found[0][:1].upper() + found[0][1:].lower(), text)


def trim(fuel: Fuel, value: Any, chars: Any) -> str:
    text = _cut(fuel, need_text("trim", value))
    if chars is not None and type(chars) is not str:
        raise Fault(f"`chars` of `trim` must be text, not {kind(chars)}")
    burn(fuel, len(chars or "") // 8 * (len(text) // 64 + 1))
    return text.strip(chars)


def truncate(fuel: Fuel, value: Any, length: Any, killwords: Any, end: Any, leeway: Any) -> str:
    text = _cut(fuel, need_text("truncate", value))
    end = need_text("truncate", end)
    length = need_int("truncate", "`length`", length, len(end), TEXT_BYTES)
    leeway = need_int("truncate", "`leeway`", leeway, 0, TEXT_BYTES)
    if len(text) <= length + leeway:
        return text
    cut = text[: length - len(end)]
    kept = cut if killwords else cut.rsplit(" ", 1)[0]
    return f"{kept}{end}"


def replace(fuel: Fuel, value: Any, old: Any, new: Any, count: Any) -> str:
    text = _cut(fuel, need_text("replace", value))
    old, new = need_text("replace", old), need_text("replace", new)
    times = text.count(old) if count is None else min(text.count(old), need_int("replace", "`count`", count, 0, 10**9))
    allow_text(len(text) + times * (len(new) - len(old)), fuel)
    burn(fuel, times // 4)
    return text.replace(old, new, times)


def split(fuel: Fuel, value: Any, separator: Any, maxsplit: Any) -> list[str]:
    text = _cut(fuel, need_text("split", value))
    if separator is not None and (type(separator) is not str or not separator):
        raise Fault("the separator of `split` must be a text that is not empty")
    limit = need_int("split", "`maxsplit`", maxsplit, -1, 100_000)
    if separator is not None:
        allow_items(text.count(separator) + 1, fuel)
    parts = text.split(separator, limit)
    allow_items(len(parts), fuel)
    burn(fuel, len(parts))
    return parts


def to_string(fuel: Fuel, value: Any) -> str:
    return to_text(value, fuel)


def to_integer(fuel: Fuel, value: Any, default: Any, base: Any) -> Any:
    if type(value) is str:
        number = _parse_integer(value, need_int("int", "`base`", base, 2, 36))
    elif type(value) in NUMBERS and math.isfinite(value):
        number = int(value)
    else:
        number = None
    if number is not None:
        return finite(number)
    return _or_default("int", "a whole number", value, default)


def to_float(fuel: Fuel, value: Any, default: Any) -> Any:
    if type(value) is str and len(value) <= 400 and _DECIMAL.fullmatch(value):
        number = float(value)
    elif type(value) in NUMBERS:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    else:
        number = math.nan
    if math.isfinite(number):
        return number
    return _or_default("float", "a number", value, default)


def round_number(fuel: Fuel, value: Any, precision: Any, method: Any) -> Any:
    number = need_number("round", value)
    digits = need_int("round", "`precision`", precision, -15, 15)
    if method not in ("common", "ceil", "floor"):
        raise Fault(f"`method` of `round` is common, ceil or floor, not {_shown(method)}")
    if not math.isfinite(number):
        raise Fault("`round` needs a finite number")
    if method == "common":
        rounded: int | float = round(number, digits)
    else:
        step = math.ceil if method == "ceil" else math.floor
        rounded = step(finite(number * 10**digits)) / 10**digits
    return int(rounded) if digits <= 0 else rounded


def tojson(fuel: Fuel, value: Any, indent: Any) -> str:
    return to_json(value, fuel, None if indent is None else need_int("tojson", "`indent`", indent, 0, 8))


def fromjson(fuel: Fuel, value: Any) -> Any:
    if type(value) is not str:
        raise Fault(f"`fromjson` works on text, not on {kind(value)}")
    text = _cut(fuel, value)
    burn(fuel, len(text) // 8)
    try:
        text.encode("utf-8")
        data = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise Fault(f"the JSON is nested more than {JSON_DEPTH} deep") from None
    except ValueError as error:
        raise Fault(f"the text is not JSON: {error}") from None
    _check_data(data, fuel)
    return data


def urlencode(fuel: Fuel, value: Any) -> str:
    if type(value) is dict or type(value) is list:
        pairs = list(value.items()) if type(value) is dict else value
        burn(fuel, 4 * len(pairs) + 1)
        text = "&".join(_url_pair(pair) for pair in pairs)
    else:
        text = quote(_cut(fuel, need_text("urlencode", value)), safe="/")
        burn(fuel, len(text) // 16)
    allow_text(len(text), fuel)
    return text


def _url_pair(pair: Any) -> str:
    if type(pair) not in (list, tuple) or len(pair) != 2:
        raise Fault("`urlencode` makes a query of an object, or of a list of [name, value] pairs")
    return "=".join(quote_plus(need_text("urlencode", part)) for part in pair)


def _cut(fuel: Fuel, text: str) -> str:
    """The text, after the cost of reading it was taken and its size allowed."""
    allow_text(len(text), fuel)
    burn(fuel, len(text) // 32)
    return text


def _parse_integer(text: str, base: int) -> int | None:
    if len(text) > INTEGER_BITS:
        return None
    if base == 10:
        if _INTEGER.fullmatch(text):
            return int(text)
        if not _DECIMAL.fullmatch(text):
            return None
        number = float(text)
        return int(number) if math.isfinite(number) else None
    try:
        return int(text, base)
    except ValueError:
        return None


def _or_default(name: str, wanted: str, value: Any, default: Any) -> Any:
    if default is MISSING:
        help = f"`{name}(0)` gives 0 in such a case"
        raise Fault(f"`{name}` found {_shown(value)} where {wanted} should be", help)
    return default


def _shown(value: Any) -> str:
    """A value in a message: short ones in full."""
    if type(value) is str:
        return repr(value) if len(value) <= 40 else f"a text of {len(value):,} characters"
    return number_text(value) if type(value) in NUMBERS else kind(value)


def _number_help(value: Any) -> str | None:
    return "a text that holds a number becomes one with `| int` or `| float`" if type(value) is str else None


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def _check_data(value: Any, fuel: Fuel) -> None:
    """Refuse data that JSON texts can carry and JSON journals cannot: lone surrogates, huge numbers, deep nesting."""
    level = [value]
    for _ in range(JSON_DEPTH + 1):
        if not level:
            return
        burn(fuel, len(level))
        below: list[Any] = []
        for item in level:
            match item:
                case dict():
                    below.extend(item)
                    below.extend(item.values())
                case list():
                    below.extend(item)
                case str():
                    _check_characters(item)
                case int() | float():
                    finite(item)
                case None:
                    pass
                case _:
                    raise refuse_foreign(item)
        level = below
    raise Fault(f"the JSON is nested more than {JSON_DEPTH} deep")


def _check_characters(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Fault("the JSON holds half a character (a lone surrogate)") from None
