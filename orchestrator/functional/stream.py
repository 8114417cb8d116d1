"""A run that is read while it goes: events as they happen, then the result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from orchestrator.functional.events import WorkflowEvent, WorkflowRunResult

if TYPE_CHECKING:  # a session makes results
    from orchestrator.functional.session import Phase, RunSession

Begin = Callable[[], Awaitable["tuple[RunSession, Phase]"]]
Fork = Callable[["RunSession", "Phase"], Awaitable["tuple[RunSession, Phase]"]]


class ResponseStream(AsyncIterator[WorkflowEvent]):
    """Events of one `run(..., stream=True)`, in the order they happen.

    The run starts when somebody first reads. A stream that is dropped halfway holds nothing up: the run goes on by itself;
    `aclose()` (or leaving `async with`) cancels it. A failed run raises its error after its last event.

    Example:
        async for event in pipeline.run("x", stream=True):
            print(event.type)
    """

    def __init__(self, begin: Begin, fork: Fork) -> None:
        self._begin = begin
        self._fork = fork
        self._begun: asyncio.Future[tuple[RunSession, Phase]] | None = None
        self._next = 0
        self._result: WorkflowRunResult | None = None

    def __aiter__(self) -> ResponseStream:
        return self

    async def __anext__(self) -> WorkflowEvent:
        session, phase = await self._start()
        actor = session.actor
        while True:
            end = actor.base + len(actor.entries) if phase.end < 0 else phase.end
            for event in session.events(self._next, end):
                self._next = event.sequence + 1
                return event
            self._next = max(self._next, end)
            if phase.end >= 0:
                if self._next > phase.end:
                    break
                self._next = phase.end + 1
                if phase.last is not None:
                    return phase.last
            else:
                await actor.wait_for_more()
        if phase.error is None:
            raise StopAsyncIteration
        await self._follow(session, phase)
        return await self.__anext__()

    async def get_final_response(self) -> WorkflowRunResult:
        """The result, when the run has paused or ended; works with and without reading the events."""
        if self._result is None:
            while True:
                session, phase = await self._start()
                await asyncio.shield(phase.done)
                if phase.error is None:
                    break
                await self._follow(session, phase)
            self._result = session.result_of(phase, with_status=False)
        return self._result

    async def _follow(self, session: RunSession, phase: Phase) -> None:
        """Go on with the fork of a run that was given up for one. Raises: the run's error, if it was not."""
        begun: asyncio.Future[tuple[RunSession, Phase]] = asyncio.get_running_loop().create_future()
        following = await self._fork(session, phase)
        self._next = following[1].start
        begun.set_result(following)
        self._begun = begun

    async def aclose(self) -> None:
        """Cancel the run, if it has started and not ended; when this returns none of its code runs any more."""
        if self._begun is not None:
            session, phase = await self._start()
            if not phase.done.done():
                await session.cancel()

    async def __aenter__(self) -> ResponseStream:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def _start(self) -> tuple[RunSession, Phase]:
        if self._begun is None:
            self._begun = asyncio.get_running_loop().create_future()
            try:
                session, phase = await self._begin()
            except BaseException as error:
                self._begun.set_exception(error)
                self._begun.exception()  # looked at: the caller gets it below
                raise
            self._next = phase.start
            self._begun.set_result((session, phase))
        return await asyncio.shield(self._begun)
