"""Commands that move a stored run on: do one thing to it, let it go on here, and report how it ended or what it waits for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.output import print_json, say
from orchestrator.cli.store import MEMORY, store_url
from orchestrator.errors import RunFinished, StoreBusy, UnknownRun

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

    url = store_url(project, store)
    if url.startswith(MEMORY):
        raise CommandFailed("a store in memory keeps nothing between commands", Exit.USAGE)
    session = Session(project, url, Answers({}, groups_of(project)), user, is_quiet=as_json)
    elsewhere: list[bool] = []

    async def begin(front: Foreground) -> Actor:
        try:
            actor: Actor = await front.engine.acquire(run_id)  # type: ignore[attr-defined]  # the session is durable
        except StoreBusy:
            elsewhere.append(True)
            if act is not None:
                await act(front)
            raise
        if act is not None:
            await act(front)
        return actor

    try:
        ended = run_session(session, begin)
    except StoreBusy:
        if not elsewhere:
            raise
        if as_json:
            print_json(command, ok=True, data={"run_id": run_id, "status": "elsewhere"})
        else:
            say(f"run {run_id} goes on in the process that holds it")
        return Exit.OK
    except RunFinished as error:
        raise CommandFailed(str(error), Exit.CONFLICT) from error
    return report(ended, command=command, as_json=as_json, is_kept=True)


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
