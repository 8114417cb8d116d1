"""Answers to runs that are set aside: checked as far as the store knows the question, then kept for when the run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import RunParked, UnknownRun
from orchestrator.journal.store import Store
from orchestrator.plugin.schema_check import compile_schema
from orchestrator.runtime.answering import AnswerRefused
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.journal import InboxEntry


async def keep_if_parked(engine: Engine, entry: InboxEntry) -> None:
    """Put an answer into the inbox of a run that is set aside; nothing for one that is not.

    Raises: RunParked when it is kept; AnswerRefused if it does not fit, or one of the same person waits already.
    """
    any_engine: Any = engine
    store: Store = any_engine.journal
    try:
        row = await store.run(entry.run_id)
    except UnknownRun:
        return
    if row.status != "parked":
        return
    request = str(entry.data["request"])
    open_rows = await store.requests(run_id=entry.run_id, request_id=request, limit=1)
    if not open_rows:
        raise AnswerRefused("conflict", "request.closed", f"no request {request!r} of run {entry.run_id!r} is open")
    asked: Mapping[str, Any] = open_rows[0][1].data or {}
    if entry.data.get("action", "answer") == "answer":
        _check(asked, entry.data.get("form") or {})
    who = entry.data["who"]["user"]
    for other in await store.inbox(entry.run_id):
        if other.kind == "answer" and other.data.get("request") == request:
            whose = other.data["who"]["user"]
            if whose == who or asked.get("kind") == "question":  # a question takes one answer, whoever gives it
                message = f"an answer of {whose} to {request!r} waits already, for when run {entry.run_id!r} goes on"
                raise AnswerRefused("conflict", "request.waits", message)
    await store.post(entry)
    reason = (row.parked or {}).get("message")
    raise RunParked(
        f"the answer is kept, and taken when run {entry.run_id!r} goes on; it is set aside now: {reason}",
        run_id=entry.run_id,
    )


def _check(asked: Mapping[str, Any], form: Mapping[str, Any]) -> None:
    """Whether an answer fits the form of an open request. Raises: AnswerRefused."""
    schema = asked.get("form") or {}
    if asked.get("kind") == "question" and "answer" not in form:
        form = {"answer": dict(form)}  # the fields of the answer itself
    problems = compile_schema({"additionalProperties": False, **schema}).problems(dict(form))
    if problems:
        shown = "; ".join(f"{p.path}: {p.message}" if p.path else p.message for p in problems[:8])
        raise AnswerRefused("invalid", "request.form", f"the answer does not fit the form: {shown}")
