"""Runs that a step starts: `await other.run()` inside a step is a child of the step's run, whatever kind of flow it is.

A child is known by the step's activation and the place of the call in it. When the step runs from the top (a retry, a new
process), the same call joins the same child: while it runs, and if it ended well. A child that failed is started anew by the
next attempt. What a child shows and asks is shown on the parent's stream, answers to the parent reach it, and it is cancelled
with the parent. A child that the step does not wait for goes on by itself when the step ends.

Over a store the child is made by the commit that holds the call, so its actor comes later, or in another process; its end is
known from the parent's record in any case.
"""

from __future__ import annotations

import asyncio
from typing import Any

from orchestrator.authoring.run_data import RunData
from orchestrator.authoring.run_start import Call, Start, begin, mark_begun, resume, show_child, take
from orchestrator.errors import RunError, StepFailed, StoreBusy
from orchestrator.events import StopEvent
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor


def start_child(start: Start, call: Call) -> None:
    """Start the child run of a call, or join the one that the call started before."""
    run, act = call.run, call.act
    base = child = f"{run.run_id}.{act.step.name}-{act.id}.{call.path.partition(':')[2]}"
    record = act.record or {}
    opened = record.get(call.path)
    if opened is not None:
        child = opened[1]
        if child in run.state.children and _join(start, run, child):
            return
        entry = record.get(child)
        if entry is not None and (entry[2]["status"] == "done" or entry[2]["attempt"] == act.attempt):
            start.recorded = entry
            mark_begun(start)
            return
        child = f"{base}.{act.attempt}"
    plan = start.launch.plan()
    tick = start.launch.first_tick(start.engine.clock.now())
    start.run_id = child
    data: RunData = run.data

    def adopt(actor: Actor) -> None:
        take(start, actor)
        show_child(run, actor)
        mark_begun(start)

    data.starting = (plan, tick, adopt)
    if run.sink is not None:
        _expect(start, run, child, adopt)
    run.apply(t.ChildOpened(0, 0.0, act.cause, act.id, call.path, child))
    data.starting = None
    refused = (act.record or {}).get(child)
    if refused is not None:  # it could not be started
        start.recorded = refused
        mark_begun(start)


def _expect(start: Start, run: Actor, child: str, adopt: Any) -> None:
    """The child's actor comes when the store has it."""
    from orchestrator.authoring.engines import host_of

    if start.began is None:
        start.began = asyncio.get_running_loop().create_future()
    host_of(run.engine).expected[child] = adopt


def _join(start: Start, run: Actor, child: str) -> bool:
    """Take hold of a child that is under way: here, in the store, or in the snapshot that the parent came from."""
    start.run_id = child
    live = run.engine.runs.get(child)
    if live is not None:
        start.run = live
        if start.outside is not None:
            start.outside.run = live
        mark_begun(start)
        return True
    if run.sink is not None:
        _join_in_store(start, run, child)
        return True
    data: RunData = run.data
    saved: Any = (data.saved_children or {}).pop(child, None)
    if saved is None:
        return False
    from orchestrator.authoring.saving import read_saved

    plan = start.launch.plan()
    restored = read_saved(saved, plan)
    actor = run.engine.create(plan, run_id=child, state=restored.state)
    take(start, actor)
    actor.base = restored.state.seq
    if isinstance(actor.data, RunData):
        actor.data.saved_children = restored.children
    show_child(run, actor)
    run.engine.adopt(run, actor)
    resume(actor, restored.active_s)
    mark_begun(start)
    return True


def _join_in_store(start: Start, run: Actor, child: str) -> None:
    engine: Any = run.engine  # over a journal, as its sink says

    def adopt(actor: Actor) -> None:
        take(start, actor)
        show_child(run, actor)

    _expect(start, run, child, adopt)

    from orchestrator.authoring.taking_up import acquired

    async def fetch() -> None:
        try:
            await acquired(engine, child)
        except StoreBusy:
            return  # another worker holds it; its end is told to the parent

    begin(start, fetch())


def recorded_result(entry: Any) -> Any:
    """The result of a child run that ended before this process, from the record of its parent."""
    _, value, ended = entry
    if ended["status"] == "done":
        return value._get_result() if isinstance(value, StopEvent) else value
    record = ended["error"] or {}
    message = str(record.get("message") or f"the child run was {ended['status']}")
    if ended["status"] == "failed" and record.get("step"):
        raise StepFailed(message, step=record["step"], error=record)
    raise RunError(message, code=str(record.get("code") or ended["status"]))
