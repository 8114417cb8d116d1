"""What readers see of the entries of a run's log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from orchestrator.functional.codec import failure_of
from orchestrator.functional.events import (
    WorkflowErrorDetails,
    WorkflowEvent,
    WorkflowRunResult,
    WorkflowRunState,
    framework_event,
    status_event,
    step_event,
)
from orchestrator.functional.values import shown
from orchestrator.runtime import ticks as t
from orchestrator.runtime.log import MAKERS, PROGRESS, SHOWN, whole

if TYPE_CHECKING:  # a pass shows what happens
    from orchestrator.functional.passes import Pass

_CALL = "functional.call"  # in the log of a run in memory: a step was called


def show_call(run: Pass, step: str, path: str, args: tuple[Any, ...], items: tuple[tuple[str, Any], ...]) -> float:
    """Show that a step is called; gives the moment. In memory the event is made for those who read it."""
    actor = run.actor
    at = actor.now()
    entry = (_CALL, run.act.id, run.act.attempt, step, path, at, args, items)
    if actor.sink is None and actor.relay is None:
        actor.show_later(entry)
    else:
        event = _call_event(entry)
        run.announce(event)
        at = event.at
    return at


def _call_event(entry: Any) -> WorkflowEvent:
    _, _, _, step, path, at, args, items = entry
    return step_event(
        "executor_invoked", {"args": args, "kwargs": dict(items)} if args or items else None, step, path, at
    )


MAKERS[_CALL] = _call_event


def failed_event(event: WorkflowEvent, error: BaseException) -> WorkflowEvent:
    """The event of a failed run with all that this process knows of the failure."""
    full = framework_event("failed", details=WorkflowErrorDetails.of(error, event.executor_id))
    full.executor_id, full.run_id, full.at = event.executor_id, event.run_id, event.at
    return full


def event_of(entry: Any, workflow: str) -> WorkflowEvent | None:
    """What readers see of an entry of the log, in its short form or made whole."""
    kind = type(entry)
    if kind is WorkflowEvent:
        return entry  # type: ignore[no-any-return]  # the line above says so
    if kind is tuple:
        if len(entry) == PROGRESS:
            _, at, _, path, value, note, _ = entry
            return _event_of_progress(path, value, note, at)
        if len(entry) == SHOWN:
            return MAKERS[entry[0]](entry)  # type: ignore[no-any-return]  # in a function's log all are events
        entry = whole(entry, 0)
        kind = type(entry)
    if kind is t.Progress:
        return _event_of_progress(entry.path, entry.value, entry.data, entry.at)
    if kind is t.Streamed:
        return entry.value if isinstance(entry.value, WorkflowEvent) else None
    if kind is not t.StepSettled:
        return entry if isinstance(entry, WorkflowEvent) else None
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


def _event_of_progress(path: str, value: Any, note: Any, at: float) -> WorkflowEvent | None:
    if note is None:
        return None
    failure = failure_of(note[4])
    if failure is None:
        return step_event("executor_completed", shown(value), note[0], path, at)
    event = framework_event("executor_failed", details=failure.details)
    event.executor_id = note[0]
    event.call_path = path
    event.at = at
    return event


def inner_result(
    events: Iterable[WorkflowEvent], path: str, run_id: str, name: str, value: Any, with_status: bool
) -> WorkflowRunResult:
    """The result of an inner workflow, of the events since its call at `path`: what happened under it, and what it returned."""
    found: list[WorkflowEvent] = []
    output, status = framework_event("output", value, executor_id=name), status_event(WorkflowRunState.IDLE)
    for event in events:
        if event.call_path.startswith(path + "/"):
            found.append(event)
        elif event.call_path == path:
            output.at, output.sequence = event.at, event.sequence  # those of the end of its call
    output.run_id = status.run_id = run_id
    status.at = output.at
    if value is not None:
        found.append(output)
    return WorkflowRunResult([*found, status], run_id=run_id, with_status=with_status)
