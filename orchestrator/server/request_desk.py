"""Requests to people, as a person sees them: which are theirs, what is shown, and acting on them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.errors import RunFinished
from orchestrator.runtime.answering import AnswerRefused
from orchestrator.runtime.questions import ANSWER
from orchestrator.server.access import Identity, Role
from orchestrator.server.book import Reply, RequestRow
from orchestrator.server.desk import Desk
from orchestrator.server.operations import answer_question
from orchestrator.server.problems import Refused
from orchestrator.server.tick_views import preview, to_json

Json = Any  # plain JSON
SCOPES = ("me", "groups", "all", "done")


def audiences(row: RequestRow) -> list[dict[str, Any]]:
    """Who may answer: the audience, and after the escalation the second one; empty if anybody may."""
    to = row.data.get("to")
    if to is None:
        return []
    found = [to]
    escalate = row.data.get("escalate")
    if row.is_escalated and escalate:
        found.append(escalate["to"])
    return found


def is_for_person(row: RequestRow, name: str) -> bool:
    """Whether a request names somebody, is delegated to or claimed by them."""
    if name in (row.data.get("to") or {}).get("not", ()):
        return False
    named = any(name in audience.get("users", ()) for audience in audiences(row))
    return named or name in row.delegates or row.claimed_by == name


def is_for_groups(row: RequestRow, name: str, groups: Iterable[str]) -> bool:
    """Whether a request is open to somebody as a member of a group, or to anybody."""
    found = audiences(row)
    if name in (row.data.get("to") or {}).get("not", ()):
        return False
    is_open = not any(a.get("users") or a.get("groups") for a in found)
    return is_open or any(set(groups) & set(a.get("groups", ())) for a in found)


def may_answer(desk: Desk, row: RequestRow, person: Identity) -> bool:
    """Whether somebody may answer now. The runtime decides again when they do."""
    if row.state != "open" or not person.user:
        return False
    groups = desk.groups_for(person, row)
    if not (is_for_person(row, person.user) or is_for_groups(row, person.user, groups)):
        return False
    rows = row.data.get("items")
    voted = {answer.get("item") for answer in row.answers if answer.get("by") == person.user}
    return len(voted) < (len(rows) if rows is not None else 1)


def sees(desk: Desk, row: RequestRow, person: Identity) -> bool:
    """Whether somebody may look at a request: those who see runs, and those whom it concerns."""
    if person.may(Role.VIEWER):
        return True
    groups = desk.groups_for(person, row)
    took_part = any(answer.get("by") == person.user for answer in row.answers)
    return took_part or is_for_person(row, person.user) or is_for_groups(row, person.user, groups)


async def list_requests(desk: Desk, person: Identity, scope: str, *, limit: int = 200) -> list[RequestRow]:
    """The requests of a scope that somebody may see: me, groups, all (open) or done."""
    rows = await desk.requests(None if scope == "done" else "open", 5_000)
    found = [row for row in rows if sees(desk, row, person)]
    if scope == "me":
        found = [row for row in found if is_for_person(row, person.user)]
    elif scope == "groups":
        found = [row for row in found if is_for_groups(row, person.user, desk.groups_for(person, row))]
    return found[:limit]


async def find_request(desk: Desk, person: Identity, run_id: str, request_id: str) -> RequestRow:
    """One request. Raises: Refused 404, also for one that somebody may not see."""
    row = await desk.request(run_id, request_id)
    if not sees(desk, row, person):
        raise Refused(404, "request.unknown", "there is no such request")
    return row


def request_view(desk: Desk, row: RequestRow, person: Identity) -> dict[str, Json]:
    """A request in a list."""
    due = row.due_at
    return {
        "id": row.id,
        "run_id": row.run_id,
        "request_id": row.request_id,
        "kind": row.kind,
        "flow": row.flow,
        "step": row.step,
        "title": str(row.data.get("title") or row.step),
        "state": row.state,
        "opened_at": row.opened_at,
        "due_at": due,
        "closed_at": row.closed_at,
        "is_overdue": row.state == "open" and due is not None and due < desk.clock.now(),
        "claimed_by": row.claimed_by,
        "revision": row.revision,
        "outcome": row.outcome,
        "can_answer": may_answer(desk, row, person),
    }


def request_detail(desk: Desk, row: RequestRow, person: Identity) -> dict[str, Json]:
    """A request with all that is shown to decide."""
    data = row.data
    show = dict(data.get("show") or {})
    if data.get("edit") and row.text is not None:
        show[data["edit"]] = row.text
    return request_view(desk, row, person) | {
        "show": {name: preview(to_json(value)) for name, value in show.items()},
        "form": data.get("form") or {},
        "verdict_field": data.get("verdict_field"),
        "verdicts": list(data.get("verdicts") or ()),
        "edit": data.get("edit"),
        "text": row.text,
        "to": data.get("to"),
        "quorum": data.get("quorum") or {},
        "items": None if data.get("items") is None else to_json(data["items"]),
        "shows": None if data.get("shows") is None else to_json(data["shows"]),
        "may_delegate": bool(data.get("delegate")),
        "delegates": list(row.delegates),
        "is_escalated": row.is_escalated,
        "answers": [to_json({**a, "as": a.get("by")}) for a in row.answers],
        "history": [to_json(entry) for entry in row.history],
    }


async def act(desk: Desk, row: RequestRow, person: Identity, reply: Reply) -> str:
    """Act on a request; gives `accepted`, or `repeated` for an answer that was taken before.

    Raises: AnswerRefused, Refused.
    """
    if row.kind == "question" and "events" in row.data:
        await desk.class_questions.answer(row, reply)
        return "accepted"
    if row.kind == "question" and desk.is_function(row.run_id):
        if reply.action != "answer":
            raise AnswerRefused("forbidden", "request.question", "a question of a Python workflow can only be answered")
        if ANSWER not in reply.form:
            raise AnswerRefused("invalid", "request.form", f"the answer goes into the field `{ANSWER}` of the form")
        await answer_question(desk, row.run_id, row.request_id, reply.form[ANSWER])
        return "accepted"
    if reply.action == "answer" and row.data.get("edit") and reply.revision is None:
        raise AnswerRefused(
            "invalid", "request.revision", f"say which revision you were shown: `revision`, now {row.revision}"
        )
    book = await desk.book_of(row.run_id)
    try:
        await book.reply(row.run_id, reply)
    except (AnswerRefused, RunFinished) as error:
        if is_repeated(row, reply):
            return "repeated"
        if isinstance(error, RunFinished):
            raise AnswerRefused("conflict", "request.closed", "this request has been decided or has expired") from error
        raise
    return "accepted"


def is_repeated(row: RequestRow, reply: Reply) -> bool:
    """Whether the very same answer of the same person was taken already."""
    if reply.action != "answer":
        return False
    given = {name: value for name, value in reply.form.items() if value is not None}
    for answer in row.answers:
        kept = {name: value for name, value in (answer.get("form") or {}).items() if value is not None}
        if (
            answer.get("by") == reply.user
            and given == kept
            and (reply.item is None or answer.get("item") == reply.item)
        ):
            return True
    return False


def form_with_verdict(row: RequestRow, form: dict[str, Json], verdict: str | None) -> dict[str, Json]:
    """The form with a verdict that was given beside it. Raises: AnswerRefused."""
    if verdict is None:
        return form
    field = row.data.get("verdict_field")
    if field is None:
        raise AnswerRefused("invalid", "request.form", "this request has no verdicts; fill in its form")
    if form.get(field, verdict) != verdict:
        raise AnswerRefused("invalid", "request.form", f"`verdict` and the form's field `{field}` differ")
    return {**form, field: verdict}
