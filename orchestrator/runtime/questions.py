"""Questions of workflow functions as requests to people: rows of the inbox when they open and close, and how an answer is taken.

A question is a wait of the function's step with a `request_id`. Anybody may answer it, with one value. The reducer knows it as
a wait only; what is here is written beside the ticks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.runtime import ticks as t
from orchestrator.runtime.journal import AuditRow, Json, RequestRow
from orchestrator.runtime.people import Ballot, Request

if TYPE_CHECKING:  # the actor's sink uses this
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.plan import FlowPlan
    from orchestrator.runtime.state import RunState

ANSWER = "answer"
RELAYS = "relays"  # in what a relayed question shows
SAYING = ("title", "question", "prefix", "text", "prompt", "message", "msg")
Written = tuple[RequestRow, AuditRow]


def question_data(shown: Json) -> dict[str, Json]:
    """A question as the inbox keeps it; `shown` is what it announced, as plain JSON."""
    schema = shown.get("schema")
    form = {"type": "object", "properties": {ANSWER: {} if schema is None else schema}, "required": [ANSWER]}
    if isinstance(schema, dict) and "$defs" in schema:
        form["$defs"] = schema["$defs"]  # references in it are meant from the top
    choices = schema.get("enum") if isinstance(schema, dict) else None
    title = _title(shown.get("data"))
    return {
        "kind": "question",
        "title": title or shown.get("text") or "A question",
        "show": {"content": None if shown.get("data") == title else shown.get("data")},
        "form": form,
        "verdict_field": ANSWER if choices else None,
        "verdicts": [str(choice) for choice in choices or ()],
        "to": None,
        "deadline": None,
        "revision": 1,
        "text": None,
        "claimed_by": None,
        "delegates": [],
        "escalated": False,
        "answers": [],
        "outcomes": [None],
        "history": [],
    }


def relayed(shown: Json) -> str:
    """The request (`run/request`) that a question only repeats, for the code that called its flow; nothing for a real one.

    People answer that request, where its audience and who answers are checked.
    """
    data = shown.get("data")
    found = data.get(RELAYS) if isinstance(data, dict) else None
    return found if isinstance(found, str) else ""


def _title(data: Json) -> str:
    """What a question says in a line: its text, or the field of it that is named like one."""
    said = data
    if isinstance(data, dict):
        said = next((data[name] for name in SAYING if isinstance(data.get(name), str) and data[name].strip()), "")
    is_line = isinstance(said, str) and 0 < len(said.strip()) <= 200 and "\n" not in said.strip()
    return said.strip() if is_line else ""


def question_row(run_id: str, flow: str, request_id: str, at: float, shown: Json) -> RequestRow:
    """An open question as the store keeps it."""
    return RequestRow(run_id, request_id, shown.get("source") or flow, "open", question_data(shown), at, flow=flow)


def open_question_rows(run_id: str, plan: FlowPlan, state: RunState, ticks: Iterable[t.Tick]) -> list[RequestRow]:
    """The open questions of a recorded run; `ticks` are those that led to `state`."""
    waits = [wait for paths in state.open_waits.values() for wait in paths.values() if wait.asked is not None]
    asked_at = {tick.request_id: tick.at for tick in ticks if isinstance(tick, t.WaitOpened)} if waits else {}
    codec: Any = plan.codec  # of a workflow function: it alone asks so
    return [
        question_row(run_id, plan.ir.name, wait.request_id, asked_at[wait.request_id], shown)
        for wait in waits
        if wait.request_id is not None and not relayed(shown := codec.question(wait.asked))
    ]


class QuestionWatch:
    """Which questions of a run are open, and the rows to write when that changes."""

    __slots__ = ("_actor", "_open")

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        waits = (wait for paths in actor.state.open_waits.values() for wait in paths.values())
        self._open = {wait.request_id for wait in waits if wait.request_id}

    def rows(self, tick: t.Tick, show: Any) -> Iterator[Written]:
        """What a tick that is about to be applied changes. `show(shown)` is what a question announces, as plain JSON."""
        if type(tick) is t.WaitOpened:
            if tick.request_id and tick.announce is not None and tick.request_id not in self._open:
                shown = show(tick.announce[1])
                if not relayed(shown):
                    self._open.add(tick.request_id)
                    yield self._opened(tick.request_id, tick.at, shown)
        elif type(tick) is t.EventIn:
            if self._open and tick.type[:1] == "?" and tick.type[1:] in self._open:
                yield self._closed(tick.type[1:], "decided", tick.at)
        elif type(tick) is t.WaitClosed:
            wait = self._actor.state.open_waits.get(tick.act, {}).get(tick.path)
            if wait is not None and wait.request_id in self._open:
                yield self._closed(str(wait.request_id), "cancelled", tick.at)

    def end(self, at: float) -> Iterator[Written]:
        """The run is over: what is open is asked no more."""
        for request_id in sorted(self._open):
            yield self._closed(request_id, "cancelled", at)

    def _opened(self, request_id: str, at: float, shown: Json) -> Written:
        run = self._actor
        row = question_row(run.run_id, run.plan.ir.name, request_id, at, shown)
        return row, AuditRow(at, run.run_id, "", "request.opened", {"request": request_id})

    def _closed(self, request_id: str, state: str, at: float) -> Written:
        self._open.discard(request_id)
        row = RequestRow(self._actor.run_id, request_id, "", state, None, 0.0, closed_at=at)
        return row, AuditRow(at, self._actor.run_id, "", f"request.{state}", {"request": request_id})


def open_asks(run: Actor) -> dict[str, Request]:
    """What a live run asks people: the requests of its steps, and the questions of a workflow function in the same shape."""
    if run.plan.questions is None:
        return run.state.requests
    return {
        request_id: Request(request_id, 0, str(shown["source"]), 0.0, question_data(shown), [Ballot()])
        for request_id, shown in run.plan.questions(run).items()
        if not relayed(shown)
    }
