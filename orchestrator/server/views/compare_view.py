"""Two runs side by side: what they are, what went in, the way each took, its state and what came out. Knows no HTTP."""

from __future__ import annotations

from typing import Any, TypedDict

from orchestrator.server.book import ENDED, RunBook, RunDetail
from orchestrator.server.desk import Desk
from orchestrator.server.views.diffing import Diff, diff_texts
from orchestrator.server.views.flow_view import RunLine, run_line
from orchestrator.server.views.log_view import sentence
from orchestrator.server.views.wording import pretty

Json = Any  # plain JSON
MOST_ENTRIES = 3_000
CHUNK = 1_000
MOST_CHARS = 200_000


class Difference(TypedDict):
    """One part of both runs, compared."""

    name: str
    diff: Diff


class Comparison(TypedDict):
    """The whole page. `facts` are rows of name, in the first run, in the second, and whether these differ."""

    runs: list[RunLine]
    facts: list[tuple[str, str, str, bool]]
    parts: list[Difference]
    is_cut: bool


async def compared_runs(desk: Desk, a: str, b: str, base: str) -> Comparison:
    """The comparison of two runs. Raises: UnknownRun."""
    now = desk.clock.now()
    details = [await desk.run(run_id) for run_id in (a, b)]
    books = [await desk.book_of(run_id) for run_id in (a, b)]
    ways = [await _way(book, detail.row.run_id) for book, detail in zip(books, details, strict=True)]
    states = [await _fields(book, detail) for book, detail in zip(books, details, strict=True)]
    lines = [run_line(detail.row, now, base) for detail in details]
    names = ("flow", "version", "status", "started_by", "duration", "error")
    facts = [
        (name, str(lines[0][name]), str(lines[1][name]), lines[0][name] != lines[1][name])  # type: ignore[literal-required]
        for name in names
    ]
    outs = [pretty(d.outputs, MOST_CHARS) if d.row.status in ENDED else "not ended" for d in details]
    parts = [
        ("Inputs", *(pretty(detail.inputs, MOST_CHARS) for detail in details)),
        ("The way taken", *("\n".join(way) for way in ways)),
        ("State", *states),
        ("Outputs", *outs),
    ]
    return {
        "runs": lines,
        "facts": facts,
        "parts": [{"name": name, "diff": diff_texts(before, after)} for name, before, after in parts],
        "is_cut": any(len(way) >= MOST_ENTRIES for way in ways),
    }


async def _way(book: RunBook, run_id: str) -> list[str]:
    """What happened, one line each and without times; streamed pieces are left out."""
    out: list[str] = []
    place = -1
    while len(out) < MOST_ENTRIES and (rows := await book.log(run_id, place, CHUNK)):
        place = int(rows[-1]["seq"])
        told = [row for row in rows if row["type"] != "stream"]
        out += [f"{row['step']}: {sentence(row)}" if row["step"] else sentence(row) for row in told]
    return out[:MOST_ENTRIES]


async def _fields(book: RunBook, detail: RunDetail) -> str:
    """The fields of the flow's state."""
    if detail.row.status == "queued":
        return "{}"
    state = await book.state(detail.row.run_id, None)
    return pretty(state.get("vars") or {}, MOST_CHARS)
