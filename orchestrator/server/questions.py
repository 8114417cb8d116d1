"""Questions of functional workflows as requests in the inbox; read from the log of their runs. Anybody may answer them."""

from __future__ import annotations

from typing import Any

from orchestrator.runtime import ticks as t
from orchestrator.runtime.questions import question_data, relayed
from orchestrator.server.book import RequestRow
from orchestrator.server.memory_book import MemoryBook, Record


def open_questions(book: MemoryBook, run_id: str | None = None) -> list[RequestRow]:
    """The open questions of functional runs, or of one of them. Cost: linear in the logs of those runs."""
    records = book.engine.records.values() if run_id is None else [book.record(run_id)]
    return [row for record in records if record.actor.plan.ir.kind == "function" for row in _of(book, record)]


def _of(book: MemoryBook, record: Record) -> list[RequestRow]:
    if record.actor.is_over:
        return []
    found: dict[str, RequestRow] = {}
    for _, entry in record.entries(-1):
        if isinstance(entry, t.WaitOpened) and entry.request_id and entry.announce is not None:
            if not relayed(record.actor.plan.codec.question(entry.announce[1])):
                found[entry.request_id] = _row(book, record, entry, entry.announce[1])
        elif isinstance(entry, t.EventIn) and entry.type.startswith("?"):
            found.pop(entry.type[1:], None)
    return list(found.values())


def _row(book: MemoryBook, record: Record, opened: t.WaitOpened, announced: Any) -> RequestRow:
    shown = record.actor.plan.codec.question(announced)
    flow = str(book.note(record, "flow")) or record.actor.plan.ir.name
    return RequestRow(
        record.actor.run_id,
        opened.request_id or "",
        flow,
        shown.get("source") or flow,
        "open",
        opened.at,
        question_data(shown),
        kind="question",
    )
