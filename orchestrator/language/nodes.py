"""The tree of one YAML file: values with their places. Decides how offsets become lines; knows no rule of the language.

A node keeps offsets into the text, and makes its `span` when asked: most files have no finding, and a span for each
token would cost more than the parsing. Nodes are not frozen for the same reason (a frozen dataclass takes three times
as long to make), but nothing changes one after the reader has returned it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from orchestrator.diagnostics import Span

Scalar = str | int | float | bool | None


class Style(Enum):
    """How a scalar was written."""

    PLAIN = "plain"
    SINGLE = "single-quoted"
    DOUBLE = "double-quoted"
    LITERAL = "literal block"
    FOLDED = "folded block"


_PLAIN = Style.PLAIN
_LINE_BREAK = re.compile("\n")


class Source:
    """The text of one file; turns offsets (0-based, in characters) into spans (1-based)."""

    __slots__ = ("_starts", "file", "text")

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self._starts: list[int] | None = None

    @property
    def starts(self) -> list[int]:
        """The offset at which each line begins."""
        if self._starts is None:
            self._starts = [0, *(m.end() for m in _LINE_BREAK.finditer(self.text))]
        return self._starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both 1-based."""
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        """The span of the characters from `start` up to, not including, `end`."""
        line, column = self.position(start)
        return Span(self.file, line, column, *self.end_position(line, column, start, end))

    def end_position(self, line: int, column: int, start: int, end: int) -> tuple[int, int]:
        """Line and column of the end of what begins at `start`, whose line and column are given."""
        starts = self.starts
        if end <= start:
            return line, column
        if line == len(starts) or end < starts[line]:
            return line, column + end - start
        return self.position(end)

    def offset(self, line: int, column: int) -> int:
        """The offset of a 1-based line and column, held inside the text."""
        starts = self.starts
        if line > len(starts):
            return len(self.text)
        return min(starts[line - 1] + column - 1, len(self.text))

    def line_text(self, line: int) -> str:
        """The text of a line without its break."""
        starts = self.starts
        if not 1 <= line <= len(starts):
            return ""
        end = starts[line] if line < len(starts) else len(self.text)
        return self.text[starts[line - 1] : end].rstrip("\r\n")


@dataclass(slots=True, eq=False)
class ScalarNode:
    """One scalar: `value` by the YAML 1.2 core rules, `text` as it reads, before resolution.

    A `bent` node has a finding already: YAML would have read it otherwise, or cannot, and `text` is what stands in the
    file. Nothing more is said about its kind.
    """

    value: Scalar
    text: str
    style: Style
    start: int
    end: int
    source: Source
    bent: bool = False

    @property
    def span(self) -> Span:
        return self.source.span(self.start, self.end)

    @property
    def is_plain(self) -> bool:
        return self.style is _PLAIN


class Entry(NamedTuple):
    """A key of a mapping and its value."""

    key: ScalarNode
    value: Node


@dataclass(slots=True, eq=False)
class MapNode:
    """A mapping, in the order of the file; its keys are text and unique."""

    entries: dict[str, Entry]
    start: int
    end: int
    source: Source
    is_flow: bool = False

    @property
    def span(self) -> Span:
        return self.source.span(self.start, self.end)

    def get(self, key: str) -> Node | None:
        entry = self.entries.get(key)
        return None if entry is None else entry.value


@dataclass(slots=True, eq=False)
class SeqNode:
    """A list."""

    items: list[Node]
    start: int
    end: int
    source: Source
    is_flow: bool = False

    @property
    def span(self) -> Span:
        return self.source.span(self.start, self.end)


Node = ScalarNode | MapNode | SeqNode

PlainData = Scalar | list["PlainData"] | dict[str, "PlainData"]


def to_plain(node: Node) -> PlainData:
    """The node as plain Python data, without places."""
    if node.__class__ is ScalarNode:
        return node.value
    if node.__class__ is MapNode:
        return {key: to_plain(entry.value) for key, entry in node.entries.items()}
    assert isinstance(node, SeqNode)
    return [to_plain(item) for item in node.items]


def kind_of(node: Node) -> str:
    """What a node is, in the words of a message."""
    match node:
        case MapNode():
            return "a mapping"
        case SeqNode():
            return "a list"
        case ScalarNode(value=None):
            return "nothing"
        case ScalarNode(value=bool()):
            return "true or false"
        case ScalarNode(value=int() | float()):
            return "a number"
        case ScalarNode():
            return "text"
