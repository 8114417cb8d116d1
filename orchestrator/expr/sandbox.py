"""The one place that makes a Jinja2 environment; a test forbids it everywhere else.

Expressions of flows never run in it: they run in our own closures, which know the column of every failure. It is for
templates that belong to the product (pages), and it is the second opinion with which tests compare the closures.
It renders plain data only, knows the filters and tests of `filters` and `predicates`, bounded as they are, and calls
nothing but macros, blocks, `range` and the cycle of a loop.
"""

from __future__ import annotations

from collections.abc import Callable
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Final

from orchestrator.expr.errors import Fault
from orchestrator.expr.filters import ALIASES, FILTERS, FilterSpec, Form
from orchestrator.expr.limits import FUEL, allow_text
from orchestrator.expr.operators import ARITHMETIC, MISSING, PLAIN, bounded_range, concat, field_of, item_of
from orchestrator.expr.predicates import TEST_ALIASES, TESTS, TestSpec

if TYPE_CHECKING:  # jinja2 is imported when an environment is first made
    from jinja2 import BaseLoader
    from jinja2.sandbox import ImmutableSandboxedEnvironment

_JINJAS_OWN: Final = ("map", "select", "reject", "selectattr", "rejectattr", "escape", "e")
_LOOP: Final = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "cycle"})
_CALLABLE: Final = frozenset({"Macro", "BlockReference", "LoopContext"})


def hardened_environment(
    *, loader: BaseLoader | None = None, autoescape: bool = False
) -> ImmutableSandboxedEnvironment:
    """A new environment that can neither reach an object nor make a large value. Any as in the rest of the package."""
    from jinja2 import StrictUndefined
    from jinja2.compiler import CodeGenerator, Frame
    from jinja2.environment import TemplateModule
    from jinja2.exceptions import SecurityError
    from jinja2.nodes import Concat
    from jinja2.runtime import LoopContext, TemplateReference, markup_join
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from markupsafe import Markup

    class BoundedGenerator(CodeGenerator):
        """Writes `a ~ b` as a call of ours: Jinja2's own joins texts of any size."""

        def visit_Concat(self, node: Concat, frame: Frame) -> None:
            self.write("environment.join_text([")
            for part in node.nodes:
                self.visit(part, frame)
                self.write(", ")
            self.write("])")

    class HardenedEnvironment(ImmutableSandboxedEnvironment):
        """Attribute lookup, calls and operators by the rules of our own evaluator."""

        code_generator_class = BoundedGenerator
        intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

        def getattr(self, obj: Any, attribute: str) -> Any:
            if type(obj) is dict or type(obj) in PLAIN:
                return self._found(field_of(obj, attribute), obj, attribute)
            if isinstance(obj, LoopContext) and attribute in _LOOP:
                return getattr(obj, attribute)
            if isinstance(obj, TemplateReference) and not attribute.startswith("_"):
                return obj[attribute]
            if isinstance(obj, TemplateModule) and not attribute.startswith("_"):
                return vars(obj).get(attribute, self.undefined(obj=obj, name=attribute))
            raise SecurityError(f"a template cannot look into a {type(obj).__name__}")

        def getitem(self, obj: Any, argument: Any) -> Any:
            if type(argument) is slice and type(obj) in (list, str):
                return obj[argument]
            if type(obj) is dict or type(obj) in PLAIN:
                return self._found(item_of(obj, argument), obj, argument)
            return self.getattr(obj, str(argument))

        def _found(self, value: Any, obj: Any, name: Any) -> Any:
            return self.undefined(obj=obj, name=name) if value is MISSING else value

        def join_text(self, parts: list[Any]) -> Any:
            if not any(isinstance(part, Markup) for part in parts):
                return concat(parts, [FUEL])
            allow_text(sum(len(str(part)) for part in parts), [FUEL])
            return markup_join(parts)

        def is_safe_callable(self, obj: Any) -> bool:
            return (
                obj is _range or type(obj).__name__ in _CALLABLE or getattr(obj, "__func__", None) is LoopContext.cycle
            )

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            return ARITHMETIC[operator](left, right, [FUEL])

    environment = HardenedEnvironment(loader=loader, autoescape=autoescape, undefined=StrictUndefined)
    environment.globals = {"range": _range}
    environment.filters = {name: environment.filters[name] for name in _JINJAS_OWN}
    for spec in FILTERS.values():
        if spec.form in (Form.PLAIN, Form.SOFT):
            environment.filters[spec.name] = _filter(spec, environment)
    environment.filters["default"] = _default
    environment.filters.update({alias: environment.filters[name] for alias, name in ALIASES.items()})
    asked = {name: environment.tests[name] for name in ("defined", "undefined")}
    environment.tests = {name: _test(spec) for name, spec in TESTS.items()} | asked
    environment.tests.update({alias: environment.tests[name] for alias, name in TEST_ALIASES.items()})
    return environment


def _filter(spec: FilterSpec, environment: ImmutableSandboxedEnvironment) -> Callable[..., Any]:
    def run(value: Any, *args: Any, **named: Any) -> Any:
        names = [param.name for param in spec.params]
        given = dict(zip(names, args, strict=False)) | named
        if len(args) > len(names) or not given.keys() <= set(names):
            raise Fault(f"wrong arguments for the filter `{spec.name}`")
        if isinstance(value, GeneratorType):  # Jinja2's own `map` and `select` are lazy
            value = list(value)
        result = spec.run([FUEL], value, *[given.get(param.name, param.default) for param in spec.params])
        return environment.undefined(name=spec.name) if result is MISSING else result

    return run


def _test(spec: TestSpec) -> Callable[..., bool]:
    return lambda value, *args: spec.run([FUEL], value, *args)


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    from jinja2 import Undefined

    is_absent = value is None or isinstance(value, Undefined)
    return default_value if is_absent or (boolean and not value) else value


def _range(*args: Any) -> list[int]:
    return bounded_range([FUEL], *args)
