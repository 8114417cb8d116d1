"""Keeping the result of a call inside a body: a `Progress` tick, in its short form where the run is in memory."""

from __future__ import annotations

from typing import Any

from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.reduce import record_call
from orchestrator.runtime.state import Activation, Status


def record(run: Actor, act: Activation, path: str, value: Any, data: Any, writes: tuple[t.StateOp, ...]) -> None:
    """Apply the Progress of an activation's call. Raises: NotSerializable over a journal, before it is applied."""
    if run.sink is not None or run.relay is not None or run.state.status is not Status.RUNNING:
        run.apply(t.Progress(0, 0.0, act.cause, act.id, path, value, writes, data))
        return
    entries = run.entries
    run.at = run.now()
    run.cause = run.base + len(entries)
    entries.append((act.id, run.at, act.cause, path, value, data, writes))
    record_call(run, act.id, path, value, data, writes)
    run.state.seq = run.cause + 1
    run.wake_if_read()
