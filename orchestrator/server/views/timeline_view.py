"""A run's timeline: rows of bars per activation, on an axis from which long stretches of nothing are left out. Pure.

Theory: every moment at which something begins or ends is a mark on the axis. A stretch between two neighbouring marks that is
far longer than the others is drawn as a short break with its length written on it, so that a minute of work stays visible
beside a week of waiting. Invariant: the axis is monotone, and equal moments have equal places.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any, TypedDict

from orchestrator.server.views.wording import exact

Json = Any  # plain JSON
ROWS_PER_PAGE = 150
BREAK_SHARE = 0.4
BREAK_LEAST_S = 1.0
_STARTS = ("step.started",)
_ENDS = ("step.ended", "step.failed", "step.retried", "step.polled")


class Bar(TypedDict):
    """One stretch in a row. kind: run, ask, wait, child, pause (until the next attempt). Places are percent of the width."""

    kind: str
    x: float
    width: float
    title: str
    is_failed: bool
    is_open: bool
    seq: int


class Row(TypedDict):
    """One activation of a step."""

    step: str
    act: int
    label: str
    bars: list[Bar]
    lasted: str
    attempts: int
    seq: int


class Mark(TypedDict):
    """A place on the axis: a time since the start, or a break."""

    x: float
    label: str
    is_break: bool


class Timeline(TypedDict):
    """The whole picture."""

    rows: list[Row]
    marks: list[Mark]
    breaks: list[Mark]
    now_x: float
    page: int
    pages: int
    count: int
    lasted: str


class _Piece(TypedDict):
    kind: str
    start: float
    end: float | None
    attempt: int
    is_failed: bool
    seq: int
    note: str


def timeline_view(
    entries: Sequence[Json], now: float, *, is_over: bool, at: int | None = None, page: int = 1
) -> Timeline:
    """The timeline of a log until an entry. `now` ends what is still open. Cost: O(n log n)."""
    shown = [entry for entry in entries if at is None or entry["seq"] <= at]
    times = [entry["at"] for entry in shown if entry["at"] is not None]
    begin = times[0] if times else now
    end = max(times[-1] if times else now, begin) if is_over or at is not None else max(now, begin)
    acts = _pieces(shown)
    axis = _Axis(begin, end, acts, end)
    pages = max(1, -(-len(acts) // ROWS_PER_PAGE))
    page = max(1, min(page, pages))
    ids = list(acts)[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE]
    counts: dict[str, int] = {}
    numbers: dict[int, int] = {}
    for act, (step, _) in acts.items():
        counts[step] = counts.get(step, 0) + 1
        numbers[act] = counts[step]
    rows = [_row(act, acts[act], numbers[act], counts, axis, end) for act in ids]
    return {
        "rows": rows,
        "marks": axis.marks(),
        "breaks": axis.breaks,
        "now_x": axis.place(end),
        "page": page,
        "pages": pages,
        "count": len(acts),
        "lasted": exact(end - begin),
    }


def _pieces(entries: Sequence[Json]) -> dict[int, tuple[str, list[_Piece]]]:
    """What each activation did, in order of their start."""
    acts: dict[int, tuple[str, list[_Piece]]] = {}
    waits: dict[tuple[int, str], _Piece] = {}
    for entry in entries:
        act, at, kind, data = entry["act"], entry["at"], entry["type"], entry["data"]
        if act is None or at is None:
            continue
        if kind in _STARTS:
            pieces = acts.setdefault(act, (entry["step"] or "?", []))[1]
            _close(pieces, at)
            pieces.append(_piece(_kind(data), at, entry))
        elif kind in _ENDS and act in acts:
            pieces = acts[act][1]
            if pieces:
                pieces[-1]["end"] = at
                pieces[-1]["is_failed"] = kind in ("step.failed", "step.retried")
                pieces[-1]["note"] = _note(data)
            if data.get("again_at") is not None:
                pieces.append(_piece("pause", at, entry))
        elif kind == "wait.opened" and act in acts:
            piece = _piece("wait", at, entry)
            waits[act, str(data.get("path"))] = piece
            acts[act][1].append(piece)
        elif kind == "wait.closed" and (act, str(data.get("path"))) in waits:
            waits.pop((act, str(data.get("path"))))["end"] = at
    return acts


def _close(pieces: list[_Piece], at: float) -> None:
    for piece in pieces:
        if piece["end"] is None and piece["kind"] in ("pause", "wait"):
            piece["end"] = at


def _piece(kind: str, start: float, entry: Json) -> _Piece:
    return {
        "kind": kind,
        "start": start,
        "end": None,
        "attempt": entry["attempt"] or 1,
        "is_failed": False,
        "seq": entry["seq"],
        "note": "",
    }


def _kind(data: Json) -> str:
    if data.get("request") is not None:
        return "ask"
    if data.get("wait") is not None:
        return "wait"
    return "child" if data.get("child") is not None else "run"


def _note(data: Json) -> str:
    error = data.get("error")
    return f"{error.get('code')}: {error.get('message')}"[:160] if isinstance(error, dict) else ""


class _Axis:
    """From moments to percent of the width."""

    def __init__(self, begin: float, end: float, acts: dict[int, tuple[str, list[_Piece]]], now: float) -> None:
        moments = {begin, end}
        for _, pieces in acts.values():
            for piece in pieces:
                moments.add(min(max(piece["start"], begin), end))
                moments.add(min(max(piece["end"] if piece["end"] is not None else now, begin), end))
        self._times = sorted(moments)
        gaps = [b - a for a, b in zip(self._times, self._times[1:], strict=False)]
        limit = _longest_shown(gaps)
        widths = [min(gap, limit) for gap in gaps]
        total = sum(widths) or 1.0
        self._places = [0.0]
        self.breaks: list[Mark] = []
        for gap, width in zip(gaps, widths, strict=True):
            start = self._places[-1]
            self._places.append(start + 100.0 * width / total)
            if gap > width:
                middle = round((start + self._places[-1]) / 2, 3)
                self.breaks.append({"x": middle, "label": exact(gap), "is_break": True})
        self._begin = begin

    def place(self, at: float) -> float:
        """Where a moment is."""
        number = bisect.bisect_right(self._times, at) - 1
        if number < 0:
            return 0.0
        if number >= len(self._times) - 1:
            return round(self._places[-1], 3)
        start, stop = self._times[number], self._times[number + 1]
        share = (at - start) / (stop - start)
        return round(self._places[number] + share * (self._places[number + 1] - self._places[number]), 3)

    def marks(self) -> list[Mark]:
        """Times since the start, at most ten of them, well apart."""
        out: list[Mark] = []
        last = -100.0
        for time, place in zip(self._times, self._places, strict=True):
            if place - last >= 10 and place < 96:
                out.append({"x": round(place, 3), "label": exact(time - self._begin), "is_break": False})
                last = place
        return out


def _longest_shown(gaps: Sequence[float]) -> float:
    """The longest stretch that is drawn to scale. A longer one is a break: a second at least, and four times all shorter ones."""
    ordered = sorted(gaps, reverse=True)
    rest = sum(ordered)
    for gap in ordered:
        rest -= gap
        if gap < BREAK_LEAST_S or gap <= 4 * rest or rest <= 0:
            return gap if gap == ordered[0] else max(gap, BREAK_SHARE * (rest + gap))
    return ordered[0] if ordered else 0.0


def _row(
    act: int, found: tuple[str, list[_Piece]], number: int, counts: dict[str, int], axis: _Axis, end: float
) -> Row:
    step, pieces = found
    bars: list[Bar] = []
    for piece in pieces:
        stop = piece["end"] if piece["end"] is not None else end
        x, right = axis.place(piece["start"]), axis.place(stop)
        words = {
            "run": "runs",
            "ask": "asks people",
            "wait": "waits",
            "child": "runs a sub-flow",
            "pause": "until it is tried again",
        }
        tried = f", attempt {piece['attempt']}" if piece["attempt"] > 1 else ""
        note = f"; {piece['note']}" if piece["note"] else ""
        bars.append(
            {
                "kind": piece["kind"],
                "x": x,
                "width": round(max(right - x, 0.35), 3),
                "title": f"{step} {words[piece['kind']]}{tried}: {exact(stop - piece['start'])}{note}",
                "is_failed": piece["is_failed"],
                "is_open": piece["end"] is None,
                "seq": piece["seq"],
            }
        )
    first, last = pieces[0]["start"], max(p["end"] if p["end"] is not None else end for p in pieces)
    label = f"{step} {number}" if counts[step] > 1 else step
    return {
        "step": step,
        "act": act,
        "label": label,
        "bars": bars,
        "lasted": exact(last - first),
        "attempts": max(piece["attempt"] for piece in pieces),
        "seq": pieces[0]["seq"],
    }
