"""Turns filters and tests into closures: arguments put in order, those that work per item given their function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from orchestrator.expr.arguments import Bound, constant_of, rest_of
from orchestrator.expr.errors import Fault
from orchestrator.expr.filter_lists import attribute_getter
from orchestrator.expr.filters import FILTERS, REQUIRED, Form, Param, find_filter
from orchestrator.expr.limits import Fuel
from orchestrator.expr.nodes import Expr, Filter, Literal, Test
from orchestrator.expr.operators import MISSING, weigh
from orchestrator.expr.predicates import TESTS, TestSpec, find_test

if TYPE_CHECKING:  # the two halves of the lowering call each other
    from orchestrator.expr.lower import Lowering

# Any is a plain value of the expression language throughout.
Run: TypeAlias = Callable[[Mapping[str, Any], Fuel], Any]
Arguments: TypeAlias = Callable[[Mapping[str, Any], Fuel], list[Any]]
PerItem: TypeAlias = Callable[[Any], Any]
MakePerItem: TypeAlias = Callable[[Mapping[str, Any], Fuel], PerItem]


def lower_filter(lowering: Lowering, node: Filter) -> Run:
    """A closure for a filter; a soft one gives MISSING for what is not there."""
    spec = FILTERS[node.name]
    if spec.form is Form.DEFAULT:
        return _lower_default(lowering, node)
    base, apply = lowering.strict(node.base), spec.run
    if spec.form in (Form.PLAIN, Form.SOFT):
        if not spec.params:
            return lowering.guarded(lambda scope, fuel: apply(fuel, base(scope, fuel)), node)
        arguments = _arguments(lowering, spec.params, node.args)
        return lowering.guarded(lambda scope, fuel: apply(fuel, base(scope, fuel), *arguments(scope, fuel)), node)
    make = _map_item(lowering, node.args) if spec.form is Form.MAP else _select_item(lowering, node.args)
    return lowering.guarded(lambda scope, fuel: apply(fuel, base(scope, fuel), make(scope, fuel)), node)


def lower_test(lowering: Lowering, node: Test) -> Run:
    """A closure for `is` and `is not`."""
    spec = TESTS[node.name]
    base = lowering.soft(node.base) if spec.is_soft else lowering.strict(node.base)
    holds, is_negated = spec.run, node.is_negated
    if not spec.params:
        return lowering.guarded(lambda scope, fuel: holds(fuel, base(scope, fuel)) is not is_negated, node)
    arguments = _arguments(lowering, spec.params, node.args)

    def check(scope: Mapping[str, Any], fuel: Fuel) -> bool:
        return holds(fuel, base(scope, fuel), *arguments(scope, fuel)) is not is_negated

    return lowering.guarded(check, node)


def _lower_default(lowering: Lowering, node: Filter) -> Run:
    base = lowering.soft(node.base)
    arguments = _arguments(lowering, FILTERS["default"].params, node.args)

    def pick(scope: Mapping[str, Any], fuel: Fuel) -> Any:
        value = base(scope, fuel)
        if value is not MISSING and value is not None:
            if value or len(node.args) < 2:
                return value
            default, is_boolean = arguments(scope, fuel)
            return default if is_boolean else value
        return arguments(scope, fuel)[0]

    return pick


def _arguments(lowering: Lowering, params: tuple[Param, ...], bound: Bound) -> Arguments:
    """The arguments in the order of the parameters, defaults filled in."""
    given = dict(bound)
    ordered = [given.get(param.name, Literal(None, 0, 0)) for param in params]
    fixed = [
        param.default if param.name not in given else arg.value if isinstance(arg, Literal) else REQUIRED
        for param, arg in zip(params, ordered, strict=True)
    ]
    if all(value is not REQUIRED for value in fixed):
        return lambda scope, fuel: fixed
    runs = [
        (lambda scope, fuel, value=value: value) if value is not REQUIRED else lowering.strict(arg)
        for value, arg in zip(fixed, ordered, strict=True)
    ]
    return lambda scope, fuel: [run(scope, fuel) for run in runs]


def _map_item(lowering: Lowering, bound: Bound) -> MakePerItem:
    name, attribute = constant_of(bound, "filter"), constant_of(bound, "attribute")
    if name is None:
        default = next((arg for key, arg in bound if key == "default"), None)
        if default is None:
            get = attribute_getter(attribute)
            return lambda scope, fuel: get
        run = lowering.strict(default)
        return lambda scope, fuel: _with_default(attribute, run(scope, fuel), fuel)
    spec = find_filter(str(name))
    if spec is None:
        raise AssertionError(f"the parser let the filter {name!r} pass")
    apply = spec.run
    arguments = _arguments(lowering, spec.params, _positional(spec.params, rest_of(bound)))

    def make(scope: Mapping[str, Any], fuel: Fuel) -> PerItem:
        values = arguments(scope, fuel)

        def per_item(item: Any) -> Any:
            result = apply(fuel, item, *values)
            if result is MISSING:
                raise Fault(f"an item is empty, so it has no {name}")
            return result

        return per_item

    return make


def _with_default(attribute: str | int | None, default: Any, fuel: Fuel) -> PerItem:
    """Reads a field or gives the default, whose size counts each time: a list may not grow by repeating it."""
    get = attribute_getter(attribute, MISSING)

    def per_item(item: Any) -> Any:
        value = get(item)
        if value is not MISSING:
            return value
        weigh(default, fuel)
        return default

    return per_item


def _select_item(lowering: Lowering, bound: Bound) -> MakePerItem:
    name, attribute = constant_of(bound, "test"), constant_of(bound, "attribute")
    spec = None if name is None else find_test(str(name))
    runs = [lowering.strict(arg) for arg in rest_of(bound)]
    get = _getter(attribute, spec)

    def make(scope: Mapping[str, Any], fuel: Fuel) -> PerItem:
        if spec is None:
            return get
        values = [run(scope, fuel) for run in runs]
        return lambda item: spec.run(fuel, get(item), *values)

    return make


def _getter(attribute: str | int | None, spec: TestSpec | None) -> PerItem:
    if attribute is None:
        return lambda item: item
    if spec is not None and spec.is_soft:
        return attribute_getter(attribute, MISSING)
    return attribute_getter(attribute)


def _positional(params: tuple[Param, ...], args: list[Expr]) -> Bound:
    return tuple((param.name, arg) for param, arg in zip(params, args, strict=False))
