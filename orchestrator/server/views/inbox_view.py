"""The inbox as its template shows it: tabs, filters and one row per request. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict
from urllib.parse import urlencode

from orchestrator.server.book import RequestRow
from orchestrator.server.views.ballots import recount, standings, tone_of
from orchestrator.server.views.wording import Moment, as_words, listed, moment, rough

SOON_S = 4 * 3600.0
PER_PAGE = 50
TABS = (("me", "Mine"), ("groups", "My groups"), ("all", "All open"), ("done", "Done"))
_EMPTY = {
    "me": (
        "Nothing waits for you",
        "Requests that name you, that you claimed or that were passed on to you appear here.",
    ),
    "groups": (
        "Nothing waits for your groups",
        "Requests to your groups, and those that anybody may answer, appear here.",
    ),
    "all": ("Nothing waits for anybody", "When a flow asks people something, its request appears here."),
    "done": ("Nothing has been decided yet", "Decided and expired requests stay here with who decided, and when."),
}


class Due(TypedDict):
    """When a request expires. `tone`: late, soon or calm."""

    text: str
    tone: str
    when: Moment | None


class InboxRow(TypedDict):
    """One request in the list."""

    id: str
    href: str
    title: str
    flow: str
    step: str
    run_id: str
    waiting: str
    opened: Moment | None
    due: Due | None
    claimed_by: str
    is_mine: bool
    votes: str
    items: int
    state: str
    state_text: str
    tone: str
    closed: Moment | None
    can_answer: bool
    is_escalated: bool
    to: str
    pick: str
    form: str
    by: str


class Tab(TypedDict):
    """One tab of the inbox."""

    scope: str
    label: str
    count: int | None
    href: str
    is_current: bool


class BulkVerdict(TypedDict):
    """A verdict that several of the listed requests take at once."""

    verdict: str
    label: str
    tone: str


class Inbox(TypedDict):
    """The whole page."""

    bulk: list[BulkVerdict]

    scope: str
    tabs: list[Tab]
    rows: list[InboxRow]
    flows: list[str]
    flow: str
    text: str
    order: str
    shown: str
    next_href: str
    previous_href: str
    empty_title: str
    empty_text: str
    is_filtered: bool


def inbox_view(
    rows: Sequence[RequestRow],
    views: Mapping[str, Mapping[str, Any]],  # what `request_view` says of each, by id
    *,
    scope: str,
    counts: Mapping[str, int],
    query: Mapping[str, str],
    user: str,
    now: float,
    base: str = "",
) -> Inbox:
    """The list of a scope, filtered, sorted and cut to a page."""
    flow, text, order = query.get("flow", ""), query.get("text", "").strip(), query.get("order", "")
    flows = sorted({row.flow for row in rows})
    found = [row for row in rows if (not flow or row.flow == flow) and _matches(row, text)]
    found.sort(key=lambda row: _rank(row, order, scope))
    page = _page(query.get("page", ""), len(found))
    first = page * PER_PAGE
    shown = found[first : first + PER_PAGE]
    kept = {name: value for name, value in (("flow", flow), ("text", text), ("order", order)) if value}

    def href(to_scope: str, **more: str) -> str:
        return f"{base}/inbox?{urlencode({'scope': to_scope, **kept, **more})}"

    title, about = _EMPTY[scope]
    is_filtered = bool(flow or text)
    lines = [inbox_row(row, views[row.id], user=user, now=now, base=base) for row in shown]
    return {
        "bulk": _bulk([row for row, line in zip(shown, lines, strict=True) if line["pick"]]),
        "scope": scope,
        "tabs": [
            {"scope": s, "label": label, "count": counts.get(s), "href": href(s), "is_current": s == scope}
            for s, label in TABS
        ],
        "rows": lines,
        "flows": flows,
        "flow": flow,
        "text": text,
        "order": order,
        "shown": f"{first + 1}–{first + len(shown)} of {len(found)}" if len(found) > PER_PAGE else "",
        "next_href": href(scope, page=str(page + 2)) if first + PER_PAGE < len(found) else "",
        "previous_href": href(scope, page=str(page)) if page > 0 else "",
        "empty_title": "Nothing matches" if is_filtered else title,
        "empty_text": "No request fits the filter." if is_filtered else about,
        "is_filtered": is_filtered,
    }


def bulk_verdicts(row: RequestRow) -> tuple[str, ...]:
    """The verdicts that are a whole answer by themselves: no item and no other field of the form must be filled in."""
    field = row.data.get("verdict_field")
    form = row.data.get("form") or {}
    if row.kind != "ask" or not field or row.data.get("items") is not None:
        return ()
    return () if set(form.get("required") or ()) - {field} else tuple(map(str, row.data.get("verdicts") or ()))


def form_key(row: RequestRow) -> str:
    """A short name of what is asked for; requests that ask for the same have the same one."""
    asked = json.dumps([row.data.get("form"), row.data.get("verdicts")], sort_keys=True, default=str)
    return hashlib.sha256(asked.encode()).hexdigest()[:12]


def _bulk(rows: Sequence[RequestRow]) -> list[BulkVerdict]:
    """The verdicts that all of the rows take, if there are several rows; else those that any of them takes."""
    lists = [bulk_verdicts(row) for row in rows]
    if len(lists) < 2:
        return []
    common = [verdict for verdict in lists[0] if all(verdict in other for other in lists)]
    names = common or list(dict.fromkeys(verdict for one in lists for verdict in one))
    return [{"verdict": name, "label": as_words(name), "tone": tone_of(name, names)} for name in names]


def _matches(row: RequestRow, text: str) -> bool:
    return not text or text.lower() in f"{row.data.get('title')} {row.flow} {row.step} {row.run_id}".lower()


def _rank(row: RequestRow, order: str, scope: str) -> tuple[float, float]:
    if scope == "done" or order == "new":
        return -(row.closed_at or row.opened_at), 0.0
    if order == "old":
        return row.opened_at, 0.0
    return row.due_at if row.due_at is not None else 1e12, row.opened_at


def _page(text: str, count: int) -> int:
    page = int(text) - 1 if text.isascii() and text.isdigit() and len(text) < 6 else 0
    return max(0, min(page, (count - 1) // PER_PAGE)) if count else 0


def inbox_row(row: RequestRow, view: Mapping[str, Any], *, user: str, now: float, base: str = "") -> InboxRow:
    """One request as a row."""
    return {
        "id": row.id,
        "href": f"{base}/inbox/{row.id}",
        "title": str(row.data.get("title") or as_words(row.step)),
        "flow": row.flow,
        "step": row.step,
        "run_id": row.run_id,
        "waiting": rough(max(0.0, now - row.opened_at)),
        "opened": moment(row.opened_at, now),
        "due": due_of(row, now),
        "claimed_by": row.claimed_by or "",
        "is_mine": row.claimed_by == user,
        "votes": _votes(row) if row.state == "open" else "",
        "items": len(row.data.get("items") or ()),
        "state": row.state,
        "state_text": state_text(row),
        "tone": "late" if row.state in ("timeout", "cancelled", "undecided") else "calm",
        "closed": moment(row.closed_at, now),
        "can_answer": bool(view.get("can_answer")),
        "is_escalated": row.is_escalated,
        "to": audience_text(row.data.get("to")),
        "form": form_key(row),
        "by": "",
        "pick": f"{row.id}@{row.revision}" if view.get("can_answer") and bulk_verdicts(row) else "",
    }


def due_of(row: RequestRow, now: float) -> Due | None:
    """When an open request expires, in words."""
    at = row.due_at
    if at is None or row.state != "open":
        return None
    left = at - now
    if left <= 0:
        return {"text": f"overdue by {rough(-left)}", "tone": "late", "when": moment(at, now)}
    return {"text": f"due in {rough(left)}", "tone": "soon" if left < SOON_S else "calm", "when": moment(at, now)}


def state_text(row: RequestRow) -> str:
    """How a request stands, in words."""
    match row.state:
        case "open":
            return "Open"
        case "timeout":
            return "Expired"
        case "decided":
            return as_words(row.outcome or "decided")
    return as_words(row.state)


def audience_text(to: Mapping[str, Any] | None) -> str:
    """Who may answer, in a few words."""
    if to is None or not (to.get("users") or to.get("groups")):
        return "anybody"
    return listed([*to.get("users", ()), *to.get("groups", ())])


def _votes(row: RequestRow) -> str:
    request = recount(row)
    if row.data.get("items") is not None:
        decided = sum(ballot.outcome is not None for ballot in request.ballots)
        return f"{decided} of {len(request.ballots)} done" if request.ballots else ""
    parts = [
        f"{s['label'].lower()} {s['have']} of {s['needs']}"
        for s in standings(request, request.ballots[0])
        if s["have"] and s["needs"] > 1
    ]
    return ", ".join(parts)
