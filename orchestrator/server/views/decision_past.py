"""What happened to a request before: its history, earlier rounds, and how its text differs from what was approved. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from orchestrator.server.book import RequestRow
from orchestrator.server.views.ballots import is_approval, tone_of
from orchestrator.server.views.diffing import Diff, diff_texts
from orchestrator.server.views.inbox_view import state_text
from orchestrator.server.views.wording import Fact, Moment, as_words, facts, listed, moment, pretty

Json = Any  # plain JSON


class Compared(TypedDict):
    """A comparison with an earlier text. Without rows, `note` says why there is none."""

    title: str
    note: str
    diff: Diff | None


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


def text_of(show: Mapping[str, Json]) -> str:
    """The text of a `show` that comparisons are about."""
    body = show.get("body")
    if body is None:
        body = show.get("content")
    return "" if body is None else pretty(body)


def outcome_tone(row: RequestRow, verdicts: list[str]) -> str:
    """How an outcome looks: open, good, bad, plain or late."""
    if row.state == "open":
        return "open"
    if row.outcome in verdicts:
        return tone_of(str(row.outcome), verdicts)
    return "plain" if row.state == "decided" else "late"


def deciders_of(row: RequestRow, field: str | None) -> list[str]:
    """Those whose answers decided; all who answered where there is no single verdict."""
    by = [
        a["by"]
        for a in row.answers
        if field is None or row.outcome == "answered" or (a.get("form") or {}).get(field) == row.outcome
    ]
    return list(dict.fromkeys(by))


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


def compared_with(row: RequestRow, show: Mapping[str, Json], closed: Sequence[RequestRow]) -> Compared | None:
    """What changed: by a correction, since the last approved version, or since the round before."""
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


def history_of(row: RequestRow, now: float) -> list[Event]:
    """All that happened to a request, from the asking on."""
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


def rounds_of(row: RequestRow, closed: Sequence[RequestRow], now: float, base: str) -> list[Round]:
    """Earlier requests of the same step in the same run; the last ten."""
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
                "tone": outcome_tone(other, verdicts),
                "by": listed(deciders_of(other, field)),
                "when": moment(other.closed_at, now),
                "facts": facts(notes),
            }
        )
    return out[-10:]
