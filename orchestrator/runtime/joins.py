"""Fan-in: which events a step waits for before it fires, and what happens to events that come too many or too late.

A join's *group* is its `key`, else the fan-out group its events share, else the run. `all` and Python's list joins collect in
the group itself and fire when the group closes (reduction.close_group); the others use a buffer per (step, group).
The output of `each` stays in its member, that of the others leaves one level of fan-out.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from orchestrator.ir.model import JoinIR
from orchestrator.runtime.plan import StepPlan
from orchestrator.runtime.reduction import (
    Reduction,
    activate,
    cancel_activation,
    clear_timer,
    is_inside,
    merge_lines,
    release,
    set_timer,
)
from orchestrator.runtime.state import EventRef, Group, JoinBuffer, Scope


def add_to_join(
    r: Reduction,
    step: StepPlan,
    event: EventRef,
    *,
    key: Any = None,
    closes: bool = False,
    due: float | None = None,
    count: int | None = None,
) -> None:
    """Add one event to a join and release it when its rule is met.

    Cost: O(1) to add, O(n) once at release.
    """
    join = step.join
    assert join is not None
    if join.mode == "all":
        _add_to_group(r, step, join, event, key, due)
        return
    if event.type == join.until_event and join.key is None:
        groups = _open_groups(r, step, event)
        for buffer, open_group in groups:
            _fire(r, step, join, buffer, buffer.events, open_group, closing=event)
        if groups and (step.name, place_of(step, event, key)) not in r.state.joins:
            return
    place = place_of(step, event, key)
    group = _group_of(step, event) if join.key is None else None
    if join.key is not None:
        scope = event.scope.group.parent if event.scope is not None else None
    elif join.mode == "each":
        scope = _member_scope(event.scope)
    else:
        scope = group.parent if group is not None else None
    buffer = _buffer(r, step, place, scope, event, due)
    if not buffer.count:
        buffer.count = count or join.count
    if join.mode == "each":
        _add_each(r, step, join, buffer, event)
        return
    if buffer.fired:
        return
    is_end = join.until_event is not None and event.type == join.until_event
    if not is_end:
        buffer.events.append(event)
    elif closes is False:
        closes = True
    if join.mode == "until":
        if closes:
            _fire(r, step, join, buffer, buffer.events, group, closing=event if is_end else None)
    elif len(buffer.events) >= buffer.count:
        _fire(r, step, join, buffer, buffer.events, group)


def _open_groups(r: Reduction, step: StepPlan, event: EventRef) -> list[tuple[JoinBuffer, Group | None]]:
    """What a join has collected of fan-outs below an event: one that closes it comes from outside of them.

    Cost: O(open joins).
    """
    outer = None if event.scope is None else event.scope.group
    found = []
    for (name, place), buffer in r.state.joins.items():
        if name != step.name or place is None or place[0] != "group" or (outer is not None and place[1] == outer.id):
            continue
        if outer is None or is_inside(buffer.scope, outer):
            found.append((buffer, r.state.groups.get(place[1])))  # a group whose members are all settled is gone
    return found


def place_of(step: StepPlan, event: EventRef, key: Any) -> Any:
    """Which buffer of a join an event belongs to."""
    join = step.join
    assert join is not None
    if join.key is not None:
        return ("key", key)
    if join.mode == "each":
        return _scope_key(_member_scope(event.scope))
    group = _group_of(step, event)
    return None if group is None else ("group", group.id)


def _add_each(r: Reduction, step: StepPlan, join: JoinIR, buffer: JoinBuffer, event: EventRef) -> None:
    buffer.queues.setdefault(event.type, deque()).append(event)
    if len(buffer.queues) < len(join.events) or not all(buffer.queues.get(t) for t in join.events):
        return
    events = [buffer.queues[t].popleft() for t in join.events]
    if not any(buffer.queues.values()):
        r.state.joins.pop((step.name, buffer.key), None)
    _settle_timer(r, buffer)
    activate(r, step, tuple(events), buffer.scope, merge_lines(tuple(events)))


def _fire(
    r: Reduction,
    step: StepPlan,
    join: JoinIR,
    buffer: JoinBuffer,
    events: list[EventRef],
    group: Group | None,
    closing: EventRef | None = None,
) -> None:
    fired = tuple(events)
    buffer.events = []
    if join.mode == "first":
        buffer.fired = True
        if group is not None:
            group.fired.add(step.name)
    else:
        r.state.joins.pop((step.name, buffer.key), None)
    act = activate(r, step, fired, buffer.scope, merge_lines(fired))
    if closing is not None:
        act.closing = closing
    _settle_timer(r, buffer)
    if join.cancels_rest and group is not None:
        for other in [a for a in r.state.acts.values() if is_inside(a.scope, group)]:
            if other.id in r.state.acts:
                cancel_activation(r, other)


def expire_join(r: Reduction, step: StepPlan, key: Any) -> None:
    """A join's `within` ran out: the step fails with collect.timeout (or emits `on_timeout`), in the join's scope."""
    buffer = r.state.joins.pop((step.name, key), None)
    if buffer is None:
        return
    buffer.timer = None
    events = tuple(buffer.events) or tuple(e for q in buffer.queues.values() for e in q)
    if isinstance(key, tuple) and key and key[0] == "all":
        group = r.state.groups.get(key[1])
        if group is not None:
            group.fired.add(step.name)
            events = tuple(entry[1] for entry in group.collected.pop(step.name, []))
    message = f"step `{step.name}` did not get all it collects in time: {len(events)} came"
    activate(r, step, events, buffer.scope, merge_lines(events), error=("collect.timeout", message))
    release(r, buffer.held)


def _add_to_group(r: Reduction, step: StepPlan, join: JoinIR, event: EventRef, key: Any, due: float | None) -> None:
    group, path = _joined_group(step, event)
    if group is None:
        activate(r, step, (event,), None, event.line)
        return
    if step.name in group.fired:
        return
    entry: Any = (path, event) if join.key is None else (path, event, key)
    group.collected.setdefault(step.name, []).append(entry)
    place = ("all", group.id)
    if due is not None and (step.name, place) not in r.state.joins:
        buffer = JoinBuffer(step.name, place, group.parent)
        r.state.joins[(step.name, place)] = buffer
        _arm(r, buffer, due, group.parent)


def _joined_group(step: StepPlan, event: EventRef) -> tuple[Group | None, tuple[int, ...]]:
    scope = event.scope
    if scope is None:
        return None, ()
    if scope.group.site in step.join_sites:
        return scope.group, (scope.index,)
    path = [scope.index]
    outer: Scope | None = scope.group.parent
    while outer is not None:
        path.append(outer.index)
        if outer.group.site in step.join_sites:
            return outer.group, tuple(reversed(path))
        outer = outer.group.parent
    return scope.group, (scope.index,)


def _group_of(step: StepPlan, event: EventRef) -> Group | None:
    return _joined_group(step, event)[0]


def _member_scope(scope: Scope | None) -> Scope | None:
    """The member an `each` works in: groups of `{all: [...]}` are its own branches, so they are left."""
    while scope is not None and scope.group.is_list:
        scope = scope.group.parent
    return scope


def _scope_key(scope: Scope | None) -> Any:
    return None if scope is None else ("member", scope.group.id, scope.index)


def _buffer(
    r: Reduction, step: StepPlan, place: Any, scope: Scope | None, event: EventRef, due: float | None
) -> JoinBuffer:
    buffer = r.state.joins.get((step.name, place))
    if buffer is None:
        buffer = r.state.joins[(step.name, place)] = JoinBuffer(step.name, place, scope)
        if due is not None:
            _arm(r, buffer, due, event.scope)
    return buffer


def _arm(r: Reduction, buffer: JoinBuffer, due: float, held: Scope | None) -> None:
    buffer.timer = set_timer(r, due, "join", buffer.step, buffer.key)
    buffer.held = held
    if held is not None:
        held.live += 1


def _settle_timer(r: Reduction, buffer: JoinBuffer) -> None:
    if buffer.timer is not None:
        clear_timer(r, buffer.timer)
        buffer.timer = None
        held, buffer.held = buffer.held, None
        release(r, held)
