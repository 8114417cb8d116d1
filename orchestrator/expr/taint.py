"""Where an expression touches secrets, and whether it only places them: a secret can be put into text, nothing else."""

from __future__ import annotations

from orchestrator.expr.findings import ExprFinding, error
from orchestrator.expr.nodes import Attr, Concat, Cond, DictLit, Expr, Index, ListLit, Literal, Name, children, walk

SECRETS_ROOT = "secrets"


def mentions_secrets(expr: Expr) -> bool:
    """Whether the expression names `secrets` at all."""
    return any(isinstance(node, Name) and node.id == SECRETS_ROOT for node in walk(expr))


def secrets_of(expr: Expr) -> frozenset[str]:
    """The names of the secrets that the expression places."""
    return frozenset(name for node in walk(expr) if (name := _secret_name(node)) is not None)


def misused_secrets(expr: Expr) -> list[ExprFinding]:
    """One finding for every use of a secret that is more than placing it: filters, comparisons, operators."""
    return _misuses(expr, is_placed=True)


def _misuses(node: Expr, *, is_placed: bool) -> list[ExprFinding]:
    if _secret_name(node) is not None:
        if is_placed:
            return []
        help = "a secret can only stand alone or in text, as in `Bearer ${{ secrets.NAME }}`"
        return [error("FLW330", "a secret cannot be computed with", node.start, node.end, help)]
    if isinstance(node, Name):
        if node.id != SECRETS_ROOT:
            return []
        return [error("FLW330", "`secrets` can only be read by name", node.start, node.end, "write `secrets.NAME`")]
    match node:
        case Concat() | ListLit() | DictLit() if is_placed:
            return [found for part in children(node) for found in _misuses(part, is_placed=True)]
        case Cond(test=test, then=then, orelse=orelse) if is_placed:
            places = [found for part in (then, orelse) for found in _misuses(part, is_placed=True)]
            return places + _misuses(test, is_placed=False)
        case _:
            return [found for child in children(node) for found in _misuses(child, is_placed=False)]


def _secret_name(node: Expr) -> str | None:
    match node:
        case Attr(base=Name(id="secrets"), name=name):
            return name
        case Index(base=Name(id="secrets"), key=Literal(value=str() as name)):
            return name
        case _:
            return None
