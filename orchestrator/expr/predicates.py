"""The table of tests (`is defined`, `is gt 3`), also used by name in `select`, `reject` and their kin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.expr.comparisons import compare
from orchestrator.expr.errors import Fault
from orchestrator.expr.filters import Param
from orchestrator.expr.limits import Fuel
from orchestrator.expr.operators import MISSING, NUMBERS, contains, equal, kind

# Any is a plain value of the expression language throughout.


@dataclass(frozen=True, slots=True)
class TestSpec:
    """One test; a soft one also gets MISSING as its value."""

    __test__ = False  # pytest would take the class for a test

    name: str
    summary: str
    example: tuple[str, bool]
    run: Callable[..., bool]
    params: tuple[Param, ...] = ()
    is_soft: bool = False


def _defined(fuel: Fuel, value: Any) -> bool:
    return value is not MISSING


def _undefined(fuel: Fuel, value: Any) -> bool:
    return value is MISSING


def _none(fuel: Fuel, value: Any) -> bool:
    return value is None


def _eq(fuel: Fuel, value: Any, other: Any) -> bool:
    return equal(value, other, fuel)


def _ne(fuel: Fuel, value: Any, other: Any) -> bool:
    return not equal(value, other, fuel)


def _gt(fuel: Fuel, value: Any, other: Any) -> bool:
    return compare(">", value, other)


def _ge(fuel: Fuel, value: Any, other: Any) -> bool:
    return compare(">=", value, other)


def _lt(fuel: Fuel, value: Any, other: Any) -> bool:
    return compare("<", value, other)


def _le(fuel: Fuel, value: Any, other: Any) -> bool:
    return compare("<=", value, other)


def _in(fuel: Fuel, value: Any, container: Any) -> bool:
    return contains(value, container, fuel)


def _divisible(fuel: Fuel, value: Any, number: Any) -> bool:
    if type(value) not in NUMBERS or type(number) not in NUMBERS or number == 0:
        raise Fault(f"`divisibleby` needs numbers (and not 0), not {kind(value)} and {kind(number)}")
    return bool(value % number == 0)


def _of_type(*types: type) -> Callable[[Fuel, Any], bool]:
    wanted = frozenset(types)
    return lambda fuel, value: type(value) in wanted


_OTHER = (Param("other"),)
_ALL = (
    TestSpec("boolean", "true or false", ("true is boolean", True), _of_type(bool)),
    TestSpec("defined", "is there at all", ("ev.x is defined", False), _defined, is_soft=True),
    TestSpec("divisibleby", "divides without a remainder", ("6 is divisibleby 3", True), _divisible, (Param("num"),)),
    TestSpec("eq", "the same as", ("1 is eq 1", True), _eq, _OTHER),
    TestSpec("false", "false itself", ("false is false", True), lambda fuel, value: value is False),
    TestSpec("float", "a number with a fraction part", ("1.5 is float", True), _of_type(float)),
    TestSpec("ge", "greater or the same", ("2 is ge 2", True), _ge, _OTHER),
    TestSpec("gt", "greater", ("3 is gt 2", True), _gt, _OTHER),
    TestSpec("in", "part of a list, text or the keys of an object", ("1 is in [1, 2]", True), _in, (Param("seq"),)),
    TestSpec("integer", "a whole number", ("1 is integer", True), _of_type(int)),
    TestSpec("iterable", "a list, object or text", ("[] is iterable", True), _of_type(list, dict, str)),
    TestSpec("le", "less or the same", ("2 is le 2", True), _le, _OTHER),
    TestSpec("lt", "less", ("1 is lt 2", True), _lt, _OTHER),
    TestSpec("mapping", "an object", ("{} is mapping", True), _of_type(dict)),
    TestSpec("ne", "not the same as", ("1 is ne 2", True), _ne, _OTHER),
    TestSpec("none", "null", ("null is none", True), _none),
    TestSpec("number", "a number", ("1 is number", True), _of_type(int, float, bool)),
    TestSpec("sequence", "a list, object or text", ("[] is sequence", True), _of_type(list, dict, str)),
    TestSpec("string", "a text", ("'a' is string", True), _of_type(str)),
    TestSpec("true", "true itself", ("true is true", True), lambda fuel, value: value is True),
    TestSpec("undefined", "is not there", ("ev.x is undefined", True), _undefined, is_soft=True),
)

TEST_ALIASES: Final = {
    "==": "eq",
    "!=": "ne",
    ">": "gt",
    ">=": "ge",
    "<": "lt",
    "<=": "le",
    "equalto": "eq",
    "greaterthan": "gt",
    "lessthan": "lt",
    "null": "none",
}
TESTS: Final[dict[str, TestSpec]] = {spec.name: spec for spec in _ALL}


def find_test(name: str) -> TestSpec | None:
    """The test of that name or alias."""
    return TESTS.get(TEST_ALIASES.get(name, name))


def documented() -> str:
    """The table as Markdown, for the reference."""
    rows = [f"| `{name}` | {TESTS[name].summary} | `{TESTS[name].example[0]}` |" for name in sorted(TESTS)]
    return "\n".join(["| test | holds for a value that is | example |", "|---|---|---|", *rows, ""])
