"""What a condition proves about null: `ev.user and …`, `ev.user is not none`, `ev.user.name if ev.user else ''`.

A fact is a path (as of `static_path`) that is known not to be null.
"""

from __future__ import annotations

from typing import TypeAlias

from orchestrator.expr.nodes import Compare, Expr, Literal, Logic, Not, Test, static_path

Facts: TypeAlias = frozenset[str]
NONE: Facts = frozenset()


def facts_if_true(node: Expr) -> Facts:
    """What is not null where the condition holds."""
    match node:
        case Logic(op="and", items=items):
            return frozenset().union(*map(facts_if_true, items))
        case Logic(items=items):
            return frozenset.intersection(*map(facts_if_true, items))
        case Not(operand=operand):
            return facts_if_false(operand)
        case Test(base=base, name="none" | "undefined", is_negated=True):
            return _path(base)
        case Test(base=base, name="string" | "number" | "integer" | "mapping" | "sequence", is_negated=False):
            return _path(base)
        case Compare(first=first, rest=((op, other),)):
            return _compared(first, op, other)
        case _:
            return _path(node)


def facts_if_false(node: Expr) -> Facts:
    """What is not null where the condition does not hold."""
    match node:
        case Logic(op="or", items=items):
            return frozenset().union(*map(facts_if_false, items))
        case Logic(items=items):
            return frozenset.intersection(*map(facts_if_false, items))
        case Not(operand=operand):
            return facts_if_true(operand)
        case Test(base=base, name="none", is_negated=False):
            return _path(base)
        case Compare(first=first, rest=(("==", Literal(value=None)),)):
            return _path(first)
        case _:
            return NONE


def _compared(first: Expr, op: str, other: Expr) -> Facts:
    is_null = isinstance(other, Literal) and other.value is None
    if op == "!=":
        return _path(first) if is_null else NONE
    if op == "==" and isinstance(other, Literal):
        return NONE if is_null else _path(first)
    return _path(first) | _path(other) if op in ("<", "<=", ">", ">=") else NONE


def _path(node: Expr) -> Facts:
    path = static_path(node)
    return NONE if path is None or "[]" in path else frozenset({path})
