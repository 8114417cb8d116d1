"""A process that has everything loaded and forks a real process for every round, to be killed.

Reads one JSON object per line: {"db", "log", "case", "kill"}; `kill` is ["before" | "after", n] for the nth transaction,
["time", seconds], ["term", seconds] or null. Answers with {"exit": code} or {"signal": number}.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from orchestrator.authoring.run_service import RunService
from orchestrator.errors import OrchestratorError
from orchestrator.journal.memory import MemoryJournal
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.plugin.services import StepContext
from orchestrator.runtime.answering import AnswerRefused
from orchestrator.runtime.journal import FINAL, InboxEntry
from tests.durable.battery import BATTERY, Calls, Case
from tests.durable.kit import World

CASES = {case.name: case for case in BATTERY}
LOG: list[int] = []


class LoggedCalls(Calls):
    """Calls that are written down before they are made, where a killed process leaves them."""

    async def _note(self, ctx: StepContext) -> None:
        os.write(LOG[0], f"{ctx.idempotency_key}\t{ctx.attempt}\n".encode())
        await asyncio.sleep(0.001)


def killer(kill: Any) -> Any:  # JSON; gives what SqliteJournal takes as at_commit
    """What ends this process at its nth transaction."""
    if not kill or kill[0] not in ("before", "after"):
        return None
    count = [0]

    def at_commit(when: str) -> None:
        if when == kill[0]:
            count[0] += 1
            if count[0] == kill[1]:
                os.kill(os.getpid(), signal.SIGKILL)

    return at_commit


async def work(world: World, case: Case, order: dict[str, Any]) -> None:
    """Start the run if it is not there, serve until it has ended, and give it what it needs from outside."""
    journal = SqliteJournal(Path(order["db"]), at_commit=killer(order["kill"]))
    world.journal = journal
    service = world.service(serves=True)
    engine: Any = service.engine
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    try:
        await journal.run("r")
    except OrchestratorError:
        await service.start(world.plans[case.name], case.inputs, run_id="r")
    while not stop.is_set() and (await journal.run("r")).status not in FINAL:
        try:
            for number, (event, fields) in enumerate(case.events):
                data = {"type": event, "value": fields}
                await engine.deliver(InboxEntry("r", "event", data, f"event-{number}", engine.clock.now()))
            for _, request in await journal.requests(run_id="r"):
                for _, user, verdict in case.answers:
                    await answer(service, request.request_id, user, verdict)
        except OrchestratorError as error:
            if error.code not in ("run.finished", "store.busy", "run.held"):
                raise
        await asyncio.sleep(0.004)
    for engine in world.engines:
        await engine.aclose(grace_s=5.0)
    await journal.aclose()


async def answer(service: RunService, request_id: str, user: str, verdict: str) -> None:
    """Give an answer that may have been given before."""
    try:
        await service.answer("r", request_id, user=user, form={"verdict": verdict})
    except AnswerRefused as error:
        if error.kind != "conflict":
            raise


def child(world: World, order: dict[str, Any]) -> None:
    """The forked process."""
    LOG[:] = [os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)]
    try:
        asyncio.run(work(world, CASES[order["case"]], order))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def main() -> None:
    world = World(Path(tempfile.mkdtemp(prefix="zygote-")), MemoryJournal(), **LoggedCalls().steps())
    for case in BATTERY:
        world.plans[case.name] = world.prepare(case)
    print("{}", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(world, order)
        timed = order["kill"] if order["kill"] and order["kill"][0] in ("time", "term") else None
        if timed:
            sent = signal.SIGKILL if timed[0] == "time" else signal.SIGTERM
            threading.Thread(target=_kill, args=(pid, timed[1], sent)).start()
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"signal": -code} if code < 0 else {"exit": code}), flush=True)


def _kill(pid: int, after_s: float, sent: int) -> None:
    time.sleep(after_s)
    try:
        os.kill(pid, sent)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main()
