"""The state of a run at a point, as a page shows it, and what an entry changed in it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from orchestrator.server.views.wording import Moment, moment, pretty, short

Json = Any  # plain JSON
MAX_CHANGES = 200
MAX_DEPTH = 12


class Change(TypedDict):
    """One place that differs. kind: add, del or set."""

    kind: str
    path: str
    before: str
    after: str


class Waiting(TypedDict):
    """Something the run waits for."""

    what: str
    detail: str
    when: Moment | None


class StateView(TypedDict):
    """What a run holds."""

    seq: int
    status: str
    vars: list[list[str]]
    working: list[str]
    waiting: list[Waiting]
    result: str
    changes: list[Change]
    is_cut: bool


def state_page(now_state: Mapping[str, Json], before: Mapping[str, Json] | None, now: float) -> StateView:
    """A state, and how it differs from the one before."""
    changes = list(_changes(before or {}, now_state)) if before is not None else []
    values = now_state.get("vars") or {}
    return {
        "seq": int(now_state.get("seq", -1)),
        "status": str(now_state.get("status", "")),
        "vars": [[name, pretty(value)] for name, value in values.items()],
        "working": [_working(step) for step in now_state.get("steps") or ()],
        "waiting": _waiting(now_state, now),
        "result": pretty(now_state["result"]) if now_state.get("result") is not None else "",
        "changes": changes[:MAX_CHANGES],
        "is_cut": len(changes) > MAX_CHANGES,
    }


def _working(step: Mapping[str, Json]) -> str:
    more = f", attempt {step['attempt']}" if step.get("attempt", 1) > 1 else ""
    phase = "" if step.get("phase") in (None, "main") else f", {step['phase']}"
    return f"{step.get('step')}{more}{phase}"


def _waiting(state: Mapping[str, Json], now: float) -> list[Waiting]:
    out: list[Waiting] = []
    for request in state.get("requests") or ():
        out.append({"what": "people", "detail": f"{request['step']}, revision {request['revision']}", "when": None})
    for wait in state.get("waits") or ():
        match = f" {short(wait['match'], 80)}" if wait.get("match") else ""
        out.append({"what": "event", "detail": f"{wait.get('event') or 'a time'}{match}", "when": None})
    for join in state.get("joins") or ():
        key = f" for {short(join['key'], 60)}" if join.get("key") is not None else ""
        out.append({"what": "fan-in", "detail": f"{join['step']} has {join['collected']}{key}", "when": None})
    for group in state.get("groups") or ():
        detail = f"{group['site']}: {group['open']} of {group['size']} open"
        out.append({"what": "fan-out", "detail": detail, "when": None})
    for name, count in (state.get("queued") or {}).items():
        out.append({"what": "queue", "detail": f"{name}: {count}", "when": None})
    for timer in (state.get("timers") or ())[:50]:
        out.append({"what": "timer", "detail": str(timer["kind"]), "when": moment(timer.get("due"), now)})
    for child in (state.get("children") or ())[:50]:
        out.append({"what": "child run", "detail": str(child), "when": None})
    return out


def _changes(before: Mapping[str, Json], after: Mapping[str, Json]) -> Iterator[Change]:
    keys = (
        "status",
        "vars",
        "steps",
        "queued",
        "joins",
        "groups",
        "waits",
        "requests",
        "timers",
        "children",
        "result",
        "error",
    )
    for key in keys:
        yield from _differ(_keyed(key, before.get(key)), _keyed(key, after.get(key)), key, 0)


def _keyed(name: str, value: Json) -> Json:
    """Lists of things with a name of their own, by that name, so that one more does not shift the others."""
    if not isinstance(value, list):
        return value
    by: dict[str, Json] = {}
    for place, part in enumerate(value):
        key = None
        if isinstance(part, dict):
            match name:
                case "steps":
                    key = f"{part.get('step')} #{part.get('act')}"
                case "requests":
                    key = str(part.get("request"))
                case "timers":
                    key = f"{part.get('kind')} {part.get('due')}"
        by[key or str(place)] = part
    return by


def _differ(a: Json, b: Json, path: str, depth: int) -> Iterator[Change]:
    if a == b:
        return
    if isinstance(a, dict) and isinstance(b, dict) and depth < MAX_DEPTH:
        for name in [*a, *(name for name in b if name not in a)]:
            where = f"{path}.{name}"
            if name not in b:
                yield _change("del", where, a[name], None)
            elif name not in a:
                yield _change("add", where, None, b[name])
            else:
                yield from _differ(a[name], b[name], where, depth + 1)
        return
    if isinstance(a, list) and isinstance(b, list) and depth < MAX_DEPTH and len(a) <= len(b):
        for place in range(len(b)):
            where = f"{path}[{place}]"
            if place >= len(a):
                yield _change("add", where, None, b[place])
            else:
                yield from _differ(a[place], b[place], where, depth + 1)
        return
    yield _change("set", path, a, b)


def _change(kind: str, path: str, before: Json, after: Json) -> Change:
    if path.startswith("timers."):
        path = path.rpartition(" ")[0]  # the time in the key only tells timers of a kind apart
    return {"kind": kind, "path": path, "before": _told(before), "after": _told(after)}


def _told(value: Json) -> str:
    return "" if value is None else short(value, 300)
