"""How a run of a workflow ended: its result, its error, and the last event of its stream."""

from __future__ import annotations

import asyncio
from typing import Any

from orchestrator.authoring.context import active_steps
from orchestrator.authoring.run_data import RunData
from orchestrator.errors import (
    LimitExceeded,
    RunError,
    RunStalled,
    StepFailed,
    WorkflowCancelledByUser,
    WorkflowRuntimeError,
    WorkflowTimeoutError,
)
from orchestrator.events import (
    StopEvent,
    WorkflowCancelledEvent,
    WorkflowFailedEvent,
    WorkflowTimedOutEvent,
)
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.state import Status


def result_of(run: Actor) -> Any:
    """The result of an ended run: `result` of a plain StopEvent, else the stop event itself.

    Raises: what failed the run, WorkflowTimeoutError, WorkflowCancelledByUser, RunStalled.
    """
    state = run.state
    if state.status is Status.DONE and state.result is not None:
        value = state.result.value
        return value._get_result() if isinstance(value, StopEvent) else value
    raise error_of(run)


def error_of(run: Actor) -> BaseException:
    """What awaiting the handler of a run that ended without a result raises; its notes are the places of the steps it names."""
    data = run.data
    if not isinstance(data, RunData):
        return _error_of(run)
    if data.failure is not None and run.state.status is Status.FAILED:
        return data.failure.exception
    error = _error_of(run)
    message = str(error)
    named = {name for name in data.flow.steps if f"`{name}`" in message}
    for name in (*active_steps(run), *sorted(named)) if run.state.status is not Status.CANCELLED else ():
        error.add_note(data.flow.steps[name].where)
    return error


def _error_of(run: Actor) -> BaseException:
    state = run.state
    record = state.error or {}
    message = str(record.get("message") or "the run ended without a result")
    if state.status is Status.TIMEOUT:
        if run.timeout_s is None:  # the flow's own timeout, or a run that ended in another process
            return WorkflowTimeoutError(message, run_id=run.run_id)
        steps = active_steps(run)
        active = f"Currently active steps: {', '.join(steps)}" if steps else "No steps active"
        return WorkflowTimeoutError(
            f"Operation timed out after {_seconds(run.timeout_s)} seconds. {active}", run_id=run.run_id
        )
    if state.status is Status.CANCELLED:
        return WorkflowCancelledByUser(message, run_id=run.run_id)
    code = str(record.get("code") or "run")
    if code == "stalled":
        return RunStalled(message, run_id=run.run_id)
    if code.startswith("limit"):
        return LimitExceeded(message, run_id=run.run_id, code=code)
    if record.get("step"):
        return StepFailed(message, run_id=run.run_id, step=record["step"], error=record)
    return RunError(message, run_id=run.run_id, code=code)


def last_event_of(run: Actor) -> StopEvent:
    """The last event of the stream of an ended run."""
    data = run.data
    if not isinstance(data, RunData):
        return _last_event(run, None)
    if data.last_event is None:
        data.last_event = _last_event(run, data)
    return data.last_event


def _last_event(run: Actor, data: RunData | None) -> StopEvent:
    state = run.state
    if state.status is Status.DONE and state.result is not None:
        value = state.result.value
        return value if isinstance(value, StopEvent) else StopEvent(result=value)
    if state.status is Status.TIMEOUT:
        return WorkflowTimedOutEvent(timeout=run.timeout_s or 0.0, active_steps=active_steps(run))
    if state.status is Status.CANCELLED:
        return WorkflowCancelledEvent()
    failure = data.failure if data is not None else None
    if failure is None:
        step = str((state.error or {}).get("step") or "")
        return WorkflowFailedEvent(step_name=step, exception=error_of(run))
    return WorkflowFailedEvent(
        step_name=failure.step,
        exception=failure.exception,
        attempts=failure.attempts,
        elapsed_seconds=failure.elapsed_s,
    )


def as_run_error(error: BaseException, step: str, run_id: str) -> BaseException:
    """An error that may be raised from `await handler`: a cancellation from inside a step would look like the caller's."""
    if isinstance(error, asyncio.CancelledError):
        wrapped = WorkflowRuntimeError(
            f"step `{step}` raised CancelledError, but nothing cancelled it: it awaits something that was cancelled",
            run_id=run_id,
            step=step,
        )
        wrapped.__cause__ = error
        return wrapped
    if isinstance(error, GeneratorExit):
        return WorkflowRuntimeError(f"step `{step}` raised GeneratorExit", run_id=run_id, step=step)
    return error


def _seconds(value: float | None) -> str:
    return "0" if value is None else f"{float(value)}"
