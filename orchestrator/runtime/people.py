"""Requests to people: who may answer, what counts, when it is decided. Fail-closed: silence is never consent.

A request lives in the reducer and is answered by `Answer` ticks; nothing polls and no vote counts twice. `check_answer` says
before the tick why an answer is refused; the reducer asks it again, so an answer that slipped through changes nothing.

Shape of the rendered request (`StepStarted.request`): {title, show, form, verdict_field, verdicts, edit, to: {users, groups,
not} or None, quorum: {verdict: int or {group: int}}, remind: [due], escalate: {at, to} or None, deadline: due or None,
delegate: bool, items: [item] or None, eligible: [user] or None (None: open or unknown), undecided: bool (has a branch)}.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orchestrator.ir.durations import iso_utc
from orchestrator.runtime.reduction import Reduction, clear_timer, set_timer, unpark
from orchestrator.runtime.state import Activation, Status, Timer
from orchestrator.runtime.ticks import Answer, Notify, Wake


@dataclass(slots=True)
class Ballot:
    """The answers on one item (a request without items has one ballot)."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    outcome: str | None = None


@dataclass(slots=True)
class Request:
    """An open or closed request; `history` keeps what happened, for the audit and the inbox."""

    id: str
    act: int
    step: str
    opened_at: float
    data: dict[str, Any]
    ballots: list[Ballot]
    revision: int = 1
    text: Any = None
    claimed_by: str | None = None
    delegates: list[str] = field(default_factory=list)
    is_escalated: bool = False
    timers: list[int] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an answer is not taken. kind: forbidden, conflict or invalid (exit codes 8, 7, 2)."""

    kind: str
    code: str
    message: str


def open_request(r: Reduction, act: Activation, data: dict[str, Any]) -> None:
    """Open the request of an `ask` and arm its reminders, escalation and deadline. The activation is parked already."""
    key = f"{act.step.name}-{act.id}"
    items = data.get("items")
    request = Request(
        key, act.id, act.step.name, r.at, data, [Ballot() for _ in items] if items is not None else [Ballot()]
    )
    if data.get("edit"):
        request.text = data["show"].get(data["edit"])
    r.state.requests[key] = request
    act.owned = [*(act.owned or ()), ("request", key)]
    for due in data.get("remind") or ():
        request.timers.append(set_timer(r, due, "remind", key))
    if data.get("escalate"):
        request.timers.append(set_timer(r, data["escalate"]["at"], "escalate", key))
    if data.get("deadline") is not None:
        request.timers.append(set_timer(r, data["deadline"], "expire", key))
    r.out.append(Notify(key, "opened"))
    if items is not None and not items:
        _decide(r, request, "answered")
    elif not _can_decide(request, request.ballots[0]):
        _decide(r, request, "undecided")


def check_answer(request: Request | None, tick: Answer) -> Refusal | None:
    """Why this answer would be refused, or None. The form itself is checked by the shell, against `data["form"]`."""
    if request is None:
        return Refusal("conflict", "request.closed", "this request has been decided or has expired")
    user = str(tick.who.get("user") or "")
    if not user:
        return Refusal("forbidden", "request.unknown_person", "an answer needs the name of the person who gives it")
    problem = _may_act(request, user, tick.who.get("groups") or [])
    if problem is not None:
        return problem
    if tick.action == "claim" and request.claimed_by not in (None, user):
        return Refusal("conflict", "request.claimed", f"{request.claimed_by} has claimed this request")
    if tick.action == "delegate" and not request.data.get("delegate"):
        return Refusal("forbidden", "request.no_delegation", "this request does not allow delegation")
    if tick.action == "delegate" and tick.form.get("to") in (request.data.get("to") or {}).get("not", []):
        return Refusal("forbidden", "request.excluded", f"{tick.form.get('to')} can never answer this request")
    if tick.action == "edit" and not request.data.get("edit"):
        return Refusal("forbidden", "request.no_edit", "the text of this request cannot be edited")
    if tick.action not in ("answer", "edit"):
        return None
    if tick.revision is not None and tick.revision != request.revision:
        message = f"the text changed: revision {tick.revision} was shown, {request.revision} is open; look at it again"
        return Refusal("conflict", "request.revision", message)
    for ballot in _ballots(request, tick.item) if tick.action == "answer" else ():
        if ballot.outcome is not None:
            return Refusal("conflict", "request.decided", "this has been decided already")
        if any(a["by"] == user for a in ballot.answers):
            return Refusal("conflict", "request.voted", f"{user} has answered already")
    return None


def apply_answer(r: Reduction, tick: Answer) -> None:
    """Take an answer, claim, release, delegation or edit; a refused one changes nothing."""
    request = r.state.requests.get(tick.request)
    if request is None or check_answer(request, tick) is not None:
        return
    user = str(tick.who["user"])
    entry = {"at": r.at, "by": user, "action": tick.action, "revision": request.revision, "form": tick.form}
    request.history.append(entry)
    if tick.action == "claim":
        request.claimed_by = user
        r.out.append(Notify(tick.request, "claimed"))
    elif tick.action == "release":
        request.claimed_by = None
        r.out.append(Notify(tick.request, "released"))
    elif tick.action == "delegate":
        request.delegates.append(str(tick.form["to"]))
        r.out.append(Notify(tick.request, "delegated", number=len(request.history)))
    elif tick.action == "edit":
        request.text = tick.form.get("text")
        request.revision += 1
        for ballot in request.ballots:
            ballot.answers.clear()
        r.out.append(Notify(tick.request, "edited"))
    else:
        for ballot in _ballots(request, tick.item):
            count_vote(request, ballot, user, tick)
        if all(b.outcome is not None for b in request.ballots):
            outcomes = {b.outcome for b in request.ballots}
            _decide(r, request, str(next(iter(outcomes))) if len(request.ballots) == 1 else "answered")
        else:
            r.out.append(Notify(tick.request, "answered"))


def fire_request_timer(r: Reduction, timer: Timer) -> None:
    """A reminder, the escalation or the deadline of a request came due."""
    request = r.state.requests.get(timer.ref)
    if request is None:
        return
    request.history.append({"at": r.at, "by": None, "action": timer.kind, "revision": request.revision, "form": {}})
    if timer.kind == "remind":
        r.out.append(Notify(request.id, "reminded", number=len(request.history)))
    elif timer.kind == "escalate":
        request.is_escalated = True
        r.out.append(Notify(request.id, "escalated", number=len(request.history)))
    else:
        for ballot in request.ballots:
            ballot.outcome = ballot.outcome or "timeout"
        _decide(r, request, "timeout")


def close_request(r: Reduction, key: str, why: str) -> None:
    """Close a request without an outcome: its step left the run."""
    request = r.state.requests.pop(key, None)
    if request is None:
        return
    for timer in request.timers:
        clear_timer(r, timer)
    r.out.append(Notify(key, why, request))


def voters_of(ballot: Ballot, outcome: str, verdict_field: str | None) -> list[str]:
    """Who gave the winning verdict, in order of arrival."""
    if verdict_field is None:
        return [a["by"] for a in ballot.answers]
    return [a["by"] for a in ballot.answers if a["form"].get(verdict_field) == outcome]


def shown_answers(ballot: Ballot) -> list[dict[str, Any]]:
    """The answers as a flow sees them: the form's fields, `as` (who) and `at` (when)."""
    return [{**a["form"], "as": a["by"], "at": iso_utc(a["at"])} for a in ballot.answers]


def _decide(r: Reduction, request: Request, outcome: str) -> None:
    data = request.data
    field_name = data.get("verdict_field")
    close_request(r, request.id, "decided" if outcome not in ("timeout", "undecided") else outcome)
    act = r.state.acts.get(request.act)
    if act is None or r.state.status not in (Status.RUNNING, Status.STOPPING):
        return
    ballot = request.ballots[0] if request.ballots else Ballot()
    value: dict[str, Any] = {
        "outcome": outcome,
        "answers": [a for b in request.ballots for a in shown_answers(b)],
        "voters": voters_of(ballot, outcome, field_name) if data.get("items") is None else [],
        "revision": request.revision,
        "history": request.history,
    }
    if data.get("edit"):
        value["text"] = request.text
    if data.get("items") is not None:
        value["items"] = [
            {"item": item, "outcome": b.outcome, "answers": shown_answers(b)}
            for item, b in zip(data["items"], request.ballots, strict=True)
        ]
    unpark(r, act)
    r.out.append(Wake(act, request.id, "answer", value))


def count_vote(request: Request, ballot: Ballot, user: str, tick: Answer) -> None:
    """Add a vote to a ballot, and its outcome if that decides it."""
    groups = list(tick.who.get("groups") or ())
    ballot.answers.append(
        {"by": user, "groups": groups, "revision": request.revision, "at": tick.at, "form": tick.form}
    )
    data = request.data
    field_name = data.get("verdict_field")
    if field_name is None:
        if _has_quorum(ballot.answers, data["quorum"].get("answered", 1)):
            ballot.outcome = "answered"
        return
    verdict = tick.form.get(field_name)
    of_verdict = [a for a in ballot.answers if a["form"].get(field_name) == verdict]
    if _has_quorum(of_verdict, data["quorum"].get(verdict, 1)):
        ballot.outcome = str(verdict)
    elif not _can_decide(request, ballot):
        ballot.outcome = "undecided"


def _ballots(request: Request, item: int | None) -> list[Ballot]:
    if item is None:
        return [b for b in request.ballots if b.outcome is None] or request.ballots[:1]
    return [request.ballots[item]] if 0 <= item < len(request.ballots) else []


def _may_act(request: Request, user: str, groups: list[str]) -> Refusal | None:
    to = request.data.get("to")
    if to is None:
        return None
    if user in to.get("not", ()):
        return Refusal("forbidden", "request.excluded", f"{user} can never answer this request (`to.not`)")
    audiences = [to]
    if request.is_escalated:
        audiences.append(request.data["escalate"]["to"])
    for audience in audiences:
        if user in audience.get("users", ()) or set(groups) & set(audience.get("groups", ())):
            return None
    if user in request.delegates or not any(a.get("users") or a.get("groups") for a in audiences):
        return None
    return Refusal("forbidden", "request.not_entitled", f"{user} is not among those who may answer this request")


def _has_quorum(answers: list[dict[str, Any]], needed: Any) -> bool:
    if isinstance(needed, dict):
        return _matches(answers, needed)
    return len(answers) >= int(needed)


def _matches(answers: list[dict[str, Any]], needed: dict[str, int]) -> bool:
    """Whether every group's seats can be filled, one person for one seat (augmenting paths)."""
    seats = [group for group, count in needed.items() for _ in range(count)]
    taken: dict[int, int] = {}

    def seat(person: int, tried: set[int]) -> bool:
        for place, group in enumerate(seats):
            if place in tried or group not in answers[person]["groups"]:
                continue
            tried.add(place)
            if place not in taken or seat(taken[place], tried):
                taken[place] = person
                return True
        return False

    for person in range(len(answers)):
        seat(person, set())
    return len(taken) == len(seats)


def _can_decide(request: Request, ballot: Ballot) -> bool:
    """Whether some verdict can still reach its quorum with those who have not answered."""
    eligible = request.data.get("eligible")
    if eligible is None:
        return True
    excluded = set((request.data.get("to") or {}).get("not", ()))
    voted = {a["by"] for a in ballot.answers}
    groups_of = request.data.get("groups_of") or {}
    left = [{"by": user, "groups": groups_of.get(user, [])} for user in eligible if user not in voted | excluded] + [
        {"by": user, "groups": groups_of.get(user, [])} for user in request.delegates if user not in voted
    ]
    field_name = request.data.get("verdict_field")
    verdicts = request.data.get("verdicts") or ["answered"]
    for verdict in verdicts:
        have = [a for a in ballot.answers if field_name is None or a["form"].get(field_name) == verdict]
        if _has_quorum(have + left, request.data["quorum"].get(verdict, 1)):
            return True
    return False
