"""Checks of workflow classes: what is wrong with the graph, the handlers and the resources, all at once, each with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # only named
    from orchestrator.authoring.class_flow import ClassFlow
    from orchestrator.authoring.context import Context
    from orchestrator.authoring.workflow import Workflow


def check_workflow(workflow: Workflow, *, checks_configs: bool, checks_resources: bool) -> None:
    pass


def asks_outside(flow: ClassFlow) -> bool:
    return any(e.kind in ("ask", "answer") for e in flow.ir.events.values())


def check_shared_context(workflow: Workflow, ctx: Context[Any]) -> None:
    pass
