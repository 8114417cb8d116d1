"""Where a finding points: turns a path in the flow into a span. Knows no YAML; the compiler brings a `SpanIndex`.

A path is written in the words of the flow language, because findings are read by people who know that:
`("steps", "publish")` is the name of a step, `("steps", "publish", "on", "Approved")` the event it listens to,
`("steps", "publish", "emit", 1, "event")` its second way out (counted from 0, also where the file has a single one),
`("steps", "publish", "with", "url")` a field of its call, `("events", "Approved", "text")`, `("state", "round")`,
`("inputs", "topic")`, `("triggers", 0, "cron")`. A path that is not found is shortened from the right, then the origin
of the nearest IR node is used, then the flow's.
"""

from __future__ import annotations

from typing import Protocol

from orchestrator.diagnostics import Span
from orchestrator.ir.model import FlowIR, Origin

Path = tuple[str | int, ...]


class SpanIndex(Protocol):
    """Finds the token that a path names, and a piece of an expression in it."""

    def span_of(self, path: Path) -> Span | None:
        """The token at exactly this path."""

    def span_of_key(self, path: Path) -> Span | None:
        """The key of the mapping entry at exactly this path, where it has one."""

    def span_within(self, path: Path, ordinal: int, start: int, end: int) -> Span | None:
        """A piece of the `ordinal`-th expression (from 0) of the text at this path; offsets count in its source."""


class Places:
    """Spans of one flow."""

    __slots__ = ("_flow", "_index")

    def __init__(self, flow: FlowIR, index: SpanIndex | None) -> None:
        self._flow = flow
        self._index = index

    @property
    def is_exact(self) -> bool:
        """Whether tokens can be found, not only origins."""
        return self._index is not None

    def span(self, path: Path) -> Span:
        """The best span for a path; never fails."""
        if self._index is not None:
            for length in range(len(path), 0, -1):
                found = self._index.span_of(path[:length])
                if found is not None:
                    return found
        return span_of_origin(self._origin(path))

    def key_span(self, path: Path) -> Span:
        """The key at a path, else the nearest place."""
        if self._index is not None:
            found = self._index.span_of_key(path)
            if found is not None:
                return found
        return self.span(path)

    def within(self, path: Path, ordinal: int, start: int, end: int) -> Span:
        """A piece of an expression in the text at a path, else the nearest place."""
        if self._index is not None:
            found = self._index.span_within(path, ordinal, start, end)
            if found is not None:
                return found
        return self.span(path)

    def _origin(self, path: Path) -> Origin | None:
        flow = self._flow
        if len(path) > 1 and path[0] == "steps":
            step = flow.steps.get(str(path[1]))
            if step is not None:
                if len(path) > 3 and path[2] == "emit" and step.emit is not None and isinstance(path[3], int):
                    entries = step.emit.entries
                    if path[3] < len(entries) and entries[path[3]].origin is not None:
                        return entries[path[3]].origin
                return step.origin or flow.origin
        if len(path) > 1 and path[0] == "events":
            event = flow.events.get(str(path[1]))
            if event is not None and event.origin is not None:
                return event.origin
        if len(path) > 1 and path[0] == "triggers" and isinstance(path[1], int) and path[1] < len(flow.triggers):
            return flow.triggers[path[1]].origin or flow.origin
        return flow.origin


def span_of_origin(origin: Origin | None) -> Span:
    """The span of an origin; a flow that says nothing of where it comes from is `<flow>`."""
    if origin is None:
        return Span("<flow>", 1, 1, 1, 1)
    end_line = origin.end_line or origin.line
    end_column = origin.end_column or origin.column + 1
    return Span(origin.file, origin.line, origin.column, end_line, end_column)
