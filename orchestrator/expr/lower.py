"""Turns a syntax tree into nested Python closures, once; a closure takes the scope and the fuel of one evaluation.

Simple conditions cost about a microsecond, and no third-party code runs at all. A closure that can fail holds its
node, so that every failure names its place. Two ways of reading what may not be there: strict (a fault) and soft
(MISSING, for `default` and `is defined`). Paths in `lenient` (fields that only some of the awaited events have) read
as null when strict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, assert_never

from orchestrator.expr.comparisons import FAST, compare_by
from orchestrator.expr.errors import ExprError, Fault
from orchestrator.expr.limits import Fuel, allow_items
from orchestrator.expr.lower_filters import lower_filter, lower_test
from orchestrator.expr.nodes import (
    Attr,
    Binary,
    Call,
    Compare,
    Concat,
    Cond,
    DictLit,
    Expr,
    Filter,
    Index,
    ListLit,
    Literal,
    Logic,
    Name,
    Not,
    Slice,
    Test,
    Unary,
    static_path,
)
from orchestrator.expr.operators import (
    ARITHMETIC,
    MISSING,
    PLAIN,
    affirm,
    bounded_range,
    concat,
    item_of,
    kind,
    negate,
    refuse_foreign,
    weigh,
    why_missing,
)
from orchestrator.expr.suggest import listed, nearest
from orchestrator.expr.unparse import unparse

# Any is a plain value of the expression language throughout.
Scope: TypeAlias = Mapping[str, Any]
Run: TypeAlias = Callable[[Scope, Fuel], Any]

_STRAY: Final = (TypeError, ValueError, ArithmeticError, LookupError, RecursionError)


class Lowering:
    """Lowers the nodes of one source."""

    __slots__ = ("lenient", "source")

    def __init__(self, source: str, lenient: frozenset[str]) -> None:
        self.source = source
        self.lenient = lenient

    def text(self, node: Expr) -> str:
        return self.source[node.start : node.end] if self.source else unparse(node)

    def failure(self, fault: Fault | Exception, node: Expr) -> ExprError:
        """The error with its place, of a fault or of an exception that no operator foresaw."""
        if isinstance(fault, Fault):
            return ExprError(fault.message, node.start, node.end, fault.help, source=self.source)
        words = "is nested too deep" if isinstance(fault, RecursionError) else f"failed: {fault}"
        return ExprError(f"`{self.text(node)[:80]}` {words}", node.start, node.end, source=self.source)

    def guarded(self, run: Run, node: Expr) -> Run:
        """The closure with its faults given the place of the node."""

        def guard(scope: Scope, fuel: Fuel) -> Any:
            try:
                return run(scope, fuel)
            except Fault as fault:
                raise self.failure(fault, node) from None
            except _STRAY as error:
                raise self.failure(error, node) from error

        return guard

    def strict(self, node: Expr) -> Run:
        """A closure that gives the node's value or fails."""
        match node:
            case Literal(value=value):
                return lambda scope, fuel: value
            case Name():
                return self.name(node)
            case Attr():
                return self.attr(node)
            case Index():
                return self.index(node)
            case Compare():
                return self.compare(node)
            case Logic():
                return self.logic(node)
            case Not(operand=operand):
                inner = self.strict(operand)
                return lambda scope, fuel: not inner(scope, fuel)
            case Cond(test=test, then=then, orelse=orelse):
                return self.cond(self.strict(test), self.strict(then), self.strict(orelse))
            case Binary(op=op, left=left, right=right):
                return self.binary(node, op, self.strict(left), self.strict(right))
            case Unary(op=op, operand=operand):
                return self.unary(node, op, self.strict(operand))
            case Concat(parts=parts):
                return self.concat(node, [self.strict(part) for part in parts])
            case ListLit(items=items):
                return self.sequence(node, [self.strict(item) for item in items])
            case DictLit(entries=entries):
                return self.object(node, [(self.strict(k), self.strict(v)) for k, v in entries])
            case Slice():
                return self.slice(node)
            case Filter():
                return self.present(lower_filter(self, node), node)
            case Test():
                return lower_test(self, node)
            case Call(args=args):
                runs = [self.strict(arg) for arg in args]
                return self.guarded(lambda scope, fuel: bounded_range(fuel, *[r(scope, fuel) for r in runs]), node)
            case _:
                assert_never(node)

    def soft(self, node: Expr) -> Run:
        """A closure that gives MISSING where the node's value is not there."""
        match node:
            case Name(id=name):
                strict = self.name(node)
                return lambda scope, fuel: strict(scope, fuel) if name in scope else MISSING
            case Attr(base=base, name=name):
                return self.guarded(_soft_item(self.soft(base), lambda scope, fuel: name), node)
            case Index(base=base, key=key):
                return self.guarded(_soft_item(self.soft(base), self.strict(key)), node)
            case Filter():
                return lower_filter(self, node)
            case _:
                return self.strict(node)

    def name(self, node: Name) -> Run:
        name = node.id

        def read(scope: Scope, fuel: Fuel) -> Any:
            try:
                value = scope[name]
            except KeyError:
                raise self.no_root(node, scope) from None
            if type(value) in PLAIN:
                return value
            raise self.failure(refuse_foreign(value), node)

        return read

    def no_root(self, node: Name, scope: Scope) -> ExprError:
        guess = nearest(node.id, scope)
        help = f"did you mean `{guess}`?" if guess else None
        message = f"`{node.id}` is not there; here are: {listed(scope)}"
        return ExprError(message, node.start, node.end, help, source=self.source)

    def attr(self, node: Attr) -> Run:
        name = node.name
        absent = self.absent(node, name)
        if isinstance(node.base, Name):  # the commonest of all: one closure for `state.round`
            return self.root_field(node, node.base.id, absent)
        base = self.strict(node.base)

        def read(scope: Scope, fuel: Fuel) -> Any:
            owner = base(scope, fuel)
            if type(owner) is dict and name in owner:
                value = owner[name]
                if type(value) in PLAIN:
                    return value
                raise self.failure(refuse_foreign(value), node)
            return absent(owner)

        return read

    def root_field(self, node: Attr, root: str, absent: Callable[[Any], Any]) -> Run:
        name = node.name
        root_of = self.strict(node.base)

        def read(scope: Scope, fuel: Fuel) -> Any:
            try:
                owner = scope[root]
                if type(owner) is dict:
                    value = owner[name]
                    if type(value) in PLAIN:
                        return value
                    raise self.failure(refuse_foreign(value), node)
            except KeyError:
                pass
            return absent(root_of(scope, fuel))

        return read

    def absent(self, node: Attr | Index, key: str) -> Callable[[Any], Any]:
        """What a field that is not there reads as: null if it is lenient, else a failure."""
        path = static_path(node)
        is_lenient = path is not None and path in self.lenient

        def give(owner: Any) -> Any:
            if is_lenient and type(owner) is dict:
                return None
            fault = why_missing(owner, key, self.text(node.base), self.text(node))
            if type(owner) is dict and fault.help is None:
                guess = nearest(key, owner)
                fault.help = f"did you mean `{guess}`?" if guess else None
            start = node.end - len(node.name) if isinstance(node, Attr) else node.start
            raise ExprError(fault.message, start, node.end, fault.help, source=self.source)

        return give

    def index(self, node: Index) -> Run:
        base, key = self.strict(node.base), self.strict(node.key)

        def read(scope: Scope, fuel: Fuel) -> Any:
            owner, at = base(scope, fuel), key(scope, fuel)
            value = item_of(owner, at)
            if value is not MISSING:
                return value
            if type(owner) is dict and type(at) is str:
                return self.absent(node, at)(owner)
            if type(owner) is dict or (type(owner) is list and type(at) is not int):
                raise Fault(f"{kind(owner)} has no item {kind(at)}")
            raise why_missing(owner, at, self.text(node.base), self.text(node))

        return self.guarded(read, node)

    def slice(self, node: Slice) -> Run:
        base = self.strict(node.base)
        bounds = [self.strict(part) if part else None for part in (node.lower, node.upper, node.step)]

        def cut(scope: Scope, fuel: Fuel) -> Any:
            value = base(scope, fuel)
            if type(value) not in (list, str):
                raise Fault(f"only a list or a text can be cut with `[:]`, not {kind(value)}")
            numbers = [bound(scope, fuel) if bound else None for bound in bounds]
            if any(type(number) not in (int, type(None)) for number in numbers):
                raise Fault("the bounds of `[:]` must be whole numbers")
            if numbers[2] == 0:
                raise Fault("the step of `[:]` cannot be 0")
            allow_items(len(value) // (64 if type(value) is str else 1), fuel)
            return value[slice(*numbers)]

        return self.guarded(cut, node)

    def logic(self, node: Logic) -> Run:
        runs = [self.strict(item) for item in node.items]
        if len(runs) == 2:
            first, second = runs
            if node.op == "and":
                return lambda scope, fuel: first(scope, fuel) and second(scope, fuel)
            return lambda scope, fuel: first(scope, fuel) or second(scope, fuel)
        is_or = node.op == "or"

        def decide(scope: Scope, fuel: Fuel) -> Any:
            value: Any = None
            for run in runs:
                value = run(scope, fuel)
                if bool(value) is is_or:
                    break
            return value

        return decide

    def cond(self, test: Run, then: Run, orelse: Run) -> Run:
        return lambda scope, fuel: then(scope, fuel) if test(scope, fuel) else orelse(scope, fuel)

    def compare(self, node: Compare) -> Run:
        first = self.strict(node.first)
        if len(node.rest) == 1:
            op, operand = node.rest[0]
            return self.compare_two(node, op, first, self.strict(operand))
        rest = [(op, self.strict(operand)) for op, operand in node.rest]

        def chain(scope: Scope, fuel: Fuel) -> bool:
            left = first(scope, fuel)
            for op, run in rest:
                right = run(scope, fuel)
                if not compare_by(op, left, right, fuel):
                    return False
                left = right
            return True

        return self.guarded(chain, node)

    def compare_two(self, node: Compare, op: str, first: Run, second: Run) -> Run:
        make = FAST.get(op)
        if make is None:
            return self.guarded(lambda scope, fuel: compare_by(op, first(scope, fuel), second(scope, fuel), fuel), node)
        slow = self.guarded(lambda scope, fuel: compare_by(op, scope["left"], scope["right"], fuel), node)
        return make(first, second, slow)

    def binary(self, node: Binary, op: str, left: Run, right: Run) -> Run:
        apply = ARITHMETIC[op]
        return self.guarded(lambda scope, fuel: apply(left(scope, fuel), right(scope, fuel), fuel), node)

    def unary(self, node: Unary, op: str, operand: Run) -> Run:
        apply = negate if op == "-" else affirm
        return self.guarded(lambda scope, fuel: apply(operand(scope, fuel)), node)

    def concat(self, node: Concat, parts: list[Run]) -> Run:
        return self.guarded(lambda scope, fuel: concat([part(scope, fuel) for part in parts], fuel), node)

    def sequence(self, node: ListLit, items: list[Run]) -> Run:
        def build(scope: Scope, fuel: Fuel) -> Any:
            made = [item(scope, fuel) for item in items]
            weigh(made, fuel)
            return made

        return self.guarded(build, node)

    def object(self, node: DictLit, entries: list[tuple[Run, Run]]) -> Run:
        def build(scope: Scope, fuel: Fuel) -> Any:
            made = {key(scope, fuel): value(scope, fuel) for key, value in entries}
            if any(type(key) is not str for key in made):
                raise Fault("the keys of an object are text")
            weigh(made, fuel)
            return made

        return self.guarded(build, node)

    def present(self, run: Run, node: Expr) -> Run:
        """The closure of a soft filter, made strict."""
        if not isinstance(node, Filter) or node.name not in ("first", "last", "min", "max"):
            return run

        def read(scope: Scope, fuel: Fuel) -> Any:
            value = run(scope, fuel)
            if value is MISSING:
                fault = Fault(f"`{self.text(node.base)}` is empty, so it has no {node.name}", "add `| default(…)`")
                raise self.failure(fault, node)
            return value

        return read


def _soft_item(base: Run, key: Run) -> Run:
    def read(scope: Scope, fuel: Fuel) -> Any:
        owner = base(scope, fuel)
        return MISSING if owner is MISSING else item_of(owner, key(scope, fuel))

    return read
