"""What changed between two texts, for reading: lines, and within a changed line the words. Pure."""

from __future__ import annotations

import difflib
import re
from typing import TypedDict

MAX_LINES = 4_000
CONTEXT = 3
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


class Piece(TypedDict):
    """A part of a line. `kind`: same, add or del."""

    kind: str
    text: str


class DiffRow(TypedDict):
    """A line of a comparison. `kind`: same, add, del or gap (lines left out; `old` and `new` are empty)."""

    kind: str
    old: int | None
    new: int | None
    pieces: list[Piece]


class Diff(TypedDict):
    """A comparison of two texts."""

    rows: list[DiffRow]
    added: int
    removed: int
    is_same: bool
    is_cut: bool


def diff_texts(before: str, after: str) -> Diff:
    """The lines of both texts side by side, unchanged stretches left out. Cost: quadratic in at most MAX_LINES lines."""
    old, new = before.splitlines(), after.splitlines()
    is_cut = len(old) > MAX_LINES or len(new) > MAX_LINES
    old, new = old[:MAX_LINES], new[:MAX_LINES]
    rows: list[DiffRow] = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=len(old) > 500)
    added = removed = 0
    last_end = 0
    for group in matcher.get_grouped_opcodes(CONTEXT):
        if group[0][1] > last_end:
            rows.append({"kind": "gap", "old": None, "new": None, "pieces": []})
        last_end = group[-1][2]
        for tag, a, b, c, d in group:
            if tag == "equal":
                rows += [_row("same", a + n + 1, c + n + 1, [_piece("same", old[a + n])]) for n in range(b - a)]
                continue
            removed, added = removed + b - a, added + d - c
            rows += _changed(old[a:b], new[c:d], a, c)
    return {"rows": rows, "added": added, "removed": removed, "is_same": before == after, "is_cut": is_cut}


def _changed(old: list[str], new: list[str], a: int, c: int) -> list[DiffRow]:
    """Removed lines, then added ones; lines that pair up show which words differ."""
    olds: list[DiffRow] = []
    news: list[DiffRow] = []
    for n in range(max(len(old), len(new))):
        left = old[n] if n < len(old) else None
        right = new[n] if n < len(new) else None
        if left is not None and right is not None:
            was, now = _words(left, right)
        else:
            was, now = [_piece("same", left or "")], [_piece("same", right or "")]
        if left is not None:
            olds.append(_row("del", a + n + 1, None, was))
        if right is not None:
            news.append(_row("add", None, c + n + 1, now))
    return olds + news


def _words(left: str, right: str) -> tuple[list[Piece], list[Piece]]:
    a, b = _WORDS.findall(left), _WORDS.findall(right)
    if len(a) > 600 or len(b) > 600:
        return [_piece("same", left)], [_piece("same", right)]
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    if matcher.ratio() < 0.4:
        return [_piece("same", left)], [_piece("same", right)]
    was: list[Piece] = []
    now: list[Piece] = []
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            was.append(_piece("same", "".join(a[i:j])))
            now.append(_piece("same", "".join(b[k:m])))
            continue
        if j > i:
            was.append(_piece("del", "".join(a[i:j])))
        if m > k:
            now.append(_piece("add", "".join(b[k:m])))
    return was, now


def _piece(kind: str, text: str) -> Piece:
    return {"kind": kind, "text": text}


def _row(kind: str, old: int | None, new: int | None, pieces: list[Piece]) -> DiffRow:
    return {"kind": kind, "old": old, "new": new, "pieces": pieces}
