"""`orchestrator decide`: answer a request, or claim, release, delegate or edit it; then the run goes on here."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.asking import check_groups
from orchestrator.cli.continuing import continue_run, find_run
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import open_project
from orchestrator.cli.store import complete_runs, open_store, store_option

if TYPE_CHECKING:  # loads the runtime
    from orchestrator.authoring.project import Project
    from orchestrator.cli.foreground import Foreground


@click.command("decide")
@click.argument("request", shell_complete=complete_runs)
@click.argument("verdict", required=False)
@click.option("--as", "user", required=True, help="Who answers.")
@click.option("-i", "--input", "inputs", multiple=True, metavar="FIELD=VALUE", help="A field of the form; repeat.")
@click.option("--group", "groups", multiple=True, help="A group of the person, if the project names no people.")
@click.option("--item", type=click.IntRange(0), help="Which row, for a request over items; all rows otherwise.")
@click.option("--revision", type=click.IntRange(1), help="The revision that was looked at; the open one by default.")
@click.option("--claim", "action", flag_value="claim", help="Say that you take care of it.")
@click.option("--release", "action", flag_value="release", help="Take a claim back.")
@click.option("--delegate", metavar="PERSON", help="Let somebody else answer.")
@click.option(
    "--edit", type=click.Path(path_type=Path), help="Replace the shown text by this file; clears earlier votes."
)
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    request: str,
    verdict: str | None,
    user: str,
    inputs: tuple[str, ...],
    groups: tuple[str, ...],
    item: int | None,
    revision: int | None,
    action: str | None,
    delegate: str | None,
    edit: Path | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Answer REQUEST (as `inbox` shows it: RUN/REQUEST, or RUN alone if it has one) with VERDICT.

    A refused answer leaves the request as it is: exit 8 for who may not answer, 7 if it is decided, 2 for a wrong form.
    """
    project = open_project()
    run_id, row = asyncio.run(_find(project, store, request, user))
    data = row.data or {}
    answer = _answer(data, verdict, inputs, action, delegate, edit)
    answer["groups"] = _groups(project, user, groups, data)
    if item is not None:
        answer["item"] = item
    answer["revision"] = _revision(data, row, revision, answer.get("action", "answer"))

    async def act(front: Foreground) -> None:
        await front.service.answer(run_id, row.request_id, user=user, **answer)

    return continue_run(project, store, run_id, act, command="decide", as_json=as_json)


CLOSED = {
    "decided": "has been decided already",
    "timeout": "has expired: its deadline passed without a decision",
    "undecided": "is closed: no answer could reach its quorum any more",
    "cancelled": "is closed: its run went on or ended without it",
}


async def _find(project: Project, store: str | None, name: str, user: str) -> tuple[str, Any]:  # a RequestRow
    from orchestrator.runtime.journal import AuditRow

    journal = open_store(project, store, must_exist=True)
    try:
        run_name, _, wanted = name.partition("/")
        run = await find_run(journal, run_name)
        open_rows = [row for _, row in await journal.requests(None, run_id=run.run_id)]
        found = [row for row in open_rows if not wanted or row.request_id == wanted]
        if len(found) == 1:
            return run.run_id, found[0]
        if len(found) > 1:
            names = ", ".join(f"{run.run_id}/{row.request_id}" for row in found)
            raise CommandFailed(f"run {run.run_id} has several open requests: {names}", Exit.USAGE)
        for state, word in CLOSED.items():
            closed = [row for _, row in await journal.requests(None, state=state, run_id=run.run_id)]
            late = next((row for row in closed if not wanted or row.request_id == wanted), None)
            if late is not None:
                line = {"request": late.request_id, "code": "request.closed"}
                await journal.log([AuditRow(time.time(), run.run_id, user, "refused.answer", line)])
                raise CommandFailed(f"{name} {word}", Exit.CONFLICT)
        raise CommandFailed(f"there is no open request {name}; `orchestrator inbox` lists them", Exit.NOT_FOUND)
    finally:
        await journal.aclose()


def _answer(
    data: dict[str, Any],
    verdict: str | None,
    inputs: tuple[str, ...],
    action: str | None,
    delegate: str | None,
    edit: Path | None,
) -> dict[str, Any]:
    from orchestrator.cli.values import parse_inputs

    if delegate is not None:
        return {"action": "delegate", "form": {"to": delegate}}
    if edit is not None:
        try:
            return {"action": "edit", "form": {"text": edit.read_text("utf-8")}}
        except (OSError, UnicodeDecodeError) as error:
            raise CommandFailed(f"{edit}: {error}", Exit.ENVIRONMENT) from error
    if action is not None:
        return {"action": action}
    form = parse_inputs(inputs, data.get("form") or {}, owner="the form")
    field = data.get("verdict_field")
    if verdict is not None:
        if field is None:
            raise CommandFailed("this request has no verdict; give its fields with -i FIELD=VALUE", Exit.USAGE)
        if verdict not in (data.get("verdicts") or ()):
            raise CommandFailed(f"`{verdict}` is no answer here; answers are {', '.join(data['verdicts'])}", Exit.USAGE)
        form[field] = verdict
    return {"form": form}


def _revision(data: dict[str, Any], row: Any, given: int | None, action: str) -> int | None:  # row: a RequestRow
    """The revision that an answer is for. Raises: CommandFailed if it was corrected, and which was seen is not said."""
    now = data.get("revision")
    if given is None and action == "answer" and now is not None and now > 1:
        name = f"{row.run_id}/{row.request_id}"
        raise CommandFailed(
            f"the text of {name} was corrected, revision {now} is open: `orchestrator inbox --run {row.run_id} --json` "
            f"shows it; answer with --revision {now}",
            Exit.CONFLICT,
        )
    return now if given is None else given


def _groups(project: Project, user: str, given: tuple[str, ...], data: dict[str, Any]) -> list[str]:
    """The groups of a person. Raises: CommandFailed for one that the project does not put the person in."""
    from orchestrator.cli.running import groups_of

    known = groups_of(project)
    if known is not None:
        check_groups(user, given, known)
        return known.get(user, [])
    if given:
        return list(given)
    escalated = (data.get("escalate") or {}).get("to") or {} if data.get("escalated") else {}
    return [*(data.get("to") or {}).get("groups", ()), *escalated.get("groups", ())]
