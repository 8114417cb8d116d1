"""What one process knows of one run: its passes, its questions, and the `run()` calls that wait for it.

A *phase* is what one `run()` call sees: from a start or an answer until the run pauses or ends. Several may look at one run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchestratorError, RunCancelled, StepFailed
from orchestrator.functional.errors import InvalidResponse, RequestError
from orchestrator.functional.events import (
    WorkflowEvent,
    WorkflowRunResult,
    WorkflowRunState,
    framework_event,
    status_event,
)
from orchestrator.functional.log_events import event_of, failed_event
from orchestrator.functional.outcomes import Aborted, Outcome
from orchestrator.functional.passes import Pass
from orchestrator.functional.questions import (
    Question,
    check_answer,
    encode_answer,
    question_of,
    request_event,
    unknown_request,
)
from orchestrator.functional.values import Value, decode
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.state import Activation, Status

if TYPE_CHECKING:  # a workflow makes sessions
    from orchestrator.functional.workflow import FunctionalWorkflow

_STATES = {
    Status.DONE: WorkflowRunState.IDLE,
    Status.FAILED: WorkflowRunState.FAILED,
    Status.TIMEOUT: WorkflowRunState.FAILED,
    Status.CANCELLED: WorkflowRunState.CANCELLED,
}


class Phase:
    """A stretch of a run's log, from `start`; `done` when the run has paused or ended. `error` is why it was given up."""

    __slots__ = ("done", "end", "error", "last", "pending", "start")

    def __init__(self, start: int) -> None:
        self.start = start  # a seq of the run's log, as is `end`
        self.end = -1
        self.last: WorkflowEvent | None = None  # the status that the phase came to; its number is `end`
        self.pending: list[str] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.error: BaseException | None = None


class RunSession:
    """One run, seen from the functional API; kept in `Actor.data`."""

    __slots__ = (
        "__weakref__",
        "_by_path",
        "_phases",
        "_wants_pass",
        "actor",
        "asked",
        "current",
        "expected",
        "given",
        "invalid",
        "is_streaming",
        "last_tick",
        "on_divergence",
        "owes_start",
        "starting",
        "told",
        "unpin",
        "workflow",
    )

    def __init__(self, workflow: FunctionalWorkflow[Any], actor: Actor, *, is_streaming: bool = False) -> None:
        self.workflow = workflow
        self.actor = actor
        self.is_streaming = is_streaming
        self.on_divergence = "abort"
        self.asked: dict[str, Question] = {}
        self._by_path: dict[str, Question] = {}
        self.given: dict[str, Value] = {}  # accepted answers of a run that was read from a storage
        self.last_tick: t.Tick | None = None  # the end of a run that is only looked at
        self.invalid: list[InvalidResponse] = []
        self.current: Pass | None = None
        self.owes_start = False  # the first pass shows that the run started
        self.unpin: Callable[[Actor], None] | None = None  # gives the run back to the store that it was taken from
        self.starting: dict[str, Any] = {}  # (plan, first tick) of flows that the function starts, by run id
        self.expected: dict[str, Any] = {}  # what takes the actors of these runs
        self.told: dict[str, asyncio.Future[None]] = {}  # who waits for their ends
        self._phases: list[Phase] = []
        self._wants_pass = False
        actor.data = self
        actor.on_finish = self.finished

    # Phases.

    def begin_phase(self, *, is_announced: bool = True) -> Phase:
        """A new look at the run, from here on."""
        phase = Phase(self.actor.next_seq)
        self._phases.append(phase)
        if is_announced:
            self._announce_start()
        else:
            self.owes_start = True
        return phase

    def _announce_start(self) -> None:
        self.owes_start = False
        self.announce(framework_event("started"))
        self.announce(status_event(WorkflowRunState.IN_PROGRESS))

    def _end_phases(self, state: WorkflowRunState, error: BaseException | None = None) -> None:
        phases, self._phases = self._phases, []
        last: WorkflowEvent | None = None
        end = self.actor.base + len(self.actor.entries)
        if (
            phases and state is not WorkflowRunState.IN_PROGRESS
        ):  # a look that was given up has no status, it has an error
            last = self._last_status(state)
            end = last.sequence
        pending = [] if self.actor.is_over else self.pending()
        for phase in phases:
            phase.end = end
            phase.last = last
            phase.pending = pending
            phase.error = error
            if not phase.done.done():
                phase.done.set_result(None)
        self.actor.wake_readers()

    def _last_status(self, state: WorkflowRunState) -> WorkflowEvent:
        """The status that a look comes to: of a run that goes on later it stands in the log, so that its number is used up."""
        last = status_event(state)
        if state is WorkflowRunState.IDLE_WITH_PENDING_REQUESTS:
            self.announce(last)
        else:
            last.run_id, last.at, last.sequence = self.actor.run_id, self.actor.now(), self.actor.next_seq
        return last

    def show_end(self, responses: dict[str, Value]) -> Phase:
        """A look at a run that has ended: what it came to. Raises: RequestError for an answer that it did not get."""
        for request_id, value in responses.items():
            if request_id not in self.asked or self.given.get(request_id) != value:
                raise RequestError(f"run {self.actor.run_id!r} has ended and takes no more answers")
        assert self.last_tick is not None
        self.actor.base = self.last_tick.seq
        phase = self.begin_phase(is_announced=False)
        self.actor.entries.append(self.last_tick)
        self.finished(self.actor)
        return phase

    def leave_phase(self, phase: Phase) -> bool:
        """Stop looking; True if nobody else looks at the run any more."""
        if phase in self._phases:
            self._phases.remove(phase)
        return not self._phases

    def result_of(self, phase: Phase, *, with_status: bool) -> WorkflowRunResult:
        """What a phase came to. Raises: the run's error, if it failed or was given up."""
        if phase.error is not None:
            raise phase.error
        last = () if phase.last is None else (phase.last,)
        events = chain(self.events(phase.start, phase.end), last)
        run_id, pending = self.actor.run_id, phase.pending
        return WorkflowRunResult(events, run_id=run_id, pending=pending, with_status=with_status)

    def announce(self, event: WorkflowEvent) -> None:
        """Show an event to readers at once."""
        actor = self.actor
        event.run_id = actor.run_id
        event.at = actor.now()
        event.sequence = actor.next_seq
        actor.stream(event, 0, 0)

    # Passes.

    def begin_pass(self, act: Activation) -> Pass:
        """The next pass over the function."""
        self._wants_pass = False
        if self.owes_start:
            self._announce_start()
        self.current = Pass(self, act)
        return self.current

    def end_pass(self, outcome: Outcome) -> None:
        """A pass ended without ending the run."""
        current, self.current = self.current, None
        if isinstance(outcome, Aborted):
            is_forked = bool(self._phases) and self.on_divergence == "fork"  # whoever forks it sets it aside
            told = partial(self._is_aside, self._phases, outcome.error)
            if not is_forked and self.actor.engine.set_aside_soon(self.actor, outcome.error, told):
                self._phases = []
                return
            self._end_phases(WorkflowRunState.IN_PROGRESS, outcome.error)
            if not is_forked:
                self.workflow.keep(self)
        elif self._wants_pass and current is not None:
            self.actor.rerun(current.act)
        else:
            invalid, self.invalid = self.invalid, []
            self._end_phases(WorkflowRunState.IDLE_WITH_PENDING_REQUESTS, invalid[0] if invalid else None)
            self.workflow.keep(self)

    def _is_aside(self, phases: list[Phase], error: OrchestratorError) -> None:
        """The store knows why the run does not go on: tell those who look at it."""
        self._phases = phases
        self._end_phases(WorkflowRunState.IN_PROGRESS, error)

    def wake(self, act: Activation, path: str) -> None:
        """An answer, or the end of a flow, has come: hand it to the pass that waits for it, or start another."""
        current = self.current
        told = self.told.pop(path, None)
        if told is not None and current is not None and not current.ended.done() and not told.done():
            told.set_result(None)
            return
        if current is not None and path in current.waiting and not current.ended.done():
            current.answer(path)
        elif current is not None:
            self._wants_pass = current.ended.done() or self._wants_pass
        else:
            self._ask_for_pass(act)

    def start_pass(self) -> None:
        """Run the function again from the top, as after a restart."""
        if self.current is None:
            self._ask_for_pass(self.act)

    def _ask_for_pass(self, act: Activation) -> None:
        """Have one more pass begin, unless one is about to."""
        if not (self._wants_pass or self.actor.has_ready or act.task is not None):
            self._wants_pass = True
            self.actor.rerun(act)

    @property
    def act(self) -> Activation:
        """The one activation of a functional workflow."""
        return next(iter(self.actor.state.acts.values()))

    def finished(self, actor: Actor) -> None:
        """The run has ended."""
        current, self.current = self.current, None
        status = actor.state.status
        self.workflow.forget(self)
        error: BaseException | None = None
        if status is Status.CANCELLED:
            error = RunCancelled(f"run {actor.run_id} was cancelled", run_id=actor.run_id)
        elif status is not Status.DONE:
            record = actor.state.error or {}
            error = actor.exception or StepFailed(str(record.get("message")), run_id=actor.run_id, error=record)
        if current is None or current.finished.done():
            self._end_phases(_STATES[status], error)
        else:  # cancelled from outside: its code may still be cleaning up
            current.finished.add_done_callback(lambda _: self._end_phases(_STATES[status], error))

    async def cancel(self) -> None:
        """Let go of the run: its code is cancelled and has ended when this returns. What is recorded stays recorded.

        A run over a store goes on there; nobody here waits for it any more.
        """
        current = self.current
        if self.unpin is not None:
            self.workflow.keep(self)
            return
        if not self.actor.is_over:
            self.actor.discard()
        self.workflow.forget(self)
        if current is not None:
            await current.wait_over()
        error = RunCancelled(f"run {self.actor.run_id} was cancelled", run_id=self.actor.run_id)
        self._end_phases(WorkflowRunState.CANCELLED, error)

    def fail(self, error: BaseException) -> None:
        """The storage failed: nothing more of this run can be kept, so it goes no further here."""
        self.actor.discard()
        self.workflow.forget(self)
        self._end_phases(WorkflowRunState.FAILED, error)

    def lost(self, error: BaseException) -> None:
        """The engine has let go of the run, which may go on elsewhere."""
        self.current = None
        self.workflow.forget(self)
        self._end_phases(WorkflowRunState.IN_PROGRESS, error)

    # Questions.

    def add_question(self, question: Question) -> None:
        """A question was asked, or asked again."""
        self.asked[question.request_id] = question
        self._by_path[question.path] = question

    def keep_questions(self, ticks: Iterable[t.WaitOpened]) -> None:
        """Know again what was asked before; the type of an answer is known when the code asks again."""
        for tick in ticks:
            if tick.announce is not None and tick.request_id is not None:
                self.add_question(question_of(tick.path, tick.request_id, tick.announce[1]))

    def keep_open_questions(self) -> None:
        """The same for those that are open, of a run whose beginning is not in memory."""
        for wait in (wait for paths in self.actor.state.open_waits.values() for wait in paths.values()):
            if wait.asked is not None and wait.request_id is not None and wait.request_id not in self.asked:
                self.add_question(question_of(wait.path, wait.request_id, wait.asked))

    def question_at(self, path: str) -> Question | None:
        """The question that was asked last at a path."""
        return self._by_path.get(path)

    def pending(self) -> list[str]:
        """The ids of open questions, in the order they were asked."""
        waits = self.actor.state.open_waits
        return [wait.request_id for by_path in waits.values() for wait in by_path.values() if wait.request_id]

    def answered(self, request_id: str) -> Value:
        """The accepted answer to a question, as it was given. Raises: KeyError."""
        question = self.asked[request_id]
        entry = (self.act.record or {})[question.path]
        return decode(entry[1].value, None)

    def check_answers(self, responses: dict[str, Value]) -> dict[str, Value]:
        """The answers that are new, ready to be recorded.

        Raises: RequestError for an unknown id or a changed answer, InvalidResponse for one of a wrong type.
        """
        pending = set(self.pending())
        new: dict[str, Value] = {}
        for request_id, value in responses.items():
            if request_id in pending:
                question = self.asked[request_id]
                check_answer(question, value)
                new[request_id] = encode_answer(question, value) if self.actor.sink is not None else value
            elif request_id in self.asked:
                if self.answered(request_id) != value:
                    raise RequestError(
                        f"request {request_id!r} of run {self.actor.run_id} was answered otherwise; an answer cannot be changed"
                    )
            else:
                raise RequestError(unknown_request(request_id, sorted(pending), self.actor.run_id))
        return new

    def answer(self, answers: dict[str, Value]) -> None:
        """Record checked answers; the pass goes on, or a new one starts."""
        for request_id, value in answers.items():
            self.actor.apply(t.EventIn(0, 0.0, -1, "?" + request_id, value))

    def open_events(self) -> dict[str, WorkflowEvent]:
        """The open questions as events, by id."""
        return {request_id: request_event(self.asked[request_id]) for request_id in self.pending()}

    async def repeat_questions(self) -> None:
        """Show the open questions again and leave the run as it is."""
        for event in self.open_events().values():
            self.announce(event)
        if self.actor.sink is not None:
            await self.actor.sink.flush()
        self._end_phases(WorkflowRunState.IDLE_WITH_PENDING_REQUESTS)
        self.workflow.keep(self)

    # Events.

    def events(self, start: int, end: int) -> Iterator[WorkflowEvent]:
        """The events of a stretch of the log."""
        actor, log = self.actor, self.actor.entries
        for index in range(max(0, start - actor.base), end - actor.base):
            event = event_of(log[index], self.workflow.name)
            if event is None:
                continue
            if not event.run_id:
                event.run_id = actor.run_id
                if event.type == "failed" and actor.exception is not None:
                    event = failed_event(event, actor.exception)
            event.sequence = actor.base + index
            yield event
