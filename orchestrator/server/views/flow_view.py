"""Flows as their pages show them: the list with how they fare, and one flow with its runs, events and triggers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict
from urllib.parse import quote

from orchestrator.draw.overlay import StepState, Visit
from orchestrator.server.book import ENDED, RunRow
from orchestrator.server.views.wording import Moment, exact, moment, plural, short

Json = Any  # plain JSON
SPARK = 24


class Bar(TypedDict):
    """One run in a row of recent runs."""

    x: int
    y: int
    height: int
    status: str


class FlowRow(TypedDict):
    """A flow in the list."""

    name: str
    href: str
    title: str
    description: str
    kind: str
    file: str
    is_ok: bool
    problems: str
    runs: int
    open: int
    bars: list[Bar]
    success: str
    middle: str
    slow: str
    last: Moment | None
    triggers: list[str]


class RunLine(TypedDict):
    """A run in a table."""

    run_id: str
    short_id: str
    href: str
    flow: str
    flow_href: str
    runs_href: str
    status: str
    created: Moment | None
    duration: str
    started_by: str
    waiting: str
    error: str
    is_child: bool
    version: str
    tags: list[str]
    spent: str


def flow_rows(flows: Iterable[Mapping[str, Json]], runs: Sequence[RunRow], now: float, base: str = "") -> list[FlowRow]:
    """The list; `runs` are recent runs of all of them, the newest first."""
    by_flow: dict[str, list[RunRow]] = {}
    for run in runs:
        by_flow.setdefault(run.flow, []).append(run)
    return [_flow_row(flow, by_flow.get(flow["name"], []), now, base) for flow in flows]


def _flow_row(flow: Mapping[str, Json], runs: Sequence[RunRow], now: float, base: str) -> FlowRow:
    ended = [run for run in runs if run.status in ENDED]
    good = sum(run.status == "done" for run in ended)
    times = sorted((run.ended_at or now) - run.created_at for run in ended)
    problems = [
        plural(flow[what], one) for what, one in (("errors", "error"), ("warnings", "warning")) if flow.get(what)
    ]
    description = str(flow.get("description") or "").strip()
    return {
        "name": flow["name"],
        "href": f"{base}/flows/{quote(flow['name'], safe='')}",
        "title": str(flow.get("title") or flow["name"]),
        "description": description.split("\n")[0],
        "kind": flow["kind"],
        "file": flow.get("file") or "",
        "is_ok": bool(flow.get("is_ok")),
        "problems": ", ".join(problems),
        "runs": len(runs),
        "open": sum(run.status not in ENDED for run in runs),
        "bars": _bars(runs[:SPARK], now),
        "success": f"{round(100 * good / len(ended))} %" if ended else "",
        "middle": exact(times[len(times) // 2]) if times else "",
        "slow": exact(times[min(len(times) - 1, int(len(times) * 0.95))]) if times else "",
        "last": moment(runs[0].created_at, now) if runs else None,
        "triggers": list(flow.get("triggers") or ()),
    }


def _bars(runs: Sequence[RunRow], now: float) -> list[Bar]:
    """Recent runs from old to new, as high as they took long."""
    lasted = [(run.ended_at or now) - run.created_at for run in runs]
    longest = max(lasted, default=0.0) or 1.0
    out: list[Bar] = []
    for place, (run, seconds) in enumerate(zip(reversed(runs), reversed(lasted), strict=True)):
        height = 6 + round(16 * min(1.0, seconds / longest))
        out.append({"x": place * 6, "y": 22 - height, "height": height, "status": run.status})
    return out


def run_line(run: RunRow, now: float, base: str = "", spent: str = "") -> RunLine:
    """A run in a table."""
    error = run.error if isinstance(run.error, dict) else {}
    message = str(error.get("message") or "")
    return {
        "run_id": run.run_id,
        "short_id": run.run_id if len(run.run_id) <= 14 else f"{run.run_id[:12]}…",
        "href": f"{base}/runs/{quote(run.run_id, safe='')}",
        "flow": run.flow,
        "flow_href": f"{base}/flows/{quote(run.flow, safe='')}",
        "runs_href": f"{base}/runs",
        "status": run.status,
        "created": moment(run.created_at, now),
        "duration": exact((run.ended_at or now) - run.created_at),
        "started_by": run.started_by,
        "waiting": ", ".join(run.waiting),
        "error": short(f"{error.get('code')}: {message}" if error.get("code") else message, 140) if error else "",
        "is_child": run.parent is not None,
        "version": run.version,
        "tags": list(run.tags),
        "spent": spent,
    }


def visits_of(runs: Iterable[RunRow]) -> dict[str, Visit]:
    """Where open runs wait, as a layer over the picture."""
    counts: dict[str, int] = {}
    for run in runs:
        for step in run.waiting:
            counts[step] = counts.get(step, 0) + 1
    return {step: Visit(StepState.WAITING, count) for step, count in counts.items()}


class EventRow(TypedDict):
    """An event of a flow."""

    name: str
    kind: str
    fields: str
    is_external: bool
    description: str


def event_rows(events: Iterable[Mapping[str, Json]]) -> list[EventRow]:
    """The events of a flow with their fields in one line."""
    return [
        {
            "name": event["name"],
            "kind": event["kind"],
            "fields": fields_text(event.get("schema")),
            "is_external": bool(event.get("external")),
            "description": str(event.get("description") or ""),
        }
        for event in events
        if event.get("kind") in ("plain", "start", "stop", "ask", "answer")
    ]


def fields_text(schema: Json) -> str:
    """An object schema as `name: type` pairs."""
    if not isinstance(schema, dict):
        return ""
    required = schema.get("required", ())
    parts = [
        f"{name}{'' if name in required else '?'}: {type_text(part)}"
        for name, part in (schema.get("properties") or {}).items()
    ]
    return ", ".join(parts)


def type_text(part: Json) -> str:
    """A schema in a word or two."""
    if not isinstance(part, dict):
        return "any"
    if part.get("enum"):
        return " | ".join(short(value, 30) for value in part["enum"][:8])
    kind = part.get("type")
    if isinstance(kind, list):
        return " | ".join(map(str, kind))
    if kind == "array":
        return f"[{type_text(part.get('items'))}]"
    if isinstance(part.get("anyOf"), list):
        return " | ".join(type_text(option) for option in part["anyOf"][:6])
    return str(kind or "any")
