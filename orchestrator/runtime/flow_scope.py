"""What the expressions of a YAML step see: plain data only, gathered per evaluation. Decides no meaning, renders nothing.

Roots: inputs, state, ev, events, count, run, meta, attempt, now always where they exist; result, error, outcome, answers, voters
and item, index are added by who evaluates. A scope is a plain dict, made anew for every evaluation point.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchestratorError
from orchestrator.ir.durations import BadTime, Duration, iso_utc, parse_time, resolve_time
from orchestrator.ir.model import StepIR
from orchestrator.runtime.state import Activation, EventRef

if TYPE_CHECKING:  # the actor holds plans, which hold bodies
    from orchestrator.runtime.actor import Actor

Scope = dict[str, Any]


class TimeError(OrchestratorError):
    """A value that should be a duration or a moment and is not."""

    code = "expr.failed"


def base_scope(run: Actor, step: str) -> Scope:
    """The roots that exist everywhere in a step."""
    state = run.state
    return {
        "inputs": state.inputs or {},
        "state": state.vars,
        "run": {"id": run.run_id, "flow": run.plan.ir.name, "started_at": iso_utc(state.started_at)},
        "now": iso_utc(run.now()),
        "meta": {**(state.meta.get("meta") or {}), "step": step},
    }


def event_scope(run: Actor, step: str, event: EventRef) -> Scope:
    """The scope of a guard: one event has come."""
    scope = base_scope(run, step)
    scope["ev"] = fields_of(event)
    scope["meta"]["event"] = event.type
    return scope


def activation_scope(run: Actor, act: Activation) -> Scope:
    """The scope of a step that has fired: its event, or the events it collected."""
    scope = base_scope(run, act.step.name)
    events = act.events
    newest = act.closing or (events[-1] if events else None)
    scope["ev"] = fields_of(newest) if newest is not None else {}
    scope["attempt"] = act.attempt
    meta = scope["meta"]
    meta["event"] = newest.type if newest is not None else None
    meta["by"] = "fallback" if act.phase.value == "fallback" else "call"
    if act.step.join is not None:
        scope["events"] = [typed_fields(e) for e in events]
        scope["count"] = len(events)
    return scope


def fields_of(event: EventRef) -> Any:
    """The payload of an event as plain data, and its `type` unless it has a field of that name."""
    value = event.value
    return {**value, "type": event.type} if isinstance(value, dict) and "type" not in value else value


def typed_fields(event: EventRef) -> dict[str, Any]:
    """The payload of an event with its type, as it stands in `events`."""
    value = event.value
    return {**value, "type": event.type} if isinstance(value, dict) else {"type": event.type, "value": value}


def due_of(value: Any, now: float, timezone: str) -> float:
    """When a rendered duration or moment is due, in epoch seconds.

    Raises: TimeError for anything else.
    """
    if isinstance(value, str):
        try:
            return resolve_time(parse_time(value.strip()), now, timezone)
        except (BadTime, OverflowError) as error:
            raise TimeError(
                f"{value!r} is neither a duration such as `30s` nor a moment such as `fri 17:00`"
            ) from error
    raise TimeError(
        f"a duration or a moment is needed here, this is {value!r}; write a text with a unit, such as `30s`"
    )


def seconds_of(value: Any) -> float:
    """The length of a rendered duration in seconds.

    Raises: TimeError.
    """
    if isinstance(value, str):
        try:
            parsed = parse_time(value.strip())
        except BadTime as error:
            raise TimeError(f"{value!r} is no duration such as `30s`") from error
        if isinstance(parsed, Duration):
            return parsed.seconds
    raise TimeError(f"a duration such as `30s` is needed here, this is {value!r}")


def lenient_fields(step: StepIR) -> dict[str, frozenset[str]]:
    """Fields that read as null where they are not there: optional ones of `ev` and of answers.

    Shape: {"ev": names, "answers": {"[].name"}} with the keys that have any.
    """
    missing = frozenset(step.optional_fields)
    answers = _form_fields(step)
    found = {"ev": missing} if missing else {}
    if answers:
        found["answers"] = answers
    return found


def _form_fields(step: StepIR) -> frozenset[str]:
    ask = step.body.ask
    if ask is None or not isinstance(ask.form, dict):
        return frozenset()
    names: Iterable[str] = ask.form.get("properties", {})
    required = set(ask.form.get("required", ()))
    return frozenset(f"[].{name}" for name in names if name not in required)
