"""Whether an expression fits the place it stands in: a condition, or a list to go through."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.expr.checking import infer
from orchestrator.expr.compiled import compile_expr
from orchestrator.expr.errors import ExprError
from orchestrator.expr.findings import ExprFinding, error, warning
from orchestrator.expr.nodes import Expr, is_constant
from orchestrator.expr.type_rules import explain
from orchestrator.expr.types import ANY, BOOL, NULL, EnumT, ListT, ObjectT, TypeT, is_nullable, members, without_null
from orchestrator.expr.unparse import unparse


def check_condition(expr: Expr, types: Mapping[str, TypeT]) -> list[ExprFinding]:
    """What is wrong with an expression as `when`, `until` or `retry.if`: it should be true or false, and vary.

    A value that may be null and a list may stand for "is there any"; a text or a number that is always there may not.
    """
    kind, findings = infer(expr, types)
    if any(found.severity.value == "error" for found in findings):
        return findings
    if is_constant(expr):
        return [*findings, _constant(expr)]
    odd = [m for m in members(kind) if m not in (ANY, BOOL, NULL) and not isinstance(m, ListT)]
    if odd and not is_nullable(kind) and BOOL not in members(kind):
        message = f"a condition is true or false, and this is {explain(kind)}"
        findings.append(error("FLW325", message, expr.start, expr.end, _compare_help(expr, odd[0])))
    return findings


def check_iterable(expr: Expr, types: Mapping[str, TypeT]) -> tuple[TypeT, list[ExprFinding]]:
    """The type of the items of a `for_each`, and what is wrong with it."""
    kind, findings = infer(expr, types)
    if any(found.severity.value == "error" for found in findings):
        return ANY, findings
    lists = [m.item for m in members(kind) if isinstance(m, ListT)]
    rest = [m for m in members(without_null(kind)) if not isinstance(m, ListT) and m != ANY]
    if rest or kind == NULL:
        help = "an object becomes a list with `| items` or `| values`" if isinstance(kind, ObjectT) else None
        message = f"`for_each` goes through a list, and this is {explain(kind)}"
        findings.append(error("FLW328", message, expr.start, expr.end, help))
        return ANY, findings
    if is_nullable(kind):
        findings.append(warning("FLW329", "the list may be null", expr.start, expr.end, "write `… or []`"))
    return (lists[0] if len(lists) == 1 and kind != ANY else ANY), findings


def _constant(expr: Expr) -> ExprFinding:
    try:
        value = bool(compile_expr(expr).evaluate({}))
    except ExprError as failure:
        return error("FLW327", f"the condition always fails: {failure.message}", expr.start, expr.end)
    word = "true" if value else "false"
    help = "a name stands without quotes: `ev.ok`, not `'ev.ok'`" if "'" in unparse(expr) else None
    return warning("FLW327", f"the condition is always {word}", expr.start, expr.end, help)


def _compare_help(expr: Expr, kind: TypeT) -> str:
    shown = unparse(expr)
    if len(shown) > 60:
        return "compare it with something"
    if isinstance(kind, EnumT):
        return f"compare it: `{shown} == '{kind.values[0]}'`"
    if isinstance(kind, ObjectT):
        return f"pick a field of it: `{shown}.…`"
    return f"compare it: `{shown} != ''`" if "str" in explain(kind) else f"compare it: `{shown} > 0`"
