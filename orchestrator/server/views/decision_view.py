"""A request as its page shows it: the content, what changed, the form, how the vote stands, what happened. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from orchestrator.runtime.people import Ballot, Request
from orchestrator.server.book import RequestRow
from orchestrator.server.views.ballots import (
    Standing,
    is_approval,
    recount,
    refusal_for,
    standings,
    tone_of,
)
from orchestrator.server.views.diffing import Diff, diff_texts
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


class Compared(TypedDict):
    """A comparison with an earlier text. Without rows, `note` says why there is none."""

    title: str
    note: str
    diff: Diff | None


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


class Event(TypedDict):
    """A line of the history."""

    who: str
    what: str
    tone: str
    when: Moment | None
    facts: list[Fact]


class Round(TypedDict):
    """An earlier request of the same step in the same run."""

    number: int
    href: str
    outcome: str
    tone: str
    by: str
    when: Moment | None
    facts: list[Fact]


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


def text_of(show: Mapping[str, Json]) -> str:
    """The text of a `show` that comparisons are about."""
    body = show.get("body")
    if body is None:
        body = show.get("content")
    return "" if body is None else pretty(body)


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
        "compared": _compared(row, show, closed),
        "edit_label": as_words(str(edit)) if edit else "",
        "edit_text": _edit_text(row, show, attempt),
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
        "can_act": row.state == "open" and may_act and _is_entitled(refusal, request, user, groups),
        "why_not": "" if can_answer or row.state != "open" else _why_not(refusal, may_act, user, request),
        "outcome": outcome,
        "tone": _outcome_tone(row, verdicts),
        "decided_by": listed(_deciders(row, field), 6),
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
        "history": _history(row, now),
        "rounds": _rounds(row, closed, now, base),
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


def _outcome_tone(row: RequestRow, verdicts: list[str]) -> str:
    if row.state == "open":
        return "open"
    if row.outcome in verdicts:
        return tone_of(str(row.outcome), verdicts)
    return "plain" if row.state == "decided" else "late"


def _deciders(row: RequestRow, field: str | None) -> list[str]:
    """Those whose answers decided; all who answered where there is no single verdict."""
    by = [
        a["by"]
        for a in row.answers
        if field is None or row.outcome == "answered" or (a.get("form") or {}).get(field) == row.outcome
    ]
    return list(dict.fromkeys(by))


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


def baseline_of(row: RequestRow, closed: Sequence[RequestRow]) -> RequestRow | None:
    """The request whose text was approved last: of the same step, flow and title, closed before this one."""
    before = row.closed_at if row.closed_at is not None else float("inf")
    found = [
        other
        for other in closed
        if other.id != row.id
        and (other.flow, other.step, other.data.get("title")) == (row.flow, row.step, row.data.get("title"))
        and is_approval(other.outcome, list(other.data.get("verdicts") or ()))
        and (other.closed_at or 0.0) < before
    ]
    return max(found, key=lambda other: other.closed_at or 0.0, default=None)


def _earlier(row: RequestRow, closed: Sequence[RequestRow]) -> list[RequestRow]:
    """Earlier requests of the same step in the same run, the oldest first."""
    found = [
        other
        for other in closed
        if other.run_id == row.run_id
        and other.step == row.step
        and other.id != row.id
        and other.opened_at <= row.opened_at
        and (other.closed_at or 0.0) <= (row.closed_at or float("inf"))
    ]
    return sorted(found, key=lambda other: other.opened_at)


def _final_show(row: RequestRow) -> dict[str, Json]:
    show = dict(row.data.get("show") or {})
    if row.data.get("edit") and row.text is not None:
        show[row.data["edit"]] = row.text
    return show


def _compared(row: RequestRow, show: Mapping[str, Json], closed: Sequence[RequestRow]) -> Compared | None:
    text = text_of(show)
    if row.revision > 1 and row.data.get("edit"):
        original = text_of(row.data.get("show") or {})
        if original != text:
            return {"title": "Corrected since it was asked", "note": "", "diff": diff_texts(original, text)}
    wants_last = (row.data.get("show") or {}).get("diff") == "last_approved"
    if wants_last:
        base = baseline_of(row, closed)
        if base is not None:
            return _against(base, text, "Changes since the last approved version")
    earlier = [other for other in _earlier(row, closed) if text_of(_final_show(other))]
    if earlier:
        return _against(earlier[-1], text, f"Changes since round {len(earlier)}")
    if wants_last:
        note = "No version has been approved yet, so there is nothing to compare with."
        return {"title": "Changes since the last approved version", "note": note, "diff": None}
    return None


def _against(base: RequestRow, text: str, title: str) -> Compared:
    diff = diff_texts(text_of(_final_show(base)), text)
    if diff["is_same"]:
        return {"title": title, "note": "The text is the same.", "diff": None}
    return {"title": title, "note": "", "diff": diff}


def _history(row: RequestRow, now: float) -> list[Event]:
    verdicts, field = list(row.data.get("verdicts") or ()), row.data.get("verdict_field")
    out: list[Event] = [{"who": "", "what": "Asked", "tone": "plain", "when": moment(row.opened_at, now), "facts": []}]
    for entry in row.history:
        form = dict(entry.get("form") or {})
        who, action = str(entry.get("by") or ""), str(entry.get("action"))
        what, tone, shown = _happened(action, form, field, verdicts, entry)
        out.append({"who": who, "what": what, "tone": tone, "when": moment(entry.get("at"), now), "facts": shown})
    if row.state != "open" and not (row.history and row.history[-1].get("action") == "expire"):
        text = f"Closed: {state_text(row).lower()}"
        out.append({"who": "", "what": text, "tone": "plain", "when": moment(row.closed_at, now), "facts": []})
    return out


def _happened(
    action: str, form: dict[str, Json], field: str | None, verdicts: list[str], entry: Mapping[str, Json]
) -> tuple[str, str, list[Fact]]:
    match action:
        case "answer":
            verdict = form.pop(field, None) if field else None
            shown = facts({name: value for name, value in form.items() if value not in (None, "")})
            if verdict is None:
                return "answered", "plain", shown
            return f"answered {as_words(str(verdict)).lower()}", tone_of(str(verdict), verdicts), shown
        case "claim":
            return "claimed it", "plain", []
        case "release":
            return "gave the claim back", "plain", []
        case "delegate":
            return f"passed it on to {form.get('to')}", "plain", []
        case "edit":
            number = int(entry.get("revision") or 1) + 1
            return f"corrected the text (revision {number}); earlier answers were cleared", "plain", []
        case "remind":
            return "A reminder went out", "plain", []
        case "escalate":
            return "Escalated", "late", []
        case "expire":
            return "Expired without a decision", "late", []
    return as_words(action), "plain", []


def _rounds(row: RequestRow, closed: Sequence[RequestRow], now: float, base: str) -> list[Round]:
    out: list[Round] = []
    for number, other in enumerate(_earlier(row, closed), 1):
        field, verdicts = other.data.get("verdict_field"), list(other.data.get("verdicts") or ())
        last = other.answers[-1].get("form") if other.answers else {}
        notes = {name: value for name, value in (last or {}).items() if name != field and value not in (None, "")}
        out.append(
            {
                "number": number,
                "href": f"{base}/inbox/{other.id}",
                "outcome": state_text(other),
                "tone": _outcome_tone(other, verdicts),
                "by": listed(_deciders(other, field)),
                "when": moment(other.closed_at, now),
                "facts": facts(notes),
            }
        )
    return out[-10:]
