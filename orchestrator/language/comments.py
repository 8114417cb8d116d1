"""Finds the comments of a file: every `#` that stands outside of a text. Knows nothing of what they say."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.language.nodes import MapNode, Node, ScalarNode, SeqNode, Source, Style

_COMMENT = re.compile(r"(?:^|(?<=[ \t\n]))#[^\n]*")


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment; `is_own_line` says that nothing stands before it in its line."""

    start: int
    text: str
    line: int
    column: int
    is_own_line: bool


def find_comments(root: Node | None, source: Source) -> tuple[Comment, ...]:
    """The comments of a file in order, those in the header of a block text included."""
    found = []
    for start, end in gaps(root, source.text):
        for match in _COMMENT.finditer(source.text, start, end):
            if match.start() == start and start > 0 and source.text[start - 1] not in " \t\n":
                continue
            line, column = source.position(match.start())
            before = source.text[match.start() - column + 1 : match.start()]
            found.append(Comment(match.start(), match.group().rstrip(), line, column, not before.strip()))
    return tuple(found)


def gaps(root: Node | None, text: str) -> list[tuple[int, int]]:
    """The ranges of the text that belong to no scalar."""
    ranges = []
    at = 0
    for node in sorted(scalars(root), key=lambda node: node.start):
        start, end = node.start, node.end
        if node.style is Style.PLAIN and node.text == "":
            continue
        if node.style in (Style.LITERAL, Style.FOLDED):
            line_end = text.find("\n", start)
            header = re.match(r"[|>][-+0-9]*", text[start:])
            if header is not None and line_end >= 0:
                ranges.append((max(at, start + header.end()), line_end))
        if start > at:
            ranges.append((at, start))
        at = max(at, end)
    if at < len(text):
        ranges.append((at, len(text)))
    return sorted(ranges)


def scalars(root: Node | None) -> list[ScalarNode]:
    """Every scalar of a tree, keys too, each once."""
    found: list[ScalarNode] = []
    seen: set[int] = set()
    pending: list[Node] = [] if root is None else [root]
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, MapNode):
            for entry in node.entries.values():
                found.append(entry.key)
                pending.append(entry.value)
        elif isinstance(node, SeqNode):
            pending.extend(node.items)
        else:
            found.append(node)
    return found
