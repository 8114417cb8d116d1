"""`Context`: what a step, or the holder of a run, acts through. This file has the face before and outside a run.

Three faces: before the run (state only), from outside (`handler.ctx`: state, sends, stream, snapshot), inside a step
(authoring.step_context). A member used at the wrong face raises ContextStateError and says where it belongs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from orchestrator.errors import ContextStateError
from orchestrator.events import Event
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.reduction import write_ops

if TYPE_CHECKING:  # a workflow makes contexts; runs that have no state need nothing of the store
    from orchestrator.authoring.copying import Change
    from orchestrator.authoring.retry_info import RetryInfo
    from orchestrator.authoring.serializer import JsonSerializer
    from orchestrator.authoring.stage import EditGate
    from orchestrator.authoring.state_source import StateSource
    from orchestrator.authoring.store import StateStore
    from orchestrator.authoring.workflow import Workflow

S = TypeVar("S")
E = TypeVar("E", bound=Event)
R = TypeVar("R")


class Context(Generic[S]):
    """State, sends, waits and stream of one run; `Context[MyModel]` declares the shape of the state.

    Example:
        ctx = Context(workflow)
        await workflow.run(ctx=ctx)
        await workflow.run(ctx=ctx)  # goes on with the state of the first run
    """

    __slots__ = ("_outside",)

    _outside: Outside

    def __init__(
        self,
        workflow: Workflow,
        previous_context: Mapping[str, Any] | None = None,
        serializer: JsonSerializer | None = None,
    ) -> None:
        self._outside = Outside(workflow)
        if previous_context is not None:
            from orchestrator.authoring.saving import restore

            restore(self._outside, previous_context, serializer)

    @classmethod
    def over(cls, outside: Outside) -> Context[Any]:
        """The context of a run that began without one."""
        context: Context[Any] = cls.__new__(cls)
        context._outside = outside
        return context

    # Everywhere.

    @property
    def store(self) -> StateStore[S]:
        """The state of the run."""
        from orchestrator.authoring.store import StateStore

        return StateStore(self._outside)

    @property
    def is_running(self) -> bool:
        """Whether the run has begun and not ended; also true for a cancelled one, which can be resumed."""
        return self._outside.is_running

    @property
    def run_id(self) -> str:
        """The run's id; empty before the first run."""
        run = self._outside.run
        return run.run_id if run is not None else ""

    async def running_steps(self) -> list[str]:
        """The names of the steps that work right now."""
        run = self._outside.run
        return [] if run is None else active_steps(run)

    # From outside.

    def send_event(self, message: Event, step: str | None = None, *, run_id: str | None = None) -> None:
        """Send an event into the run: to every step that takes it, or to `step`; with `run_id` to another run.

        Raises: WorkflowRuntimeError for an unknown step or one that does not take it, UnknownRun, RunFinished.
        """
        from orchestrator.authoring.delivery import send_from_outside

        send_from_outside(self._outside.live("send_event"), message, step, run_id)

    def write_event_to_stream(self, ev: Event | None) -> None:
        """Show an event to the readers of the run; None is ignored."""
        if ev is not None:
            self._outside.live("write_event_to_stream").stream(ev, 0, 0)

    def stream_events(self, expose_internal: bool = False) -> AsyncIterator[Event]:
        """The events of the run from the start; any number of readers."""
        from orchestrator.authoring.streaming import read_events

        return read_events(self._outside.live("stream_events"), expose_internal=expose_internal)

    def get_result(self) -> Any:
        """The result of the ended run.

        Raises: ContextStateError while it runs.
        """
        from orchestrator.authoring.outcome import result_of

        run = self._outside.live("get_result")
        if not run.is_over:
            raise ContextStateError("the run has not ended; await its handler")
        return result_of(run)

    def to_dict(self, serializer: JsonSerializer | None = None, *, include_state: bool = True) -> dict[str, Any]:
        """The context as plain JSON, with everything that is under way. Cost: O(size of the state).

        Raises: ContextSerdeError naming what cannot be JSON.
        """
        from orchestrator.authoring.saving import save

        return save(self._outside, serializer, include_state)

    @classmethod
    def from_dict(
        cls, workflow: Workflow, data: Mapping[str, Any], serializer: JsonSerializer | None = None
    ) -> Context[S]:
        """The inverse of `to_dict`: `workflow.run(ctx=…)` goes on with what was under way.

        Raises: ContextSerdeError for data of another shape, workflow or newer version.
        """
        return cls(workflow, data, serializer)

    @staticmethod
    def get_step_context() -> Context[Any]:
        """The context of the step that is running.

        Raises: ContextStateError outside a step.
        """
        from orchestrator.authoring.step_context import ambient_context

        return ambient_context()

    # Inside a step only.

    def collect_events(
        self, ev: Event, expected: list[type[Event]], buffer_id: str | None = None
    ) -> list[Event] | None:
        """Add an event to the step's buffer; the expected events once all are there, in that order, else None."""
        raise _only_inside("collect_events")

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
        raise _only_inside("wait_for_event")

    async def flush(self) -> None:
        """Commit what the step has sent and written so far."""
        raise _only_inside("flush")

    def retry_info(self) -> RetryInfo:
        """How often this step has failed for this event, and how."""
        raise _only_inside("retry_info")

    @property
    def attempt(self) -> int:
        """The attempt of the step, from 1."""
        raise _only_inside("attempt")

    @property
    def idempotency_key(self) -> str:
        """A key for outside systems that is the same over all attempts of this step for this event."""
        raise _only_inside("idempotency_key")


def _only_inside(member: str) -> ContextStateError:
    return ContextStateError(f"Context.{member} exists only inside a step; take `ctx: Context` as a parameter there")


class Outside:
    """What a context holds before and outside a run; the store's source there."""

    __slots__ = ("_run", "act", "edits", "model", "saved", "vars", "workflow")

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self._run: Actor | None = None
        self.saved: Any = None  # what a snapshot holds of a run that is to be resumed
        self.model: type[BaseModel] | None = workflow.flow.state_model
        self.vars: dict[str, Any] | None = None
        self.edits: EditGate | None = None
        self.act = 0

    @property
    def gate(self) -> EditGate:
        """Lets one `edit_state` block work at a time; that of the run, if there is one."""
        run = self.run
        if run is not None:
            gate: EditGate = run.data.gate
            return gate
        if self.edits is None:
            from orchestrator.authoring.stage import EditGate

            self.edits = EditGate()
        return self.edits

    @property
    def run(self) -> Actor | None:
        """The run; the newer actor, if its store has given it back to this process since."""
        run = self._run
        if run is not None and run.lost is not None:
            self._run = run = run.engine.runs.get(run.run_id, run)
        return run

    @run.setter
    def run(self, run: Actor | None) -> None:
        self._run = run

    @property
    def is_running(self) -> bool:
        """Whether there is a run to go on with."""
        from orchestrator.runtime.state import Status

        if self.run is None:
            return self.saved is not None
        return self.run.state.status not in (Status.DONE, Status.FAILED, Status.TIMEOUT)

    def live(self, member: str) -> Actor:
        """The run.

        Raises: ContextStateError before there is one.
        """
        if self.run is None:
            raise ContextStateError(f"Context.{member} needs a run; call `workflow.run(ctx=…)` first")
        return self.run

    def values(self) -> dict[str, Any]:
        """The state itself, made with its defaults at the first look."""
        if self.run is not None:
            return self.run.state.vars
        if self.vars is None:
            from orchestrator.authoring.state_model import default_fields

            self.vars = {} if self.model is None else default_fields(self.model)
        return self.vars

    def look(self, top: str) -> tuple[bool, Any]:
        """Whether a top-level key exists, and its value."""
        values = self.values()
        return top in values, values.get(top)

    def view(self) -> Mapping[str, Any]:
        """The whole state."""
        return self.values()

    def write(self, changes: list[Change]) -> None:
        """Commit changes at once."""
        from orchestrator.authoring.stage import Stage

        stage = Stage()
        values = self.values()
        for change in changes:
            stage.add(change, values)
        ops = stage.take_writes(values)
        run = self.run
        if run is not None and run.is_leaving and not run.is_over:
            raise ContextStateError(
                f"run {run.run_id!r} waits in its store, and no process holds it now; a step can write its state"
            )
        if run is not None and not run.is_over:
            run.apply(t.Flushed(0, 0.0, -1, 0, 0, writes=ops))
        else:
            write_ops(values, ops)

    def read(self, path: str, look: Callable[[StateSource, str], list[Any]]) -> list[Any]:
        """What is read now: outside a step nothing runs twice."""
        return look(self, path)

    def put(self, key: str, value: Any) -> None:
        """Commit a top-level key at once."""
        from orchestrator.authoring.copying import Change

        self.write([Change("set", (key,), value)])

    def move(self, key: str, base: float, new: float) -> None:
        """Commit that a number moved."""
        from orchestrator.authoring.copying import Change

        self.write([Change("delta", (key,), new, base)])

    def remember(self, key: str, read: Callable[[], R]) -> R:
        """What is read now: outside a step nothing runs twice."""
        return read()

    def call(self, function: Callable[[], R]) -> R:
        """Run in the loop of the run."""
        return call_in_loop(self.run.data.loop if self.run is not None else None, function)

    def wait(self, coroutine: Awaitable[Any]) -> Any:
        """Run a coroutine in the loop of the run."""
        assert self.run is not None
        return wait_in_loop(self.run.data.loop, coroutine)


def call_in_loop(loop: asyncio.AbstractEventLoop | None, function: Callable[[], R]) -> R:
    """Run a function in the event loop, from that loop's thread or another one, and give its result."""
    if loop is None or loop is running_loop():
        return function()

    async def call() -> R:
        return function()

    return asyncio.run_coroutine_threadsafe(call(), loop).result()


def wait_in_loop(loop: asyncio.AbstractEventLoop, coroutine: Any) -> Any:
    """Run a coroutine in the event loop from another thread.

    Raises: ContextStateError in the loop's own thread, which would wait for itself.
    """
    if loop is running_loop():
        coroutine.close()
        raise ContextStateError("the _sync forms are for the threads of sync steps; in async code use the async form")
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread, if one runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def active_steps(run: Actor) -> list[str]:
    """The names of the steps whose attempts work right now, in order of their start."""
    return list(dict.fromkeys(a.step.name for a in run.state.acts.values() if a.is_running and not a.waits))
