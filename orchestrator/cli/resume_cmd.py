"""`orchestrator resume`: go on with runs that have not ended, exactly where the journal ends."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import click

from orchestrator.cli.continuing import continue_run, find_run
from orchestrator.cli.diverging import go_on_anyway
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import open_project
from orchestrator.cli.output import plural, say
from orchestrator.cli.store import complete_runs, open_store, store_option

OPEN = ("running", "waiting", "new", "stopping", "cleaning", "queued")


@click.command("resume")
@click.argument("runs", nargs=-1, shell_complete=complete_runs)
@click.option("--as", "user", help="Who you are, for questions on the terminal.")
@click.option(
    "--on-divergence",
    "choice",
    type=click.Choice(("abort", "continue", "fork")),
    default="abort",
    show_default=True,
    help="A workflow function that no longer makes a recorded call: make the new one, or do so in a new run.",
)
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per run.")
def command(runs: tuple[str, ...], user: str | None, choice: str, store: str | None, as_json: bool) -> int:
    """Go on with RUNS, or with every run of the store that has not ended, until each ends or waits for somebody else."""
    project = open_project()
    names = asyncio.run(_names(project, store, runs))
    if not names:
        say("no run is left to go on with")
        return Exit.OK
    if choice != "abort":
        if not runs:
            raise CommandFailed("--on-divergence needs the runs to be named", Exit.USAGE)
        return max(go_on_anyway(project, store, name, choice, as_json=as_json) for name in names)
    codes = [continue_run(project, store, name, None, command="resume", as_json=as_json, user=user) for name in names]
    if len(codes) > 1 and not as_json:
        say(f"{plural(len(codes), 'run')} looked at")
    return max(codes, key=lambda code: (code == Exit.RUN_FAILED, code == Exit.TIMED_OUT, code == Exit.WAITING))


async def _names(project: Any, store: str | None, runs: tuple[str, ...]) -> list[str]:  # a Project
    from orchestrator.functional.errors import FORKED
    from orchestrator.journal.store import RunFilter
    from orchestrator.runtime.durable import BINDING_CODES
    from orchestrator.runtime.journal import FINAL, InboxEntry

    journal = open_store(project, store, must_exist=True)
    try:
        await journal.unpark(BINDING_CODES, now=time.time())  # what was missing may be here now
        if runs:
            rows = [await find_run(journal, name) for name in runs]
            for row in rows:
                reason = row.parked or {}
                if reason.get("code") == FORKED:  # it was named, so it is meant, though a fork goes on in its place
                    await journal.post(InboxEntry(row.run_id, "redo", {}, f"redo:{time.time()}", time.time()))
            ended = next((row for row in rows if row.status in FINAL), None)
            if ended is not None:
                raise CommandFailed(f"run {ended.run_id} has ended ({ended.status}); `retry` repeats it", Exit.CONFLICT)
            return [row.run_id for row in rows]
        found: list[str] = []
        before: int | None = None
        while True:
            page = await journal.runs(RunFilter(statuses=OPEN), before=before, limit=200)
            found += [row.run_id for row in page.rows if row.parent is None]
            if page.next is None:
                return found[::-1]
            before = page.next
    finally:
        await journal.aclose()
