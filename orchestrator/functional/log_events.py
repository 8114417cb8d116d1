"""What readers see of the entries of a run's log."""

from __future__ import annotations

from typing import Any

from orchestrator.functional.codec import failure_of
from orchestrator.functional.events import WorkflowErrorDetails, WorkflowEvent, framework_event
from orchestrator.functional.values import shown
from orchestrator.runtime import ticks as t


def failed_event(event: WorkflowEvent, error: BaseException) -> WorkflowEvent:
    """The event of a failed run with all that this process knows of the failure."""
    full = framework_event("failed", details=WorkflowErrorDetails.of(error, event.executor_id))
    full.executor_id, full.run_id, full.at = event.executor_id, event.run_id, event.at
    return full


def event_of(entry: Any, workflow: str) -> WorkflowEvent | None:
    """What readers see of an entry of the log."""
    kind = type(entry)
    if kind is tuple:
        return entry[0] if isinstance(entry[0], WorkflowEvent) else None
    if kind is t.Progress:
        return _event_of_progress(entry)
    if kind is t.Streamed:
        return entry.value if isinstance(entry.value, WorkflowEvent) else None
    if kind is not t.StepSettled:
        return None
    if entry.error is not None:
        details = WorkflowErrorDetails(entry.error.get("type", "Error"), entry.error["message"], None, workflow)
        event = framework_event("failed", details=details)
    elif entry.emitted and entry.emitted[0][1] is not None:
        value = entry.emitted[0][1]
        event = framework_event("output", shown(value))
    else:
        return None
    event.executor_id = workflow
    event.at = entry.at
    return event


def _event_of_progress(entry: t.Progress) -> WorkflowEvent | None:
    note = entry.data
    if note is None:
        return None
    failure = failure_of(note[4])
    if failure is None:
        event = framework_event("executor_completed", shown(entry.value))
    else:
        event = framework_event("executor_failed", details=failure.details)
    event.executor_id = note[0]
    event.call_path = entry.path
    event.at = entry.at
    return event
