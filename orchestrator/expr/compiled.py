"""Compiles an expression once, to be evaluated many times against a scope of plain data. Knows nothing of flows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from orchestrator.expr.errors import ExprError
from orchestrator.expr.limits import FUEL, Fuel
from orchestrator.expr.lower import Lowering, Run
from orchestrator.expr.nodes import Expr, used_names
from orchestrator.expr.parser import parse


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression that is ready to run; values of it may be shared by threads and runs."""

    source: str
    expr: Expr
    _run: Run = field(repr=False, compare=False)

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The value of the expression, of its own type: plain data, or a placeholder of a secret.

        Parts of the scope come back as they are, not copied. Cost: bounded, see `limits`.
        Raises: ExprError, and nothing else whatever the scope holds.
        """
        return self._run(scope, [FUEL])

    def evaluate_within(self, scope: Mapping[str, Any], total: Fuel) -> Any:
        """The same as one of several expressions, which share the budget `total` besides having their own."""
        fuel = [FUEL]
        value = self._run(scope, fuel)
        total[0] -= FUEL - fuel[0]
        if total[0] < 0:
            message = "the expressions of this value do too much work together"
            raise ExprError(message, 0, len(self.source), source=self.source)
        return value

    @property
    def names(self) -> frozenset[str]:
        """The roots and paths it reads, such as `ev.text`."""
        return used_names(self.expr)


def compile_expr(source: str | Expr, *, lenient_fields: Mapping[str, Iterable[str]] | None = None) -> Compiled:
    """An expression ready to run, from its source or (without places in the source) its tree.

    `lenient_fields={"ev": {"notes", "user.name"}, "answers": {"[].notes"}}` names fields, by their path below the
    root, that read as null where they are not there. Raises: ExprSyntaxError.
    """
    lenient = lenient_paths(lenient_fields)
    if isinstance(source, str):
        return _compile_kept(source, lenient) if len(source) <= 512 else _compile(source, lenient)
    return _compile_tree("", source, lenient)


def lenient_paths(fields: Mapping[str, Iterable[str]] | None) -> frozenset[str]:
    """The full paths that read as null: `ev.notes`, `answers[].notes`."""
    if not fields:
        return frozenset()
    return frozenset(
        f"{root}{path}" if path.startswith("[") else f"{root}.{path}"
        for root, paths in fields.items()
        for path in paths
    )


def _compile(source: str, lenient: frozenset[str]) -> Compiled:
    return _compile_tree(source, parse(source), lenient)


_compile_kept = lru_cache(maxsize=4096)(_compile)


def _compile_tree(source: str, tree: Expr, lenient: frozenset[str]) -> Compiled:
    return Compiled(source, tree, Lowering(source, lenient).strict(tree))
