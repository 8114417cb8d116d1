"""`resume --on-divergence`: runs of workflow functions that no longer make a call which was recorded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.output import print_json, print_value, say
from orchestrator.cli.store import store_url

if TYPE_CHECKING:  # loads the runtime
    from orchestrator.authoring.project import Project


def go_on_anyway(project: Project, store: str | None, run_id: str, choice: str, *, as_json: bool) -> int:
    """Go on with the new call, or with a new run that keeps what was recorded before it.

    Raises: CommandFailed for a run of another kind; what the function raises.
    """
    result = asyncio.run(_run(project, store_url(project, store), run_id, choice))
    waiting = [event.request_id for event in result.get_request_info_events()]
    outputs = result.get_outputs()
    if as_json:
        data = {
            "run_id": result.run_id,
            "status": "waiting" if waiting else "done",
            "outputs": outputs,
            "waiting": waiting,
        }
        print_json("resume", ok=True, data=data)
    else:
        if result.run_id != run_id:
            say(f"run {run_id} was left as it is; run {result.run_id} keeps what was recorded before the call")
        if waiting:
            say(f"run {result.run_id} waits: {', '.join(waiting)}")
        elif outputs:
            print_value(outputs[0])
    return Exit.WAITING if waiting else Exit.OK


async def _run(project: Project, url: str, run_id: str, choice: str) -> Any:  # a WorkflowRunResult
    from orchestrator.authoring.engines import engine_of

    engine: Any = engine_of(url)
    row = await engine.journal.run(run_id)
    if row.kind != "function":
        raise CommandFailed(f"run {run_id} is one of no workflow function, so it cannot diverge", Exit.USAGE)
    from orchestrator.ir.codec import flow_from_json

    plan = project.bind(flow_from_json(await engine.journal.get_flow(row.flow_hash)))
    body: Any = next(iter(plan.steps.values())).body
    try:
        return await body.workflow.run(run_id=run_id, store=url, on_divergence=choice)
    finally:
        await project.hub.aclose()
