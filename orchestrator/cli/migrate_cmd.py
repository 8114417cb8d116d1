"""`orchestrator migrate`: move waiting runs to the flow as its file has it now, after a check."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click

from orchestrator.cli.exits import Exit
from orchestrator.cli.files import one_flow, open_project
from orchestrator.cli.output import plural, print_json, say
from orchestrator.cli.store import open_store, store_option
from orchestrator.errors import OrchestratorError


@click.command("migrate")
@click.argument("flow", type=click.Path(path_type=Path))
@click.option(
    "--run", "runs", multiple=True, help="Only this run; repeat. All waiting runs of other versions by default."
)
@click.option("--dry-run", is_flag=True, help="Say what would move and change nothing.")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(flow: Path, runs: tuple[str, ...], dry_run: bool, store: str | None, as_json: bool) -> int:
    """Move runs that wait or are parked to FLOW as it is now. One that does not fit stays where it is, with the reason."""
    from orchestrator.dispatch.operate import migrate
    from orchestrator.ir.codec import flow_hash
    from orchestrator.journal.store import RunFilter
    from orchestrator.runtime.engine import new_run_id

    project = open_project((one_flow(flow),))
    ir = project.compile(flow).checked()
    here = flow_hash(ir)
    journal = open_store(project, store, must_exist=True)

    async def work() -> tuple[list[str], dict[str, str]]:
        moved, stayed = [], {}
        try:
            page = await journal.runs(RunFilter(flow=ir.name, statuses=("waiting", "parked", "running")), limit=1000)
            for row in page.rows:
                if row.flow_hash == here or (runs and row.run_id not in runs):
                    continue
                try:
                    if not dry_run:
                        await migrate(journal, row.run_id, project.plan, ir, worker=new_run_id(), now=time.time())
                    moved.append(row.run_id)
                except OrchestratorError as error:
                    stayed[row.run_id] = str(error)
        finally:
            await journal.aclose()
        return moved, stayed

    moved, stayed = asyncio.run(work())
    if as_json:
        print_json("migrate", ok=not stayed, data={"moved": moved, "stayed": stayed})
    else:
        verb = "would move" if dry_run else "moved"
        say(f"{plural(len(moved), 'run')} {verb} to version {here[:12]} of `{ir.name}`")
        for why in stayed.values():
            say(why)
    return Exit.CONFLICT if stayed else Exit.OK
