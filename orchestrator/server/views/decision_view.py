"""A request as its page shows it: the content, what changed, the form, how the vote stands, what happened. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from orchestrator.runtime.people import Ballot, Request
from orchestrator.server.book import RequestRow
from orchestrator.server.views.ballots import (
    Standing,
    recount,
    refusal_for,
    standings,
    tone_of,
)
from orchestrator.server.views.decision_past import (
    Compared,
    Event,
    Round,
    compared_with,
    deciders_of,
    history_of,
    outcome_tone,
    rounds_of,
)
from orchestrator.server.views.forms import Field, Filled, fields_of
from orchestrator.server.views.inbox_view import Due, audience_text, due_of, state_text
from orchestrator.server.views.wording import Fact, Moment, as_words, facts, listed, moment, pretty, size

Json = Any  # plain JSON
ITEMS_PER_PAGE = 40


class Shown(TypedDict):
    """What is shown to decide: a Markdown text, and facts. `cut` says if only its beginning is shown."""

    body: str | None
    facts: list[Fact]
    cut: str


class ItemRow(TypedDict):
    """One item of a request over items."""

    number: int
    label: str
    shown: Shown
    fields: list[Field]
    choices: list[Standing]
    chosen: str
    outcome: str
    tone: str
    by: str
    is_open: bool
    error: str


class Attempt(TypedDict):
    """An answer that was refused: its message, and the form as it was sent."""

    message: str
    filled: Filled
    items: dict[int, Filled]
    item_errors: dict[int, str]
    text: str | None
    others: list[str]
    to: str


class Decision(TypedDict):
    """The whole page."""

    id: str
    title: str
    flow: str
    step: str
    run_id: str
    revision: int
    description: str | None
    shown: Shown
    compared: Compared | None
    edit_label: str
    edit_text: str
    edit_was: str
    fields: list[Field]
    verdicts: list[Standing]
    has_verdicts: bool
    items: list[ItemRow] | None
    items_open: int
    items_count: int
    page: int
    pages: int
    is_open: bool
    can_answer: bool
    can_act: bool
    why_not: str
    outcome: str
    tone: str
    decided_by: str
    closed: Moment | None
    opened: Moment | None
    due: Due | None
    to: str
    excluded: str
    claimed_by: str
    is_mine: bool
    may_delegate: bool
    delegates: str
    is_escalated: bool
    history: list[Event]
    rounds: list[Round]
    attempt: Attempt | None
    quorum: str


def shown_of(show: Mapping[str, Json]) -> Shown:
    """A rendered `show` for reading."""
    body, cut = show.get("body"), ""
    if isinstance(body, Mapping) and "$preview" in body:
        cut = f"Only the beginning is shown; the whole text has {size(int(body.get('size_bytes', 0)))}."
        body = body["$preview"]
    return {"body": None if body is None else pretty(body, 1_000_000), "facts": facts(show.get("content")), "cut": cut}


def decision_view(
    row: RequestRow,
    detail: Mapping[str, Json],  # what `request_detail` gives
    *,
    user: str,
    groups: tuple[str, ...],
    now: float,
    may_act: bool = True,
    closed: Sequence[RequestRow] = (),
    attempt: Attempt | None = None,
    page: int = 1,
    base: str = "",
) -> Decision:
    """The page of a request. `closed` are requests that were closed before, for comparisons and earlier rounds."""
    request = recount(row)
    field, verdicts = row.data.get("verdict_field"), list(row.data.get("verdicts") or ())
    show = dict(detail.get("show") or {})
    edit = row.data.get("edit")
    items = row.data.get("items")
    refusal = _refusal(row, request, user, groups)
    ballot = request.ballots[0] if request.ballots else Ballot()
    open_items = sum(b.outcome is None for b in request.ballots)
    can_answer = row.state == "open" and may_act and refusal is None and (items is None or open_items > 0)
    filled = attempt["filled"] if attempt is not None else Filled({}, {})
    description = show.get("description")
    pages = 1 if items is None else max(1, -(-len(items) // ITEMS_PER_PAGE))
    page = max(1, min(page, pages))
    outcome = state_text(row) if row.state != "open" else ""
    return {
        "id": row.id,
        "title": str(row.data.get("title") or as_words(row.step)),
        "flow": row.flow,
        "step": row.step,
        "run_id": row.run_id,
        "revision": row.revision,
        "description": description if isinstance(description, str) else None,
        "shown": shown_of(show),
        "compared": compared_with(row, show, closed),
        "edit_label": as_words(str(edit)) if edit else "",
        "edit_text": _edit_text(row, show, attempt),
        "edit_was": text_mark(_edit_text(row, show, None)),
        "fields": fields_of(
            row.data.get("form"), skip=[field] if field else [], values=filled.values, errors=filled.errors
        ),
        "verdicts": standings(request, ballot),
        "has_verdicts": field is not None,
        "items": None if items is None else _items(row, detail, request, user, attempt, page),
        "items_open": open_items if items is not None else 0,
        "items_count": len(items or ()),
        "page": page,
        "pages": pages,
        "is_open": row.state == "open",
        "can_answer": can_answer,
        "can_act": row.state == "open"
        and row.kind == "ask"  # a question of a Python workflow can only be answered
        and may_act
        and _is_entitled(refusal, request, user, groups),
        "why_not": "" if can_answer or row.state != "open" else _why_not(refusal, may_act, user, request),
        "outcome": outcome,
        "tone": outcome_tone(row, verdicts),
        "decided_by": listed(deciders_of(row, field), 6),
        "closed": moment(row.closed_at, now),
        "opened": moment(row.opened_at, now),
        "due": due_of(row, now),
        "to": audience_text(row.data.get("to")),
        "excluded": listed(list((row.data.get("to") or {}).get("not", ()))),
        "claimed_by": row.claimed_by or "",
        "is_mine": row.claimed_by == user,
        "may_delegate": bool(row.data.get("delegate")),
        "delegates": listed(list(row.delegates)),
        "is_escalated": row.is_escalated,
        "history": history_of(row, now),
        "rounds": rounds_of(row, closed, now, base),
        "attempt": attempt,
        "quorum": _quorum_text(request, ballot) if items is None else "",
    }


def _refusal(row: RequestRow, request: Request, user: str, groups: tuple[str, ...]) -> str | None:
    """Why nothing of it can be answered by somebody; a request over items is open while one of them is."""
    if row.state != "open" or row.kind != "ask":
        return None
    if row.data.get("items") is None:
        return refusal_for(request, user, groups)
    reasons = [refusal_for(request, user, groups, number) for number in range(len(request.ballots))]
    return None if None in reasons or not reasons else reasons[0]


def text_mark(text: str) -> str:
    """A short mark of a text, by which a form tells whether the text in it was changed. Browsers send line ends of their own."""
    return hashlib.sha256(text.replace("\r\n", "\n").strip("\n").encode("utf-8", "replace")).hexdigest()[:16]


def _edit_text(row: RequestRow, show: Mapping[str, Json], attempt: Attempt | None) -> str:
    if attempt is not None and attempt["text"] is not None:
        return attempt["text"]
    edit = row.data.get("edit")
    if not edit:
        return ""
    text = row.text if row.text is not None else (row.data.get("show") or {}).get(edit)
    return "" if text is None else pretty(text, 1_000_000)


def _is_entitled(refusal: str | None, request: Request, user: str, groups: tuple[str, ...]) -> bool:
    """Whether somebody may claim, correct or pass on: those who could answer, also after they did."""
    if refusal is None:
        return True
    empty = Request(request.id, 0, request.step, request.opened_at, request.data, [Ballot()])
    empty.delegates, empty.is_escalated = request.delegates, request.is_escalated
    return refusal_for(empty, user, groups) is None


def _why_not(refusal: str | None, may_act: bool, user: str, request: Request) -> str:
    if not may_act:
        return "You can look at this request; answering needs the role approver."
    mine = [a for ballot in request.ballots for a in ballot.answers if a["by"] == user]
    if mine:
        return "You have answered. It stays open until enough others have."
    return f"You cannot answer this: {refusal}." if refusal else "Every item has been decided."


def _quorum_text(request: Request, ballot: Ballot) -> str:
    parts = []
    for standing in standings(request, ballot):
        if standing["needs"] > 1:
            text = standing["needs_text"] or f"{standing['needs']} people"
            parts.append(f"{standing['label']} needs {text}")
    return "; ".join(parts)


def _items(
    row: RequestRow, detail: Mapping[str, Json], request: Request, user: str, attempt: Attempt | None, page: int
) -> list[ItemRow]:
    items = detail.get("items") or []
    shows = detail.get("shows") or []
    field, verdicts = row.data.get("verdict_field"), list(row.data.get("verdicts") or ())
    out: list[ItemRow] = []
    first = (page - 1) * ITEMS_PER_PAGE
    for number in range(first, min(len(items), first + ITEMS_PER_PAGE)):
        ballot = request.ballots[number]
        show = shows[number] if number < len(shows) and isinstance(shows[number], dict) else {}
        filled = attempt["items"].get(number, Filled({}, {})) if attempt is not None else Filled({}, {})
        shown = shown_of(show)
        if shown["body"] is None and not shown["facts"]:
            shown["facts"] = facts(items[number])
        has_voted = any(answer["by"] == user for answer in ballot.answers)
        out.append(
            {
                "number": number,
                "label": f"Item {number + 1}",
                "shown": shown,
                "fields": fields_of(
                    row.data.get("form"),
                    prefix=f"i{number}",
                    skip=[field] if field else [],
                    values=filled.values,
                    errors=filled.errors,
                ),
                "choices": standings(request, ballot) if field is not None else [],
                "chosen": str(filled.values.get(field, "")) if field else "",
                "outcome": as_words(ballot.outcome) if ballot.outcome else "You have answered" if has_voted else "",
                "tone": tone_of(str(ballot.outcome), verdicts) if ballot.outcome in verdicts else "plain",
                "by": listed([answer["by"] for answer in ballot.answers]),
                "is_open": ballot.outcome is None and not has_voted and row.state == "open",
                "error": attempt["item_errors"].get(number, "") if attempt is not None else "",
            }
        )
    return out
