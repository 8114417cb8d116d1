"""Maps an offset in the text of a scalar back to the place in the file where that character was written.

Works out again how YAML folded lines, escapes and indentation, for one scalar at a time and only when a finding points
into it. If the result does not have the length of the scalar's text the start of the scalar is given instead.
"""

from __future__ import annotations

import re

from orchestrator.diagnostics import Span
from orchestrator.language.nodes import ScalarNode, Style

_HEX_LENGTH = {"x": 2, "u": 4, "U": 8}
_BLOCK_HEADER = re.compile(r"[|>]([-+0-9]*)[^\n]*\n?")


def span_inside(node: ScalarNode, start: int, end: int) -> Span:
    """The span in the file of `node.text[start:end]`."""
    text = node.source.text
    if node.bent or (node.is_plain and node.end - node.start == len(node.text)):
        return node.source.span(node.start + start, node.start + end)
    if node.style in (Style.SINGLE, Style.DOUBLE) and node.end - node.start == len(node.text) + 2:
        return node.source.span(node.start + 1 + start, node.start + 1 + end)
    if node.style in (Style.LITERAL, Style.FOLDED):
        offsets = _block_offsets(text[node.start : node.end], node.text, node.style is Style.FOLDED)
    else:
        quoted = 0 if node.is_plain else 1
        offsets = _flow_offsets(text[node.start + quoted : node.end - quoted], node.style)
        offsets = [offset + quoted for offset in offsets]
    if len(offsets) != len(node.text):
        return node.span
    if not offsets:
        return node.span
    first = offsets[min(start, len(offsets) - 1)] if start < len(offsets) else offsets[-1] + 1
    last = offsets[end - 1] + 1 if 0 < end <= len(offsets) and end > start else first
    return node.source.span(node.start + first, node.start + max(first, last))


def _flow_offsets(raw: str, style: Style) -> list[int]:
    offsets: list[int] = []
    at = 0
    while at < len(raw):
        char = raw[at]
        if char in " \t\r\n":
            at = _fold(raw, at, offsets)
        elif char == "'" and style is Style.SINGLE:
            offsets.append(at)
            at += 2
        elif char == "\\" and style is Style.DOUBLE:
            at = _escape(raw, at, offsets)
        else:
            offsets.append(at)
            at += 1
    return offsets


def _fold(raw: str, at: int, offsets: list[int]) -> int:
    """A run of blanks: kept when it holds no line break, else folded to a space or to its empty lines."""
    end = at
    while end < len(raw) and raw[end] in " \t\r\n":
        end += 1
    breaks = [i for i in range(at, end) if raw[i] == "\n"]
    if not breaks:
        offsets.extend(range(at, end))
    elif len(breaks) == 1:
        offsets.append(breaks[0])
    else:
        offsets.extend(breaks[1:])
    return end


def _escape(raw: str, at: int, offsets: list[int]) -> int:
    code = raw[at + 1 : at + 2]
    if code in ("\n", "\r"):
        end = at + 1
        breaks = []
        while end < len(raw) and raw[end] in " \t\r\n":
            if raw[end] == "\n":
                breaks.append(end)
            end += 1
        offsets.extend(breaks[1:])
        return end
    offsets.append(at)
    return at + 2 + _HEX_LENGTH.get(code, 0)


def _block_offsets(raw: str, value: str, is_folded: bool) -> list[int]:
    header = _BLOCK_HEADER.match(raw)
    if header is None:
        return []
    lines: list[tuple[int, str]] = []
    at = header.end()
    while at < len(raw):
        end = raw.find("\n", at)
        stop = len(raw) if end < 0 else end
        lines.append((at, raw[at:stop].removesuffix("\r")))
        at = stop + 1
    widths = [len(line) - len(line.lstrip(" ")) for _, line in lines if line.strip(" ")]
    guess = widths[0] if widths else 0
    fallback: list[int] = []
    for indent in (guess, *(i for i in range(guess - 1, -1, -1))):
        offsets = _fold_block(lines, indent, is_folded)[: len(value)]
        made = "".join("\n" if raw[o] in "\r\n" else raw[o] for o in offsets if o < len(raw))
        if len(offsets) == len(value) and _matches(made, value):
            return offsets
        if len(offsets) == len(value) and not fallback:
            fallback = offsets
        if header.group(1).strip("+-") < "1":
            break  # no indentation is written, so the first line gives it
    return fallback


def _matches(made: str, value: str) -> bool:
    return all(a == b or (a == "\n" and b == " ") for a, b in zip(made, value, strict=False))


def _fold_block(lines: list[tuple[int, str]], indent: int, is_folded: bool) -> list[int]:
    offsets: list[int] = []
    index = 0
    while index < len(lines) and len(lines[index][1]) <= indent and not lines[index][1].strip(" "):
        offsets.append(lines[index][0] + len(lines[index][1]))
        index += 1
    while index < len(lines):
        start, line = lines[index]
        offsets.extend(range(start + indent, start + len(line)))
        line_break = start + len(line)
        index += 1
        empty = []
        while index < len(lines) and len(lines[index][1]) <= indent and not lines[index][1].strip(" "):
            empty.append(lines[index][0] + len(lines[index][1]))
            index += 1
        next_line = lines[index][1][indent : indent + 1] if index < len(lines) else ""
        is_text = line[indent : indent + 1] not in (" ", "\t", "") and next_line not in (" ", "\t", "")
        if not (is_folded and is_text) or not empty:
            offsets.append(line_break)
        offsets.extend(empty)
    return offsets
