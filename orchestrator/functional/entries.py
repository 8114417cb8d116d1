"""Ticks of a functional run as the entries of a record log, and back. An entry is plain JSON with `seq`, `at` and `kind`.

kind: start (message, workflow, forked_from), begin (the step started), call (path, name, call, place, began, value or
failure, writes), read and write (state outside of steps), ask (path, request, data, …), answer, end (value or error), cancel.
Only what a replay needs is written: events that are merely shown are not.
"""

from __future__ import annotations

import json
from typing import Any

from orchestrator.functional.calls import read_call
from orchestrator.functional.failures import Failure
from orchestrator.functional.values import Encoded, encode
from orchestrator.runtime import ticks as t

Entry = dict[str, Any]
write_json = json.JSONEncoder(separators=(",", ":")).encode  # ASCII, so that no text can be refused by a file
FORMAT = 1
CHECKPOINT_KINDS = frozenset({"call", "ask", "answer"})


def entry_of(tick: t.Tick) -> Entry | None:
    """The entry of a tick; None for one that no replay needs."""
    entry: Entry = {"seq": tick.seq, "at": tick.at}
    match tick:
        case t.Progress():
            _write_progress(entry, tick)
        case t.WaitOpened():
            shown = tick.announce[1] if tick.announce is not None else {}
            entry.update(kind="ask", act=tick.act, path=tick.path, request=tick.request_id, cause=tick.cause)
            entry.update(text=shown["text"], source=shown["source"], schema=shown["schema"])
            entry["data"] = encode(shown["data"], None, "request data")
        case t.EventIn():
            entry.update(kind="answer", request=tick.type[1:], value=encode(tick.value, None, "an answer"))
        case t.Started():
            entry.update(kind="start", format=FORMAT, value=encode(tick.value, None, "the message"), **tick.meta)
        case t.StepStarted():
            entry.update(kind="begin", act=tick.act, cause=tick.cause)
        case t.StepSettled():
            error = {k: v for k, v in tick.error.items() if k != "live"} if tick.error is not None else None
            entry.update(kind="end", act=tick.act, cause=tick.cause, error=error)
            entry["value"] = None if error is not None else encode(tick.emitted[0][1], None, "the result")  # type: ignore[index]  # (type, value, target)
        case t.Cancel():
            entry.update(kind="cancel", status=tick.status, reason=tick.reason)
        case _:
            return None
    return entry


def tick_of(entry: Entry) -> t.Tick:
    """The tick of an entry."""
    seq, at, kind = entry["seq"], entry["at"], entry["kind"]
    match kind:
        case "call" | "read" | "write":
            return _read_progress(entry, seq, at)
        case "ask":
            shown = {name: entry[name] for name in ("text", "source", "schema")}
            shown["data"] = Encoded(entry["data"])
            path, request = entry["path"], entry["request"]
            announce = ("Request", shown, None)
            return t.WaitOpened(
                seq, at, entry["cause"], entry["act"], path, "?" + request, announce=announce, request_id=request
            )
        case "answer":
            return t.EventIn(seq, at, -1, "?" + entry["request"], Encoded(entry["value"]))
        case "start":
            meta: dict[str, Any] = {name: entry[name] for name in ("workflow", "forked_from") if name in entry}
            return t.Started(seq, at, -1, "Start", Encoded(entry["value"]), meta=meta)
        case "begin":
            return t.StepStarted(seq, at, entry["cause"], entry["act"], 1)
        case "end":
            value = Encoded(entry["value"]) if entry["value"] is not None else None
            emitted: tuple[t.Emission, ...] = (("Stop", value, None),) if entry["error"] is None else ()
            return t.StepSettled(seq, at, entry["cause"], entry["act"], 1, emitted, value, entry["error"])
        case "cancel":
            return t.Cancel(seq, at, -1, entry["status"], entry["reason"])
    raise ValueError(f"a record of kind {kind!r} is not known to this version; it was written by a newer one")


def _write_progress(entry: Entry, tick: t.Progress) -> None:
    entry.update(act=tick.act, path=tick.path, cause=tick.cause)
    if tick.writes:
        entry["writes"] = [[path[0], value] for _, path, value in tick.writes]
    note = tick.data
    if note is None:
        entry["kind"] = "write" if tick.writes or tick.value is None else "read"
        if tick.value is not None:
            entry["value"] = tick.value
        return
    entry.update(kind="call", name=note[0], call=read_call(note[1]), place=note[2], began=note[3])
    if note[4] is not None:
        entry["failure"] = note[4].to_json()
    else:
        entry["value"] = note[5] if len(note) > 5 else encode(tick.value, None, f"the result of step `{note[0]}`")


def _read_progress(entry: Entry, seq: int, at: float) -> t.Progress:
    writes = tuple(("set", (key,), value) for key, value in entry.get("writes", ()))
    if entry["kind"] != "call":
        return t.Progress(seq, at, entry["cause"], entry["act"], entry["path"], entry.get("value"), writes)
    failure = Failure.from_json(entry["failure"]) if "failure" in entry else None
    note = (entry["name"], entry["call"], entry["place"], entry["began"], failure)
    value = Encoded(entry.get("value"))
    return t.Progress(seq, at, entry["cause"], entry["act"], entry["path"], value, writes, note)
