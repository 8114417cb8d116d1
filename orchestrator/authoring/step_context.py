"""The context inside a step. One per attempt, made only if the step takes one.

Sends and writes go to the attempt's stage and are committed with the step's result, at a wait or at `flush`. When a body runs
from the top (a retry, or a new process), what it did before an earlier commit is known: its reads and collects are answered as
they were then (`calls`), its waits are found by `waiter_id` or by their order, and what it stages again up to a commit that is
recorded is dropped. A call from an attempt that is over raises RunReleased.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from orchestrator.authoring.collecting import is_complete
from orchestrator.authoring.context import Context, active_steps, call_in_loop
from orchestrator.authoring.copying import copy_value
from orchestrator.authoring.delivery import check_event, check_target
from orchestrator.authoring.flooding import BURST_LOOK, flooded, watch_burst
from orchestrator.authoring.retry_info import RetryInfo
from orchestrator.authoring.run_data import RunData
from orchestrator.authoring.stage import Stage
from orchestrator.authoring.step_source import StepSource
from orchestrator.authoring.store import StateStore
from orchestrator.errors import ContextStateError, RunReleased, WorkflowRuntimeError
from orchestrator.events import Event
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor, current_cell
from orchestrator.runtime.reduce_context import CALLS
from orchestrator.runtime.reduction import most_undelivered
from orchestrator.runtime.state import Activation

R = TypeVar("R")
_MISSING: Any = object()
E = TypeVar("E", bound=Event)


class StepContext(Context[Any]):
    """`ctx` of one attempt."""

    __slots__ = (
        "_act",
        "_attempt",
        "_calls",
        "_children",
        "_flushes",
        "_known",
        "_paused_s",
        "_run",
        "_store",
        "_waiting",
        "_waits",
    )

    def __init__(self, run: Actor, act: Activation) -> None:
        self._run = run
        self._act = act
        self._attempt = act.attempt
        self._store: StateStore[Any] | None = None
        self._calls: list[tuple[str, Any]] | None = None  # answers given since the last commit
        self._known: list[Any] | None = None  # answers of an earlier execution, next one last
        self._waits: dict[str, list[asyncio.Future[Any]]] | None = None
        self._waiting = 0
        self._flushes = 0  # waits and flushes so far
        self._children = 0
        self._paused_s: float | None = None
        if act.record is not None and CALLS in act.record:
            self._known = [*reversed(act.record[CALLS][1])]

    def _check(self) -> Activation:
        act = self._act
        if act.attempt != self._attempt or act.is_cancelled or act.id not in self._run.state.acts:
            raise RunReleased(
                f"step `{act.step.name}`: this call is over (it has ended, timed out or was let go of), "
                "so its context does nothing any more"
            )
        return act

    def _stage(self) -> Stage:
        act = self._check()
        stage: Stage | None = act.stage
        if stage is None:
            stage = act.stage = Stage()
        return stage

    # What everybody has.

    @property
    def store(self) -> StateStore[Any]:
        """The state of the run; writes are committed with the step."""
        if self._store is None:
            self._store = StateStore(StepSource(self))
        return self._store

    @property
    def is_running(self) -> bool:
        """Whether the run goes on."""
        return not self._run.is_over

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._run.run_id

    def send_event(self, message: Event, step: str | None = None, *, run_id: str | None = None) -> None:
        """Send an event to the steps that take it (or to `step`), or to another run; committed with the step."""
        check_event(message)
        run = self._run
        if run_id is not None and run_id != run.run_id:
            self._post(message, step, run_id)
            return
        name = check_target(run, message, step)
        emitted = self._stage().emitted
        emitted.append((name, message, step))
        if len(emitted) > (most := most_undelivered(run.state)):
            raise flooded(run, self._act, message, f"sent {most} events that nobody has got yet")

    def _post(self, message: Event, step: str | None, run_id: str) -> None:
        if step is not None:
            raise WorkflowRuntimeError("an event for another run goes to every step that takes it; leave `step` out")
        act, run = self._check(), self._run
        run.engine.expect(run_id)
        stage = self._stage()
        number = len(stage.posts)
        name = run.data.flow.names.name_of(type(message))
        stage.posts.append((run_id, name, message, f"{act.id}/{self._flushes}/{number}"))

    def write_event_to_stream(self, ev: Event | None) -> None:
        """Show an event to readers at once; None is ignored."""
        if ev is None:
            return
        act, run = self._act, self._run
        if act.attempt != self._attempt or act.is_cancelled or act.id not in run.state.acts:
            self._check()  # raises
        if run.data.loop is not asyncio._get_running_loop():
            run.data.loop.call_soon_threadsafe(run.stream, ev, act.id, act.attempt)
            return
        run.stream(ev, act.id, act.attempt)
        if not (len(run.entries) if run.sink is None else run.state.seq) & BURST_LOOK:
            watch_burst(run, act, ev)

    async def running_steps(self) -> list[str]:
        """The names of the steps that work right now."""
        return active_steps(self._run)

    def stream_events(self, expose_internal: bool = False) -> Any:
        """Raises: ContextStateError; a step writes to the stream, its handler reads it."""
        raise ContextStateError("stream_events is read outside a step, through the handler of the run")

    def get_result(self) -> Any:
        """Raises: ContextStateError; there is no result while a step runs."""
        raise ContextStateError("get_result exists after the run has ended, on its handler")

    def to_dict(self, serializer: Any = None, *, include_state: bool = True) -> dict[str, Any]:
        """Raises: ContextStateError; a snapshot is taken from outside, through `handler.ctx`."""
        raise ContextStateError("to_dict is called outside a step, through `handler.ctx`")

    # What only a step has.

    @property
    def attempt(self) -> int:
        """The attempt, from 1."""
        return self._attempt

    @property
    def idempotency_key(self) -> str:
        """The same over all attempts of this step for this event."""
        act = self._act
        return f"{self._run.run_id}/{act.step.name}/{act.id}"

    def retry_info(self) -> RetryInfo:
        """How often this step has failed for this event, and how."""
        act = self._check()
        record = act.error if act.failures else None
        exception = act.exception
        if exception is None and record is not None:
            from orchestrator.authoring.serializer import UnreconstructedError

            exception = UnreconstructedError(str(record.get("code")), str(record.get("message")))
        at = (record or {}).get("at")
        return RetryInfo(
            act.failures,
            self._run.now() - act.first_at,
            exception,
            None if at is None else datetime.fromtimestamp(at, UTC),
        )

    def collect_events(
        self, ev: Event, expected: list[type[Event]], buffer_id: str | None = None
    ) -> list[Event] | None:
        """Add an event to the step's buffer; the expected events once all are there, in that order, else None.

        The buffer belongs to the step and is named `buffer_id` or "default"; what is not taken stays for the next round.
        """
        check_event(ev)
        if not expected:
            return []
        if self._run.data.loop is asyncio._get_running_loop():
            return self._collect(ev, expected, buffer_id or "default")
        return self.call(lambda: self._collect(ev, expected, buffer_id or "default"))

    def _collect(self, ev: Event, expected: list[type[Event]], buffer_id: str) -> list[Event] | None:
        found: list[Event] | None = self.remember(
            f"collect:{buffer_id}", lambda: self._collect_now(ev, expected, buffer_id), _same_events
        )
        return found

    def _collect_now(self, ev: Event, expected: list[type[Event]], buffer_id: str) -> list[Event] | None:
        act, run = self._check(), self._run
        name_of = run.data.flow.names.name_of
        name = name_of(type(ev))
        buffer = run.state.buffers.get((act.step.name, buffer_id))
        count = 1 if buffer is None else 1 + sum(map(len, buffer.values()))
        names: tuple[str, ...] = ()
        if count >= len(expected):
            names = tuple(map(name_of, expected))
            if buffer is not None and not is_complete(buffer, name, names):
                names = ()
        run.apply(t.Collected(0, 0.0, act.cause, act.id, buffer_id, name, ev, names))
        found: list[Event] | None = act.collected
        act.collected = None
        return found

    async def wait_for_event(
        self,
        event_type: type[E],
        waiter_event: Event | None = None,
        waiter_id: str | None = None,
        requirements: Mapping[str, Any] | None = None,
        timeout: float | None = 2000.0,
    ) -> E:
        """Wait for an event of this very type whose fields equal `requirements`; `waiter_event` is shown once.

        Raises: TimeoutError after `timeout` seconds (None: never).
        """
        act, run = self._check(), self._run
        self._flushes += 1
        path = f"id:{waiter_id}" if waiter_id is not None else f"wait:{self._flushes}"
        record = act.record
        if record is not None and path in record:
            self._drop_committed(f"flush@{path}")
            answer: E = _answer(record[path], path)
            return answer
        self._commit(f"flush@{path}")
        future = self._future(path)
        if path not in run.state.open_waits.get(act.id, ()):
            names = run.data.flow.names
            due = None if timeout is None else run.now() + timeout
            announce = None if waiter_event is None else (names.name_of(type(waiter_event)), waiter_event, None)
            match = dict(requirements) if requirements else None
            run.apply(t.WaitOpened(0, 0.0, act.cause, act.id, path, names.name_of(event_type), match, due, announce))
        self._pause()
        try:
            event: E = await future
            return event
        except asyncio.CancelledError:
            if not act.is_cancelled and act.id in run.state.acts and path in run.state.open_waits.get(act.id, ()):
                run.apply(t.WaitClosed(0, 0.0, act.cause, act.id, path))  # the body itself gave up waiting
            raise
        finally:
            self._resume()

    def _future(self, path: str) -> asyncio.Future[Any]:
        """What is done when the wait of this path has its answer; one for each that waits there."""
        if self._waits is None:
            self._waits = {}
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waits.setdefault(path, []).append(future)
        return future

    def _pause(self) -> None:
        """Stop the clock of the step's timeout: waiting for somebody is no work."""
        self._waiting += 1
        limit = self._act.limit
        if limit is not None and self._waiting == 1 and limit.when() is not None and not limit.expired():
            self._paused_s = limit.when() - asyncio.get_running_loop().time()
            limit.reschedule(None)

    def _resume(self) -> None:
        self._waiting -= 1
        limit, left = self._act.limit, self._paused_s
        if limit is not None and left is not None and self._waiting == 0:
            self._paused_s = None
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time() + left)

    def woken(self, wake: t.Wake) -> bool:
        """A wait has its answer; False if no body waits for it here."""
        waiting = [f for f in self._waits.pop(wake.path, ()) if not f.done()] if self._waits is not None else []
        for future in waiting:
            if wake.kind == "timeout":
                future.set_exception(TimeoutError(f"no event came within the timeout of wait {wake.path!r}"))
            else:
                future.set_result(wake.value.value if wake.kind == "event" else wake.value)
        return bool(waiting)

    async def flush(self) -> None:
        """Commit what the step has sent and written so far."""
        self._check()
        self._flushes += 1
        self._commit(f"flush:{self._flushes}")
        if self._run.sink is not None:
            await self._run.sink.flush()

    def _commit(self, path: str) -> None:
        """Commit the stage under a path, unless an earlier execution of the body has done so."""
        act, run = self._act, self._run
        if self._drop_committed(path):
            return
        stage: Stage | None = act.stage
        calls, self._calls = self._calls, None
        act.stage = None
        emitted: tuple[Any, ...] = ()
        writes: tuple[Any, ...] = ()
        posts: tuple[Any, ...] = ()
        if stage is not None:
            emitted, posts = tuple(stage.emitted), tuple(stage.posts)
            writes = stage.take_writes(run.state.vars)
        elif not calls:
            return
        run.apply(
            t.Flushed(
                0, 0.0, act.cause, act.id, act.attempt, emitted, writes, posts, path, tuple(map(list, calls or ()))
            )
        )
        run.data.gate.committed(act.id)

    def _drop_committed(self, path: str) -> bool:
        """Drop the stage if an earlier execution of the body has committed the same under this path."""
        act = self._act
        known = act.record.get(path) if act.record is not None else None
        if known is None or not known[1]:  # it had nothing to commit but its reads
            return False
        act.stage = None
        self._calls = None
        return True

    def remember(self, key: str, ask: Callable[[], R], keep: Callable[[R], R] = copy_value) -> R:
        """The answer that an earlier execution of the body got at this place, or a new one, of which `keep` makes a copy."""
        if self._known:
            if self._known[-1][0] == key:
                known: R = self._known.pop()[1]
                return known
            self._known = None  # the body takes another way than it did
        answer = ask()
        if self._calls is None:
            self._calls = []
        self._calls.append((key, keep(answer)))
        return answer

    # The loop.

    def call(self, function: Callable[[], R]) -> R:
        """Run in the loop of the run, from whatever thread this is."""
        return call_in_loop(self._run.data.loop, function)

    def next_child(self) -> str:
        """The path of the next child run that this attempt starts."""
        self._children += 1
        return f"child:{self._children}"

    async def wait_for_child(self, child: str) -> Any:
        """Wait for the end of a child run that this step started."""
        future = self._future(child)
        self._pause()
        try:
            return await future
        finally:
            self._resume()


def _same_events(found: list[Event] | None) -> list[Event] | None:
    """A list of its own; the events are never changed."""
    return None if found is None else [*found]


def _answer(entry: Any, path: str) -> Any:
    if entry[0] == "timeout":
        raise TimeoutError(f"no event came within the timeout of wait {path!r}")
    return entry[1].value


def context_of(run: Actor, act: Activation) -> StepContext:
    """The context of an attempt; made if the step takes none itself."""
    context = act.context
    if not isinstance(context, StepContext) or context._attempt != act.attempt:
        context = act.context = StepContext(run, act)
    return context


def ambient_context() -> StepContext:
    """The context of the step that runs here.

    Raises: ContextStateError outside a step.
    """
    cell = current_cell.get()
    if cell is None or cell.act is None or not isinstance(cell.run.data, RunData):
        raise ContextStateError("get_step_context is called inside a step")
    return context_of(cell.run, cell.act)
