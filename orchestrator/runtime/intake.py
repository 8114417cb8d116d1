"""Applies what came for a run: inbox rows become ticks, answers are checked, refused ones are logged. Awaits nothing."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.errors import StoreError
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.answering import AnswerRefused, answer_request
from orchestrator.runtime.journal import AuditRow, InboxEntry, Json
from orchestrator.runtime.routing import takes
from orchestrator.runtime.rows import tick_of
from orchestrator.runtime.sink import ActorSink


def take_inbox(actor: Actor, sink: ActorSink, entries: Iterable[InboxEntry]) -> None:
    """Apply inbox rows that this claim has not seen, in order.

    Raises: StoreError for a row that cannot be read; nothing of that row is applied.
    """
    for entry in entries:
        if not sink.take_entry(entry):
            continue
        if actor.state.is_over or entry.kind == "redo":
            sink.consume(entry)
        elif entry.kind == "answer":
            _answer(actor, sink, entry)
        elif entry.kind == "event" and actor.plan.ir.kind != "yaml" and _is_for_children(actor, entry):
            sink.forward(entry.data, actor.state.children, entry.dedup)
            sink.consume(entry)
        elif entry.kind == "event" and entry.data.get("forwarded") and not takes(actor, entry.data["type"]):
            sink.consume(entry)  # it was for another child of the same parent
        else:
            tick = tick_of(entry, sink.codec)
            now = actor.now()
            if isinstance(tick, t.Started) and tick.deadline is not None:
                tick.deadline += max(0.0, now - tick.at)  # the time it queued does not count
            sink.consume(entry)
            actor.apply(tick)


def _is_for_children(actor: Actor, entry: InboxEntry) -> bool:
    """Whether an event is for the runs that this one started: it has some, and does not take the event itself."""
    return bool(actor.state.children) and not entry.data.get("target") and not takes(actor, str(entry.data.get("type")))


def _answer(actor: Actor, sink: ActorSink, entry: InboxEntry) -> None:
    data = entry.data
    try:
        who, request = data["who"], str(data["request"])
        user, groups = str(who["user"]), list(who.get("groups") or ())
        form, action = dict(data.get("form") or {}), str(data.get("action", "answer"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"inbox row {entry.id} of run {entry.run_id!r} is no answer: {type(error).__name__}: {error}",
            code="store.unreadable",
        ) from error
    try:
        answer_request(
            actor,
            request,
            user=user,
            groups=groups,
            form=form,
            action=action,
            revision=data.get("revision"),
            item=data.get("item"),
        )
    except AnswerRefused as error:
        sink.consume(entry, {"refused": refusal(error)}, refused_audit(actor, request, user, action, error))
    else:
        sink.consume(entry, {"ok": True})


def refusal(error: AnswerRefused) -> Json:
    """Why an answer was refused, for the one who gave it."""
    return {"kind": error.kind, "code": error.code, "message": error.message}


def refused_audit(actor: Actor, request: str, user: str, action: str, error: AnswerRefused) -> AuditRow:
    """The line of the audit log for a refused answer."""
    return AuditRow(actor.now(), actor.run_id, user, f"refused.{action}", {"request": request, "code": error.code})
