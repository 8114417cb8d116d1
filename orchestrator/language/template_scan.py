"""Finds where a `${{ … }}` ends. Knows quotes and brackets of the expression language, nothing else of it."""

from __future__ import annotations

OPEN = "${{"
CLOSE = "}}"
_PAIRS = {")": "(", "]": "[", "}": "{"}


def find_close(text: str, start: int) -> int | None:
    """The offset of the `}}` that ends the expression which begins at `start`, or None.

    A `}}` inside quotes or inside the expression's own braces is skipped (`${{ {'a': {'b': 1}} }}`). Where brackets
    or quotes do not match, the first `}}` ends it, so that the expression's parser can say what is wrong.
    """
    first = text.find(CLOSE, start)
    if first < 0:
        return None
    if not _has_nesting(text, start, first):
        return first
    depth: list[str] = []
    offset = start
    while offset < len(text):
        char = text[offset]
        if char in "\"'":
            offset = _string_end(text, offset)
            if offset < 0:
                return first
            continue
        if char in "([{":
            depth.append(char)
        elif char == "}" and not depth and text.startswith(CLOSE, offset):
            return offset
        elif char in ")]}":
            if not depth or depth[-1] != _PAIRS[char]:
                return first
            depth.pop()
        elif text.startswith(OPEN, offset):
            return first
        offset += 1
    return first


def _has_nesting(text: str, start: int, end: int) -> bool:
    part = text[start:end]
    return "{" in part or '"' in part or "'" in part


def _string_end(text: str, offset: int) -> int:
    """The offset after the string literal that begins at `offset`, or -1 when it has no end."""
    quote = text[offset]
    offset += 1
    while offset < len(text):
        if text[offset] == "\\":
            offset += 2
        elif text[offset] == quote:
            return offset + 1
        else:
            offset += 1
    return -1
