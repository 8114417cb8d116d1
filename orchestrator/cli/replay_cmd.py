"""`orchestrator replay`: does a recorded run still give the same decisions; or a new run from a point of an old one."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.continuing import continue_run, find_run
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import one_flow, open_project
from orchestrator.cli.output import plural, print_json, say
from orchestrator.cli.store import complete_runs, open_store, store_option


@click.command("replay")
@click.argument("run", shell_complete=complete_runs)
@click.option("--check", "checks", is_flag=True, help="Make every recorded decision again and compare. The default.")
@click.option("--flow", type=click.Path(path_type=Path), help="With --check: with the flow as this file has it now.")
@click.option("--fork-at", type=click.IntRange(0), metavar="SEQ", help="Start a new run that goes on after this tick.")
@click.option("--set", "sets", multiple=True, metavar="KEY=JSON", help="With --fork-at: a value of the state.")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    run: str,
    checks: bool,
    flow: Path | None,
    fork_at: int | None,
    sets: tuple[str, ...],
    store: str | None,
    as_json: bool,
) -> int:
    """Check the recorded RUN, or fork a new run from it. Exit 9 if a decision would come out differently."""
    from orchestrator.dispatch.operate import check_replay, fork

    if checks and fork_at is not None:
        raise click.UsageError("--check and --fork-at exclude each other")
    if sets and fork_at is None:
        raise click.UsageError("--set changes the state of a new run: say with --fork-at where it begins")
    if flow is not None and fork_at is not None:
        raise click.UsageError("--flow is for --check; a fork keeps its run's version, and `migrate` moves it")
    project = open_project()
    ir = project.compile(one_flow(flow)).checked() if flow is not None else None
    journal = open_store(project, store, must_exist=True)

    async def work() -> Any:  # a ReplayReport, or the new run's id
        try:
            row = await find_run(journal, run)
            if fork_at is not None:
                return await fork(journal, row.run_id, fork_at, project.plan, writes=_writes(sets), now=time.time())
            return await check_replay(journal, row.run_id, project.plan, flow=ir)
        finally:
            await journal.aclose()

    result = asyncio.run(work())
    if fork_at is not None:
        say(f"run {result} was forked from {run} after tick {fork_at}")
        return continue_run(project, store, result, None, command="replay", as_json=as_json)
    found = [str(d) for d in result.divergences]
    if as_json:
        data = {"run_id": result.run_id, "ticks": result.ticks, "decisions": result.decisions, "divergences": found}
        print_json("replay", ok=result.is_same, data=data)
    else:
        for line in found:
            click.echo(line)
        counted = f"{plural(result.ticks, 'tick')}, {plural(result.decisions, 'decision')}"
        say(f"{counted}: all as recorded" if result.is_same else f"{counted}: {plural(len(found), 'difference')}")
    return Exit.OK if result.is_same else Exit.DIVERGED


def _writes(sets: tuple[str, ...]) -> list[tuple[str, tuple[str | int, ...], Any]]:
    writes: list[tuple[str, tuple[str | int, ...], Any]] = []
    for option in sets:
        key, mark, text = option.partition("=")
        if not mark or not key:
            raise CommandFailed(f"--set {option}: write KEY=JSON", Exit.USAGE)
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        writes.append(("set", tuple(key.split(".")), value))
    return writes
