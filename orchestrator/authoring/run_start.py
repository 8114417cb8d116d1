"""Starts runs: new ones, resumed ones, and those that a step starts (child runs)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.context import Context
from orchestrator.authoring.run_data import RunData
from orchestrator.authoring.step_context import context_of
from orchestrator.authoring.streaming import shown_by
from orchestrator.events import StartEvent
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor, current_cell
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.state import Activation

if TYPE_CHECKING:  # a workflow makes these
    from orchestrator.authoring.workflow import Workflow

Ended = Callable[[Actor], None]


@dataclass(slots=True, eq=False)
class Start:
    """A run that was asked for; `run` is set once it began."""

    workflow: Workflow
    context: Context[Any]
    event: StartEvent | None  # None: go on with what the context holds
    engine: Engine
    run_id: str | None
    parent: Call | None = None  # the call of a step that this run is a child of
    run: Actor | None = None
    recorded: Any = None  # how a child ended, if that is all that is left of it
    is_withdrawn: bool = False
    began: asyncio.Future[None] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A step's call of `run()`: the step's run and activation, and the place of the call among its others."""

    run: Actor
    act: Activation
    path: str


def ambient_call(engine: Engine) -> Call | None:
    """The call that `run()` is, if it is made inside a step of a workflow of the same engine."""
    cell = current_cell.get()
    if cell is None or cell.act is None or cell.run.engine is not engine:
        return None
    run, act = cell.run, cell.act
    if not isinstance(run.data, RunData) or act.id not in run.state.acts:
        return None
    return Call(run, act, context_of(run, act).next_child())


def start_run(start: Start, ended: Ended) -> None:
    """Begin a run: inside a step of the same engine as its child, else by itself."""
    call = start.parent
    if call is not None and call.act.id in call.run.state.acts:
        from orchestrator.authoring.child_runs import start_child

        start_child(start, call, ended)
        _began(start)
        return
    plan = start.workflow.plan()
    if start.event is None:
        _resume(start, plan, ended)
    else:
        tick = first_tick(start)
        run = start.engine.create(plan, run_id=start.run_id)
        attach(run, start, ended)
        run.apply(tick)
    _began(start)


def _began(start: Start) -> None:
    if start.began is not None and not start.began.done():
        start.began.set_result(None)


def first_tick(start: Start) -> t.Started:
    """The tick that starts a run: its start event, and the state that its context holds."""
    outside = start.context._outside
    assert start.event is not None
    name = start.workflow.flow.names.name_of(type(start.event))
    if outside.model is None and not outside.vars and outside.run is None:
        return t.Started(0, 0.0, -1, name, start.event)
    return t.Started(0, 0.0, -1, name, start.event, None, outside.values())


def _resume(start: Start, plan: FlowPlan, ended: Ended) -> None:
    from orchestrator.authoring.saving import state_to_resume

    outside = start.context._outside
    saved = state_to_resume(outside, plan)
    run = start.engine.create(plan, run_id=start.run_id or saved.run_id, state=saved.state)
    attach(run, start, ended)
    run.base = saved.state.seq
    run.data.saved_children = saved.children
    resume(run, saved.active_s)


def resume(run: Actor, active_s: float) -> None:
    """Let a restored run go on. Steps that wait for child runs begin again at once: their calls bring the children back."""
    run.restore_clock(active_s)
    run.resume()
    for act_id in dict.fromkeys(run.state.children.values()):
        run.run_again(run.state.acts[act_id])


def attach(run: Actor, start: Start, ended: Ended) -> None:
    """Give a run its live side, before its first tick."""
    workflow, context = start.workflow, start.context
    run.data = RunData(workflow, workflow.flow, asyncio.get_running_loop(), context._outside.gate)
    run.timeout_s = workflow._timeout
    context._outside.run = run
    context._outside.saved = None
    start.run = run

    def finished(run: Actor) -> None:
        if "orchestrator.authoring.tracing" in sys.modules:
            from orchestrator.authoring.tracing import end_run_span

            end_run_span(run)
        _close_resources(run)
        ended(run)

    run.on_finish = finished


def _close_resources(run: Actor) -> None:
    data: RunData = run.data
    if data.uses_resources:
        data.closing = asyncio.get_running_loop().create_task(data.workflow.resources.leave())


def show_in(parent: Actor, plan: FlowPlan) -> Callable[[Any], None]:
    """What shows a child run's events on the stream of its parent."""

    def relay(entry: Any) -> None:
        if type(entry) is tuple:
            parent.stream(entry[0], 0, 0)
        else:
            for event in shown_by(entry, plan):
                parent.stream(event, 0, 0)

    return relay
