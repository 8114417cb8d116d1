"""`orchestrator migrate`: move waiting runs to the flow as its file has it now, after a check."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.continuing import find_run
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import one_flow, open_project
from orchestrator.cli.output import plural, print_json, say
from orchestrator.cli.store import open_store, store_option
from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:  # loads the runtime
    from orchestrator.journal.store import RunRow


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
    from orchestrator.dispatch.operate import check_migration, migrate
    from orchestrator.ir.codec import flow_hash
    from orchestrator.runtime.engine import new_run_id

    project = open_project((one_flow(flow),))
    ir = project.compile(flow).checked()
    here = flow_hash(ir)
    journal = open_store(project, store, must_exist=True)

    async def work() -> tuple[list[str], dict[str, str]]:
        moved, stayed = [], {}
        try:
            for row in await _chosen(journal, ir.name, runs):
                if row.flow_hash == here:
                    continue
                try:
                    if dry_run:
                        await check_migration(journal, row.run_id, project.plan, ir)
                    else:
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


async def _chosen(journal: Any, flow: str, names: tuple[str, ...]) -> list[RunRow]:  # a Store
    """The runs that are named, or all of a flow that wait or are parked. Raises: CommandFailed."""
    from orchestrator.journal.store import RunFilter

    if names:
        rows = [await find_run(journal, name) for name in names]
        other = next((row for row in rows if row.flow != flow), None)
        if other is not None:
            raise CommandFailed(f"run {other.run_id} is one of `{other.flow}`, not of `{flow}`", Exit.USAGE)
        return rows
    found: list[RunRow] = []
    before: int | None = None
    while True:
        which = RunFilter(flow=flow, statuses=("waiting", "parked", "running"))
        page = await journal.runs(which, before=before, limit=500)
        found += page.rows
        if page.next is None:
            return found
        before = page.next
