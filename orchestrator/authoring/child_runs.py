"""Runs that a step starts: `await other.run()` inside a step is a child of the step's run.

A child is known by the step's activation and the place of the call in it. When the step runs from the top (a retry, a new
process), the same call joins the same child: while it runs, and if it ended well. A child that failed is started anew by the
next attempt. What a child shows and asks is shown on the parent's stream, answers to the parent reach it, and it is cancelled
with the parent. A child that the step does not wait for goes on by itself when the step ends.
"""

from __future__ import annotations

from typing import Any

from orchestrator.authoring.run_data import RunData
from orchestrator.authoring.run_start import Call, Ended, Start, attach, first_tick, resume, show_in
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor


def start_child(start: Start, call: Call, ended: Ended) -> None:
    """Start the child run of a call, or join the one that the call started before."""
    run, act = call.run, call.act
    base = child = f"{run.run_id}.{act.step.name}-{act.id}.{call.path.partition(':')[2]}"
    record = act.record or {}
    opened = record.get(call.path)
    if opened is not None:
        child = opened[1]
        if child in run.state.children and _join(start, run, child, ended):
            return
        entry = record.get(child)
        if entry is not None and (entry[2]["status"] == "done" or entry[2]["attempt"] == act.attempt):
            start.recorded = entry
            return
        child = f"{base}.{act.attempt}"
    plan = start.workflow.plan()
    data: RunData = run.data

    def adopt(actor: Actor) -> None:
        attach(actor, start, ended)
        actor.relay = show_in(run, plan)

    data.starting = (plan, first_tick(start), adopt)
    run.apply(t.ChildOpened(0, 0.0, act.cause, act.id, call.path, child))


def _join(start: Start, run: Actor, child: str, ended: Ended) -> bool:
    """Take hold of a child that is under way, here or in the snapshot that the parent came from."""
    live = run.engine.runs.get(child)
    if live is not None:
        start.run = live
        start.context._outside.run = live
        return True
    data: RunData = run.data
    saved: Any = (data.saved_children or {}).pop(child, None)
    if saved is None:
        return False
    from orchestrator.authoring.saving import read_saved

    plan = start.workflow.plan()
    restored = read_saved(saved, plan)
    actor = run.engine.create(plan, run_id=child, state=restored.state)
    attach(actor, start, ended)
    actor.base = restored.state.seq
    actor.data.saved_children = restored.children
    actor.relay = show_in(run, plan)
    run.engine.adopt(run, actor)
    resume(actor, restored.active_s)
    return True
