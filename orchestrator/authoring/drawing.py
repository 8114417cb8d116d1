"""Pictures of workflow classes: every possible flow, or the path that a run took. Files are complete in themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.authoring.class_flow import flow_from_class
from orchestrator.authoring.handler import WorkflowHandler
from orchestrator.authoring.run_path import path_of
from orchestrator.draw.dot import to_dot
from orchestrator.draw.html import to_html
from orchestrator.draw.mermaid import to_mermaid
from orchestrator.draw.overlay import RunPath
from orchestrator.draw.svg import to_svg
from orchestrator.errors import ContextStateError, UsageError
from orchestrator.ir.model import FlowIR

if TYPE_CHECKING:  # only named
    from orchestrator.authoring.workflow import Workflow

_WRITERS = {".html": to_html, ".svg": to_svg, ".dot": to_dot, ".mmd": to_mermaid, ".md": to_mermaid}


def draw_all_possible_flows(
    workflow: type[Workflow] | Workflow, filename: str | Path | None = "workflow_all_flows.html"
) -> str:
    """Draw every way through a workflow; gives the text that it wrote (with `filename=None`, HTML that it did not write).

    The ending of the name decides: `.html` is one page that needs nothing else, `.svg`, `.dot`, `.mmd` (Mermaid).

    Example: draw_all_possible_flows(MyWorkflow, filename="flow.html")
    """
    return _write(flow_from_class(workflow), None, filename)


def draw_most_recent_execution(
    run: WorkflowHandler | Workflow, filename: str | Path | None = "workflow_recent_execution.html"
) -> str:
    """Draw the way that a run took: of a handler, or the latest run of a workflow. Files as in `draw_all_possible_flows`.

    Raises: ContextStateError if nothing has run.
    """
    actor = run._start.run if isinstance(run, WorkflowHandler) else run.latest_run
    if actor is None:
        raise ContextStateError("there is no run to draw; await one first")
    return _write(actor.plan.stored_ir, path_of(actor.plan, actor.log, actor.state), filename)


def draw_flow(flow: FlowIR, filename: str | Path | None, format: str) -> str:
    """A flow's picture as text; written to a file if one is named, in the format of its ending."""
    if filename is not None:
        return _write(flow, None, filename)
    if format == "ascii":
        from orchestrator.draw.terminal import to_ascii

        return to_ascii(flow)
    writer = _WRITERS.get(f".{format}" if format != "mermaid" else ".mmd")
    if writer is None:
        raise UsageError(f"there is no format {format!r}; draw as mermaid, svg, dot, html or ascii")
    return writer(flow, None)


def _write(flow: FlowIR, path: RunPath | None, filename: str | Path | None) -> str:
    file = Path(filename) if filename is not None else Path("flow.html")
    writer = _WRITERS.get(file.suffix.lower())
    if writer is None:
        raise UsageError(f"cannot draw {file.name!r}; its name ends in one of {', '.join(_WRITERS)}")
    text = writer(flow, path)
    if filename is not None:
        file.write_text(text, encoding="utf-8")
    return text
