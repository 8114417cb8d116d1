"""Commands that move a stored run on: do one thing to it, let it go on here, and report how it ended or what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.output import print_json, print_value, say
from orchestrator.cli.screen import one_line
from orchestrator.cli.store import MEMORY, store_url
from orchestrator.errors import RunFinished, RunParked, StoreBusy, UnknownRun

if TYPE_CHECKING:  # loads the runtime
    from orchestrator.authoring.project import Project
    from orchestrator.cli.foreground import Foreground
    from orchestrator.journal.store import RunRow
    from orchestrator.runtime.actor import Actor

Act = Callable[["Foreground"], Awaitable[None]]


def continue_run(
    project: Project,
    store: str | None,
    run_id: str,
    act: Act | None,
    *,
    command: str,
    as_json: bool,
    user: str | None = None,
) -> int:
    """Do `act` to a stored run and let it go on here; one that another process holds is left to that process.

    Raises: UnknownRun; what `act` raises.
    """
    from orchestrator.cli.asking import Answers
    from orchestrator.cli.running import Session, groups_of, report, run_session
    from orchestrator.runtime.durable_base import HELD

    url = store_url(project, store)
    if url.startswith(MEMORY):
        raise CommandFailed("a store in memory keeps nothing between commands", Exit.USAGE)
    session = Session(project, url, Answers({}, groups_of(project)), user, is_quiet=as_json)
    elsewhere: list[bool] = []

    async def begin(front: Foreground) -> Actor:
        try:
            actor: Actor = await front.engine.acquire(run_id)  # type: ignore[attr-defined]  # the session is durable
        except StoreBusy as error:
            if error.code != HELD:
                raise
            if act is not None:
                await act(front)
            elsewhere.append(True)
            raise
        if act is not None:
            await act(front)
        return actor

    try:
        ended = run_session(session, begin)
    except StoreBusy as error:
        if not elsewhere and not isinstance(error, RunParked):  # an answer to a run that is set aside is kept
            raise
        return report_stored(project, store, run_id, command=command, as_json=as_json, is_kept=act is not None)
    except RunFinished as error:
        if act is None:  # what had come for it has ended it, at once
            return report_stored(project, store, run_id, command=command, as_json=as_json)
        raise CommandFailed(str(error), Exit.CONFLICT) from error
    if ended.actor.state.is_over and ended.actor.parent is not None:
        if not as_json:
            say(f"run {run_id} {ended.actor.state.status.value}; the run that called it goes on")
        return continue_run(project, store, ended.actor.parent[0], None, command=command, as_json=as_json, user=user)
    return report(ended, command=command, as_json=as_json, is_kept=True)


def report_stored(
    project: Project, store: str | None, run_id: str, *, command: str, as_json: bool, is_kept: bool = False
) -> int:
    """Report how a run stands that does not go on here: it has ended, is set aside, waits for its turn, or is elsewhere.

    `is_kept`: what the command brought is in the store, and waits there for a run that is set aside.
    """
    from orchestrator.cli.running import path_of_rows
    from orchestrator.cli.store import open_store

    async def read() -> tuple[RunRow, list[str]]:
        journal = open_store(project, store, must_exist=True)
        try:
            return await journal.run(run_id), path_of_rows(row for _, row in await journal.ticks(run_id, -1, 100_000))
        finally:
            await journal.aclose()

    row, path = asyncio.run(read())
    if row.status == "parked":
        reason = row.parked or {}
        if not is_kept:
            raise CommandFailed(f"run {run_id} is set aside: {reason.get('message')}", Exit.ENVIRONMENT)
        if as_json:
            data = {"run_id": run_id, "status": "parked", "outputs": None, "error": reason, "path": path, "waiting": []}
            print_json(command, ok=True, data=data)
        else:
            say(
                f"{command}: kept, and taken when run {run_id} goes on; it is set aside now: {reason.get('message')}\n"
                f"when the reason is mended, `orchestrator resume {run_id}` goes on with it"
            )
        return Exit.OK
    outputs = row.outcome.get("result") if isinstance(row.outcome, dict) else None
    codes = {"done": Exit.OK, "timeout": Exit.TIMED_OUT, "failed": Exit.RUN_FAILED, "cancelled": Exit.RUN_FAILED}
    code = codes.get(row.status, Exit.WAITING if row.status == "queued" else Exit.OK)
    if as_json:
        status = row.status if row.status in codes or row.status == "queued" else "elsewhere"
        data = {"run_id": run_id, "status": status, "outputs": outputs, "error": row.error, "path": path, "waiting": []}
        print_json(command, ok=code in (Exit.OK, Exit.WAITING), data=data)
    elif row.status == "done":
        print_value(outputs)
    elif row.status in codes:
        error = row.error or {}
        say(f"run {run_id} {row.status}: {error.get('code')}: {one_line(str(error.get('message')), 2000)}")
    elif row.status == "queued":
        say(f"run {run_id} waits for its turn")
    else:
        say(f"run {run_id} goes on in the process that holds it")
    return code


async def find_run(store: Any, name: str) -> RunRow:  # a Store
    """The run of an id, or of the beginning of one.

    Raises: CommandFailed if none or several begin so.
    """
    from orchestrator.journal.store import RunFilter

    try:
        found: RunRow = await store.run(name)
        return found
    except UnknownRun:
        page = await store.runs(RunFilter(), limit=500)
        near: list[RunRow] = [row for row in page.rows if row.run_id.startswith(name)]
        if len(near) == 1:
            return near[0]
        if near:
            shown = ", ".join(row.run_id for row in near[:5])
            raise CommandFailed(f"several runs begin with {name}: {shown}", Exit.USAGE) from None
        raise CommandFailed(f"there is no run {name}; `orchestrator runs ls` lists them", Exit.NOT_FOUND) from None
