"""`WorkflowHandler`: what `run()` returns. Await it for the result, again and again; read its stream as often as you like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.context import Context
from orchestrator.authoring.delivery import send_from_handler
from orchestrator.authoring.following import until_over
from orchestrator.authoring.outcome import last_event_of, result_of
from orchestrator.authoring.run_data import RunData
from orchestrator.authoring.run_start import mark_begun
from orchestrator.authoring.streaming import read_events
from orchestrator.errors import (
    ContextStateError,
    WorkflowCancelledByUser,
)
from orchestrator.events import Event, StopEvent
from orchestrator.runtime.actor import Actor

if TYPE_CHECKING:  # what begins runs makes handlers, and few runs need the others
    from orchestrator.authoring.cancelling import Cancelling
    from orchestrator.authoring.open_requests import OpenRequests
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
        if start.run is None and start.recorded is None and start.began is None:
            start.began = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        run, start = self._start.run, self._start
        if run is None:
            return f"<run {start.run_id or '?'} that has not begun>"
        status = "waiting" if not run.is_over and run.state.busy <= 0 else run.state.status.value
        return f"<run {run.run_id} of {run.plan.ir.name!r}, {status}>"

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._result().__await__()

    async def _result(self) -> Any:
        start = self._start
        if start.call is not None:
            return await start.call.result()
        if start.run is None or start.began is not None:
            await self._begun()
        if start.run is None:
            return await self._recorded()
        if not start.run.is_over:
            await self._wait(start)
        if start.run.is_over:
            await _close(start.run)
            return result_of(start.run)
        return await self._recorded()

    async def _wait(self, start: Start) -> None:
        call = start.parent
        context = call.act.context if call is not None else None  # a StepContext
        if context is None or call is None or call.act.id not in call.run.state.acts:
            await until_over(start)
        elif start.run is not None and start.run.sink is not None:
            await context.wait_for_child(start.run.run_id)
        else:
            context._pause()
            try:
                await until_over(start)
            finally:
                context._resume()

    async def _recorded(self) -> Any:
        """The result of a child run that is known from its parent's record only."""
        from orchestrator.authoring.child_runs import recorded_result
        from orchestrator.authoring.step_context import context_of

        start, call = self._start, self._start.parent
        if start.recorded is None and call is not None and start.run_id is not None:
            context = context_of(call.run, call.act)
            if start.run_id not in (call.act.record or {}):
                await context.wait_for_child(start.run_id)
            start.recorded = (call.act.record or {})[start.run_id]
        return recorded_result(start.recorded)

    async def begun(self) -> None:
        """Wait until the run has begun; over a store it is committed then.

        Raises: what kept it from beginning, such as JournalConflict for a run id that exists.
        """
        await self._begun()

    async def _begun(self) -> Actor | None:
        start = self._start
        if start.call is not None and start.run is None:
            raise ContextStateError(
                "inside of a workflow function a flow begins when its run is awaited; what it asks is in the run's stream"
            )
        if start.began is not None:
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
        """The context of the run, from outside. Raises: ContextStateError for a flow of a file, which has none."""
        start = self._start
        if start.context is None and start.outside is not None:
            start.context = Context.over(start.outside)
        if start.context is None:
            raise ContextStateError(
                "the run of a flow file has no context; its questions are in `handler.requests()`, its events in "
                "`handler.stream_events()`"
            )
        return start.context

    def is_done(self) -> bool:
        """Whether the run has ended."""
        start = self._start
        if start.run is not None and start.run.is_over:
            return True
        never_began = start.began is not None and start.began.done() and start.began.exception() is not None
        return start.is_withdrawn or start.recorded is not None or never_began

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
            return read_events(run, expose_internal=expose_internal, after=after, start=self._start)
        return self._events_once_begun(expose_internal, after)

    async def _events_once_begun(self, expose_internal: bool, after: int) -> AsyncIterator[Event]:
        run = await self._begun()
        if run is not None:
            async for event in read_events(run, expose_internal=expose_internal, after=after, start=self._start):
                yield event

    def send_event(self, message: Event | str, step: str | None = None, **fields: Any) -> Awaitable[None]:
        """Send an event into the run; by its name it is made of `fields`. It is delivered at once.

        The call may be awaited or not; awaited, it returns when the event is kept.

        Raises: WorkflowRuntimeError for an unknown step or event, UsageError for fields that do not fit, RunFinished.
        """
        start = self._start
        if start.run is not None:
            return send_from_handler(start.run, message, step, fields)
        if not start.is_beginning:
            raise ContextStateError("the run has not begun; it waits for others to end (num_concurrent_runs)")
        return asyncio.ensure_future(self._send_later(message, step, fields))

    async def _send_later(self, message: Event | str, step: str | None, fields: Mapping[str, Any]) -> None:
        run = await self._begun()
        if run is not None:
            await send_from_handler(run, message, step, fields)

    def requests(self) -> OpenRequests:
        """The questions to people that are open in the run and in those that it started, the oldest first.

        Awaited, the call asks the store too, for runs that no process holds.
        """
        from orchestrator.authoring.open_requests import OpenRequests

        return OpenRequests(self._start)

    async def answer(
        self,
        request_id: str,
        *,
        user: str,
        groups: Iterable[str] | None = None,
        item: int | None = None,
        form: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Answer a question by its `id`; the form's fields are given by name, or as `form`.

        Raises: AnswerRefused if this person may not answer, the form does not fit, or it was decided meanwhile.

        Example: await handler.answer("review-2", user="kim", verdict="approve")
        """
        from orchestrator.authoring.open_requests import answer_open

        await self._begun()
        await answer_open(self._start, request_id, user, groups, item, {**(form or {}), **fields})

    def cancel_run(self, timeout: float = GRACE_S) -> Cancelling:
        """Cancel the run; awaiting the call waits until its steps have left, at most `timeout` seconds.

        Awaiting the handler then raises WorkflowCancelledByUser. The context can be resumed.
        """
        from orchestrator.authoring.cancelling import Cancelling

        start = self._start
        if start.run is None and not start.is_beginning:
            start.is_withdrawn = True
            mark_begun(start)
            return Cancelling(None, timeout)
        cancelling = Cancelling(start, timeout)
        cancelling.begin()
        return cancelling

    cancel = cancel_run


async def _close(run: Actor) -> None:
    """Wait until nothing of an ended run is left: its steps, and the resources that end with it."""
    if run.has_drivers:
        await run.wait_closed(GRACE_S)
    data = run.data
    if isinstance(data, RunData) and data.closing is not None:
        await asyncio.shield(data.closing)
