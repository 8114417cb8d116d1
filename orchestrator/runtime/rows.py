"""What a durable run writes beside its ticks, and how what came for a run becomes a tick. Builds rows; decides nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchestratorError, StoreError
from orchestrator.runtime import ticks as t
from orchestrator.runtime.codec import PLAIN, ValueCodec, decode_tick
from orchestrator.runtime.journal import AuditRow, InboxEntry, Json, RequestRow

if TYPE_CHECKING:  # the actor's sink uses this
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.people import Request

_fast = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode
_safe = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def dumps(value: Json) -> str:
    """JSON text in UTF-8; half surrogate pairs are escaped."""
    text = _fast(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return _safe(value)
    return text


def post_row(actor: Actor, command: t.Post, codec: ValueCodec, at: float) -> InboxEntry:
    """An event for another run."""
    data = {
        "type": command.type,
        "value": codec.encode(command.type, command.value, "a sent event"),
        "sender": actor.run_id,
    }
    return InboxEntry(command.run_id, "event", data, f"{actor.run_id}/{command.dedup}", at)


def cancel_row(child: str, at: float) -> InboxEntry:
    """The cancellation of a child run."""
    return InboxEntry(child, "cancel", {"reason": "its parent run ended or cancelled it"}, "parent", at)


def settled_row(actor: Actor, parent: str, codec: ValueCodec, at: float) -> InboxEntry:
    """The end of a child run, for its parent."""
    state = actor.state
    result = state.result
    data = {
        "child": actor.run_id,
        "kind": actor.plan.ir.kind,
        "status": state.status.value,
        "type": result.type if result is not None else "",
        "value": None if result is None else codec.encode(result.type, result.value, "the result"),
        "error": state.error,
    }
    return InboxEntry(parent, "child", data, f"child/{actor.run_id}", at)


def failed_child(child: str, error: OrchestratorError) -> t.ChildSettled:
    """What the parent hears of a child run that could not be started."""
    record = {"code": error.code, "message": str(error), "step": None, "attempt": 0, "details": None}
    return t.ChildSettled(0, 0.0, -1, child, "failed", error=record)


def outcome_of(actor: Actor, codec: ValueCodec) -> Json:
    """How a run ended, for the run's row."""
    result = actor.state.result
    return {
        "result": None if result is None else codec.encode(result.type, result.value, "the result"),
        "type": None if result is None else result.type,
        "error": actor.state.error,
    }


def request_rows(actor: Actor, command: t.Notify, at: float) -> tuple[RequestRow, AuditRow | None]:
    """A request as the inbox shows it after something happened to it, and the line of the audit log.

    What a person did has a line of its own (`answer_audit`).
    """
    request_id, what = command.request, command.what
    is_persons = what in ("answered", "claimed", "released")
    audit = None if is_persons else AuditRow(at, actor.run_id, "", f"request.{what}", {"request": request_id})
    request = actor.state.requests.get(request_id) or command.closed
    is_open = request_id in actor.state.requests
    state = "open" if is_open else what if what in ("decided", "timeout", "undecided") else "cancelled"
    if request is None:
        return RequestRow(actor.run_id, request_id, "", state, None, 0.0, closed_at=at), audit
    return request_row(actor.run_id, actor.plan.ir.name, request, state, None if is_open else at), audit


def request_row(
    run_id: str, flow: str, request: Request, state: str = "open", closed_at: float | None = None
) -> RequestRow:
    """A request as the inbox shows it."""
    data = {
        **request.data,
        "revision": request.revision,
        "text": request.text,
        "claimed_by": request.claimed_by,
        "delegates": list(request.delegates),
        "escalated": request.is_escalated,
        "answers": [{**answer, "item": n} for n, ballot in enumerate(request.ballots) for answer in ballot.answers],
        "outcomes": [ballot.outcome for ballot in request.ballots],
        "history": list(request.history),
    }
    due = request.data.get("deadline")
    audience = _audience(request) if state == "open" else ()
    return RequestRow(run_id, request.id, request.step, state, data, request.opened_at, due, closed_at, audience, flow)


def _audience(request: Any) -> tuple[str, ...]:
    to = request.data.get("to")
    if to is None:
        return ()
    parts = [to]
    if request.is_escalated and request.data.get("escalate"):
        parts.append(request.data["escalate"]["to"])
    names = [f"u:{user}" for part in parts for user in part.get("users", ())]
    names += [f"g:{group}" for part in parts for group in part.get("groups", ())]
    if not names:
        return ()
    return tuple(dict.fromkeys([*names, *(f"u:{user}" for user in request.delegates)]))


def answer_audit(tick: t.Answer, run_id: str) -> AuditRow:
    """The line of the audit log for something that a person did."""
    data = {"request": tick.request, "form": tick.form, "revision": tick.revision, "groups": tick.who.get("groups")}
    if tick.item is not None:
        data["item"] = tick.item
    return AuditRow(tick.at, run_id, str(tick.who.get("user") or ""), f"answer.{tick.action}", data)


def tick_of(entry: InboxEntry, codec: ValueCodec) -> t.Tick:
    """The tick that an inbox row becomes; answers are left to `answer_request`, which checks them.

    Raises: StoreError for a row that cannot be read.
    """
    data = entry.data
    try:
        match entry.kind:
            case "start":
                return decode_tick(0, data, codec)
            case "event":
                value = codec.decode(data["type"], data["value"])
                return t.EventIn(0, 0.0, -1, data["type"], value, data.get("target"), entry.dedup, data.get("sender"))
            case "child":
                type_name, value = data["type"], data["value"]
                if data.get("kind") in ("yaml", "function") and codec is not PLAIN:
                    type_name = ""  # plain JSON, whatever the events of the caller are called
                elif type_name:
                    value = codec.decode(type_name, value)
                return t.ChildSettled(0, 0.0, -1, data["child"], data["status"], type_name, value, data.get("error"))
            case "cancel":
                return t.Cancel(0, 0.0, -1, data.get("status", "cancelled"), data.get("reason") or "")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"inbox row {entry.id} of run {entry.run_id!r} cannot be read: {type(error).__name__}: {error}",
            code="store.unreadable",
        ) from error
    raise StoreError(
        f"inbox row {entry.id} of run {entry.run_id!r} is of an unknown kind {entry.kind!r}; a newer version wrote it",
        code="store.unreadable",
    )
