"""Takes an answer to a request: checks the form and the right to answer, then makes it a tick. Refused ones change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.plugin.schema_check import compile_schema
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.journal import AuditRow
from orchestrator.runtime.people import Request, check_answer
from orchestrator.runtime.questions import ANSWER


class AnswerRefused(OrchestratorError):
    """An answer was not taken; the request is as it was. kind: forbidden (exit 8), conflict (7) or invalid (2)."""

    code = "request.refused"

    def __init__(self, kind: str, code: str, message: str) -> None:
        super().__init__(message, code=code)
        self.kind = kind


def answer_request(
    run: Actor,
    request_id: str,
    *,
    user: str,
    groups: list[str] | None = None,
    form: Mapping[str, Any] | None = None,
    action: str = "answer",
    revision: int | None = None,
    item: int | None = None,
) -> None:
    """Answer, claim, release, delegate or edit an open request of a run.

    Raises: AnswerRefused.
    """
    if run.plan.answer is not None:
        _answer_question(run, request_id, user, form or {}, action)
        return
    request: Request | None = run.state.requests.get(request_id)
    if revision is None and request is not None and action in ("answer", "edit"):
        revision = request.revision  # the log and the audit say which text an answer was for
    tick = t.Answer(
        0, 0.0, -1, request_id, action, {"user": user, "groups": groups or []}, dict(form or {}), revision, item
    )
    refusal = check_answer(request, tick)
    if refusal is not None:
        raise AnswerRefused(refusal.kind, refusal.code, refusal.message)
    assert request is not None
    _check_action(request, tick, run.now())
    if action == "answer":
        tick.form = checked_form(request, tick.form)
    run.apply(tick)


def _check_action(request: Request, tick: t.Answer, now: float) -> None:
    """What is asked of an answer that comes, and not of those that a log holds. Raises: AnswerRefused."""
    deadline = request.data.get("deadline")
    if deadline is not None and now >= deadline:  # its timer is about to say so
        raise AnswerRefused("conflict", "request.closed", "this request has expired: its deadline has passed")
    user, to = tick.who["user"], tick.form.get("to")
    if tick.action == "release" and request.claimed_by not in (None, user):
        raise AnswerRefused(
            "conflict", "request.claimed", f"{request.claimed_by} has claimed this request, and gives the claim back"
        )
    if tick.action == "delegate" and (not isinstance(to, str) or not to.strip()):
        raise AnswerRefused("invalid", "request.form", "say who is to answer instead: `to` is a person's name")
    if tick.action == "edit" and not isinstance(tick.form.get("text"), str):
        raise AnswerRefused("invalid", "request.form", "an edit needs the new text: `text`")
    if tick.item is not None and not 0 <= tick.item < len(request.ballots):
        count = len(request.ballots)
        raise AnswerRefused(
            "invalid", "request.item", f"this request has no row {tick.item}; it has {count}, from 0 on"
        )


def _answer_question(run: Actor, request_id: str, user: str, form: Mapping[str, Any], action: str) -> None:
    """Answer a question of a workflow function: with the one field `answer`, or with fields that are the answer."""
    if action != "answer":
        raise AnswerRefused(
            "invalid", "request.action", "a question of a Python function can be answered, and nothing else"
        )
    assert run.plan.answer is not None
    try:
        run.plan.answer(run, request_id, form[ANSWER] if set(form) == {ANSWER} else dict(form))
    except AnswerRefused:
        raise
    except OrchestratorError as error:  # a wrong value, an unknown id, or one that has been answered
        is_wrong = error.code == "functional.response"
        kind, code = ("invalid", "request.form") if is_wrong else ("conflict", "request.closed")
        raise AnswerRefused(kind, code, error.message) from error
    from orchestrator.runtime.sink import ActorSink  # runs in memory need none

    if isinstance(run.sink, ActorSink):
        run.sink.note(
            AuditRow(run.now(), run.run_id, user, "answer.answer", {"request": request_id, "form": dict(form)})
        )


def checked_form(request: Request, form: dict[str, Any]) -> dict[str, Any]:
    """The form with missing optional fields as null.

    Raises: AnswerRefused that names every field that does not fit.
    """
    schema = request.data["form"]
    fields: dict[str, Any] = schema.get("properties", {})
    full = {name: part.get("default") for name, part in fields.items() if name not in schema.get("required", ())}
    full.update(form)
    problems = compile_schema({"additionalProperties": False, **schema}).problems(
        {k: v for k, v in full.items() if v is not None or k in form}
    )
    if problems:
        shown = "; ".join(f"{p.path}: {p.message}" if p.path else p.message for p in problems[:8])
        raise AnswerRefused("invalid", "request.form", f"the answer does not fit the form: {shown}")
    return full
