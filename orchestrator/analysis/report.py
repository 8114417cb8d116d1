"""Collects what the rules find in one flow. Decides severity (from the code table) and place; knows no rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from orchestrator.analysis.codes import CODES
from orchestrator.analysis.places import Path, Places
from orchestrator.diagnostics import Diagnostic, Edit, Fix, Related, Severity, Span, TooManyFindings

MOST = 300  # findings that are looked for; those about one name become one later


class Report:
    """The findings of one flow; the same finding at the same place is kept once.

    Raises: TooManyFindings, from `add` and `put`, once there are MOST.
    """

    __slots__ = ("_found", "places")

    def __init__(self, places: Places) -> None:
        self.places = places
        self._found: dict[Diagnostic, None] = {}

    def add(
        self,
        code: str,
        message: str,
        at: Path | Span,
        *,
        help: str | None = None,
        fix: Fix | None = None,
        related: Sequence[Related] = (),
    ) -> None:
        """One finding at a path (or a span found already)."""
        span = at if isinstance(at, Span) else self.places.span(at)
        severity = CODES[code].severity
        self.put(Diagnostic(code, severity, message, span, help, fix, tuple(related)))

    def put(self, finding: Diagnostic) -> None:
        """A finding that was made elsewhere."""
        if len(self._found) >= MOST:
            raise TooManyFindings
        self._found[finding] = None

    def forget(self, is_echo: Callable[[Diagnostic], bool]) -> None:
        """Drop the findings that only follow from another one."""
        self._found = {finding: None for finding in self._found if not is_echo(finding)}

    def related(self, at: Path, message: str) -> tuple[Related, ...]:
        """A second place, or nothing where only the first is known."""
        return (Related(self.places.span(at), message),)

    def replace(self, at: Path | Span, text: str, *, is_safe: bool = True) -> Fix | None:
        """A fix that writes `text` in place of a token; None where tokens cannot be found."""
        if not self.places.is_exact:
            return None
        span = at if isinstance(at, Span) else self.places.span(at)
        return Fix(f"replace with `{text}`", (Edit(span, text),), is_safe)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self._found)

    @property
    def codes(self) -> frozenset[str]:
        """The codes found so far."""
        return frozenset(d.code for d in self._found)

    @property
    def has_errors(self) -> bool:
        """Whether an error was found so far."""
        return any(d.severity is Severity.ERROR for d in self._found)

    def sorted(self) -> list[Diagnostic]:
        """The findings by place."""
        return sorted(self._found, key=place_of)


def place_of(finding: Diagnostic) -> tuple[str, int, int]:
    """The sort key of findings."""
    return finding.span.file, finding.span.line, finding.span.column
