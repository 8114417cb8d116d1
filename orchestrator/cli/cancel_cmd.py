"""`orchestrator cancel`: cancel runs, also those that only wait, queue or are parked."""

from __future__ import annotations

import asyncio

import click

from orchestrator.cli.continuing import find_run
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import open_project
from orchestrator.cli.output import print_json, say
from orchestrator.cli.store import complete_runs, open_store, store_option


@click.command("cancel")
@click.argument("runs", nargs=-1, required=True, shell_complete=complete_runs)
@click.option("--reason", default="", help="Why, for the audit log.")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(runs: tuple[str, ...], reason: str, store: str | None, as_json: bool) -> int:
    """Cancel RUNS: what runs is stopped, `undo` and `finally` run, and they end as cancelled."""
    from orchestrator.authoring.run_service import RunService
    from orchestrator.errors import RunFinished
    from orchestrator.runtime.durable import DurableEngine

    project = open_project()
    journal = open_store(project, store, must_exist=True)

    async def cancel() -> dict[str, str]:
        engine = DurableEngine(journal, project.bind)
        ended: dict[str, str] = {}
        try:
            for name in runs:
                row = await find_run(journal, name)
                try:
                    await RunService(engine).cancel(row.run_id, reason, user="cli")
                    ended[row.run_id] = (await journal.run(row.run_id)).status
                except RunFinished as error:
                    raise CommandFailed(str(error), Exit.CONFLICT) from error
        finally:
            await engine.aclose()
            await journal.aclose()
            await project.hub.aclose()
        return ended

    ended = asyncio.run(cancel())
    if as_json:
        print_json("cancel", ok=True, data=ended)
    else:
        for run_id, status in ended.items():
            say(
                f"run {run_id}: {status}" if status == "cancelled" else f"run {run_id}: will be cancelled by its holder"
            )
    return Exit.OK
