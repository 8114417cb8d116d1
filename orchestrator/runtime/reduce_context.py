"""What a body does through its context, as ticks: calls that were answered, collects, waits, child runs it opened."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from orchestrator.runtime import ticks as t
from orchestrator.runtime.reduction import (
    Reduction,
    free_slot,
    park,
    write_state,
)
from orchestrator.runtime.routing import emit_all
from orchestrator.runtime.state import Activation
from orchestrator.runtime.waiting import open_wait, withdraw_wait

CALLS = "calls"  # where an activation records what its context answered before a flush


def flush_calls(r: Reduction, tick: t.Flushed) -> None:
    """Apply what a body wrote and answered since the last flush."""
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


def note_progress(r: Reduction, tick: t.Progress) -> None:
    """Record that a call at a path of an activation has a value."""
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


def open_collect(r: Reduction, tick: t.Collected) -> None:
    """Note that a body collects events."""
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


def settle_collects(r: Reduction, act: Activation, has_failed: bool) -> None:
    """Give back what an attempt had collected and did not keep, if it failed."""
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


def open_context_wait(r: Reduction, tick: t.WaitOpened) -> None:
    """Open a wait of a body for an event."""
    act = r.state.acts.get(tick.act)
    if act is None:
        return
    free_slot(r, act)
    asked = tick.announce[1] if tick.request_id is not None and tick.announce is not None else None
    open_wait(
        r, act, tick.path, type=tick.type, match=tick.match, due=tick.due, request_id=tick.request_id, asked=asked
    )


def close_context_wait(r: Reduction, tick: t.WaitClosed) -> None:
    """Withdraw a wait of a body."""
    act = r.state.acts.get(tick.act)
    if act is not None:
        withdraw_wait(r, act, tick.path)


def open_child(r: Reduction, tick: t.ChildOpened) -> None:
    """Start a child run for an activation."""
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
