"""The comparison operators: what they mean, and closures for the commonest that cost next to nothing."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from orchestrator.expr.limits import Fuel
from orchestrator.expr.operators import CONTAINERS, contains, equal, unordered

# Any is a plain value of the expression language throughout.
Scope: TypeAlias = Mapping[str, Any]
Run: TypeAlias = Callable[[Scope, Fuel], Any]


def compare(op: str, left: Any, right: Any) -> bool:
    """`< <= > >=` of two plain values."""
    try:
        match op:
            case "<":
                return bool(left < right)
            case "<=":
                return bool(left <= right)
            case ">":
                return bool(left > right)
            case _:
                return bool(left >= right)
    except TypeError:
        raise unordered(op, left, right) from None


def compare_by(op: str, left: Any, right: Any, fuel: Fuel) -> bool:
    """Any comparison operator, `in` and `not in` among them."""
    match op:
        case "==":
            return equal(left, right, fuel)
        case "!=":
            return not equal(left, right, fuel)
        case "in":
            return contains(left, right, fuel)
        case "not in":
            return not contains(left, right, fuel)
        case _:
            return compare(op, left, right)


def _fast_eq(first: Run, second: Run, slow: Run) -> Run:
    def run(scope: Scope, fuel: Fuel) -> Any:
        left, right = first(scope, fuel), second(scope, fuel)
        return slow({"left": left, "right": right}, fuel) if type(left) in CONTAINERS else left == right

    return run


def _fast_ne(first: Run, second: Run, slow: Run) -> Run:
    def run(scope: Scope, fuel: Fuel) -> Any:
        left, right = first(scope, fuel), second(scope, fuel)
        return slow({"left": left, "right": right}, fuel) if type(left) in CONTAINERS else left != right

    return run


def _fast_order(order: Callable[[Any, Any], Any]) -> Callable[[Run, Run, Run], Run]:
    def make(first: Run, second: Run, slow: Run) -> Run:
        def run(scope: Scope, fuel: Fuel) -> Any:
            left, right = first(scope, fuel), second(scope, fuel)
            try:
                return order(left, right)
            except TypeError:
                return slow({"left": left, "right": right}, fuel)

        return run

    return make


FAST: Final[dict[str, Callable[[Run, Run, Run], Run]]] = {
    "==": _fast_eq,
    "!=": _fast_ne,
    "<": _fast_order(operator.lt),
    "<=": _fast_order(operator.le),
    ">": _fast_order(operator.gt),
    ">=": _fast_order(operator.ge),
}
