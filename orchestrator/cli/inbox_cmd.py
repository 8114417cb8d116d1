"""`orchestrator inbox`: the requests that wait for people."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import click

from orchestrator.cli.exits import Exit
from orchestrator.cli.files import open_project
from orchestrator.cli.output import print_json, say
from orchestrator.cli.screen import one_line
from orchestrator.cli.store import open_store, store_option
from orchestrator.cli.when import in_words, stamp


@click.command("inbox")
@click.option("--as", "user", help="Only what this person may answer.")
@click.option(
    "--group", "groups", multiple=True, help="With --as: groups of the person, if the project names no people."
)
@click.option("--done", is_flag=True, help="What has been decided instead.")
@click.option("--run", "run_id", help="Only of this run.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="At most this many questions."
)
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    user: str | None,
    groups: tuple[str, ...],
    done: bool,
    run_id: str | None,
    limit: int,
    store: str | None,
    as_json: bool,
) -> int:
    """Show what waits for people, oldest first."""
    from orchestrator.cli.running import groups_of

    project = open_project()
    journal = open_store(project, store, must_exist=True)
    names: list[str] | None = None
    if user is not None:
        known = groups_of(project)
        of_user = list(groups) if known is None else known.get(user, [])
        names = [f"u:{user}", *(f"g:{group}" for group in of_user)]

    async def read() -> list[Any]:  # request rows
        try:
            rows = await journal.requests(names, state="decided" if done else "open", run_id=run_id, limit=limit)
            return [row for _, row in rows]
        finally:
            await journal.aclose()

    rows = asyncio.run(read())
    if as_json:
        print_json("inbox", ok=True, data=[request_data(row) for row in rows])
        return Exit.OK
    if not rows:
        say(
            "nothing has been decided yet"
            if done
            else "nothing waits for anybody" + (f" called {user}" if user else "")
        )
    now = time.time()
    for row in rows:
        data = row.data or {}
        title = one_line(str(data.get("title") or row.step), 100)
        click.echo(f"{row.run_id}/{row.request_id}  {click.style(title, bold=True)}")
        click.echo(f"    {_facts(row, data, now)}")
    return Exit.OK


def _facts(row: Any, data: dict[str, Any], now: float) -> str:  # row: a RequestRow
    facts = [f"step {row.step}" if row.step else "", f"since {stamp(row.opened_at)}" if row.opened_at else ""]
    whom = ", ".join(name.partition(":")[2] for name in row.audience)
    if whom:
        facts.append(f"for {whom}")
    if data.get("claimed_by"):
        facts.append(f"claimed by {data['claimed_by']}")
    if (data.get("revision") or 1) > 1:
        facts.append(f"corrected, revision {data['revision']}")
    if row.due_at is not None and row.closed_at is None:
        facts.append(f"due {in_words(row.due_at, now)}")
    if row.closed_at is not None:
        facts.append(f"{row.state} {stamp(row.closed_at)}")
    verdicts = data.get("verdicts")
    if verdicts and row.closed_at is None:
        facts.append(f"answers: {' | '.join(verdicts)}")
    return " · ".join(fact for fact in facts if fact)


def request_data(row: Any) -> dict[str, Any]:  # row: a RequestRow
    """A request as `--json` shows it."""
    data = row.data or {}
    show = data.get("show")
    if data.get("edit") and isinstance(show, dict):
        show = {**show, data["edit"]: data.get("text")}  # as it was corrected
    return {
        "id": f"{row.run_id}/{row.request_id}",
        "run_id": row.run_id,
        "request": row.request_id,
        "step": row.step,
        "state": row.state,
        "title": data.get("title"),
        "show": show,
        "form": data.get("form"),
        "verdicts": data.get("verdicts"),
        "to": data.get("to"),
        "revision": data.get("revision"),
        "claimed_by": data.get("claimed_by"),
        "opened_at": row.opened_at,
        "due_at": row.due_at,
        "closed_at": row.closed_at,
    }
