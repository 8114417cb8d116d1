"""Expression trees as they read in one case: after the call or after its fallback, and with the events of `each` apart.

Both let the types be exact where the value alone does not tell: `events[0]` of a `collect: each` is the first event named,
and `result` is that of the call where the expression itself asks for `meta.by == "call"`. Places stay those of the source.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from orchestrator.expr.nodes import Attr, Compare, Cond, Expr, Index, Literal, Name, Unary, children

Rule = Callable[[Expr], Expr | None]


def rewrite(tree: Expr, rule: Rule) -> Expr:
    """The tree with every node replaced for which the rule gives another, from the top; the rest is kept as it is."""
    replaced = rule(tree)
    if replaced is not None:
        return replaced if replaced is tree else rewrite(replaced, rule)
    if not children(tree):
        return tree
    changed: dict[str, object] = {}
    for item in dataclasses.fields(tree):
        value = getattr(tree, item.name)
        new = _rewrite_part(value, rule)
        if new is not value:
            changed[item.name] = new
    return dataclasses.replace(tree, **changed) if changed else tree  # type: ignore[arg-type]  # fields of the same node


def _rewrite_part(part: object, rule: Rule) -> object:
    if isinstance(part, tuple):
        new = tuple(_rewrite_part(item, rule) for item in part)
        return part if all(a is b for a, b in zip(new, part, strict=True)) else new
    if dataclasses.is_dataclass(part) and hasattr(part, "start"):
        return rewrite(part, rule)  # type: ignore[arg-type]  # only nodes have a start
    return part


def split_events(tree: Expr) -> Expr:
    """`events[1]` as a root of its own, named `events[1]`."""

    def rule(node: Expr) -> Expr | None:
        match node:
            case Index(base=Name(id="events"), key=Literal(value=int() as n)) if not isinstance(n, bool):
                return Name(f"events[{n}]", node.start, node.end)
            case Index(base=Name(id="events"), key=Unary(op="-", operand=Literal(value=int() as n))):
                return Name(f"events[-{n}]", node.start, node.end)
            case Name():
                return node
            case _:
                return None

    return rewrite(tree, rule)


def asks_by(tree: Expr) -> bool:
    """Whether the expression decides by `meta.by`."""
    return any(isinstance(node, Cond) and _is_by(node.test) is not None for node in _walk(tree))


def assume_by(tree: Expr, by: str) -> Expr:
    """What is left of the expression where `meta.by` is known."""

    def rule(node: Expr) -> Expr | None:
        if not isinstance(node, Cond):
            return None
        asked = _is_by(node.test)
        if asked is None:
            return None
        return node.then if asked(by) else node.orelse

    return rewrite(tree, rule)


def _is_by(test: Expr) -> Callable[[str], bool] | None:
    """`meta.by == "call"` and the like as a question to the value of `meta.by`."""
    match test:
        case Compare(first=Attr(base=Name(id="meta"), name="by"), rest=((op, Literal(value=str() as word)),)):
            pass
        case Compare(first=Literal(value=str() as word), rest=((op, Attr(base=Name(id="meta"), name="by")),)):
            pass
        case _:
            return None
    if op not in ("==", "!="):
        return None
    return lambda by: (by == word) == (op == "==")


def _walk(tree: Expr) -> list[Expr]:
    found = [tree]
    for node in found:
        found += children(node)
    return found
