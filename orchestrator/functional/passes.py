"""One pass over a workflow function, from its top to its end, a pause or an abort. Owns the tasks of that pass.

Theory. A pass starts from the record of what earlier passes did. Calls found there give their results at once; the others run
and are recorded. A question without an answer blocks its task. When every task has ended or waits (runtime of the pass: see
quiet.py), the pass pauses: its tasks are cancelled, `finally` blocks run, and the next pass starts when an answer has come.

Invariants
 P1  nothing that code does after its pass was released is recorded; its context and step calls raise RunReleased.
 P2  when a pass has ended, none of its tasks is alive, except background tasks that never used the run.
 P3  a pause is no exception inside the body, so no `except` can swallow it.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.observing import is_tracing
from orchestrator.functional.calls import read_call
from orchestrator.functional.errors import ReplayDiverged, RequestError, RunReleased
from orchestrator.functional.events import WorkflowEvent, framework_event
from orchestrator.functional.frames import Frame, Numbering, current_frame, enter_loop, leave_loop
from orchestrator.functional.outcomes import Aborted, Outcome, Paused, Raised, Returned
from orchestrator.functional.quiet import Task, look_at, tasks_to_end
from orchestrator.functional.sink import RecordSink
from orchestrator.runtime import ticks as t
from orchestrator.runtime.recording import record

if TYPE_CHECKING:  # a session makes passes
    from orchestrator.functional.session import RunSession
    from orchestrator.runtime.state import Activation

log = logging.getLogger(__name__)

# So many looks in a row: the end of a task reaches those who wait for it through gather or shield some loop turns later.
QUIET_LOOKS = 3
BACKGROUND_GRACE_S = 1.0
RELEASE_ROUND_S = 5.0
RELEASE_ROUNDS = 3
REFUSALS = 100
BREATH_S = 0.004
STEP_CODES: set[Any] = set()  # code objects of the coroutines that run a step or a question (see steps.py)
Note = Sequence[Any]  # [step, call, place or -1, began, failure or None]: beside the result of a call


class Pass:
    """One execution of the body."""

    __slots__ = (
        "_arrivals",
        "_background_since",
        "_is_checking",
        "_main",
        "_numbering",
        "_places",
        "_quiet_looks",
        "_ranks",
        "_refusals",
        "_turns",
        "act",
        "actor",
        "blocked",
        "breath_at",
        "ended",
        "finished",
        "is_durable",
        "is_released",
        "is_replaying",
        "loop",
        "reads",
        "session",
        "stale",
        "tasks",
        "traces",
        "visited",
        "waiting",
    )

    def __init__(self, session: RunSession, act: Activation) -> None:
        self.session = session
        self.actor = session.actor
        self.act = act
        self.loop = asyncio.get_running_loop()
        self.is_released = False
        self.is_durable = session.actor.sink is not None
        self.is_replaying = bool(act.record)
        self.traces = is_tracing()
        self.visited: set[str] = set()
        self.stale: set[str] = set()  # recorded failures inside a step that is tried again: those calls are made again
        self.reads: dict[
            str, tuple[Any, str]
        ] = {}  # state key -> (value, path) of the last read that was recorded whole
        self.tasks: dict[Task, Frame] = {}
        self.blocked: set[Task] = set()
        self.waiting: dict[str, asyncio.Future[Any]] = {}
        self.ended: asyncio.Future[Outcome] = self.loop.create_future()
        self.finished: asyncio.Future[None] = self.loop.create_future()
        self.breath_at = self.loop.time()
        self._main: Task | None = None
        self._numbering: Numbering | None = None
        self._is_checking = False
        self._quiet_looks = 0
        self._background_since: float | None = None
        self._refusals = 0
        self._ranks: dict[str, int] | None = None
        self._places: dict[tuple[str, int], str] | None = None
        self._arrivals = 0
        self._turns: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap: recorded place, arrival, who waits

    async def execute(self, start: Callable[[], Coroutine[Any, Any, Any]]) -> Outcome:
        """Run the function; when this returns (or raises, if cancelled), the pass is over (P2)."""
        self._numbering = enter_loop(self.loop)
        root = Frame(self, "", None, "")
        root.is_touched = True
        context = copy_context()
        context.run(current_frame.set, root)
        token = current_frame.set(None)
        self._main = self.loop.create_task(start(), context=context, name=f"workflow {self.session.workflow.name}")
        current_frame.reset(token)
        self.tasks[self._main] = root
        self._main.add_done_callback(self._main_done)
        try:
            return await self.ended
        finally:
            await self._release()
            leave_loop(self.loop, self._numbering)
            self.finished.set_result(None)

    async def wait_over(self) -> None:
        """Wait until none of the pass's tasks is alive."""
        await asyncio.shield(self.finished)

    def adopt(self, task: Task, frame: Frame, coro: Any) -> None:
        """A task was made inside the run."""
        if getattr(coro, "cr_code", None) in STEP_CODES:
            frame.is_touched = True
        if not task.done():  # an eager task may have ended already
            self.tasks[task] = frame
            task.add_done_callback(self._task_done)

    def _task_done(self, task: Task) -> None:
        self.tasks.pop(task, None)
        if self.waiting:
            self.check_soon()

    def _main_done(self, task: Task) -> None:
        self.tasks.pop(task, None)
        if self.ended.done():
            return
        if task.cancelled():
            self.ended.set_result(Raised(asyncio.CancelledError("the workflow function was cancelled from inside")))
        elif (error := task.exception()) is not None:
            self.ended.set_result(Raised(error))
        else:
            self.ended.set_result(Returned(task.result()))

    # Questions.

    async def wait_for_answer(self, path: str) -> None:
        """Block the current task until the question at `path` has its answer in the record."""
        if path not in self.actor.state.open_waits.get(self.act.id, {}):
            if self.is_released:
                await self.refuse()
            return  # it came while the question was being committed
        future: asyncio.Future[None] = self.loop.create_future()
        self.waiting[path] = future
        task = asyncio.current_task()
        assert task is not None
        self.blocked.add(task)
        self.check_soon()
        try:
            await future
        finally:
            self.blocked.discard(task)
            self.waiting.pop(path, None)
        if self.is_released:
            await self.refuse()

    def answer(self, path: str) -> None:
        """The question at `path` has an answer; wakes the task that waits for it, if this pass got that far."""
        future = self.waiting.get(path)
        if future is not None and not future.done():
            future.set_result(None)

    # Pausing.

    def check_soon(self) -> None:
        """See in a moment whether the run stands still."""
        if not self._is_checking and not self.ended.done():
            self._is_checking = True
            self.loop.call_soon(self._check)

    def _check(self) -> None:
        self._is_checking = False
        looks, self._quiet_looks = self._quiet_looks, 0
        if self.ended.done() or not self.waiting or any(f.done() for f in self.waiting.values()):
            return
        if self._main is None or self._main.done():
            return  # its end is about to be told
        standing = look_at(self.tasks, self.blocked)
        if standing.is_runnable or self._turns:
            self.check_soon()
        elif standing.busy is not None:
            self._background_since = None
            standing.busy.add_done_callback(self._busy_done)
        elif standing.background is not None and not self._is_grace_over():
            standing.background.add_done_callback(self._busy_done)
        elif looks + 1 < QUIET_LOOKS:
            self._quiet_looks = looks + 1
            self.check_soon()
        else:
            self.ended.set_result(Paused())

    def _busy_done(self, future: Any) -> None:
        self.check_soon()

    def _is_grace_over(self) -> bool:
        now = self.loop.time()
        if self._background_since is None:
            self._background_since = now
            self.loop.call_later(BACKGROUND_GRACE_S, self.check_soon)
        return now - self._background_since >= BACKGROUND_GRACE_S * 0.99

    async def _release(self) -> None:
        """Let go of the body: cancel what used the run or is awaited in it, and wait until that has ended."""
        self.is_released = True
        if not self.tasks:
            return
        doomed = tasks_to_end(self.tasks, self.blocked)
        for _ in range(RELEASE_ROUNDS):
            alive = {task for task in doomed if not task.done()}
            if not alive:
                break
            for task in alive:
                task.cancel()
            await asyncio.wait(alive, timeout=RELEASE_ROUND_S)
        for task in doomed:
            if not task.done():
                log.warning("a task of run %s ignores cancellation and was left behind: %r", self.actor.run_id, task)
            elif not task.cancelled():
                task.exception()  # looked at here, so that asyncio does not report it as forgotten
        self.tasks.clear()

    async def refuse(self) -> None:
        """Refuse a call of a body that was released; one that goes on for ever is parked for ever."""
        self._refusals += 1
        if self._refusals > REFUSALS:
            await self.loop.create_future()
        self.refuse_now()

    def refuse_now(self) -> None:
        """The same for calls that cannot wait. Raises: RunReleased."""
        raise RunReleased(f"run {self.actor.run_id} has let go of this code: it paused, ended or was cancelled")

    # Replay.

    async def take_turn(self, path: str) -> None:
        """Give recorded results out in the order in which they were recorded, when several tasks ask for them at once.

        Cost: O(log tasks that wait).
        """
        if self._ranks is None:
            self._ranks = {known: rank for rank, known in enumerate(self.act.record or ())}
        future: asyncio.Future[None] = self.loop.create_future()
        if not self._turns:
            self.loop.call_soon(self._give_turn)
        self._arrivals += 1
        heapq.heappush(self._turns, (self._ranks.get(path, 0), self._arrivals, future))
        await future

    def _give_turn(self) -> None:
        _, _, future = heapq.heappop(self._turns)
        if not future.done():
            future.set_result(None)
        if self._turns:
            self.loop.call_soon(self._give_turn)

    def recorded_at(self, frame: Frame, place: int) -> str | None:
        """The recorded and not yet repeated step call that stood at this place in a frame."""
        if self._places is None:
            self._places = {}
            for path, entry in (self.act.record or {}).items():
                note = entry[2] if len(entry) > 2 else None
                if note is not None and type(note) is not dict and note[2] >= 0:  # a dict: how a flow ended
                    self._places[(path[: path.rfind("/") + 1], note[2])] = path
        found = self._places.get((frame.path, place))
        return found if found is not None and found not in self.visited else None

    def find_same_call(self, frame: Frame, name: str, text: str) -> str | None:
        """A recorded, not yet repeated call of the step in this frame with these arguments, under another ordinal.

        Cost: O(calls of the step in the frame).
        """
        record = self.act.record or {}
        number = 0
        while (entry := record.get(path := f"{frame.path}{name}#{number}")) is not None:
            if path not in self.visited and len(entry) > 2 and read_call(entry[2][1]) == text:
                return path
            number += 1
        return None

    async def diverge(self, step: str, path: str, recorded: str, new: str, *, what: str = "a call") -> None:
        """The function does not repeat what was recorded: go on with the new call if that was asked for, else abort."""
        error = ReplayDiverged(
            f"run {self.actor.run_id}: {what} at `{path}` is not the one that was recorded\n"
            f"    recorded: {recorded}\n    now:      {new}\n"
            "The run was left as it was, with the answers that it has. Put the function back and go on with the run, or choose: "
            '"continue" makes the new call and goes on from there, "fork" makes a new run that keeps what was recorded before '
            f"this call (`orchestrator resume {self.actor.run_id} --on-divergence continue`, or "
            'run(run_id=..., on_divergence="continue") in Python)',
            run_id=self.actor.run_id,
            step=step,
            path=path,
            recorded=recorded,
            new=new,
        )
        if self.session.on_divergence == "continue":
            self.announce(framework_event("replay_diverged", {"path": path, "recorded": recorded, "new": new}))
            return
        if not self.ended.done():
            self.ended.set_result(Aborted(error))
        self.is_released = True
        await self.refuse()

    # What is shown and kept.

    def announce(self, event: WorkflowEvent) -> None:
        """Show an event to readers at once."""
        actor = self.actor
        event.run_id = actor.run_id
        event.at = actor.now()
        event.sequence = actor.next_seq
        actor.stream(event, self.act.id, self.act.attempt)

    def record(
        self,
        path: str,
        value: Any,
        note: Note | None,
        writes: tuple[t.StateOp, ...] = (),
    ) -> None:
        """Keep the result of a call under its path, with what it changed."""
        self.visited.add(path)
        record(self.actor, self.act, path, value, note, writes)

    async def commit(self) -> None:
        """See that what was recorded is kept before code goes on; a relaxed store groups it and keeps it a little later."""
        sink = self.actor.sink
        if sink is not None and (type(sink) is RecordSink or sink.must_flush(False)):
            await sink.flush()

    def open_question(self, path: str, request_id: str, shown: Any) -> None:
        """Ask, once. Raises: RequestError if the id was used for another question of this run."""
        used = self.session.asked.get(request_id)
        if used is not None and used.path != path:
            raise RequestError(
                f"request id {request_id!r} is used twice in run {self.actor.run_id} (at `{used.path}` and `{path}`); "
                "give every question an id of its own, or none"
            )
        act = self.act
        self.actor.apply(
            t.WaitOpened(
                0,
                0.0,
                act.cause,
                act.id,
                path,
                "?" + request_id,
                announce=("Request", shown, None),
                request_id=request_id,
            )
        )
