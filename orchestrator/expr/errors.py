"""The two ways an expression can be wrong: as it is written, or with the data it meets. Knows no file and no line.

Offsets count characters from the start of the expression's source; `end` is the first one after the place. Who holds
the span of the source adds it. A `Fault` is what operators and filters raise: they know no place, the evaluator does.
"""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class ExprSyntaxError(OrchestratorError):
    """An expression that cannot be read; `code` is an FLW3xx code, `replacement` mends the place if it is known."""

    code = "FLW301"

    def __init__(
        self,
        code: str,
        message: str,
        start: int,
        end: int,
        help: str | None = None,
        *,
        replacement: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.start = start
        self.end = end
        self.help = help
        self.replacement = replacement

    def shifted(self, offset: int) -> ExprSyntaxError:
        """The same finding, with offsets that count in the text around the expression."""
        return ExprSyntaxError(
            self.code, self.message, self.start + offset, self.end + offset, self.help, replacement=self.replacement
        )


class ExprError(OrchestratorError):
    """An expression that fails with the data it got: the code a flow sees is `expr.failed`."""

    code = "expr.failed"

    def __init__(
        self, message: str, start: int = 0, end: int = 0, help: str | None = None, *, source: str = ""
    ) -> None:
        super().__init__(message)
        self.start = start
        self.end = end
        self.help = help
        self.source = source

    def __str__(self) -> str:
        where = f" (in `{_shorten(self.source)}`, column {self.start + 1})" if self.source else ""
        return f"{self.message}{where}"


class Fault(Exception):
    """Raised by operators and filters; the evaluator turns it into an `ExprError` with the place."""

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


def _shorten(source: str) -> str:
    flat = " ".join(source.split())
    return flat if len(flat) <= 80 else flat[:77] + "..."
