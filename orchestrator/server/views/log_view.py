"""A run's log as pages show it: one line per entry in words, causes and effects, what was logged, calls of models. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from orchestrator.server.views.wording import Moment, exact, moment, pretty, short

Json = Any  # plain JSON
DETAIL_CHARS = 4_000
LINE_CHARS = 240
DELTA = "llm.delta"


class Line(TypedDict):
    """One entry, or several pieces of streamed text as one. `tone`: plain, good, bad, late, faint."""

    seq: int
    last: int
    at: Moment | None
    since: str
    type: str
    step: str
    attempt: int
    text: str
    tone: str
    cause: int
    effects: list[int]
    detail: str
    is_cut: bool


class Call(TypedDict):
    """One call of a model."""

    seq: int
    end_seq: int
    step: str
    attempt: int
    model: str
    system: str
    prompt: str
    answer: str
    tools: str
    input_tokens: int | None
    output_tokens: int | None
    cost: str
    lasted: str
    status: str
    error: str


class Calls(TypedDict):
    """All calls of models, with sums."""

    calls: list[Call]
    input_tokens: int
    output_tokens: int
    cost: str
    count: int


def lines_of(entries: Sequence[Json], now: float, begin: float | None, *, until: int | None = None) -> list[Line]:
    """Entries as lines; effects are looked for among these entries."""
    effects: dict[int, list[int]] = {}
    for entry in entries:
        if entry["cause"] >= 0:
            effects.setdefault(entry["cause"], []).append(entry["seq"])
    out: list[Line] = []
    for entry in entries:
        if until is not None and entry["seq"] > until:
            break
        data = entry["data"]
        if out and _is_delta(entry) and out[-1]["type"] == "stream" and _continues(out[-1], entry):
            out[-1]["last"] = entry["seq"]
            if len(out[-1]["text"]) < LINE_CHARS:
                out[-1]["text"] = (out[-1]["text"] + str(data["value"].get("text", "")))[:LINE_CHARS]
            continue
        detail = pretty(data, DETAIL_CHARS)
        since = "" if entry["at"] is None or begin is None else f"+{exact(entry['at'] - begin)}"
        out.append(
            {
                "seq": entry["seq"],
                "last": entry["seq"],
                "at": moment(entry["at"], now),
                "since": since,
                "type": entry["type"],
                "step": entry["step"] or "",
                "attempt": entry["attempt"] or 0,
                "text": sentence(entry),
                "tone": _tone(entry),
                "cause": entry["cause"],
                "effects": effects.get(entry["seq"], [])[:12],
                "detail": detail,
                "is_cut": "… cut;" in detail[-80:],
            }
        )
    return out


def _is_delta(entry: Json) -> bool:
    return (
        entry["type"] == "stream" and entry["data"].get("event") == DELTA and isinstance(entry["data"]["value"], dict)
    )


def _continues(line: Line, entry: Json) -> bool:
    return (
        line["step"] == (entry["step"] or "")
        and line["attempt"] == (entry["attempt"] or 0)
        and line["last"] == entry["seq"] - 1
    )


def sentence(entry: Json) -> str:
    """An entry in a few words."""
    data = entry["data"]
    match entry["type"]:
        case "run.started":
            return f"The run began with {data.get('event')} {short(data.get('value'), 100)}"
        case "event.received":
            return f"{data.get('event')} came from outside {short(data.get('value'), 100)}"
        case "event.guarded":
            return f"{data.get('to')} {'takes' if data.get('passes') else 'does not take'} event {data.get('event_id')}"
        case "step.started":
            return _started(data)
        case "step.ended" | "step.flushed":
            return _emitted(data)
        case "step.polled":
            return "Not there yet; it is asked again"
        case "step.failed" | "step.retried":
            error = data.get("error") if isinstance(data.get("error"), dict) else {}
            tail = "; it is tried again" if entry["type"] == "step.retried" else ""
            return f"{error.get('code')}: {short(error.get('message') or '', 160)}{tail}"
        case "call.ended":
            return f"{data.get('path')} gave {short(data.get('value'), 120)}"
        case "wait.opened":
            return f"waits for {data.get('event')}"
        case "child.started":
            return f"child run {data.get('child')}"
        case "child.ended":
            return f"child run {data.get('child')}: {data.get('status')}"
        case "run.cancel":
            return f"{data.get('status')}: {data.get('reason') or 'no reason given'}"
        case "stream":
            return _streamed(data)
    if entry["type"].startswith("request."):
        word = {
            "answered": "answered",
            "claim": "claimed",
            "release": "gave back",
            "delegate": "passed on",
            "edit": "edited",
        }
        action = entry["type"].removeprefix("request.")
        given = {name: value for name, value in (data.get("form") or {}).items() if value is not None}
        told = f"{data.get('by')} {word.get(action, action)} {data.get('request')}"
        return f"{told}: {short(given, 120)}" if given else told
    return short({name: value for name, value in data.items() if value is not None}, 140) if data else ""


def _started(data: Json) -> str:
    if data.get("request"):
        return f"asks: {short(data['request'].get('title') or '', 120)}"
    if data.get("wait"):
        return f"waits for {data['wait'].get('type') or 'a time'}"
    if data.get("child"):
        return f"starts child run {data['child']}"
    given = data.get("input")
    if isinstance(given, dict) and set(given) == {"with"}:
        given = given["with"]
    phase = "" if data.get("phase") in (None, "main") else f"{data['phase']}: "
    return f"{phase}{short(given, 140)}" if given is not None else phase.rstrip(": ")


def _emitted(data: Json) -> str:
    emitted = data.get("emitted") or []
    if isinstance(emitted, dict):  # the preview of a long list
        return short(emitted.get("$preview") or "", 140)
    names = [str(one.get("event")) for one in emitted]
    if len(names) > 4:
        return f"emits {len(names)} events: {', '.join(dict.fromkeys(names))}"
    if names:
        return f"emits {', '.join(names)} {short(emitted[0].get('value'), 110)}"
    return f"gave {short(data.get('result'), 120)}" if data.get("result") is not None else "done"


def _streamed(data: Json) -> str:
    value = data.get("value")
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        return str(value["text"])
    return f"{data.get('event')} {short(value, 140)}"


def _tone(entry: Json) -> str:
    match entry["type"]:
        case "step.failed" | "run.cancel":
            return "bad"
        case "step.retried":
            return "late"
        case "step.ended" | "run.ended":
            return "good"
        case "stream" | "event.guarded" | "step.polled":
            return "faint"
    return "plain"


def logged(lines: Sequence[Line]) -> list[Line]:
    """What steps wrote for readers, and what went wrong."""
    return [line for line in lines if line["type"] in ("stream", "step.failed", "step.retried", "run.cancel")]


def calls_of(entries: Sequence[Json], targets: frozenset[str]) -> Calls:
    """Calls of models: attempts of the steps in `targets`, and results that look like one. Cost: O(n)."""
    open_calls: dict[int, Json] = {}
    parts: dict[int, set[str]] = {}  # paths of the calls inside an attempt, as of a step over items, that have ended
    calls: list[Call] = []
    for entry in entries:
        if entry["act"] is None:
            continue
        started = open_calls.get(entry["act"])
        if entry["type"] == "step.started":
            open_calls[entry["act"]] = entry
            parts[entry["act"]] = set()
        elif started is not None and entry["type"] == "call.ended":
            result = entry["data"].get("value")
            if _is_model(result) or started["step"] in targets:
                parts[entry["act"]].add(str(entry["data"].get("path")))
                calls.append(_part(started, entry, result if isinstance(result, dict) else {}))
        elif started is not None and entry["type"] in ("step.ended", "step.failed", "step.retried"):
            del open_calls[entry["act"]]
            result = entry["data"].get("result")
            is_told = entry["type"] == "step.ended" and parts[entry["act"]]  # its calls are listed one by one
            if not is_told and (_is_model(result) or started["step"] in targets):
                calls.append(_call(started, entry, result if isinstance(result, dict) else {}))
    for started in open_calls.values():
        if started["step"] in targets:
            calls += _running(started, parts[started["act"]])
    costs = [float(call["cost"]) for call in calls if call["cost"]]
    return {
        "calls": calls,
        "input_tokens": sum(call["input_tokens"] or 0 for call in calls),
        "output_tokens": sum(call["output_tokens"] or 0 for call in calls),
        "cost": f"{sum(costs):.4f}" if costs else "",
        "count": len(calls),
    }


def _is_model(result: Json) -> bool:
    return isinstance(result, dict) and "usage" in result and "model" in result


def _part(started: Json, ended: Json, result: dict[str, Json]) -> Call:
    """One of several calls of an attempt; how long it took is not in the log."""
    return _call(_given_to(started, str(ended["data"].get("path"))), ended, result) | {"lasted": ""}


def _given_to(started: Json, path: str) -> Json:
    """The beginning of an attempt as that of its call at `path`, with the input of that item."""
    given = started["data"].get("input")
    each = given.get("each") if isinstance(given, dict) else None
    kind, _, number = path.partition("/")
    if kind != "item" or not isinstance(each, list) or not number.isdecimal() or int(number) >= len(each):
        return started if each is None else {**started, "data": {}}
    return {**started, "data": {"input": each[int(number)]}}


def _running(started: Json, ended: set[str]) -> list[Call]:
    """The calls of an attempt that are under way or still to come."""
    given = started["data"].get("input")
    each = given.get("each") if isinstance(given, dict) else None
    if not isinstance(each, list):
        return [_call(started, None, {})]
    paths = [f"item/{number}" for number in range(len(each))]
    return [_call(_given_to(started, path), None, {}) for path in paths if path not in ended]


def _call(started: Json, ended: Json | None, result: dict[str, Json]) -> Call:
    given = started["data"].get("input")
    given = given.get("with", given) if isinstance(given, dict) else {}
    given = given if isinstance(given, dict) else {}
    used = result.get("usage")
    usage: dict[str, Json] = used if isinstance(used, dict) else {}
    error = ended["data"].get("error") if ended is not None else None
    answer = result.get("text") if result.get("data") is None else result.get("data")
    cost = result.get("cost")
    status = "running" if ended is None else "failed" if error else "done"
    lasted = exact(ended["at"] - started["at"]) if ended is not None and ended["at"] and started["at"] else ""
    return {
        "seq": started["seq"],
        "end_seq": ended["seq"] if ended is not None else -1,
        "step": started["step"] or "",
        "attempt": started["attempt"] or 1,
        "model": str(result.get("model") or given.get("model") or ""),
        "system": pretty(given["system"], 8_000) if given.get("system") else "",
        "prompt": _prompt(given),
        "answer": pretty(answer, 16_000) if answer is not None else "",
        "tools": pretty(result["tool_calls"], 4_000) if result.get("tool_calls") else "",
        "input_tokens": _count(usage.get("input_tokens")),
        "output_tokens": _count(usage.get("output_tokens")),
        "cost": f"{cost:.6f}" if isinstance(cost, int | float) else "",
        "lasted": lasted,
        "status": status,
        "error": f"{error.get('code')}: {short(error.get('message') or '', 400)}" if isinstance(error, dict) else "",
    }


def _prompt(given: dict[str, Json]) -> str:
    if given.get("prompt") is not None:
        return pretty(given["prompt"], 16_000)
    messages = given.get("messages")
    if isinstance(messages, list):
        return "\n\n".join(
            f"{m.get('role')}: {pretty(m.get('content'), 8_000)}" for m in messages[:50] if isinstance(m, dict)
        )
    return pretty(given, 8_000) if given else ""


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
