"""Triggers as a page shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict
from urllib.parse import quote

from orchestrator.server.views.wording import Moment, moment

Json = Any  # plain JSON


class ScheduleRow(TypedDict):
    """A trigger: what it waits for, when it is due."""

    id: str
    flow: str
    flow_href: str
    kind: str
    what: str
    detail: str
    next: Moment | None
    last: Moment | None
    is_paused: bool
    action: str


def schedule_rows(views: Iterable[Mapping[str, Json]], now: float, base: str = "") -> list[ScheduleRow]:
    """Triggers in order of when they are due; those without a time come last."""
    ordered = sorted(views, key=lambda view: (view.get("next_at") or 1e12, view["id"]))
    return [
        {
            "id": view["id"],
            "flow": view["flow"],
            "flow_href": f"{base}/flows/{quote(view['flow'], safe='')}",
            "kind": view["kind"],
            "what": _what(view, base),
            "detail": str(view.get("timezone") or "") if view["kind"] == "cron" else "",
            "next": moment(view.get("next_at"), now),
            "last": moment(view.get("last_at"), now),
            "is_paused": bool(view.get("is_paused")),
            "action": f"{base}/schedules/{quote(view['id'], safe='/')}",
        }
        for view in ordered
    ]


def _what(view: Mapping[str, Json], base: str) -> str:
    match view["kind"]:
        case "cron":
            return str(view.get("cron"))
        case "webhook":
            return f"{view.get('method')} {base}/hooks{view.get('path')}"
    return str(view.get("event"))
