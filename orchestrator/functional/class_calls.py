"""`await my_function(x)` in a step of a class: a child run of the step's run, whose questions and events are shown there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.authoring.engines import host_of
from orchestrator.authoring.handler import WorkflowHandler
from orchestrator.authoring.run_start import Call, Start, ambient_call, is_durable, start_run
from orchestrator.functional.body import session_of
from orchestrator.functional.opening import Opening
from orchestrator.functional.values import Encoded, decode, read_json
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.plan import FlowPlan

if TYPE_CHECKING:  # a workflow makes these
    from orchestrator.authoring.saving import Saved
    from orchestrator.functional.workflow import FunctionalWorkflow


def step_around(workflow: FunctionalWorkflow[Any]) -> Call | None:
    """The call in a step of a workflow class that this is, unless the function keeps its runs in a place of its own."""
    return ambient_call(None) if workflow.storage is None and workflow.store is None else None


async def call_in_step(opening: Opening, call: Call) -> Any:
    """The value of the function, run as a child of the step's run. Raises: what failed it."""
    workflow, engine = opening.workflow, call.run.engine
    if is_durable(engine):
        host_of(engine).add(workflow)
    start = Start(FunctionLaunch(opening, is_kept=is_durable(engine)), engine, None, parent=call)
    start_run(start)
    value = await WorkflowHandler(start)
    if type(value) is not Encoded and start.recorded is not None:  # it ended before this process
        value = read_json(value)
    return decode(value, workflow.shape.return_hint)


class FunctionLaunch:
    """The `Launch` of a workflow function."""

    __slots__ = ("_is_kept", "_opening")

    def __init__(self, opening: Opening, *, is_kept: bool) -> None:
        self._opening = opening
        self._is_kept = is_kept

    def plan(self) -> FlowPlan:
        """The function, ready to run."""
        return self._opening.workflow.plan

    def first_tick(self, now: float) -> t.Started:
        """The message."""
        return self._opening.first_tick(is_kept=self._is_kept)

    def saved(self, plan: FlowPlan) -> Saved | None:
        """Never: what goes on is taken up from its store."""
        return None

    def earlier(self) -> Actor | None:
        """Never, for the same reason."""
        return None

    def attach(self, run: Actor) -> None:
        """What this process knows of the run."""
        session_of(self._opening.workflow, run)

    def failed(self) -> None:
        """Nobody waits for the run to end."""
