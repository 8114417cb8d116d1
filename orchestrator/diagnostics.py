"""A finding about a user's flow: a value with a code, a place, help and perhaps a fix. Knows no rule.

All positions are 1-based; `end_column` is the first column after the token. `file` may be a path or a name such as
`<string>`. A span from Python code has line and column of the `def` or annotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad a finding is: errors stop a flow from starting, warnings and notes do not."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Span:
    """A range of text in one file."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Related:
    """A second place that explains a finding."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text of `span` by `text`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """Edits that mend a finding; `is_safe` says that the meaning the author wrote is kept."""

    title: str
    edits: tuple[Edit, ...]
    is_safe: bool = True


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding."""

    code: str
    severity: Severity
    message: str
    span: Span
    help: str | None = None
    fix: Fix | None = None
    related: tuple[Related, ...] = ()

    def __str__(self) -> str:
        return f"{self.span}: {self.severity.value}[{self.code}]: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """The finding as plain JSON, the shape of `check --format json`."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "file": self.span.file,
            "line": self.span.line,
            "column": self.span.column,
            "end_line": self.span.end_line,
            "end_column": self.span.end_column,
            "help": self.help,
            "fix": None
            if self.fix is None
            else {
                "title": self.fix.title,
                "safe": self.fix.is_safe,
                "edits": [
                    {
                        "line": e.span.line,
                        "column": e.span.column,
                        "end_line": e.span.end_line,
                        "end_column": e.span.end_column,
                        "text": e.text,
                    }
                    for e in self.fix.edits
                ],
            },
            "related": [
                {"file": r.span.file, "line": r.span.line, "column": r.span.column, "message": r.message}
                for r in self.related
            ],
        }


class TooManyFindings(Exception):
    """There are more findings than anybody reads; looking for more would only take time."""


def too_many(found: Sequence[Diagnostic]) -> Diagnostic:
    """What is said where a check has stopped because of them. `found` is not empty."""
    return Diagnostic(
        "FLW118",
        Severity.ERROR,
        f"{len(found)} {'finding is' if len(found) == 1 else 'findings are'} shown, and there may be more",
        found[-1].span,
        "mend these and check again",
    )


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether any of the findings stops the flow."""
    return any(d.severity is Severity.ERROR for d in diagnostics)
