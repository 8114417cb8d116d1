"""A run of a workflow class: its start event, the state it begins with, and what it has beside its state."""

from __future__ import annotations

import asyncio
import sys
import weakref
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.run_data import RunData
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.plan import FlowPlan

if TYPE_CHECKING:  # a workflow makes these
    from orchestrator.authoring.context import Outside
    from orchestrator.authoring.saving import Saved
    from orchestrator.authoring.workflow import Workflow
    from orchestrator.events import StartEvent


_NOTHING: dict[str, Any] = {}  # ticks are never changed, so runs may share it


class ClassLaunch:
    """The `Launch` of a workflow class. Without an event it goes on with what the context holds."""

    __slots__ = ("counts", "event", "outside", "workflow")

    def __init__(self, workflow: Workflow, outside: Outside, event: StartEvent | None, *, counts: bool = False) -> None:
        self.workflow = workflow
        self.outside = outside
        self.event = event
        self.counts = counts  # whether the workflow is told of the end

    def plan(self) -> FlowPlan:
        """The workflow, ready to run."""
        return self.workflow.plan()

    def first_tick(self, now: float) -> t.Started:
        """The start event, and the state that the context holds."""
        outside, event = self.outside, self.event
        assert event is not None
        name = self.workflow.flow.names.name_of(type(event))
        if outside.model is None and not outside.vars and outside.run is None:
            return t.Started(0, 0.0, -1, name, event, None, _NOTHING, _NOTHING)
        return t.Started(0, 0.0, -1, name, event, None, outside.values())

    def saved(self, plan: FlowPlan) -> Saved | None:
        """The run that the context holds, if it is to go on."""
        if self.event is not None:
            return None
        from orchestrator.authoring.saving import state_to_resume

        return state_to_resume(self.outside, plan)

    def earlier(self) -> Actor | None:
        """The cancelled run of a store that the context holds, if it is to go on there."""
        run = self.outside.run
        return run if self.event is None and run is not None and run.sink is not None else None

    def attach(self, run: Actor) -> None:
        """Give a run its live side."""
        workflow = self.workflow
        run.data = RunData(workflow, workflow.flow, asyncio.get_running_loop(), self.outside.edits, counts=self.counts)
        run.timeout_s = workflow._timeout
        workflow._latest = weakref.ref(run)
        before = run.on_finish
        if before is None:
            run.on_finish = _finished
        else:

            def finished(run: Actor) -> None:
                _finished(run)
                before(run)

            run.on_finish = finished

    def failed(self) -> None:
        """The run could not begin: the next one may."""
        if self.counts:
            self.workflow._ended(None)


def _finished(run: Actor) -> None:
    if "orchestrator.authoring.tracing" in sys.modules:
        from orchestrator.authoring.tracing import end_run_span

        end_run_span(run)
    _close_resources(run)
    data: RunData = run.data
    if data.counts:
        data.workflow._ended(run)


def _close_resources(run: Actor) -> None:
    data: RunData = run.data
    if data.uses_resources:
        data.closing = asyncio.get_running_loop().create_task(data.workflow.resources.leave())
