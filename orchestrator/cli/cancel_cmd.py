"""`orchestrator cancel`: cancel runs, also those that only wait, queue or are parked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from orchestrator.cli.continuing import find_run
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import open_project
from orchestrator.cli.output import print_json, say
from orchestrator.cli.store import complete_runs, open_store, store_option, store_url

if TYPE_CHECKING:  # loads the runtime
    from orchestrator.authoring.project import Project
    from orchestrator.cli.foreground import Foreground
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.durable import DurableEngine


@click.command("cancel")
@click.argument("runs", nargs=-1, required=True, shell_complete=complete_runs)
@click.option("--reason", default="", help="Why, for the audit log.")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(runs: tuple[str, ...], reason: str, store: str | None, as_json: bool) -> int:
    """Cancel RUNS: what runs is stopped, `undo` and `finally` run, and they end as cancelled."""
    from orchestrator.authoring.run_service import RunService
    from orchestrator.errors import RunFinished
    from orchestrator.journal.store import RunFilter
    from orchestrator.runtime.durable import DurableEngine

    project = open_project()
    journal = open_store(project, store, must_exist=True)

    left: list[str] = []  # runs that have ended, and started others that have not

    async def cancel() -> dict[str, str]:
        engine = DurableEngine(journal, project.bind)
        ended: dict[str, str] = {}
        try:
            for name in runs:
                row = await find_run(journal, name)
                try:
                    await RunService(engine).cancel(row.run_id, reason, user="cli")
                    ended[row.run_id] = (await journal.run(row.run_id)).status
                    children = (await journal.runs(RunFilter(parent=row.run_id), limit=10_000)).rows
                    if any(child.status not in FINAL for child in children):
                        left.append(row.run_id)
                except RunFinished as error:
                    raise CommandFailed(str(error), Exit.CONFLICT) from error
        finally:
            await engine.aclose()
            await journal.aclose()
            await project.hub.aclose()
        return ended

    ended = asyncio.run(cancel())
    for run_id, status in list(ended.items()):
        if status not in FINAL or run_id in left:
            ended[run_id] = _see_to_end(project, store, run_id)
    if as_json:
        print_json("cancel", ok=True, data=ended)
    else:
        for run_id, status in ended.items():
            say(f"run {run_id}: {status}" if status in FINAL else f"run {run_id}: {_what_is_left(status)}")
    return Exit.OK


FINAL = ("done", "failed", "cancelled", "timeout")


def _what_is_left(status: str) -> str:
    if status == "held":
        return "will be cancelled by the process that holds it"
    return f"is {status}: what it does at its end waits for somebody; `orchestrator inbox` shows it"


def _see_to_end(project: Project, store: str | None, run_id: str) -> str:
    """Let `undo` and `finally` of a run run here, and the runs that it started end; gives its status, `held` if another
    process has it."""
    from orchestrator.cli.asking import Answers
    from orchestrator.cli.running import Session, run_session
    from orchestrator.errors import RunFinished, StoreBusy
    from orchestrator.journal.store import RunFilter

    async def begin(front: Foreground) -> Actor:
        engine: DurableEngine = front.engine  # type: ignore[assignment]  # the session is durable
        actor = await engine.acquire(run_id)
        return actor

    is_held = False
    try:
        run_session(Session(project, store_url(project, store), Answers({}, None), None, is_quiet=True), begin)
    except StoreBusy:
        is_held = True
    except RunFinished:
        pass

    async def look() -> tuple[str, list[str]]:
        journal = open_store(project, store, must_exist=True)
        try:
            children = (await journal.runs(RunFilter(parent=run_id), limit=10_000)).rows
            return (await journal.run(run_id)).status, [row.run_id for row in children if row.status not in FINAL]
        finally:
            await journal.aclose()

    status, children = asyncio.run(look())
    if not is_held and status in FINAL:
        for child in children:
            _see_to_end(project, store, child)
    return "held" if is_held and status not in FINAL else status
