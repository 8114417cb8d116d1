"""Formats a flow file: two spaces, block style, quotes where YAML would bend a text, comments and blank lines kept.

`format_flow` proves its work: the new text is read again, and unless it has the same data, the same comments and formats
to itself, it is refused. So a file with a finding of the reader is never touched.
"""

from __future__ import annotations

import re
import textwrap

from orchestrator.diagnostics import has_errors
from orchestrator.language.comments import Comment, find_comments
from orchestrator.language.nodes import MapNode, Node, ScalarNode, SeqNode, Style, to_plain
from orchestrator.language.quoting import is_safe_plain, quote, quote_double
from orchestrator.language.reader import ReadResult, read_yaml

WIDTH = 110
# What readers of YAML 1.1 take for something other than text.
_BENT_BY_OTHERS = re.compile(
    r"(?:y|n|yes|no|on|off|true|false|null)\Z|[-+]?0[xob][0-9a-f_]+\Z|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z"
    r"|[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?\Z|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?\Z",
    re.IGNORECASE,
)


class CannotFormat(ValueError):
    """Why a file is left as it is."""


def format_flow(data: bytes, file: str) -> str:
    """The formatted text of a file.

    Raises: CannotFormat when the file has a finding of the reader, or when the proof fails.
    """
    read = read_yaml(data, file)
    if has_errors(read.diagnostics) or not read.is_whole:
        first = next((str(d) for d in read.diagnostics), "it is no YAML")
        raise CannotFormat(f"the file has a mistake that must be mended first: {first}")
    if not isinstance(read.root, MapNode | SeqNode):
        raise CannotFormat("the file holds no mapping")
    text = _format(read)
    again = read_yaml(text.encode("utf-8"), file)
    if has_errors(again.diagnostics) or again.root is None or to_plain(again.root) != to_plain(read.root):
        raise CannotFormat("the new text would mean something else; please report this file")
    if [c.text for c in find_comments(again.root, again.source)] != [
        c.text for c in find_comments(read.root, read.source)
    ]:
        raise CannotFormat("a comment stands where it cannot be kept; move it to a line of its own")
    if _format(again) != text:
        raise CannotFormat("the new text would be formatted differently again; please report this file")
    return text


def _format(read: ReadResult) -> str:
    assert read.root is not None
    writer = _Writer(read)
    writer.collection(read.root, 0)
    writer.rest()
    return "\n".join(writer.lines) + "\n"


class _Writer:
    """Writes a tree line by line; comments are taken along in the order of the file."""

    def __init__(self, read: ReadResult) -> None:
        self.lines: list[str] = []
        self._text = read.source.text
        self._source = read.source
        self._comments = list(find_comments(read.root, read.source))
        self._next = 0
        self._anchors = read.anchor_names
        self._written: set[int] = set()
        self._header = -1  # the line after which no blank line may come
        self._end = 0  # the offset in the old text up to which everything is written

    def rest(self) -> None:
        """The comments after the last value."""
        self._before(len(self._text) + 1, 0)

    def collection(self, node: Node, indent: int) -> None:
        """The lines of a block mapping or list."""
        if isinstance(node, MapNode):
            for key, value in node.entries.values():
                self._before(key.start, indent)
                self._value(" " * indent + self._key(key) + ":", value, indent, key.end)
        elif isinstance(node, SeqNode):
            for item in node.items:
                self._before(item.start if id(item) not in self._written else self._end, indent)
                self._item(item, indent)
        self._after_children(node, indent)

    def _key(self, key: ScalarNode) -> str:
        if key.is_plain and "\n" not in self._text[key.start : key.end]:
            return key.text
        return key.text if is_safe_plain(key.text) else quote(key.text)

    def _item(self, item: Node, indent: int) -> None:
        start = " " * indent + "-"
        if isinstance(item, MapNode) and item.entries and not self._is_alias(item) and id(item) not in self._anchors:
            flow = self._flow(item, len(start) + 1)
            if flow is None:
                first = len(self.lines)
                self.collection(item, indent + 2)
                at = next(i for i in range(first, len(self.lines)) if not self.lines[i].lstrip().startswith("#"))
                for line in range(first, at):
                    self.lines[line] = self.lines[line][2:] if self.lines[line] else ""
                self.lines[at] = start + self.lines[at][indent + 1 :]
                return
        self._value(start, item, indent, item.start)

    def _is_alias(self, node: Node) -> bool:
        return id(node) in self._anchors and id(node) in self._written

    def _value(self, head: str, value: Node, indent: int, head_end: int) -> None:
        """One entry: its head (`key:` or `-`) and what belongs to it."""
        if id(value) in self._anchors:
            name = self._anchors[id(value)]
            if id(value) in self._written:
                self._line(f"{head} *{name}", self._alias_end(head_end, name))
                return
            self._written.add(id(value))
            head = f"{head} &{name}"
        if isinstance(value, ScalarNode):
            self._scalar(head, value, indent)
            return
        flow = self._flow(value, len(head) + 1)
        if flow is not None:
            self._line(f"{head} {flow}", value.end)
            return
        self._line(head, max(head_end, value.start + 1) if value.is_flow else head_end)
        self._header = len(self.lines)
        self.collection(value, indent + 2)

    def _alias_end(self, head_end: int, name: str) -> int:
        at = self._text.find(f"*{name}", max(head_end, self._end) if head_end <= self._end else head_end)
        return head_end if at < 0 else at + len(name) + 1

    def _line(self, line: str, end: int) -> None:
        """Write a line whose last token ends at `end` in the old text, and the comment that stands beside it."""
        self._end = max(self._end, end)
        number = self._source.position(max(0, end - 1))[0]
        comment = self._peek()
        if comment is not None and not comment.is_own_line and comment.line == number and comment.start >= end:
            line = f"{line}  {comment.text}"
            self._next += 1
            self._end = max(self._end, comment.start + len(comment.text))
        self.lines.append(line)

    def _peek(self) -> Comment | None:
        return self._comments[self._next] if self._next < len(self._comments) else None

    def _before(self, start: int, indent: int) -> None:
        """The comments and the blank line that stand before a token."""
        while (comment := self._peek()) is not None and comment.start < start:
            self._blank(comment.start)
            self.lines.append(" " * indent + comment.text)
            self._end = max(self._end, comment.start + len(comment.text))
            self._next += 1
        if start <= len(self._text):
            self._blank(start)

    def _blank(self, start: int) -> None:
        between = self._text[self._end : start]
        if self.lines and self.lines[-1] and len(self.lines) != self._header and re.search(r"\n[ \t\r]*\n", between):
            self.lines.append("")

    def _after_children(self, node: Node, indent: int) -> None:
        """Comments below the last child that are indented like the children belong to this collection."""
        column = self._child_column(node)
        if column is None:
            return
        while (comment := self._peek()) is not None and comment.is_own_line and comment.column >= column:
            if comment.start < self._end or self._text[self._end : comment.start].strip():
                return
            self._blank(comment.start)
            self.lines.append(" " * indent + comment.text)
            self._end = comment.start + len(comment.text)
            self._next += 1

    def _child_column(self, node: Node) -> int | None:
        if isinstance(node, ScalarNode) or node.is_flow:
            return None
        column = self._source.position(node.start)[1]
        return column if column > 1 else None

    def _flow(self, node: Node, at: int) -> str | None:
        """A short list or mapping that stays in one line, or None."""
        if not isinstance(node, MapNode | SeqNode):
            return None
        is_empty = not (node.entries if isinstance(node, MapNode) else node.items)
        if not node.is_flow and not is_empty:
            return None
        comment = self._peek()
        if comment is not None and comment.start < node.end:
            return None
        text = self._flow_text(node)
        return text if text is not None and at + len(text) <= WIDTH else None

    def _flow_text(self, node: Node, *, in_list: bool = False) -> str | None:
        if isinstance(node, ScalarNode):
            return None if id(node) in self._anchors else _flow_scalar(node, in_list=in_list)
        if any(id(child) in self._anchors for child in _children(node)):
            return None
        parts = []
        if isinstance(node, SeqNode):
            for item in node.items:
                text = self._flow_text(item, in_list=True)
                if text is None:
                    return None
                parts.append(text)
            return f"[{', '.join(parts)}]"
        for key, value in node.entries.values():
            name, text = _flow_key(key), self._flow_text(value)
            if name is None or text is None:
                return None
            parts.append(f"{name}: {text}")
        return "{" + ", ".join(parts) + "}"

    def _scalar(self, head: str, node: ScalarNode, indent: int) -> None:
        if node.style in (Style.LITERAL, Style.FOLDED):
            self._block(head, node, indent)
            return
        raw = self._text[node.start : node.end]
        if node.is_plain and "\n" not in raw:
            if not raw:
                self._line(head, self._end if node.start < self._end else node.start)
                return
            text = quote(node.text) if isinstance(node.value, str) and _BENT_BY_OTHERS.match(node.text) else node.text
            self._line(f"{head} {text}", node.end)
            return
        if "\n" not in raw:
            self._line(f"{head} {raw}", node.end)
            return
        if _can_fold(node.text):
            self._line(f"{head} >-", node.end)
            pad = " " * (indent + 2)
            wrapped = textwrap.wrap(node.text, WIDTH - indent - 2, break_long_words=False, break_on_hyphens=False)
            self.lines.extend(pad + line for line in wrapped)
            return
        text = node.text if is_safe_plain(node.text) else quote_double(node.text)
        self._line(f"{head} {text}", node.end)

    def _block(self, head: str, node: ScalarNode, indent: int) -> None:
        """A block text: its lines are moved to the new indentation, nothing else."""
        raw = self._text[node.start : node.end]
        header, _, body = raw.partition("\n")
        mark = header.split()[0] if header.split() else "|"
        has_indicator = any(char.isdigit() for char in mark)
        lines = [line.rstrip("\r") for line in body.split("\n")]
        if node.style is Style.LITERAL:
            lines = node.text.split("\n")
            chomp = (
                "-" if not node.text.endswith("\n") else "+" if node.text.endswith("\n\n") or node.text == "\n" else ""
            )
            indicator = "2" if (lines[0][:1] == " " or not lines[0]) and node.text.strip("\n") else ""
            mark = f"|{indicator}{chomp}"
            width = 0
        elif has_indicator:
            raise CannotFormat(
                f"line {node.span.line}: a folded text with an indentation number is left alone; write it with `|`"
            )
        else:
            width = next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip(" ")), 0)
        if node.style is Style.FOLDED:
            mark = ">" + ("-" if not node.text.endswith("\n") else "+" if "+" in mark else "")
        while lines and not lines[-1].strip(" "):
            lines.pop()
        keep = node.text.count("\n", len(node.text.rstrip("\n"))) if mark.endswith("+") else 0
        header_end = node.start + len(header.rstrip())
        self._line(f"{head} {mark}", node.start + len(header.split()[0]) if "#" in header else header_end)
        pad = " " * (indent + 2)
        self.lines.extend((pad + line[width:]) if line.strip(" ") or len(line) > width else "" for line in lines)
        self.lines.extend("" for _ in range(keep - 1 if lines else keep))
        self._end = max(self._end, node.end if mark.endswith("+") else node.start + len(raw.rstrip()))


def _children(node: MapNode | SeqNode) -> list[Node]:
    return [entry.value for entry in node.entries.values()] if isinstance(node, MapNode) else node.items


def _flow_key(key: ScalarNode) -> str | None:
    if "\n" in key.text or len(key.text) > 60:
        return None
    return key.text if key.is_plain else quote(key.text)


def _flow_scalar(node: ScalarNode, *, in_list: bool) -> str | None:
    """A scalar as it may stand inside `[ ]` and `{ }`, or None where it belongs on a line of its own.

    What was plain there before may stay so. An expression stays in a list, but not beside a key.
    """
    if node.style in (Style.LITERAL, Style.FOLDED) or "\n" in node.text or len(node.text) > 60:
        return None
    if "${{" in node.text and not in_list:
        return None
    if not isinstance(node.value, str):
        return node.text or None
    return node.text if node.is_plain and not _BENT_BY_OTHERS.match(node.text) else quote(node.text)


def _can_fold(text: str) -> bool:
    return bool(text) and "\n" not in text and text == " ".join(text.split()) and text.isprintable()
