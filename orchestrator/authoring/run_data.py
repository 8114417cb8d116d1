"""What the class API keeps with a live run, beside its state: the workflow instance, and things that are no data."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.stage import EditGate
from orchestrator.events import StopEvent

if TYPE_CHECKING:  # the workflow makes runs
    from orchestrator.authoring.class_flow import ClassFlow
    from orchestrator.authoring.workflow import Workflow


@dataclass(slots=True)
class StepFailure:
    """The failure that ended a run."""

    step: str
    exception: BaseException
    attempts: int
    elapsed_s: float


@dataclass(slots=True, eq=False)
class RunData:
    """The live side of a run of a workflow class."""

    workflow: Workflow
    flow: ClassFlow
    loop: asyncio.AbstractEventLoop
    gate: EditGate = field(default_factory=EditGate)
    failure: StepFailure | None = None
    last_event: StopEvent | None = None  # what ends the stream; made once
    saved_children: dict[str, Any] | None = None  # snapshots of children of a restored run
    starting: tuple[Any, Any, Any] | None = None  # (plan, first tick, data) of the child that is being started
    threads: dict[str, int] | None = None  # per step: threads that were given up on and still run
    thread_waiters: list[asyncio.Future[None]] | None = None
    closing: asyncio.Task[None] | None = None  # tears resources down after the end
    uses_resources: bool = False
    burst: int | None = None  # where the log stood when the step that runs began to stream

    def end_burst(self) -> None:
        """Others have had their turn."""
        self.burst = None
