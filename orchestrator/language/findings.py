"""Collects the findings of one file. Decides nothing: the rules call it, each with its own code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.diagnostics import Diagnostic, Fix, Related, Severity, Span, TooManyFindings, too_many
from orchestrator.language.limits import MAX_FINDINGS


class Findings:
    """The findings so far, each once, in the order they were made; `sorted` gives them in the order of the file.

    Raises: TooManyFindings, from `error` and `warning`, once there are `limits.MAX_FINDINGS`.
    """

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: dict[Diagnostic, None] = {}

    def error(
        self,
        code: str,
        message: str,
        span: Span,
        *,
        help: str | None = None,
        fix: Fix | None = None,
        related: Sequence[Related] = (),
    ) -> None:
        self._add(Diagnostic(code, Severity.ERROR, message, span, help, fix, tuple(related)))

    def warning(self, code: str, message: str, span: Span, *, help: str | None = None, fix: Fix | None = None) -> None:
        self._add(Diagnostic(code, Severity.WARNING, message, span, help, fix))

    def _add(self, diagnostic: Diagnostic) -> None:
        if len(self._items) >= MAX_FINDINGS:
            raise TooManyFindings
        self._items[diagnostic] = None

    def extend(self, diagnostics: Sequence[Diagnostic]) -> None:
        self._items.update(dict.fromkeys(diagnostics))

    def drop(self, code: str, inside: Span) -> None:
        """Forget the findings of a code inside a span, because a finding about the whole of it says it better."""
        first, last = (inside.line, inside.column), (inside.end_line, inside.end_column)
        self._items = {
            d: None for d in self._items if d.code != code or not first <= (d.span.line, d.span.column) < last
        }

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Every finding by place; findings of one place keep their order. FLW118 ends them where there may be more."""
        found = sorted(
            (d for d in self._items if d.code != "FLW118"), key=lambda d: (d.span.file, d.span.line, d.span.column)
        )
        return (*found, too_many(found)) if len(found) >= MAX_FINDINGS else tuple(found)
