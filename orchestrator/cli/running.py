"""Drives runs in the foreground over the chosen store, and reports how one ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator.authoring.notices import Notices
from orchestrator.authoring.project import Project
from orchestrator.authoring.run_service import path_of
from orchestrator.cli.asking import Answers, GroupsOf
from orchestrator.cli.exits import Exit
from orchestrator.cli.foreground import Foreground
from orchestrator.cli.output import print_json, print_value, say
from orchestrator.cli.progress import Progress, screen_of
from orchestrator.cli.screen import one_line
from orchestrator.cli.store import MEMORY, open_store
from orchestrator.errors import RunFinished
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.journal import Journal
from orchestrator.runtime.questions import open_asks
from orchestrator.runtime.state import Status
from orchestrator.testing.flow_expect import waiting_steps

Json = Any  # plain JSON
Begin = Callable[[Foreground], Awaitable[Actor]]


@dataclass(frozen=True, slots=True)
class Session:
    """How to run: where runs are kept, who answers, what is shown."""

    project: Project
    url: str
    answers: Answers
    user: str | None
    until: str | None = None
    is_quiet: bool = False
    shows_text: bool = False

    @property
    def is_durable(self) -> bool:
        """Whether what waits is kept when the command ends."""
        return not self.url.startswith(MEMORY)


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended, rests, or was stopped when its log had `stopped_at` entries."""

    actor: Actor
    path: list[str]
    stopped_at: int | None = None


class EndedElsewhere(RunFinished):
    """Another process has run it to its end while it waited for its turn here."""

    def __init__(self, message: str, run_id: str) -> None:
        super().__init__(message)
        self.run_id = run_id


def run_session(session: Session, begin: Begin) -> Ended:
    """Begin a run and follow it to its end or rest; the terminal and the store are left in order, whatever happens."""
    return asyncio.run(_run(session, begin))


async def _run(session: Session, begin: Begin) -> Ended:
    screen = screen_of(is_quiet=session.is_quiet)
    progress = Progress(screen, is_quiet=session.is_quiet, shows_text=session.shows_text)
    journal = open_store(session.project, session.url) if session.is_durable else None
    engine = Engine() if journal is None else DurableEngine(journal, session.project.bind)
    notices = Notices(lambda: session.project)
    if session.is_durable:
        notices.attach(engine)
    front = Foreground(engine, progress, session.answers, until=session.until)
    if not session.is_quiet:
        front.ask_on_terminal(session.user, groups_of(session.project))
    actor: Actor | None = None
    ended: Ended | None = None
    with TerminatedAsInterrupt():
        try:
            actor = await begin(front)
            try:
                await front.admitted(actor)
            except RunFinished as error:
                raise EndedElsewhere(str(error), actor.run_id) from error
            await front.follow(actor)
            ended = Ended(actor, await _path(actor, front.stopped_at, journal), front.stopped_at)
        except (asyncio.CancelledError, KeyboardInterrupt):
            screen.close()
            run = actor or front.first
            if run is not None and not run.state.is_over:
                _tell_interrupted(run, is_kept=session.is_durable)
            raise
        finally:
            screen.close()
            await _close(engine, actor)
            if journal is not None:
                await journal.aclose()
            await notices.aclose()
            await session.project.hub.aclose()
    return ended


async def _path(actor: Actor, stopped_at: int | None, journal: Journal | None) -> list[str]:
    """The steps whose bodies ran, those that ran in other processes too."""
    log = actor.log if stopped_at is None else actor.log[: stopped_at - actor.base]
    if journal is None or actor.base == 0:
        return path_of(log)
    earlier = await journal.ticks(actor.run_id, -1, actor.base)
    return [*path_of_rows(row for seq, row in earlier if seq < actor.base), *path_of(log)]


def path_of_rows(rows: Iterable[Json]) -> list[str]:
    """The same for ticks as a store has them; a row is [kind, at, cause, act, attempt, step, phase, …]."""
    return [row[5] for row in rows if row[0] == "step" and row[4] == 1 and (len(row) < 7 or row[6] in (None, "main"))]


async def _close(engine: Engine, actor: Actor | None) -> None:
    if isinstance(engine, DurableEngine):
        await engine.aclose()
        return
    for run in list(engine.runs.values()):
        if not run.is_over:
            run.discard()
    if actor is not None:
        await actor.wait_closed(2.0)


def _tell_interrupted(actor: Actor, *, is_kept: bool) -> None:
    if is_kept:
        say(f"interrupted; `orchestrator resume {actor.run_id}` goes on where it was")
    else:
        say(f"interrupted; run {actor.run_id} was kept in memory only and is gone")


class TerminatedAsInterrupt:
    """While entered, SIGTERM ends the running task as Ctrl-C does: claims are given up, the terminal is restored."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._is_hit = False

    def __enter__(self) -> None:
        try:
            self._loop.add_signal_handler(signal.SIGTERM, self._hit)
        except (NotImplementedError, RuntimeError, ValueError):  # not on this platform, or not in the main thread
            return

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self._loop.remove_signal_handler(signal.SIGTERM)
        except (NotImplementedError, RuntimeError, ValueError):
            pass
        if self._is_hit and isinstance(error, asyncio.CancelledError):
            raise KeyboardInterrupt

    def _hit(self) -> None:
        self._is_hit = True
        if self._task is not None:
            self._task.cancel()


def groups_of(project: Project) -> GroupsOf:
    """The groups of every person of the project; None where the config names no people."""
    people = project.config.people
    if not people.groups and not people.users:
        return None
    found: dict[str, list[str]] = {user: [] for user in people.users}
    for group, users in people.groups.items():
        for user in users:
            found.setdefault(user, []).append(group)
    return found


def outputs_of(actor: Actor) -> Json:
    """What a run came to, as plain JSON; null for one that has no result."""
    result, plain = actor.state.result, actor.plan.plain
    if result is None:
        return None
    return result.value if plain is None else plain(result.type, result.value)


def run_data(ended: Ended) -> dict[str, Json]:
    """A run as `--json` shows it."""
    actor, state = ended.actor, ended.actor.state
    status = state.status.value if state.is_over else "waiting" if ended.stopped_at is None else "stopped"
    return {
        "run_id": actor.run_id,
        "status": status,
        "outputs": outputs_of(actor),
        "error": state.error,
        "path": ended.path,
        "waiting": waiting_steps(actor) if status == "waiting" else [],
    }


def exit_of_run(ended: Ended) -> Exit:
    """The exit code of how a run ended or rests."""
    status = ended.actor.state.status
    if status is Status.DONE:
        return Exit.OK
    if status is Status.TIMEOUT:
        return Exit.TIMED_OUT
    if ended.actor.state.is_over:
        return Exit.RUN_FAILED
    return Exit.WAITING if ended.stopped_at is None else Exit.OK


def report(ended: Ended, *, command: str, as_json: bool, is_kept: bool) -> int:
    """Print how a run ended or what it waits for; gives the exit code."""
    data, code, state = run_data(ended), exit_of_run(ended), ended.actor.state
    run_id = ended.actor.run_id
    if as_json:
        print_json(command, ok=code in (Exit.OK, Exit.WAITING), data=data)
    elif state.status is Status.DONE:
        print_value(data["outputs"])
    elif state.is_over:
        error = state.error or {}
        where = f" in step `{error['step']}`" if error.get("step") else ""
        message = f": {error.get('code')}: {one_line(str(error.get('message')), 2000)}" if error else ""
        say(f"run {run_id} {data['status']}{where}{message}")
    elif data["status"] == "stopped":
        say(f"run {run_id} was stopped{f'; `orchestrator resume {run_id}` goes on' if is_kept else ''}")
    else:
        say(f"run {run_id} waits: {', '.join(data['waiting']) or 'an event from outside'}")
        say(_way_on(ended.actor, is_kept=is_kept))
    return code


def _way_on(actor: Actor, *, is_kept: bool) -> str:
    if not is_kept:
        return "it was kept in memory only and is gone; without `--store memory:` and `--mock` it would stay"
    if open_asks(actor) or actor.state.children:
        return "`orchestrator inbox` shows what waits, `orchestrator decide` answers"
    return f"`orchestrator send {actor.run_id} EVENT` sends what it waits for"
