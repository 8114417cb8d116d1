"""Where an event goes: to the waits it answers, the steps that listen, the joins in front of them, or the end of the run."""

from __future__ import annotations

from collections import deque
from typing import Any

from orchestrator.runtime.ending import fail_run, stop_run
from orchestrator.runtime.joins import add_to_join
from orchestrator.runtime.plan import StepPlan
from orchestrator.runtime.reduction import MAX_UNDELIVERED, Reduction, activate, close_group, release
from orchestrator.runtime.state import EventRef, Group, Line, Payload, Scope, Status
from orchestrator.runtime.ticks import Delivered, Emission, Fan, Guard
from orchestrator.runtime.waiting import answer_waits

MAX_FAN_OUT = 10_000


def emit_all(
    r: Reduction,
    emitted: tuple[Emission | Fan, ...],
    scope: Scope | None,
    line: Line | None,
    drain_s: float | None = None,
) -> None:
    """Send out what a step emitted, in order."""
    for item in emitted:
        if type(item) is Fan:
            fan_out(r, item, scope, line)
        else:
            emit(r, item[0], item[1], item[2], scope, line, drain_s)  # type: ignore[index]  # closed union, hot path


def emit(
    r: Reduction,
    type: str,
    value: Payload,
    target: str | None,
    scope: Scope | None,
    line: Line | None,
    drain_s: float | None = None,
    is_outside: bool = False,
) -> None:
    """Send one event to everybody who listens.

    Cost: O(listeners).
    """
    state = r.state
    if state.status is not Status.RUNNING and state.status is not Status.STOPPING:
        return
    kind = r.plan.kinds.get(type)
    if kind == "stop" and target is None:
        stop_run(r, type, value, drain_s)
        return
    if kind == "failed" and target is None:
        fail_run(r, _error_of(value))
        return
    event = EventRef(state.next_id, type, value, scope, line)
    state.next_id += 1
    woken = answer_waits(r, event) if type in state.waits else ()
    if target is not None:
        deliver(r, r.plan.steps[target], event)
        return
    steps = r.plan.routes.get(type)
    if steps is None:
        if not woken and (is_outside or type in r.plan.waited or (r.plan.keeps_unclaimed and kind != "ask")):
            _keep_unclaimed(r, event)
        return
    for step in steps:
        if step.name not in woken:
            deliver(r, step, event)


def deliver(r: Reduction, step: StepPlan, event: EventRef) -> None:
    """Hand an event to one step, by way of its guard and join if it has them."""
    if step.needs_guard:
        r.state.pending[(event.id, step.name)] = event
        r.state.busy += 1
        if event.scope is not None:
            event.scope.live += 1
        r.out.append(Guard(step.name, event))
    elif step.join is not None:
        add_to_join(r, step, event)
    else:
        activate(r, step, (event,), event.scope, event.line)


def apply_delivered(r: Reduction, tick: Delivered) -> None:
    """The guard of a step has decided about an event."""
    event = r.state.pending.pop((tick.event, tick.step), None)
    if event is None:
        return
    step = r.plan.steps[tick.step]
    r.state.busy -= 1
    if tick.error is not None:
        activate(r, step, (event,), event.scope, event.line, (tick.error["code"], tick.error["message"]))
    elif tick.passes:
        if step.join is not None:
            add_to_join(r, step, event, key=tick.key, closes=tick.closes, due=tick.due, count=tick.count)
        else:
            activate(r, step, (event,), event.scope, event.line)
    release(r, event.scope)


def fan_out(r: Reduction, fan: Fan, scope: Scope | None, line: Line | None) -> None:
    """Open a group and emit its members; an empty one closes at once.

    Cost: O(members).
    """
    state = r.state
    group = Group(state.next_id, fan.site, scope, len(fan.members), fan.is_list)
    state.next_id += 1
    state.groups[group.id] = group
    if scope is not None:
        scope.live += 1
    group.open += 1  # keeps it open while members are emitted
    for index, (type, value, target) in enumerate(fan.members):
        member = Scope(group, index)
        member.live = 1
        emit(r, type, value, target, member, line)
        release(r, member)
    group.open -= 1
    if group.open == 0:
        close_group(r, group)
        release(r, scope)


def _keep_unclaimed(r: Reduction, event: EventRef) -> None:
    queue = r.state.unclaimed.setdefault(event.type, deque())
    if len(queue) >= MAX_UNDELIVERED:
        fail_run(
            r,
            {
                "code": "limit.undelivered",
                "message": f"{MAX_UNDELIVERED} events `{event.type}` came that no step takes",
                "step": None,
                "attempt": 0,
                "details": None,
            },
        )
        return
    queue.append(event)


def _error_of(value: Any) -> dict[str, Any]:
    fields = value if isinstance(value, dict) else {}
    return {
        "code": str(fields.get("code") or "failed"),
        "message": str(fields.get("message") or "the flow emitted Failed"),
        "step": None,
        "attempt": 0,
        "details": fields.get("details"),
    }
