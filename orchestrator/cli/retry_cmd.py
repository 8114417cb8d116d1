"""`orchestrator retry`: a new run that repeats a failed one from the step that failed, or from one that is named."""

from __future__ import annotations

import asyncio
import time

import click

from orchestrator.cli.continuing import continue_run, find_run
from orchestrator.cli.files import open_project
from orchestrator.cli.output import say
from orchestrator.cli.store import complete_runs, open_store, store_option


@click.command("retry")
@click.argument("run", shell_complete=complete_runs)
@click.option(
    "--from", "step", metavar="STEP", help="Begin at the last start of this step; by default the one that failed."
)
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(run: str, step: str | None, store: str | None, as_json: bool) -> int:
    """Run RUN again from a step. What came before is taken from its journal; RUN itself stays as it is."""
    from orchestrator.dispatch.operate import retry

    project = open_project()
    journal = open_store(project, store, must_exist=True)

    async def work() -> str:
        try:
            row = await find_run(journal, run)
            return await retry(journal, row.run_id, project.plan, step=step, now=time.time())
        finally:
            await journal.aclose()

    name = asyncio.run(work())
    say(f"run {name} repeats {run}")
    return continue_run(project, store, name, None, command="retry", as_json=as_json)
