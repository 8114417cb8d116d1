"""`WorkflowHandler`: what `run()` returns. Await it for the result, again and again; read its stream as often as you like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.context import Context
from orchestrator.authoring.delivery import Done, send_from_outside
from orchestrator.authoring.outcome import last_event_of, result_of
from orchestrator.authoring.run_data import RunData
from orchestrator.authoring.step_context import StepContext
from orchestrator.authoring.streaming import read_events
from orchestrator.errors import ContextStateError, RunError, StepFailed, WorkflowCancelledByUser
from orchestrator.events import Event, StopEvent
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor

if TYPE_CHECKING:  # what begins runs makes handlers
    from orchestrator.authoring.run_start import Start

GRACE_S = 5.0


class WorkflowHandler:
    """A run of a workflow, from outside.

    Example:
        handler = workflow.run(topic="tea")
        async for event in handler.stream_events():
            print(event)
        result = await handler
    """

    __slots__ = ("_start",)

    def __init__(self, start: Start) -> None:
        self._start = start
        if start.run is None and start.recorded is None:
            start.began = asyncio.get_running_loop().create_future()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._result().__await__()

    async def _result(self) -> Any:
        start = self._start
        run = await self._begun()
        if run is None:
            return _recorded_result(start.recorded)
        if not run.is_over:
            await self._wait(run)
        await _close(run)
        return result_of(run)

    async def _wait(self, run: Actor) -> None:
        call = self._start.parent
        context = call.act.context if call is not None else None
        if not isinstance(context, StepContext):
            await run.wait_finished()
            return
        context._pause()
        try:
            await run.wait_finished()
        finally:
            context._resume()

    async def _begun(self) -> Actor | None:
        start = self._start
        if start.began is not None and start.run is None and start.recorded is None:
            await asyncio.shield(start.began)
        if start.is_withdrawn and start.run is None:
            raise WorkflowCancelledByUser("the run was cancelled before it began")
        return start.run

    @property
    def run_id(self) -> str:
        """The run's id; empty while the run waits for others to end (`num_concurrent_runs`)."""
        run = self._start.run
        return run.run_id if run is not None else self._start.run_id or ""

    @property
    def ctx(self) -> Context[Any]:
        """The context of the run, from outside."""
        return self._start.context

    def is_done(self) -> bool:
        """Whether the run has ended."""
        start = self._start
        return start.is_withdrawn or start.recorded is not None or (start.run is not None and start.run.is_over)

    done = is_done

    def is_running(self) -> bool:
        """Whether the run is under way, or waits to begin."""
        return not self.is_done()

    def cancelled(self) -> bool:
        """Whether the run was cancelled."""
        run = self._start.run
        return self._start.is_withdrawn or (run is not None and run.state.status.value == "cancelled")

    def result(self) -> Any:
        """The result of a run that has ended. Raises: ContextStateError while it runs; else what awaiting it raises."""
        return result_of(self._ended("result"))

    def exception(self) -> BaseException | None:
        """What failed a run that has ended, None if nothing did."""
        run = self._ended("exception")
        try:
            result_of(run)
        except BaseException as error:
            return error
        return None

    def get_stop_event(self) -> StopEvent | None:
        """The event that ended the run, None while it runs."""
        run = self._start.run
        return last_event_of(run) if run is not None and run.is_over else None

    def stop_event_result(self) -> Any:
        """The result that the stop event carries. Raises: ContextStateError while the run goes on."""
        return last_event_of(self._ended("stop_event_result"))._get_result()

    def _ended(self, member: str) -> Actor:
        run = self._start.run
        if run is None or not run.is_over:
            raise ContextStateError(f"WorkflowHandler.{member}: the run has not ended; await its handler")
        return run

    def stream_events(self, expose_internal: bool = False, *, after: int = -1) -> AsyncIterator[Event]:
        """The events of the run, from the start or after the event of that number (from 0), to the last one.

        Any number of readers, during the run and after it.
        """
        run = self._start.run
        if run is not None:
            return read_events(run, expose_internal=expose_internal, after=after)
        return self._events_once_begun(expose_internal, after)

    async def _events_once_begun(self, expose_internal: bool, after: int) -> AsyncIterator[Event]:
        run = await self._begun()
        if run is not None:
            async for event in read_events(run, expose_internal=expose_internal, after=after):
                yield event

    def send_event(self, message: Event, step: str | None = None) -> Done:
        """Send an event into the run. It is delivered at once; the call may be awaited or not.

        Raises: WorkflowRuntimeError for an unknown step, RunFinished.
        """
        run = self._start.run
        if run is None:
            raise ContextStateError("the run has not begun; it waits for others to end (num_concurrent_runs)")
        send_from_outside(run, message, step, None)
        return Done()

    def cancel_run(self, timeout: float = GRACE_S) -> _Cancelling:
        """Cancel the run; awaiting the call waits until its steps have left, at most `timeout` seconds.

        Awaiting the handler then raises WorkflowCancelledByUser. The context can be resumed.
        """
        start = self._start
        if start.run is None:
            start.is_withdrawn = True
            if start.began is not None and not start.began.done():
                start.began.set_result(None)
        elif not start.run.is_over:
            start.run.apply(t.Cancel(0, 0.0, -1, "cancelled", "the run was cancelled by its user"))
        return _Cancelling(start.run, timeout)

    cancel = cancel_run


class _Cancelling:
    """Waits, if it is awaited, until the steps of a cancelled run have left."""

    __slots__ = ("_run", "_timeout_s")

    def __init__(self, run: Actor | None, timeout_s: float) -> None:
        self._run = run
        self._timeout_s = timeout_s

    def __await__(self) -> Generator[Any, Any, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        if self._run is not None:
            await self._run.wait_closed(self._timeout_s)


async def _close(run: Actor) -> None:
    """Wait until nothing of an ended run is left: its steps, and the resources that end with it."""
    await run.wait_closed(GRACE_S)
    data = run.data
    if isinstance(data, RunData) and data.closing is not None:
        await asyncio.shield(data.closing)


def _recorded_result(entry: Any) -> Any:
    """The result of a child run that ended before this process, from the record of its parent."""
    _, value, ended = entry
    if ended["status"] == "done":
        return value._get_result() if isinstance(value, StopEvent) else value
    record = ended["error"] or {}
    message = str(record.get("message") or f"the child run was {ended['status']}")
    if ended["status"] == "failed" and record.get("step"):
        raise StepFailed(message, step=record["step"], error=record)
    raise RunError(message, code=str(record.get("code") or ended["status"]))
