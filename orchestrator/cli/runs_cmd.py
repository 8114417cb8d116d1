"""`orchestrator runs`: list, show, export, import, remove and verify runs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.continuing import find_run
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import open_project
from orchestrator.cli.output import plural, print_json, say
from orchestrator.cli.screen import one_line
from orchestrator.cli.store import complete_runs, open_store, store_option
from orchestrator.cli.when import stamp

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
json_lines_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
Work = Callable[[Any], Awaitable[Any]]  # a Store -> whatever is shown


def with_store(store: str | None, work: Work, *, must_exist: bool = True) -> Any:
    """Do something with the project's store and close it."""
    journal = open_store(open_project(), store, must_exist=must_exist)

    async def run() -> Any:
        try:
            return await work(journal)
        finally:
            await journal.aclose()

    return asyncio.run(run())


STATUSES = (
    *("running", "waiting", "done", "failed", "cancelled", "timeout", "parked", "queued"),
    *("new", "stopping", "cleaning"),  # seldom seen: they last as long as a commit or an undo
)


@click.group("runs", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, show, export and verify runs."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(ls)


@command.command("ls")
@click.option("--flow", help="Only runs of this flow.")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Only runs of this status; repeat."
)
@click.option("--limit", default=30, show_default=True, type=click.IntRange(1, 1000), help="At most this many runs.")
@click.option("--before", type=int, help="Go on after the last list.")
@store_option
@json_option
def ls(
    flow: str | None = None,
    statuses: tuple[str, ...] = (),
    limit: int = 30,
    before: int | None = None,
    store: str | None = None,
    as_json: bool = False,
) -> int:
    """Runs, newest first."""
    from orchestrator.journal.store import RunFilter

    page = with_store(store, lambda s: s.runs(RunFilter(flow=flow, statuses=statuses), before=before, limit=limit))
    if as_json:
        print_json("runs ls", ok=True, data={"runs": [run_data(row) for row in page.rows], "next": page.next})
        return Exit.OK
    for row in page.rows:
        click.echo(f"{row.run_id}  {row.status:<9}  {stamp(row.created_at)}  {row.flow}{_note(row)}")
    if not page.rows:
        say("there are no such runs")
    if page.next is not None:
        say(f"more: --before {page.next}")
    return Exit.OK


def _note(row: Any, limit: int = 120) -> str:  # a RunRow
    if row.parked:
        return f"  {row.parked.get('code')}: {one_line(str(row.parked.get('message')), limit)}"
    if row.error:
        return f"  {row.error.get('code')}: {one_line(str(row.error.get('message')), limit)}"
    return f"  part of {row.parent}" if row.parent else ""


def run_data(row: Any) -> dict[str, Any]:  # a RunRow
    """A run as `--json` shows it."""
    outcome = row.outcome if isinstance(row.outcome, dict) else {}
    return {
        "run_id": row.run_id,
        "flow": row.flow,
        "flow_hash": row.flow_hash,
        "kind": row.kind,
        "status": row.status,
        "created_at": row.created_at,
        "ended_at": row.ended_at,
        "due_at": row.due_at,
        "holder": row.holder,
        "parent": row.parent,
        "outputs": outcome.get("result"),
        "error": row.error,
        "parked": row.parked,
    }


@command.command("show")
@click.argument("run", shell_complete=complete_runs)
@store_option
@json_option
def show(run: str, store: str | None, as_json: bool) -> int:
    """One run: how it stands, what it waits for, its path."""
    from orchestrator.cli.running import path_of_rows

    async def read(s: Any) -> Any:  # a Store
        row = await find_run(s, run)
        requests = [r for _, r in await s.requests(None, run_id=row.run_id)]
        return row, requests, await s.ticks(row.run_id, -1, 100_000)

    row, requests, ticks = with_store(store, read)
    path = path_of_rows(tick for _, tick in ticks)
    if as_json:
        from orchestrator.cli.inbox_cmd import request_data

        print_json(
            "runs show", ok=True, data=run_data(row) | {"path": path, "requests": [request_data(r) for r in requests]}
        )
        return Exit.OK
    click.echo(f"run       {row.run_id}")
    click.echo(f"flow      {row.flow} (version {row.flow_hash[:12]})")
    click.echo(f"status    {row.status}{_note(row, 2000)}")
    click.echo(f"started   {stamp(row.created_at)}" + (f", ended {stamp(row.ended_at)}" if row.ended_at else ""))
    if row.holder:
        click.echo(f"held by   {row.holder}")
    click.echo(f"path      {' → '.join(path) or '(no step has run)'}")
    for request in requests:
        click.echo(
            f"waits     {request.step}: {one_line(str((request.data or {}).get('title')), 90)}"
            f"  ({row.run_id}/{request.request_id})"
        )
    outcome = row.outcome if isinstance(row.outcome, dict) else {}
    if outcome.get("result") is not None:
        click.echo(json.dumps(outcome["result"], ensure_ascii=False, indent=2))
    return Exit.OK


@command.command("events")
@click.argument("run", shell_complete=complete_runs)
@click.option("--after", default=-1, help="Only what came after this sequence number.")
@store_option
@json_lines_option
def events(run: str, after: int, store: str | None, as_json: bool) -> int:
    """Everything that happened in a run, one line each."""

    async def read(s: Any) -> Any:  # a Store
        row = await find_run(s, run)
        return await s.ticks(row.run_id, after, 100_000)

    for seq, row in with_store(store, read):
        if as_json:
            click.echo(
                json.dumps(
                    {"seq": seq, "kind": row[0], "at": row[1], "cause": row[2], "data": row[3:]}, ensure_ascii=False
                )
            )
        else:
            click.echo(
                f"{seq:>5}  {stamp(row[1])}  {row[0]:<9}  {one_line(json.dumps(row[3:], ensure_ascii=False), 160)}"
            )
    return Exit.OK


@command.command("logs")
@click.argument("run", shell_complete=complete_runs)
@store_option
@json_lines_option
def logs(run: str, store: str | None, as_json: bool) -> int:
    """The audit log of a run: who did what and when."""

    async def read(s: Any) -> Any:  # a Store
        row = await find_run(s, run)
        return await s.audit(run_id=row.run_id)

    for entry in with_store(store, read):
        line = entry.row
        if as_json:
            click.echo(json.dumps({"id": entry.id, "hash": entry.hash, **asdict(line)}, ensure_ascii=False))
        else:
            click.echo(
                f"{stamp(line.at)}  {line.actor or '-':<12}  {line.action}"
                f"  {one_line(json.dumps(line.data, ensure_ascii=False), 120)}"
            )
    return Exit.OK


@command.command("export")
@click.argument("runs", nargs=-1, shell_complete=complete_runs)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file; else to standard output.")
@store_option
def export(runs: tuple[str, ...], output: Path | None, store: str | None) -> int:
    """Write RUNS as JSON lines that `import` reads, also into another kind of store. Without RUNS everything is written:
    all runs, versions of flows, triggers, and results kept under `id:` and `cache:` keys."""
    from orchestrator.journal.store import RunFilter

    async def read(s: Any) -> list[str]:  # a Store
        names = [(await find_run(s, name)).run_id for name in runs]
        before: int | None = None
        while not runs:
            page = await s.runs(RunFilter(), before=before, limit=200)
            names += [row.run_id for row in page.rows]
            if page.next is None:
                break
            before = page.next
        lines = []
        if not runs:
            names.reverse()  # oldest first: the order in which they were let in, or wait for it
            lines.append(json.dumps({"v": 1, "shelf": asdict(await s.export_shelf())}, ensure_ascii=False))
        for name in names:
            stored = await s.export_run(name)
            lines.append(json.dumps({"v": 1, **asdict(stored)}, ensure_ascii=False))
        return lines

    lines = with_store(store, read)
    text = "".join(f"{line}\n" for line in lines)
    if output is None:
        click.echo(text, nl=False)
    else:
        try:
            output.write_text(text, "utf-8")
        except OSError as error:
            raise CommandFailed(f"{output}: {error.strerror or error}", Exit.ENVIRONMENT) from error
    say(f"{plural(len(lines) - (not runs), 'run')} written")
    return Exit.OK


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@store_option
def import_(file: Path, store: str | None) -> int:
    """Add the runs of an export; one whose id is there already is refused and the rest goes on. `-` reads standard input."""
    import time

    from orchestrator.errors import JournalConflict
    from orchestrator.journal.store import RunRow, StoredRun, StoredShelf, TakenEntry, TriggerRow
    from orchestrator.runtime.journal import AuditRow, InboxEntry, RequestRow

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{file}: {error}", Exit.ENVIRONMENT) from error

    def stored_line(number: int, line: str) -> StoredRun | StoredShelf:
        try:
            data = json.loads(line)
            if not isinstance(data, dict):
                raise TypeError("it is no object")
            if data.pop("v") != 1:
                raise ValueError("it was written by a newer version")
            if "shelf" in data:
                shelf = data["shelf"]
                triggers = [TriggerRow(**row) for row in shelf.pop("triggers")]
                return StoredShelf(
                    **{name: [tuple(row) for row in rows] for name, rows in shelf.items()}, triggers=triggers
                )
            requests = [RequestRow(**{**r, "audience": tuple(r.get("audience", ()))}) for r in data["requests"]]
            audit = [AuditRow(**r) for r in data["audit"]]
            snapshot = tuple(data["snapshot"]) if data.get("snapshot") else None
            inbox = [InboxEntry(**entry) for entry in data.get("inbox", ())]
            taken = [TakenEntry(**entry) for entry in data.get("taken", ())]
            key = data.get("admission")
            return StoredRun(
                *(
                    RunRow(**data["row"]),
                    data["flow"],
                    data["first_seq"],
                    data["ticks"],
                    snapshot,
                    requests,
                    audit,
                    inbox,
                ),
                *(taken, (str(key[0]), bool(key[1])) if key else None),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CommandFailed(f"{file}:{number}: this line is no exported run: {error}", Exit.USAGE) from error

    parts = [stored_line(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    runs = [part for part in parts if isinstance(part, StoredRun)]

    async def write(s: Any) -> tuple[int, list[str]]:  # a Store
        refused = []
        for shelf in (part for part in parts if isinstance(part, StoredShelf)):
            await s.import_shelf(shelf)
        for run in runs:
            try:
                await s.import_run(run, now=time.time())
            except JournalConflict:
                refused.append(run.row.run_id)
        return len(runs) - len(refused), refused

    count, refused = with_store(store, write, must_exist=False)
    say(
        f"{plural(count, 'run')} added"
        + (f"; {len(refused)} were there already: {', '.join(refused[:5])}" if refused else "")
    )
    return Exit.CONFLICT if refused else Exit.OK


@command.command("rm")
@click.argument("runs", nargs=-1, required=True, shell_complete=complete_runs)
@store_option
@json_option
def rm(runs: tuple[str, ...], store: str | None, as_json: bool) -> int:
    """Remove ended RUNS with all that belongs to them; audit lines stay."""

    async def work(s: Any) -> int:  # a Store
        return int(await s.delete([(await find_run(s, name)).run_id for name in runs]))

    count = with_store(store, work)
    if as_json:
        print_json("runs rm", ok=True, data={"removed": count})
    else:
        say(f"{plural(count, 'run')} removed")
    return Exit.OK


@command.command("verify")
@click.option(
    "--head", "kept", metavar="HASH", help="The last line's hash as you noted it: lines up to it must be there."
)
@store_option
@json_option
def verify(kept: str | None, store: str | None, as_json: bool) -> int:
    """Check the hash chain of the audit log: whether anybody has changed, removed or added a line.

    Whoever can write to the store could write a new chain too; note the last hash elsewhere, and give it with --head.
    """
    proof = with_store(store, lambda s: s.verify_audit(kept.strip().lower() if kept is not None else None))
    if as_json:
        print_json("runs verify", ok=proof.is_intact, data={"intact": proof.is_intact, **asdict(proof)})
    elif proof.is_intact:
        click.echo(f"{plural(proof.lines, 'line')}, intact; the last one's hash is {proof.head}")
    elif proof.broken_at is None:
        click.echo(
            f"{plural(proof.lines, 'line')} fit, and none has the hash {kept}: lines were cut off, or written anew"
        )
    else:
        click.echo(f"the audit log was changed at line {proof.broken_at}; {plural(proof.lines, 'line')} before it fit")
    return Exit.OK if proof.is_intact else Exit.DIVERGED
