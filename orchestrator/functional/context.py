"""The context that a workflow or step function may take: questions, state and events of its run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.functional.errors import RequestError, RunArgumentError
from orchestrator.functional.events import WorkflowEvent
from orchestrator.functional.frames import Frame, frame_here
from orchestrator.functional.questions import ask
from orchestrator.functional.state import get_value, set_value

if TYPE_CHECKING:  # a pass belongs to a session, which makes contexts
    from orchestrator.functional.passes import Pass

R = TypeVar("R")


class WorkflowRunContext:
    """The run that code is part of. Use it in the body, in steps and in helpers; it may be handed to any of them.

    Example:
        @workflow
        async def review(draft: str, ctx: WorkflowRunContext) -> str:
            return await ctx.request_info({"draft": draft}, response_type=str, request_id="review")
    """

    __slots__ = ("_frame", "_run", "_thread")

    def __init__(self, run: Pass, frame: Frame | None = None) -> None:
        self._run = run
        self._frame = frame
        self._thread = threading.get_ident()

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._run.actor.run_id

    def request_info(
        self,
        request_data: Any,  # whatever describes the question
        response_type: type[Any] | Any,  # a type, or what typing makes of one, such as Literal["yes", "no"]
        *,
        request_id: str | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Ask somebody outside and give back the answer, which is of `response_type`.

        The run pauses when all its tasks have ended or wait; `run(responses={request_id: answer})` goes on. Without a
        `request_id` the question gets one from its place in the code, the same in every pass.

        Raises: RequestError for an id that this run has used for another question.
        """
        if request_id is not None and not (isinstance(request_id, str) and request_id):
            raise RequestError(f"request_id is {request_id!r}; it must be a non-empty text, or left out")
        return ask(self._here(), request_data, response_type, request_id)

    def add_event(self, event: WorkflowEvent) -> None:
        """Show an event to those who read the run's stream, at once; safe from threads."""
        if not isinstance(event, WorkflowEvent):
            raise RunArgumentError(f"add_event takes a WorkflowEvent, not {type(event).__name__}")
        self._in_loop(lambda: self._add(event))

    def _add(self, event: WorkflowEvent) -> None:
        if self._run.is_released:
            self._run.refuse_now()
        self._run.announce(event)

    def get_state(self, key: str, default: Any = None) -> Any:
        """The value of a key, as a copy; `default` if it was never set."""
        frame = self._here()
        return self._in_loop(lambda: get_value(frame, key, default))

    def set_state(self, key: str, value: Any) -> None:
        """Set a key. In a step the write counts once the step succeeds; a replay never applies it again."""
        frame = self._here()
        self._in_loop(lambda: set_value(frame, key, value))

    def is_streaming(self) -> bool:
        """Whether the run was started with `stream=True`."""
        return self._run.session.is_streaming

    def _here(self) -> Frame:
        frame = frame_here()
        if frame is not None and frame.run is self._run:
            return frame
        if self._frame is not None:
            return self._frame
        return Frame(self._run, "", None, "")

    def _in_loop(self, call: Callable[[], R]) -> R:
        if threading.get_ident() == self._thread:
            return call()

        async def in_loop() -> R:
            return call()

        return asyncio.run_coroutine_threadsafe(in_loop(), self._run.loop).result()


RunContext = WorkflowRunContext


def get_run_context() -> WorkflowRunContext | None:
    """The context of the run that the calling code is part of; None outside of runs."""
    frame = frame_here()
    if frame is None or frame.run.is_released:
        return None
    return WorkflowRunContext(frame.run, frame)
