"""`orchestrator send`: an event from outside for a run that waits for it; then the run goes on here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.continuing import continue_run, find_run
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import open_project
from orchestrator.cli.store import complete_runs, open_store, store_option

if TYPE_CHECKING:  # loads the runtime
    from orchestrator.authoring.project import Project
    from orchestrator.cli.foreground import Foreground
    from orchestrator.ir.model import FlowIR


@click.command("send")
@click.argument("run", shell_complete=complete_runs)
@click.argument("event")
@click.option(
    "-i", "--input", "inputs", multiple=True, metavar="FIELD=VALUE", help="A field of the event; -i @FILE reads all."
)
@click.option("--dedup", help="Sending again with the same key changes nothing.")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: str, event: str, inputs: tuple[str, ...], dedup: str | None, store: str | None, as_json: bool) -> int:
    """Send EVENT to RUN. The event must be declared `external: true` or be one that the flow waits for."""
    from orchestrator.cli.values import parse_inputs
    from orchestrator.plugin.schema_check import compile_schema
    from orchestrator.runtime.engine import new_run_id
    from orchestrator.runtime.journal import InboxEntry

    project = open_project()
    run_id, flow = asyncio.run(_find(project, store, run))
    schema = _schema_of(flow, event)
    value = parse_inputs(inputs, schema, owner=f"event `{event}`")
    problems = compile_schema(schema).problems(value) if isinstance(schema, dict) else ()
    if problems:
        shown = "; ".join(f"{p.path}: {p.message}" if p.path else p.message for p in problems[:5])
        raise CommandFailed(f"event `{event}`: {shown}", Exit.USAGE)

    async def act(front: Foreground) -> None:
        key = f"send/{dedup or new_run_id()}"
        data = {"type": event, "value": value, "sender": "cli"}
        entry = InboxEntry(run_id, "event", data, key, front.engine.clock.now())
        await front.engine.deliver(entry)  # type: ignore[attr-defined]  # the session is durable

    return continue_run(project, store, run_id, act, command="send", as_json=as_json)


async def _find(project: Project, store: str | None, name: str) -> tuple[str, FlowIR]:
    from orchestrator.ir.codec import flow_from_json

    journal = open_store(project, store, must_exist=True)
    try:
        row = await find_run(journal, name)
        ir = await journal.get_flow(row.flow_hash)
        if ir is None:
            raise CommandFailed(f"the store lacks the flow of run {row.run_id}", Exit.ENVIRONMENT)
        return row.run_id, flow_from_json(ir)
    finally:
        await journal.aclose()


def _schema_of(flow: FlowIR, event: str) -> Any:  # JSON Schema
    from orchestrator.expr.suggest import nearest

    waited = {s.body.wait.event for s in flow.steps.values() if s.body.wait is not None and s.body.wait.event}
    open_events = [e.name for e in flow.events.values() if e.external or e.kind == "answer" or e.name in waited]
    if event not in open_events:
        guess = nearest(event, open_events)
        hint = f"did you mean `{guess}`?" if guess else f"events from outside are {', '.join(open_events) or 'none'}"
        raise CommandFailed(f"flow `{flow.name}` takes no event `{event}` from outside; {hint}", Exit.USAGE)
    return flow.events[event].schema
