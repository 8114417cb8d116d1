"""A finding of the type checker inside one expression: a value with offsets, to which the caller adds the file's."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.diagnostics import Severity
from orchestrator.expr.errors import ExprSyntaxError


@dataclass(frozen=True, slots=True)
class ExprFinding:
    """One finding; `replacement` is the text that mends the place, where that is known."""

    code: str
    severity: Severity
    message: str
    start: int
    end: int
    help: str | None = None
    replacement: str | None = None


def error(
    code: str, message: str, start: int, end: int, help: str | None = None, *, replacement: str | None = None
) -> ExprFinding:
    """A finding that stops the flow."""
    return ExprFinding(code, Severity.ERROR, message, start, end, help, replacement)


def warning(code: str, message: str, start: int, end: int, help: str | None = None) -> ExprFinding:
    """A finding that does not stop the flow."""
    return ExprFinding(code, Severity.WARNING, message, start, end, help)


def finding_of(error_: ExprSyntaxError) -> ExprFinding:
    """A syntax error as a finding, so that both are shown in one way."""
    return ExprFinding(
        error_.code, Severity.ERROR, error_.message, error_.start, error_.end, error_.help, error_.replacement
    )
