"""The log of a run as clients read it: one JSON object per tick, with a type, the step's name and previews of large values.

A tick names an activation by number; `StepNames` remembers which step that is, so a reader gives it every tick it has passed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.expr.secrets import seal
from orchestrator.runtime import ticks as t
from orchestrator.runtime.codec import ValueCodec

Json = Any  # plain JSON
PREVIEW_BYTES = 64 * 1024


class StepNames:
    """Which step an activation is of; learned from the ticks that start them. Cost: O(1) per tick."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.seen = -1

    def learn(self, seq: int, entry: Any) -> None:
        """Take note of one entry of the log."""
        if seq > self.seen:
            self.seen = seq
            if type(entry) is t.StepStarted:
                self.names[entry.act] = entry.step


def to_json(value: Any) -> Json:
    """Any value as JSON that can be shown: models and dataclasses as objects, exceptions as their text, others as repr."""
    import pydantic_core

    try:
        return pydantic_core.to_jsonable_python(
            seal(value), fallback=_fallback, serialize_unknown=False, inf_nan_mode="strings"
        )
    except (ValueError, TypeError, RecursionError):  # pydantic's errors for cycles and the like
        return _clip(repr(value))


def _fallback(value: Any) -> Json:
    if isinstance(value, BaseException):
        return {"type": type(value).__name__, "message": str(value)}
    slots = getattr(type(value), "__slots__", None)
    if slots and type(value).__module__.startswith("orchestrator."):
        return {name: getattr(value, name, None) for name in slots if not name.startswith("_")}
    return _clip(repr(value))


def _clip(text: str) -> str:
    return text if len(text) <= 1_000 else text[:1_000] + "…"


def preview(value: Json, limit: int = PREVIEW_BYTES) -> Json:
    """The value, or what stands for one that is too large to show: its size and its beginning."""
    if isinstance(value, bool | int | float | type(None)):
        return value
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= limit:
        return value
    return {"$preview": text[:1_000], "size_bytes": len(text.encode("utf-8", "replace"))}


def entry_view(seq: int, entry: Any, names: StepNames, codec: ValueCodec | None, *, is_whole: bool = False) -> Json:
    """One entry of a log for readers; `is_whole` keeps large values.

    Shape: {seq, at, cause, type, step, act, attempt, data}; `at` is null for streamed events of runs in memory.
    """
    names.learn(seq, entry)
    if type(entry) is tuple:
        payload, act, attempt = entry
        data = _streamed(payload, codec)
        return _row(seq, None, -1, "stream", names.names.get(act), act or None, attempt or None, data, is_whole)
    kind, data = _kind_and_data(entry, codec)
    act = getattr(entry, "act", None) or None
    step = getattr(entry, "step", None) or (names.names.get(act) if act is not None else None)
    attempt = getattr(entry, "attempt", None) or None
    return _row(seq, entry.at, entry.cause, kind, step, act, attempt, data, is_whole)


def _row(
    seq: int,
    at: float | None,
    cause: int,
    kind: str,
    step: str | None,
    act: int | None,
    attempt: int | None,
    data: Mapping[str, Any],
    is_whole: bool,
) -> Json:
    shown = {key: value if is_whole else preview(value) for key, value in data.items()}
    return {
        "seq": seq,
        "at": at,
        "cause": cause,
        "type": kind,
        "step": step,
        "act": act,
        "attempt": attempt,
        "data": shown,
    }


def _payload(type_name: str, value: Any, codec: ValueCodec | None) -> Json:
    if codec is not None and not isinstance(value, dict | str | int | float | bool | list | type(None)):
        try:
            return to_json(codec.encode(type_name, value, "an event"))
        except Exception:  # a value that a store could not keep is shown as it can be
            return to_json(value)
    return to_json(value)


def _streamed(payload: Any, codec: ValueCodec | None) -> dict[str, Any]:
    if isinstance(payload, dict):
        return {"event": str(payload.get("type") or "event"), "value": to_json(payload)}
    kind = getattr(payload, "type", None)
    if isinstance(kind, str) and type(payload).__module__ == "orchestrator.functional.events":
        value = {
            "data": to_json(payload.data),
            "executor_id": payload.executor_id,
            "request_id": payload.request_id or None,
            "state": payload.state,
            "details": to_json(payload.details),
        }
        return {"event": kind, "value": {k: v for k, v in value.items() if v is not None}}
    return {"event": type(payload).__name__, "value": _payload(type(payload).__name__, payload, codec)}


def _emissions(emitted: Any, codec: ValueCodec | None) -> list[Json]:
    out: list[Json] = []
    for item in emitted:
        group = item.site if isinstance(item, t.Fan) else None
        for name, value, target in item.members if isinstance(item, t.Fan) else (item,):
            row = {"event": name, "value": _payload(name, value, codec)}
            if target is not None:
                row["target"] = target
            if group is not None:
                row["group"] = group
            out.append(row)
    return out


def _kind_and_data(tick: Any, codec: ValueCodec | None) -> tuple[str, dict[str, Any]]:
    match tick:
        case t.Started():
            return "run.started", {
                "event": tick.type,
                "value": _payload(tick.type, tick.value, codec),
                "deadline": tick.deadline,
            }
        case t.EventIn():
            data = {"event": tick.type, "value": _payload(tick.type, tick.value, codec)}
            return "event.received", data | _given(target=tick.target, sender=tick.sender)
        case t.Delivered():
            data = {"event_id": tick.event, "passes": tick.passes}
            return "event.guarded", data | _given(key=to_json(tick.key), error=to_json(tick.error)) | {"to": tick.step}
        case t.StepStarted():
            data = {"phase": tick.phase, "input": to_json(tick.input), "writes": _writes(tick.writes)}
            more = _given(
                child=tick.child, wait=to_json(tick.wait), request=_request(tick.request), deadline=tick.deadline
            )
            return "step.started", data | more
        case t.StepSettled():
            return _settled(tick, codec)
        case t.Flushed():
            return "step.flushed", {"emitted": _emissions(tick.emitted, codec), "writes": _writes(tick.writes)}
        case t.Progress():
            return "call.ended", {"path": tick.path, "value": to_json(tick.value), "writes": _writes(tick.writes)}
        case t.Collected():
            return "event.collected", {
                "event": tick.type,
                "value": _payload(tick.type, tick.value, codec),
                "buffer": tick.buffer,
            }
        case t.WaitOpened():
            data = {"path": tick.path, "event": tick.type, "match": to_json(tick.match), "due": tick.due}
            if tick.announce is not None:
                data["announced"] = {
                    "event": tick.announce[0],
                    "value": _payload(tick.announce[0], tick.announce[1], codec),
                }
            return "wait.opened", data | _given(request_id=tick.request_id)
        case t.WaitClosed():
            return "wait.closed", {"path": tick.path}
        case t.ChildOpened():
            return "child.started", {"path": tick.path, "child": tick.child}
        case t.ChildSettled():
            data = {"child": tick.child, "status": tick.status, "value": _payload(tick.type, tick.value, codec)}
            return "child.ended", data | _given(error=to_json(tick.error))
        case t.TimerFired():
            return "timer.fired", {"timer": tick.timer}
        case t.Answer():
            data = {
                "request": tick.request,
                "by": tick.who.get("user"),
                "form": to_json(tick.form),
                "revision": tick.revision,
            }
            return f"request.{'answered' if tick.action == 'answer' else tick.action}", data | _given(item=tick.item)
        case t.Cancel():
            return "run.cancel", {"status": tick.status, "reason": tick.reason} | _given(error=to_json(tick.error))
        case t.Streamed():
            value = to_json(tick.value)
            return "stream", {"event": tick.type, "value": value}
        case t.Migrated():
            return "run.migrated", {"version": tick.flow_hash[:12], "writes": _writes(tick.writes)}
    return "unknown", {}


def _settled(tick: t.StepSettled, codec: ValueCodec | None) -> tuple[str, dict[str, Any]]:
    data = {"result": to_json(tick.result), "emitted": _emissions(tick.emitted, codec), "writes": _writes(tick.writes)}
    more = _given(error=_error(tick.error), again_at=tick.again_at, again_as=tick.again_as)
    if tick.error is not None:
        kind = "step.retried" if tick.again_at is not None else "step.failed"
    else:
        kind = "step.polled" if tick.is_poll and tick.again_at is not None else "step.ended"
    return kind, data | more


def _error(error: Any) -> Json:
    if not isinstance(error, dict):
        return to_json(error)
    return {key: to_json(value) for key, value in error.items() if key != "live"}


def _request(request: Any) -> Json:
    if request is None:
        return None
    return {key: to_json(request.get(key)) for key in ("title", "to", "deadline", "verdicts") if key in request}


def _writes(writes: Any) -> list[Json]:
    return [{"op": kind, "path": list(path), "value": to_json(value)} for kind, path, value in writes]


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
