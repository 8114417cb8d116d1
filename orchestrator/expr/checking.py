"""Infers the type of an expression from the types of its roots, and finds what would fail or is surely a mistake.

One mistake gives one finding: what it leaves unknown is `any`. Facts about null that a condition proves hold where
the condition does (`narrowing`). Evaluates nothing. Whether the result fits the place is asked by `check_condition`
and `check_iterable`, or by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from orchestrator.expr.arguments import constant_of, rest_of
from orchestrator.expr.filter_types import accepts, item_type, result_of
from orchestrator.expr.filters import FILTERS, Form, find_filter
from orchestrator.expr.findings import ExprFinding, error, warning
from orchestrator.expr.narrowing import NONE, Facts, facts_if_false, facts_if_true
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
    word_span,
)
from orchestrator.expr.predicates import find_test
from orchestrator.expr.roots import FOREIGN, ROOTS
from orchestrator.expr.suggest import listed, nearest
from orchestrator.expr.taint import SECRETS_ROOT, misused_secrets
from orchestrator.expr.type_rules import (
    ITEM,
    arithmetic_type,
    check_comparison,
    explain,
    read_field,
    read_item,
    signed_type,
)
from orchestrator.expr.types import (
    ANY,
    BOOL,
    INT,
    NULL,
    STR,
    EnumT,
    ListT,
    ObjectT,
    TypeT,
    members,
    simple_of,
    union,
    widened,
    without_null,
)
from orchestrator.expr.unparse import unparse


def infer(expr: Expr, types: Mapping[str, TypeT]) -> tuple[TypeT, list[ExprFinding]]:
    """The type of an expression where exactly the roots of `types` exist, and what is wrong with it.

    Cost: O(size of the expression). Raises: never.
    """
    checker = _Checker(types)
    result = checker.check(expr, NONE)
    if checker.has_secrets:
        checker.findings.extend(misused_secrets(expr))
    return result, sorted(checker.findings, key=lambda found: (found.start, found.end))


class _Checker:
    """Walks one expression; findings are collected on the way."""

    __slots__ = ("findings", "has_secrets", "types")

    def __init__(self, types: Mapping[str, TypeT]) -> None:
        self.types = types
        self.findings: list[ExprFinding] = []
        self.has_secrets = False

    def check(self, node: Expr, facts: Facts) -> TypeT:
        found = self.read(node, facts)
        return without_null(found) if facts and static_path(node) in facts else found

    def read(self, node: Expr, facts: Facts) -> TypeT:
        match node:
            case Literal(value=value):
                return EnumT((value,)) if isinstance(value, str) else simple_of(value)
            case ListLit(items=items):
                return ListT(union(*(widened_if_many(self.check(item, facts), items) for item in items)))
            case DictLit(entries=entries):
                return self.object(entries, facts)
            case Name():
                return self.root(node)
            case Attr(base=base, name=name, end=end):
                owner = self.check(base, facts)
                return self.take(read_field(owner, name, unparse(base), end - len(name), end))
            case Index(base=base, key=key):
                return self.index(node, base, key, facts)
            case Slice():
                return self.slice(node, facts)
            case Unary(op=op, operand=operand):
                return self.take(signed_type(op, self.check(operand, facts), node.start, node.end))
            case Binary(op=op, left=left, right=right):
                sides = self.check(left, facts), self.check(right, facts)
                return self.take(arithmetic_type(op, *sides, node.start, node.end))
            case Not(operand=operand):
                self.check(operand, facts)
                return BOOL
            case Concat(parts=parts):
                for part in parts:
                    self.check(part, facts)
                return STR
            case Logic():
                return self.logic(node, facts)
            case Compare():
                return self.compare(node, facts)
            case Cond(test=test, then=then, orelse=orelse):
                self.check(test, facts)
                yes = self.check(then, facts | facts_if_true(test))
                return union(yes, self.check(orelse, facts | facts_if_false(test)))
            case Filter():
                return self.filter(node, facts)
            case Test():
                return self.test(node, facts)
            case Call(args=args):
                for arg in args:
                    self.check(arg, facts)
                return ListT(INT)
            case _:
                assert_never(node)

    def take(self, answer: tuple[TypeT, ExprFinding | None]) -> TypeT:
        result, finding = answer
        if finding is not None:
            self.findings.append(finding)
        return result

    def root(self, node: Name) -> TypeT:
        self.has_secrets = self.has_secrets or node.id == SECRETS_ROOT
        found = self.types.get(node.id)
        if found is not None:
            return found
        if node.id in ROOTS:
            message = f"`{node.id}` does not exist here"
            help = f"it exists {ROOTS[node.id]}; here are: {listed(sorted(self.types))}"
            self.findings.append(error("FLW322", message, node.start, node.end, help))
            return ANY
        guess = None if node.id in FOREIGN else nearest(node.id, self.types)
        guess_help = f"did you mean `{guess}`?" if guess else f"a text stands in quotes: '{node.id}'"
        message = f"there is no `{node.id}`; here are: {listed(sorted(self.types))}"
        help = FOREIGN.get(node.id, guess_help)
        self.findings.append(error("FLW320", message, node.start, node.end, help, replacement=guess))
        return ANY

    def object(self, entries: tuple[tuple[Expr, Expr], ...], facts: Facts) -> TypeT:
        fields: dict[str, TypeT] = {}
        is_open = False
        for key, value in entries:
            kind = self.check(value, facts)
            if isinstance(key, Literal) and isinstance(key.value, str):
                fields[key.value] = kind
            else:
                self.check(key, facts)
                is_open = True
        return ObjectT(fields, is_open)

    def index(self, node: Index, base: Expr, key: Expr, facts: Facts) -> TypeT:
        owner, at = self.check(base, facts), self.check(key, facts)
        if isinstance(key, Literal) and isinstance(key.value, str):
            return self.take(read_field(owner, key.value, unparse(base), *word_span(key)))
        return self.take(read_item(owner, at, unparse(base), key.start, key.end))

    def slice(self, node: Slice, facts: Facts) -> TypeT:
        owner = self.check(node.base, facts)
        for bound in (node.lower, node.upper, node.step):
            if bound is not None:
                self.check(bound, facts)
        if accepts("list or text", owner) and ObjectT not in map(type, members(owner)):
            return widened(owner)
        message = f"only a list or a text can be cut with `[:]`, and `{unparse(node.base)}` is {explain(owner)}"
        self.findings.append(error("FLW323", message, node.start, node.end))
        return ANY

    def logic(self, node: Logic, facts: Facts) -> TypeT:
        kinds: list[TypeT] = []
        for item in node.items:
            kinds.append(self.check(item, facts))
            facts = facts | (facts_if_true(item) if node.op == "and" else facts_if_false(item))
        if node.op == "or":
            kinds = [without_null(kind) for kind in kinds[:-1] if kind != NULL] + kinds[-1:]
        else:  # an object with fields is never the empty one that would end an `and`
            kinds = [*(k for kind in kinds[:-1] for k in members(kind) if not isinstance(k, ObjectT)), kinds[-1]]
        return union(*kinds)

    def compare(self, node: Compare, facts: Facts) -> TypeT:
        left_node, left = node.first, self.check(node.first, facts)
        for op, operand in node.rest:
            right = self.check(operand, facts)
            for finding in check_comparison(op, left_node, left, operand, right):
                self.findings.append(finding)
            left_node, left = operand, right
        return BOOL

    def filter(self, node: Filter, facts: Facts) -> TypeT:
        spec = FILTERS[node.name]
        base = self.check(node.base, facts)
        args = {name: self.check(arg, facts) for name, arg in node.args}
        name_end = node.name_start + len(node.name)
        if not self.accepts(spec.takes, base, node, name_end):
            return result_of(node.name, ANY, args)
        self.attributes(node, base, facts)
        if spec.form is Form.MAP:
            return ListT(self.mapped(node, base, args))
        return result_of(node.name, base, args)

    def accepts(self, takes: str, base: TypeT, node: Filter, name_end: int) -> bool:
        if takes == "any" or base == ANY:
            return True
        if all(accepts(takes, member) for member in members(base)):
            return True
        what = f"`{node.name}` works on {_article(takes)}, and `{unparse(node.base)}` "
        if base != NULL and all(accepts(takes, member) for member in members(without_null(base))):
            help = "say what holds then: `| default(…)` before it"
            self.findings.append(warning("FLW329", f"{what}may be null", node.name_start, name_end, help))
            return True
        self.findings.append(error("FLW323", f"{what}is {explain(base)}", node.name_start, name_end))
        return False

    def attributes(self, node: Filter, base: TypeT, facts: Facts) -> None:
        """Check the field that `map(attribute='a.b')` and its kin name."""
        path = constant_of(node.args, "attribute")
        if not isinstance(path, str) or not path:
            return
        place = next(arg for name, arg in node.args if name == "attribute")
        has_default = any(name == "default" for name, _ in node.args)
        is_asked = constant_of(node.args, "test") in ("defined", "undefined")
        for column in path.split(","):
            found, finding = _field_at(item_type(base), column, place)
            if finding is not None and not (finding.code == "FLW329" and (has_default or is_asked)):
                self.findings.append(finding)
            elif spec_of_test := find_test(str(constant_of(node.args, "test"))):
                self.compare_each(spec_of_test.name, place, found, rest_of(node.args), facts)

    def compare_each(self, test: str, place: Expr, kind: TypeT, args: list[Expr], facts: Facts) -> None:
        """`selectattr('verdict', 'eq', 'approve')` compares like `x == 'approve'`."""
        op = _OPERATORS.get(test)
        if op is not None and args:
            self.findings.extend(check_comparison(op, place, kind, args[0], self.check(args[0], facts)))

    def mapped(self, node: Filter, base: TypeT, args: Mapping[str, TypeT]) -> TypeT:
        path = constant_of(node.args, "attribute")
        if path is not None:
            place = next(arg for name, arg in node.args if name == "attribute")
            found, _ = _field_at(item_type(base), str(path), place)
            return union(without_null(found), args["default"]) if "default" in args else found
        spec = find_filter(str(constant_of(node.args, "filter")))
        if spec is None:
            return ANY
        given = zip(spec.params, rest_of(node.args), strict=False)
        return result_of(spec.name, item_type(base), {param.name: ANY for param, _ in given})

    def test(self, node: Test, facts: Facts) -> TypeT:
        base = self.check(node.base, facts)
        spec = find_test(node.name)
        for _, arg in node.args:
            other = self.check(arg, facts)
            op = _OPERATORS.get(node.name)
            if op is not None and spec is not None:
                self.findings.extend(check_comparison(op, node.base, base, arg, other))
        return BOOL


_OPERATORS = {"eq": "==", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<=", "in": "in"}


def widened_if_many(t: TypeT, items: tuple[Expr, ...]) -> TypeT:
    """The literal values of a list are kept, so that `x in ['a', 'b']` can be checked."""
    return t if len(items) <= 64 else widened(t)


def _field_at(item: TypeT, path: str, place: Expr) -> tuple[TypeT, ExprFinding | None]:
    """The type of a dotted path in an item."""
    shown = ITEM
    start, end = word_span(place)
    found, finding = item, None
    for part in path.split("."):
        if part.isdecimal():
            found, finding = read_item(found, INT, shown, start, end)
        else:
            found, finding = read_field(found, part, shown, start, end)
        if finding is not None and finding.code != "FLW329":
            return ANY, finding
        shown = f"{shown}.{part}"
    return found, finding


def _article(takes: str) -> str:
    return {"text": "text", "datetime": "a moment", "duration": "a duration"}.get(takes, f"a {takes}").replace(
        "a object", "an object"
    )
