"""Runs a workflow in a test and keeps everything that it showed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator.authoring.context import Context
from orchestrator.authoring.workflow import Workflow
from orchestrator.events import Event, StartEvent


@dataclass(frozen=True, slots=True)
class WorkflowTestResult:
    """What a run showed and gave. `event_types` counts the events by class."""

    collected: list[Event]
    event_types: Counter[type[Event]]
    result: Any  # what awaiting the handler gives
    ctx: Context[Any]


class WorkflowTestRunner:
    """Runs one workflow.

    Example: outcome = await WorkflowTestRunner(MyWorkflow()).run(topic="tea"); assert outcome.result == "done"
    """

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow

    async def run(
        self,
        start_event: StartEvent | None = None,
        ctx: Context[Any] | None = None,
        expose_internal: bool = True,
        exclude_events: Iterable[type[Event]] | None = None,
        **kwargs: Any,
    ) -> WorkflowTestResult:
        """Run to the end and collect its stream, without events of the excluded classes.

        Raises: what awaiting the handler raises.
        """
        handler = self.workflow.run(ctx=ctx, start_event=start_event, **kwargs)
        excluded = tuple(exclude_events or ())
        collected = [
            event
            async for event in handler.stream_events(expose_internal=expose_internal)
            if type(event) not in excluded
        ]
        result = await handler
        return WorkflowTestResult(collected, Counter(type(e) for e in collected), result, handler.ctx)
