"""The reducer: what one tick does to a run. Deterministic and synchronous; no I/O, clock, randomness or user code.

`reduce_tick(r, tick)` changes `r.state` in place and returns the commands for the shell. Replay is a fold of it over the ticks
after the last snapshot. The cost of a tick does not depend on the size of the graph, of the history or of what is in flight.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from orchestrator.runtime import ticks as t
from orchestrator.runtime.ending import cancel_run, end_drain, fail_run, next_cleanup, settle_quiet
from orchestrator.runtime.joins import expire_join
from orchestrator.runtime.reduction import (
    Reduction,
    activate,
    count_down,
    doom,
    free_slot,
    own_copy,
    park,
    pull,
    release,
    restart,
    retire,
    set_act_timer,
    set_timer,
    start_finally,
    unpark,
    write_state,
)
from orchestrator.runtime.routing import apply_delivered, emit, emit_all
from orchestrator.runtime.state import TERMINAL, Activation, EventRef, Phase, Status, Timer, Undo
from orchestrator.runtime.waiting import detach_children, drop_waits, expire_wait, open_wait, withdraw_wait

OUT_OF_TIME = frozenset({"timeout", "deadline"})  # codes of a step that `meta.status` tells as `timeout`
CALLS = "calls"  # where an activation records what its context answered before a flush


def reduce_tick(r: Reduction, tick: t.Tick) -> list[t.Command]:
    """Apply one tick; gives what the shell must do about it, in order."""
    state = r.state
    out: list[t.Command] = []
    r.out = out
    if state.status not in TERMINAL:
        r.at = tick.at
        r.cause = tick.seq
        _APPLY[type(tick)](r, tick)
        if state.busy <= 0:
            settle_quiet(r)
    state.seq = tick.seq + 1
    return out


def start_plain(r: Reduction, act: Activation) -> None:
    """The tick `r.cause` starts an attempt of a step that prepares nothing: what `reduce_tick` does about its StepStarted."""
    if act.collects is not None:  # the attempt starts over: its process is gone
        _settle_collects(r, act, True)
    act.is_running = True
    act.started_at = r.at
    act.cause = r.cause
    if not act.first_at:
        act.first_at = r.at
    r.state.seq = r.cause + 1


def settle_plain(r: Reduction, act: Activation, name: str, value: Any) -> None:
    """The tick `r.cause` ends a running step that holds nothing but what it emits, one event or (without a name) none."""
    state = r.state
    act.is_running = False
    del state.acts[act.id]  # it waits for nothing: no need to ask as `retire` does
    state.busy -= 1
    if act.has_slot:
        act.has_slot = False
        count_down(state, act.step.name)
    if name:
        step = r.plan.direct.get(name)
        if step is None or ("waits" in state.made and name in state.waits):
            emit(r, name, value, None, act.scope, act.line)
        else:
            event = EventRef(state.next_id, name, value, act.scope, act.line)
            state.next_id += 1
            activate(r, step, (event,), act.scope, act.line)
    if "queues" in state.made and act.step.name in state.queues:
        pull(r, act.step)
    if act.scope is not None:
        release(r, act.scope)
    if state.busy <= 0:
        settle_quiet(r)
    state.seq = r.cause + 1


def is_plain(r: Reduction, act: Activation) -> bool:
    """Whether `settle_plain` is all that the end of this attempt does."""
    state = r.state
    return (
        act.stage is None
        and state.status is Status.RUNNING
        and act.owned is None
        and not ("open_waits" in state.made and act.id in state.open_waits)
    )


def _started(r: Reduction, tick: t.Started) -> None:
    state = r.state
    state.status = Status.RUNNING
    state.started_at = tick.at
    state.inputs = tick.inputs
    if tick.vars:
        state.vars.update(own_copy(tick.vars))
    if tick.meta:
        state.meta.update(tick.meta)
    if tick.deadline is not None:
        set_timer(r, tick.deadline, "run", None)
    emit(r, tick.type, tick.value, None, None, None)


def _event_in(r: Reduction, tick: t.EventIn) -> None:
    if tick.dedup is not None:
        if tick.dedup in r.state.seen:
            return
        r.state.seen.add(tick.dedup)
    emit(r, tick.type, tick.value, tick.target, None, None, is_outside=True)


def _step_started(r: Reduction, tick: t.StepStarted) -> None:
    act = r.state.acts.get(tick.act)
    if act is None or act.attempt != tick.attempt:
        return
    is_first = not act.first_at
    start_plain(r, act)
    if is_first and tick.deadline is not None:
        set_act_timer(r, act, tick.deadline, "deadline")
    if tick.input is not None:
        act.input = tick.input
    if tick.writes:
        write_state(r, tick.writes)
    if tick.wait is not None:
        wait = tick.wait
        if wait["type"] is None:
            park(r, act)
            set_act_timer(r, act, wait["due"], "sleep")
        else:
            open_wait(r, act, "wait", type=wait["type"], match=wait["match"], due=wait["due"])
    elif tick.request is not None:
        from orchestrator.runtime.people import open_request  # only flows that ask people load it

        park(r, act)
        open_request(r, act, tick.request)
    elif tick.child is not None:
        park(r, act)
        r.state.children[tick.child] = act.id
        act.owned = [*(act.owned or ()), ("child", tick.child)]
        r.out.append(t.StartChild(act, tick.child))
    elif tick.children:
        act.record = act.record or {}
        act.owned = act.owned or []
        for child in tick.children:
            park(r, act)
            r.state.children[child] = act.id
            act.owned.append(("child", child))
            r.out.append(t.StartChild(act, child))


def _step_settled(r: Reduction, tick: t.StepSettled) -> None:
    state = r.state
    act = state.acts.get(tick.act)
    if act is None or act.attempt != tick.attempt:
        return
    act.is_running = False
    if act.collects is not None:
        _settle_collects(r, act, tick.error is not None)
    if tick.writes:
        write_state(r, tick.writes)
    if tick.again_at is not None:
        _again(r, act, tick)
        return
    retire(r, act)
    step = act.step
    if act.owned is not None or ("open_waits" in state.made and act.id in state.open_waits):
        if act.record is not None and tick.error is None:
            detach_children(r, act)
        drop_waits(r, act)
    if state.status is Status.CLEANING:
        if tick.error is not None:
            state.meta.setdefault("cleanup_errors", []).append(tick.error)
        next_cleanup(r)
        return
    for run_id, type, value, dedup in tick.posts:
        r.out.append(t.Post(run_id, type, value, dedup))
    if step.tags and _afterlife(r, act, tick):
        return
    if tick.error is not None and not tick.is_handled:
        fail_run(r, tick.error)
        return
    emit_all(r, tick.emitted, act.scope, act.line, 0.0 if tick.cancels else tick.drain_s)
    if "queues" in state.made and step.name in state.queues:
        pull(r, step)
    if act.scope is not None:
        release(r, act.scope)


def _again(r: Reduction, act: Activation, tick: t.StepSettled) -> None:
    act.attempt += 1
    if act.waits and not act.step.body.is_plain:  # child runs of other items
        drop_waits(r, act)
        act.waits = 1
        unpark(r, act)
    if tick.is_poll:
        act.polls += 1
    else:
        act.failures += 1
        act.error = tick.error
    if tick.again_as == "fallback":
        act.phase = Phase.FALLBACK
        act.failures = 0
    assert tick.again_at is not None
    if tick.again_at <= tick.at:
        restart(r, act)
        return
    free_slot(r, act)
    set_act_timer(r, act, tick.again_at, "again")


def _afterlife(r: Reduction, act: Activation, tick: t.StepSettled) -> bool:
    """Remember a finished step's `undo`; start its `finally`. True if the step's events wait for that."""
    state, step = r.state, act.step
    if act.phase is Phase.FINALLY:
        first: t.StepSettled = act.pending
        error = tick.error or first.error
        if error is not None and not (first.is_handled and tick.error is None):
            fail_run(r, error)
        else:
            emit_all(r, first.emitted, act.scope, act.line, 0.0 if first.cancels else first.drain_s)
            release(r, act.scope)
        return True
    is_lost = tick.error is not None and not tick.is_handled
    if step.ir.undo is not None and tick.error is None:
        state.undo.append(Undo(step.name, act.events, act.input, tick.result))
    if step.ir.finally_ is None:
        return False
    status = "done" if tick.error is None else "timeout" if tick.error.get("code") in OUT_OF_TIME else "failed"
    if is_lost:
        state.cleanup.append(Undo(step.name, act.events, act.input, None, status, Phase.FINALLY, tick.error))
        return False
    start_finally(r, act, status, tick)
    if step.name in state.queues:
        pull(r, step)
    return True


def _flushed(r: Reduction, tick: t.Flushed) -> None:
    if tick.act == 0:
        write_state(r, tick.writes)
        return
    act = r.state.acts.get(tick.act)
    if act is None or act.attempt != tick.attempt:
        return
    if tick.writes:
        write_state(r, tick.writes)
    act.collects = None
    if tick.path:
        record = act.record = act.record or {}
        record[tick.path] = ("value", bool(tick.emitted or tick.writes or tick.posts))
        if tick.calls:
            known = record.get(CALLS)
            record[CALLS] = ("value", [*known[1], *tick.calls] if known is not None else list(tick.calls))
    for run_id, type, value, dedup in tick.posts:
        r.out.append(t.Post(run_id, type, value, dedup))
    emit_all(r, tick.emitted, act.scope, act.line)


def _progress(r: Reduction, tick: t.Progress) -> None:
    record_call(r, tick.act, tick.path, tick.value, tick.data, tick.writes)


def record_call(r: Reduction, of: int, path: str, value: Any, data: Any, writes: tuple[t.StateOp, ...]) -> None:
    """What a Progress does: the call at a path of an activation has a value."""
    act = r.state.acts.get(of)
    if act is None:
        return
    if act.record is None:
        act.record = {}
    act.record[path] = ("value", value) if data is None else ("value", value, data)
    if writes:
        write_state(r, writes)


def _collected(r: Reduction, tick: t.Collected) -> None:
    act = r.state.acts.get(tick.act)
    if act is None:
        return
    key = (act.step.name, tick.buffer)
    buffer = r.state.buffers.setdefault(key, {})
    entry = (act.id, tick.value)
    buffer.setdefault(tick.type, deque()).append(entry)
    moves = act.collects = act.collects or []
    moves.append(("add", key, tick.type, entry))
    act.collected = None
    if not tick.expected:
        return
    needed = Counter(tick.expected)
    if any(len(buffer.get(name, ())) < count for name, count in needed.items()):
        return
    taken = [(name, buffer[name].popleft()) for name in tick.expected]
    moves.append(("take", key, taken))
    act.collected = [item[1] for _, item in taken]
    for name in needed:
        if not buffer[name]:
            del buffer[name]
    if not buffer:
        del r.state.buffers[key]


def _settle_collects(r: Reduction, act: Activation, has_failed: bool) -> None:
    moves, act.collects = act.collects, None
    if not has_failed or not moves:
        return
    for move in reversed(moves):
        buffer = r.state.buffers.setdefault(move[1], {})
        if move[0] == "take":
            for name, entry in reversed(move[2]):
                buffer.setdefault(name, deque()).appendleft(entry)
        elif move[3] in buffer.get(move[2], ()):
            buffer[move[2]].remove(move[3])


def _wait_opened(r: Reduction, tick: t.WaitOpened) -> None:
    act = r.state.acts.get(tick.act)
    if act is None:
        return
    free_slot(r, act)
    asked = tick.announce[1] if tick.request_id is not None and tick.announce is not None else None
    open_wait(
        r, act, tick.path, type=tick.type, match=tick.match, due=tick.due, request_id=tick.request_id, asked=asked
    )


def _wait_closed(r: Reduction, tick: t.WaitClosed) -> None:
    act = r.state.acts.get(tick.act)
    if act is not None:
        withdraw_wait(r, act, tick.path)


def _child_opened(r: Reduction, tick: t.ChildOpened) -> None:
    act = r.state.acts.get(tick.act)
    if act is None:
        return
    if act.record is None:
        act.record = {}
    act.record[tick.path] = ("value", tick.child)
    park(r, act)
    r.state.children[tick.child] = act.id
    act.owned = act.owned or []
    act.owned.append(("child", tick.child))
    r.out.append(t.StartChild(act, tick.child))


def _timer_fired(r: Reduction, tick: t.TimerFired) -> None:
    state = r.state
    timer = state.timers.pop(tick.timer, None)
    if timer is None:
        return
    _FIRE[timer.kind](r, timer)


def _fire_again(r: Reduction, timer: Timer) -> None:
    act = r.state.acts.get(timer.ref)
    if act is not None:
        restart(r, act)


def _fire_wait(r: Reduction, timer: Timer) -> None:
    expire_wait(r, timer.ref, timer.data)


def _fire_sleep(r: Reduction, timer: Timer) -> None:
    act = r.state.acts.get(timer.ref)
    if act is not None:
        unpark(r, act)
        r.out.append(t.Wake(act, "wait", "slept", None))


def _fire_deadline(r: Reduction, timer: Timer) -> None:
    act = r.state.acts.get(timer.ref)
    if act is None:
        return
    drop_waits(r, act)
    if act.waits:
        act.waits = 1
        unpark(r, act)
    act.attempt += 1
    act.is_running = False
    r.out.append(t.CancelTask(act))
    doom(r, act, "deadline", f"step `{act.step.name}` was not done by its deadline")


def _fire_join(r: Reduction, timer: Timer) -> None:
    expire_join(r, r.plan.steps[timer.ref], timer.data)


def _fire_run(r: Reduction, timer: Timer) -> None:
    error = {"code": "timeout", "message": "the run took longer than its timeout", "step": None, "attempt": 0}
    fail_run(r, {**error, "details": None}, Status.TIMEOUT)


def _fire_drain(r: Reduction, timer: Timer) -> None:
    end_drain(r)


def _fire_rate(r: Reduction, timer: Timer) -> None:
    r.state.seen.discard(f"rate:{timer.ref}")
    pull(r, r.plan.steps[timer.ref])


def _child_settled(r: Reduction, tick: t.ChildSettled) -> None:
    owner = r.state.children.pop(tick.child, None)
    act = r.state.acts.get(owner) if owner is not None else None
    if act is not None:
        if act.record is not None:  # the body of a class or function finds it there when it runs from the top
            ended = {"status": tick.status, "type": tick.type, "error": tick.error, "attempt": act.attempt}
            act.record[tick.child] = ("value", tick.value, ended)
        unpark(r, act)
        r.out.append(t.Wake(act, tick.child, "child", tick))


def _answer(r: Reduction, tick: t.Answer) -> None:
    from orchestrator.runtime.people import apply_answer

    apply_answer(r, tick)


def _fire_request(r: Reduction, timer: Timer) -> None:
    from orchestrator.runtime.people import fire_request_timer

    fire_request_timer(r, timer)


def _cancel(r: Reduction, tick: t.Cancel) -> None:
    status = Status(tick.status)
    error = tick.error or {
        "code": tick.status,
        "message": tick.reason or f"the run was {tick.status}",
        "step": None,
        "attempt": 0,
        "details": None,
    }
    if status is Status.FAILED:
        fail_run(r, error)
    else:
        cancel_run(r, error, status)


def _migrated(r: Reduction, tick: t.Migrated) -> None:
    if tick.writes:
        write_state(r, tick.writes)


def _nothing(r: Reduction, tick: Any) -> None:
    """A tick that only readers look at."""


_APPLY: dict[type[Any], Callable[[Reduction, Any], None]] = {
    t.Started: _started,
    t.EventIn: _event_in,
    t.Delivered: apply_delivered,
    t.StepStarted: _step_started,
    t.StepSettled: _step_settled,
    t.Flushed: _flushed,
    t.Progress: _progress,
    t.Collected: _collected,
    t.WaitOpened: _wait_opened,
    t.WaitClosed: _wait_closed,
    t.ChildOpened: _child_opened,
    t.TimerFired: _timer_fired,
    t.Answer: _answer,
    t.ChildSettled: _child_settled,
    t.Cancel: _cancel,
    t.Streamed: _nothing,
    t.Migrated: _migrated,
}

_FIRE: dict[str, Callable[[Reduction, Timer], None]] = {
    "again": _fire_again,
    "wait": _fire_wait,
    "sleep": _fire_sleep,
    "deadline": _fire_deadline,
    "join": _fire_join,
    "run": _fire_run,
    "drain": _fire_drain,
    "rate": _fire_rate,
    "remind": _fire_request,
    "escalate": _fire_request,
    "expire": _fire_request,
}
