"""What callers see of a run: its events, the states it goes through, and the list of both that `run()` returns."""

from __future__ import annotations

import reprlib
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Data: TypeAlias = Any  # whatever the user's functions return, ask or announce


class WorkflowRunState(StrEnum):
    """Where a run is."""

    STARTED = "STARTED"
    IN_PROGRESS = "IN_PROGRESS"
    IN_PROGRESS_PENDING_REQUESTS = "IN_PROGRESS_PENDING_REQUESTS"
    IDLE = "IDLE"
    IDLE_WITH_PENDING_REQUESTS = "IDLE_WITH_PENDING_REQUESTS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class WorkflowErrorDetails:
    """What is known of a failure; `attempt` counts from 1."""

    error_type: str
    message: str
    traceback: str | None = None
    executor_id: str | None = None
    attempt: int = 1

    @classmethod
    def of(cls, error: BaseException, executor_id: str | None = None, attempt: int = 1) -> WorkflowErrorDetails:
        """The details of a live exception."""
        lines = traceback.format_exception(error)
        return cls(type(error).__name__, str(error), "".join(lines), executor_id, attempt)


class WorkflowEvent:
    """Something that happened in a run.

    Types: started, status, executor_invoked, executor_completed, executor_failed, executor_bypassed, request_info, output,
    failed, and any other that `ctx.add_event` brings. `executor_id` is the step's name. An event that came out of a run
    carries its `run_id`, `sequence` (rising over the run's life, not always by one), `at` (epoch seconds) and the step's
    `call_path`.

    Example: event = WorkflowEvent("progress", data={"done": 3})
    """

    __slots__ = ("_more", "at", "call_path", "data", "executor_id", "run_id", "sequence", "type")

    def __init__(
        self,
        type: str,
        data: Data = None,
        *,
        executor_id: str | None = None,
        state: WorkflowRunState | None = None,
        details: WorkflowErrorDetails | None = None,
        request_id: str | None = None,
        source_executor_id: str | None = None,
        request_type: type[Any] | None = None,
        response_type: Any = None,  # a type, or what typing makes of one
        origin: str = "EXECUTOR",
        iteration: int | None = None,
    ) -> None:
        self.type = type
        self.data = data
        self.executor_id = executor_id
        self.run_id = ""
        self.sequence = -1
        self.at = 0.0
        self.call_path = ""
        self._more: dict[str, Any] | None = None
        more = {
            "state": state,
            "details": details,
            "request_id": request_id,
            "source_executor_id": source_executor_id,
            "request_type": request_type,
            "response_type": response_type,
            "iteration": iteration,
        }
        kept = {name: value for name, value in more.items() if value is not None}
        if origin != "FRAMEWORK":
            kept["origin"] = origin
        if kept:
            self._more = kept

    def more(self) -> dict[str, Any]:
        """The fields that most events lack."""
        return dict(self._more or {})

    def _get(self, name: str) -> Any:
        return self._more.get(name) if self._more is not None else None

    @property
    def state(self) -> WorkflowRunState | None:
        """The state that a status event announces."""
        found: WorkflowRunState | None = self._get("state")
        return found

    @property
    def details(self) -> WorkflowErrorDetails | None:
        """What failed, on failed and executor_failed."""
        found: WorkflowErrorDetails | None = self._get("details")
        return found

    @property
    def request_id(self) -> str:
        """The id to answer a request_info event under; empty on other events."""
        return self._get("request_id") or ""

    @property
    def source_executor_id(self) -> str | None:
        """The step or workflow that asks."""
        found: str | None = self._get("source_executor_id")
        return found

    @property
    def request_type(self) -> type[Any] | None:
        """The type of what is shown with a request."""
        found: type[Any] | None = self._get("request_type")
        return found

    @property
    def response_type(self) -> Any:
        """The type an answer must have; None when only its schema is known in this process."""
        return self._get("response_type")

    @property
    def origin(self) -> str:
        """FRAMEWORK, or EXECUTOR for an event that user code added."""
        return self._get("origin") or "FRAMEWORK"

    @property
    def iteration(self) -> int | None:
        """What the maker of a custom event put there."""
        found: int | None = self._get("iteration")
        return found

    def __repr__(self) -> str:
        shown = [repr(self.type)]
        if self.executor_id is not None:
            shown.append(f"executor_id={self.executor_id!r}")
        shown += [f"{name}={value!r}" for name, value in (self._more or {}).items() if name != "origin"]
        if self.data is not None:
            shown.append(f"data={self.data!r}")
        return f"WorkflowEvent({', '.join(shown)})"


def framework_event(type: str, data: Data = None, **more: Any) -> WorkflowEvent:
    """An event made by the runtime."""
    return WorkflowEvent(type, data, origin="FRAMEWORK", **more)


def step_event(type: str, data: Data, step: str, path: str, at: float) -> WorkflowEvent:
    """An event of a step's call, of the two kinds that are most of a log."""
    event = _new(WorkflowEvent)
    event.type, event.data, event.executor_id, event.call_path, event.at = type, data, step, path, at
    event.run_id, event.sequence, event._more = "", -1, None
    return event


_new = WorkflowEvent.__new__


def status_event(state: WorkflowRunState) -> WorkflowEvent:
    """The event that announces a state."""
    return framework_event("status", state=state)


class WorkflowRunResult(list[WorkflowEvent]):
    """What a run came to: the list of its events, with its outputs, open questions and state at hand.

    `started` and `status` events are left out of the list unless `include_status_events` was asked for.
    """

    def __init__(
        self,
        events: Iterable[WorkflowEvent] = (),
        *,
        run_id: str = "",
        pending: Iterable[str] = (),
        with_status: bool = False,
    ) -> None:
        super().__init__()
        self.run_id = run_id
        self._pending = tuple(pending)
        self._timeline: list[WorkflowEvent] = []
        for event in events:
            is_status = event.type == "status"
            if is_status:
                self._timeline.append(event)
            if with_status or not (is_status or event.type == "started"):
                self.append(event)

    @property
    def text(self) -> str:
        """The first output that is a string; empty if there is none."""
        return next((data for data in self.get_outputs() if isinstance(data, str)), "")

    def __repr__(self) -> str:
        state = next((event.state for event in reversed(self._timeline) if event.state is not None), None)
        outputs = reprlib.repr(self.get_outputs())
        return f"<WorkflowRunResult of run {self.run_id}: {state}, outputs {outputs}, {len(self)} events>"

    def get_outputs(self) -> list[Any]:
        """What the workflow returned; nothing if it returned None or has not ended."""
        return [event.data for event in self if event.type == "output"]

    def get_intermediate_outputs(self) -> list[Any]:
        """The data of `intermediate` events that the workflow added."""
        return [event.data for event in self if event.type == "intermediate"]

    def get_request_info_events(self) -> list[WorkflowEvent]:
        """The questions that were open when the run paused, in the order they were asked; none if it has ended."""
        asked = {event.request_id: event for event in self if event.type == "request_info"}
        return [asked[request_id] for request_id in self._pending if request_id in asked]

    def get_final_state(self) -> WorkflowRunState:
        """The last state that was announced."""
        for event in reversed(self._timeline):
            if event.state is not None:
                return event.state
        raise RuntimeError("this result holds no status event, so its final state is not known")

    def status_timeline(self) -> list[WorkflowEvent]:
        """Every state with its time."""
        return list(self._timeline)
