"""Drives runs in the foreground over the chosen store, and reports how one ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.authoring.project import Project
from orchestrator.authoring.run_service import path_of
from orchestrator.cli.asking import Answers, GroupsOf
from orchestrator.cli.exits import Exit
from orchestrator.cli.foreground import Foreground
from orchestrator.cli.output import print_json, print_value, say
from orchestrator.cli.progress import Progress, screen_of
from orchestrator.cli.screen import one_line
from orchestrator.cli.store import MEMORY, open_store
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.engine import Engine
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


def run_session(session: Session, begin: Begin) -> Actor:
    """Begin a run and follow it to its end or rest; the terminal and the store are left in order, whatever happens."""
    return asyncio.run(_run(session, begin))


async def _run(session: Session, begin: Begin) -> Actor:
    screen = screen_of(is_quiet=session.is_quiet)
    progress = Progress(screen, is_quiet=session.is_quiet, shows_text=session.shows_text)
    journal = open_store(session.project, session.url) if session.is_durable else None
    engine = Engine() if journal is None else DurableEngine(journal, session.project.plan)
    front = Foreground(engine, progress, session.answers, until=session.until)
    if not session.is_quiet:
        front.ask_on_terminal(session.user, groups_of(session.project))
    actor: Actor | None = None
    is_done = False
    with terminated_as_interrupt():
        try:
            actor = await begin(front)
            await front.follow(actor)
            is_done = True
        finally:
            screen.close()
            if actor is not None and not is_done and not actor.state.is_over:
                _tell_interrupted(actor, is_kept=session.is_durable)
            await _close(engine, actor)
            if journal is not None:
                await journal.aclose()
            await session.project.hub.aclose()
    return actor


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


class terminated_as_interrupt:
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


def run_data(actor: Actor, path: list[str] | None = None) -> dict[str, Json]:
    """A run as `--json` shows it."""
    state = actor.state
    status = state.status.value if state.is_over else "waiting"
    return {
        "run_id": actor.run_id,
        "status": status,
        "outputs": state.result.value if state.result is not None else None,
        "error": state.error,
        "path": path_of(actor.log) if path is None else path,
        "waiting": waiting_steps(actor),
    }


def exit_of_run(actor: Actor, until: str | None = None) -> Exit:
    """The exit code of how a run ended or rests."""
    status = actor.state.status
    if status is Status.DONE:
        return Exit.OK
    if status is Status.TIMEOUT:
        return Exit.TIMED_OUT
    if actor.state.is_over:
        return Exit.RUN_FAILED
    return Exit.OK if until is not None else Exit.WAITING


def report(
    actor: Actor, *, command: str, as_json: bool, until: str | None, is_kept: bool, path: list[str] | None = None
) -> int:
    """Print how a run ended or what it waits for; gives the exit code."""
    data = run_data(actor, path)
    is_stopped = until is not None and not actor.state.is_over and not data["waiting"]
    if is_stopped:
        data["status"] = "stopped"
    code = exit_of_run(actor, until)
    if as_json:
        print_json(command, ok=code in (Exit.OK, Exit.WAITING), data=data)
    elif actor.state.status is Status.DONE:
        print_value(data["outputs"])
    elif actor.state.is_over:
        error = actor.state.error or {}
        where = f" in step `{error['step']}`" if error.get("step") else ""
        message = f": {error.get('code')}: {one_line(str(error.get('message')), 2000)}" if error else ""
        say(f"run {actor.run_id} {data['status']}{where}{message}")
    else:
        _say_waiting(actor, data, until=until, is_kept=is_kept)
    return code


def _say_waiting(actor: Actor, data: dict[str, Json], *, until: str | None, is_kept: bool) -> None:
    whom = ", ".join(data["waiting"]) or "an event from outside"
    if until is not None and not data["waiting"]:
        say(f"run {actor.run_id} was stopped after `{until}`")
    else:
        say(f"run {actor.run_id} waits: {whom}")
    if not is_kept:
        say("it was kept in memory only and is gone; without `--store memory:` and `--mock` it would stay")
    elif until is not None and not data["waiting"]:
        say(f"`orchestrator resume {actor.run_id}` goes on")
    elif actor.state.requests:
        say("`orchestrator inbox` shows what waits, `orchestrator decide` answers")
    else:
        say(f"`orchestrator send {actor.run_id} EVENT` sends what it waits for")
