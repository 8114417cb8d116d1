"""The object that one tick's reduction works on, and the smallest moves on a run's state. No I/O, no clock.

Everything here is O(1) except where its docstring says otherwise.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from orchestrator.runtime.plan import FlowPlan, StepPlan
from orchestrator.runtime.state import Activation, EventRef, Group, Line, RunState, Scope, Timer
from orchestrator.runtime.ticks import CancelTask, ClearTimer, Command, SetTimer, StateOp, Wake

SERVICE_TIMERS = frozenset({"run", "drain"})
MAX_UNDELIVERED = 50_000  # events of one step that wait for their turn, or that one attempt may send (SAFETY)


class Reduction:
    """A run's plan and state, with the time, cause and commands of the tick being applied."""

    __slots__ = ("at", "cause", "out", "plan", "state")

    def __init__(self, plan: FlowPlan, state: RunState) -> None:
        self.plan = plan
        self.state = state
        self.at = 0.0
        self.cause = -1
        self.out: list[Command] = []


def activate(
    r: Reduction,
    step: StepPlan,
    events: tuple[EventRef, ...],
    scope: Scope | None,
    line: Line | None,
    error: tuple[str, str] | None = None,
) -> Activation:
    """A new activation, started at once or queued for a slot of its step; with an `error` it starts only to fail."""
    state = r.state
    act = Activation(state.next_id, step, events, scope, line, r.cause)
    state.next_id += 1
    state.acts[act.id] = act
    state.busy += 1
    if scope is not None:
        scope.live += 1
    if error is not None:
        doom(r, act, *error)
        return act
    if step.max_visits is not None:
        visits = dict(line) if line else {}
        count = visits[step.name] = visits.get(step.name, 0) + 1
        act.line = visits
        if count > step.max_visits:
            doom(
                r,
                act,
                "loop.exhausted",
                f"step `{step.name}` was entered more than {step.max_visits} times in one line",
            )
            return act
    if step.recovers:
        spent = dict(act.line) if act.line else {}
        spent["!" + step.name] = spent.get("!" + step.name, 0) + 1
        act.line = spent
    limit = step.limit
    if limit is None and step.rate is None:
        r.out.append(act)
        return act
    queue = state.queues.get(step.name)
    if queue or step.rate is not None:
        if queue is None:
            queue = state.queues[step.name] = deque()
        elif len(queue) >= MAX_UNDELIVERED and (scope is None or scope.group.size <= MAX_UNDELIVERED):
            doom(r, act, "limit.undelivered", f"{MAX_UNDELIVERED} events wait for step `{step.name}` already")
            return act
        queue.append(act)
        pull(r, step)
        return act
    active = state.running.get(step.name, 0)
    if limit is not None and active >= limit:
        state.queues[step.name] = deque((act,))
        return act
    state.running[step.name] = active + 1
    act.has_slot = True
    r.out.append(act)
    return act


def doom(r: Reduction, act: Activation, code: str, message: str) -> None:
    """Make the next attempt of an activation fail at once with this error."""
    act.error = {"code": code, "message": message, "step": act.step.name, "attempt": act.attempt, "details": None}
    act.is_doomed = True
    r.out.append(act)


def pull(r: Reduction, step: StepPlan) -> None:
    """Start queued activations of a step while it has a slot and its rate allows."""
    state = r.state
    queue = state.queues.get(step.name)
    while queue:
        if queue[0].id not in state.acts:
            queue.popleft()
            continue
        active = state.running.get(step.name, 0)
        if step.limit is not None and active >= step.limit:
            return
        if step.rate is not None and not _take_rate(r, step):
            return
        act = queue.popleft()
        if step.limit is not None:
            state.running[step.name] = active + 1
            act.has_slot = True
        if act.resume is None:
            r.out.append(act)
        else:
            r.out.extend(act.resume)
            act.resume = None
    if queue is not None:
        del state.queues[step.name]


def _take_rate(r: Reduction, step: StepPlan) -> bool:
    rate = step.rate
    assert rate is not None
    starts = r.state.rates.setdefault(step.name, deque())
    if len(starts) < rate.count:
        starts.append(r.at)
        return True
    free_at = starts[0] + rate.per_s
    if r.at >= free_at:
        starts.popleft()
        starts.append(r.at)
        return True
    key = f"rate:{step.name}"
    if key not in r.state.seen:
        r.state.seen.add(key)
        set_timer(r, free_at, "rate", step.name)
    return False


def free_slot(r: Reduction, act: Activation) -> None:
    """Give back the activation's slot and start the next one that waits for it."""
    if act.has_slot:
        act.has_slot = False
        name = act.step.name
        r.state.running[name] -= 1
    if act.step.name in r.state.queues:
        pull(r, act.step)


def restart(r: Reduction, act: Activation) -> None:
    """Start an activation again, ahead of those of its step that have not started."""
    step = act.step
    if step.limit is not None and not act.has_slot:
        active = r.state.running.get(step.name, 0)
        if active >= step.limit:
            r.state.queues.setdefault(step.name, deque()).appendleft(act)
            return
        r.state.running[step.name] = active + 1
        act.has_slot = True
    r.out.append(act)


def wake(r: Reduction, act: Activation, answer: Wake) -> None:
    """Let a waiting body go on, as soon as its step has a slot."""
    step = act.step
    if step.limit is not None and not act.has_slot:
        if act.resume is not None:
            act.resume.append(answer)
            return
        active = r.state.running.get(step.name, 0)
        if active >= step.limit:
            act.resume = [answer]
            r.state.queues.setdefault(step.name, deque()).appendleft(act)
            return
        r.state.running[step.name] = active + 1
        act.has_slot = True
    r.out.append(answer)


def park(r: Reduction, act: Activation) -> None:
    """Count one more thing that the activation waits for."""
    act.waits += 1
    if act.waits == 1:
        r.state.busy -= 1


def unpark(r: Reduction, act: Activation) -> None:
    """Count one thing less that the activation waits for."""
    act.waits -= 1
    if act.waits == 0:
        r.state.busy += 1


def retire(r: Reduction, act: Activation) -> None:
    """Take an activation out of the run; the caller releases its scope when its events are out."""
    state = r.state
    del state.acts[act.id]
    if act.waits == 0:
        state.busy -= 1
    if act.has_slot:
        act.has_slot = False
        state.running[act.step.name] -= 1


def release(r: Reduction, scope: Scope | None) -> None:
    """Count one live thing less in a member; the last one settles the member, the last member closes the group."""
    while scope is not None:
        scope.live -= 1
        if scope.live:
            return
        group = scope.group
        group.open -= 1
        if group.open:
            return
        close_group(r, group)
        scope = group.parent


def close_group(r: Reduction, group: Group) -> None:
    """Fire the joins that waited for the group; the caller releases the parent.

    Cost: O(members) once.
    """
    r.state.groups.pop(group.id, None)
    for step in r.plan.joins_of.get(group.site, ()):
        join = step.join
        if join is None:
            continue
        if join.fires_on_close:
            buffer = r.state.joins.pop((step.name, ("group", group.id)), None)
            if step.name not in group.fired:
                events = tuple(buffer.events) if buffer is not None else ()
                activate(r, step, events, group.parent, merge_lines(events))
            continue
        if join.mode != "all" or step.name in group.fired:
            continue
        arrived = group.collected.get(step.name, [])
        if not join.by_arrival:
            arrived = sorted(arrived, key=_by_path)
        if join.key is not None:
            for events in _split_by_key(arrived):
                activate(r, step, events, group.parent, merge_lines(events))
            continue
        events = tuple(entry[1] for entry in arrived)
        activate(r, step, events, group.parent, merge_lines(events))


def _by_path(entry: Any) -> Any:
    return entry[0]


def _split_by_key(arrived: list[Any]) -> list[tuple[EventRef, ...]]:
    parts: dict[Any, list[EventRef]] = {}
    for entry in arrived:
        parts.setdefault(entry[2], []).append(entry[1])
    return [tuple(part) for part in parts.values()]


def merge_lines(events: tuple[EventRef, ...]) -> Line | None:
    """The line of a join's output: for every bound the highest count of its inputs."""
    merged: Line | None = None
    for event in events:
        if event.line:
            if merged is None:
                merged = dict(event.line)
            else:
                for name, count in event.line.items():
                    if merged.get(name, 0) < count:
                        merged[name] = count
    return merged


def set_timer(r: Reduction, due: float, kind: str, ref: Any, data: Any = None) -> int:
    """Arm a timer and return its id."""
    timer = Timer(r.state.next_id, due, kind, ref, data)
    r.state.next_id += 1
    r.state.timers[timer.id] = timer
    r.out.append(SetTimer(timer))
    return timer.id


def set_act_timer(r: Reduction, act: Activation, due: float, kind: str) -> None:
    """Arm a timer that ends with the activation."""
    timer = set_timer(r, due, kind, act.id)
    act.owned = [*(act.owned or ()), ("timer", timer)]


def clear_timer(r: Reduction, timer: int | None) -> None:
    """Disarm a timer, if it is armed."""
    if timer is not None and r.state.timers.pop(timer, None) is not None:
        r.out.append(ClearTimer(timer))


def cancel_activation(r: Reduction, act: Activation) -> None:
    """Take an activation out of the run and have its body cancelled; its scope is released."""
    from orchestrator.runtime.waiting import drop_waits

    retire(r, act)
    drop_waits(r, act)
    r.out.append(CancelTask(act))
    if act.step.name in r.state.queues:
        pull(r, act.step)
    release(r, act.scope)


def is_inside(scope: Scope | None, group: Group) -> bool:
    """Whether a scope descends from a group. Cost: O(depth)."""
    while scope is not None:
        if scope.group is group:
            return True
        scope = scope.group.parent
    return False


def write_state(r: Reduction, ops: tuple[StateOp, ...]) -> None:
    """Change the run's variables in place. Cost: O(path) per operation."""
    write_ops(r.state.vars, ops)


def write_ops(vars: dict[str, Any], ops: tuple[StateOp, ...]) -> None:
    """Change variables in place; ticks keep their values, so containers are copied in. Cost: O(path + value) each."""
    for kind, path, value in ops:
        target: Any = vars
        if kind == "clear":
            target.clear()
            continue
        if kind == "replace":
            target.clear()
            target.update(own_copy(value))
            continue
        for part in path[:-1]:
            target = _descend(target, part)
        last = path[-1]
        if kind == "set":
            target[last] = own_copy(value)
        elif kind == "append":
            _descend(target, last, list).append(own_copy(value))
        elif isinstance(target, dict):
            target.pop(last, None)
        else:
            del target[last]


def own_copy(value: Any) -> Any:
    """The value with containers of its own. Cost: O(size)."""
    kind = type(value)
    if kind is dict:
        return {k: own_copy(v) for k, v in value.items()}
    if kind is list:
        return [own_copy(v) for v in value]
    return value


def _descend(target: Any, part: str | int, make: type[Any] = dict) -> Any:
    if isinstance(target, dict) and part not in target:
        target[part] = make()
    return target[part]
