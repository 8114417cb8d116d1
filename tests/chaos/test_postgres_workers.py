"""Four workers of one PostgreSQL store while they are killed and the database is stopped and started: every run ends right.

60 runs here; `make chaos` (CHAOS_ROUNDS) makes it 500.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import OrchestratorError
from orchestrator.journal.store import RunFilter
from orchestrator.runtime.codec import PLAIN, decode_tick
from orchestrator.runtime.journal import FINAL, InboxEntry
from tests.durable.battery import BATTERY, Case
from tests.support.office import Office, in_office
from tests.support.postgres import Server, server_or_skip
from tests.support.worker_steps import calls_of
from tests.support.workers import WorkerProcess

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "0"))
RUNS = max(60, 5 * ROUNDS)
WORKERS = 4
LEASE_S = 2.0
TIMEOUT_S = 60.0 + RUNS


class Crew:
    """Worker processes that are killed and replaced."""

    def __init__(self, url: str, root: Path, dispatcher: str) -> None:
        self.url, self.root, self.dispatcher = url, root, dispatcher
        self.kills = 0
        self.all: list[WorkerProcess] = []
        self.alive = [self.hire() for _ in range(WORKERS)]
        for worker in self.alive:
            worker.wait_up()

    def hire(self) -> WorkerProcess:
        name = f"w{len(self.all)}"
        remote = len(self.all) % 2 == 0  # every other one as on a host of its own
        options: dict[str, Any] = {
            "dispatcher": self.dispatcher,
            "lease_s": LEASE_S,
            "pause_s": 0.25,
            "is_remote": remote,
            "concurrency": 4,
        }
        self.all.append(WorkerProcess(self.url, self.root, name, **options))
        return self.all[-1]

    def kill_one(self, dice: random.Random) -> None:
        place = dice.randrange(WORKERS)
        self.alive[place].kill()
        self.kills += 1
        self.alive = [self.hire() if worker.process.poll() is not None else worker for worker in self.alive]

    def close(self) -> None:
        for worker in self.all:
            worker.close()


@contextmanager
def crew_of(url: str, root: Path, dispatcher: str) -> Iterator[Crew]:
    crew = Crew(url, root, dispatcher)
    try:
        yield crew
    finally:
        crew.close()


async def answer_everything(office: Office, cases: dict[str, Case]) -> None:
    """Be the people and the outside world: answer, send, again and again."""
    events = {run_id: case for run_id, case in cases.items() if case.events}

    async def send(run_id: str, case: Case) -> None:
        for number, (event, fields) in enumerate(case.events):
            data = {"type": event, "value": fields}
            await office.journal.post(InboxEntry(run_id, "event", data, f"event-{number}", time.time()))

    async def answer(run_id: str, request_id: str, case: Case) -> None:
        for _, user, verdict in case.answers:
            try:
                await office.service.answer(run_id, request_id, user=user, form={"verdict": verdict})
            except OrchestratorError:
                continue  # answered before, or its holder was killed just now: again in the next round

    await asyncio.gather(*(send(run_id, case) for run_id, case in events.items()))
    while True:
        found = await office.journal.requests(limit=1000)
        await asyncio.gather(*(answer(row.run_id, row.request_id, cases[row.run_id]) for _, row in found))
        await asyncio.sleep(0.2)


async def wait_for_all(office: Office, cases: dict[str, Case]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            counts = (await office.journal.stats()).by_status
            if sum(counts.get(status, 0) for status in FINAL) == sum(counts.values()) >= len(cases):
                return
            await asyncio.sleep(0.1)


async def disturb(crew: Crew, server: Server, dice: random.Random, restarts: list[float]) -> None:
    """Kill a worker every second or so, stop and start the database now and then."""
    for number in range(1_000):
        await asyncio.sleep(dice.uniform(0.5, 1.2))
        await asyncio.to_thread(crew.kill_one, dice)
        if number % 3 == 1:
            await asyncio.to_thread(server.stop, dice.choice(["fast", "immediate"]))
            await asyncio.sleep(dice.uniform(0.1, 0.8))
            await asyncio.to_thread(server.start)
            restarts.append(time.time())


async def check_run(office: Office, run_id: str, case: Case, calls: dict[tuple[str, int], list[float]]) -> None:
    """It ended as it should, each attempt has one recorded end, and nothing was called after its end was recorded."""
    row = await office.journal.run(run_id)
    assert row.status == case.status, (run_id, row.outcome)
    if case.outputs is not None:
        assert row.outcome["result"] == case.outputs
    family = [run_id, *(child.run_id for child in (await office.journal.runs(RunFilter(parent=run_id))).rows)]
    for member in family:
        started: dict[int, tuple[str, str]] = {}
        ended: set[tuple[int, int, str]] = set()
        for seq, data in await office.journal.ticks(member, -1, 100_000):
            tick: Any = decode_tick(seq, data, PLAIN)
            if data[0] == "step":
                started[tick.act] = (tick.step, tick.phase)
            elif data[0] == "settled":
                step, phase = started[tick.act]
                assert (tick.act, tick.attempt, phase) not in ended, f"{member}: {step} ended twice"
                ended.add((tick.act, tick.attempt, phase))
                at = calls.get((f"{member}/{step}/{tick.act}/{phase}", tick.attempt), [])
                assert all(moment <= tick.at + 0.001 for moment in at), f"{member}: {step} was called after its end"


@pytest.mark.timeout(TIMEOUT_S + 60)
@pytest.mark.parametrize("dispatcher", ["local", "dbos"] if ROUNDS else ["local"])
def test_every_run_ends_right_whatever_dies(dispatcher: str, tmp_path: Path) -> None:
    server = server_or_skip()
    url, dice = server.new_database(), random.Random(ROUNDS)
    cases = {f"{case.name}{n}": case for n, case in ((n, BATTERY[n % len(BATTERY)]) for n in range(RUNS))}
    restarts: list[float] = []

    async def story(office: Office) -> None:
        for run_id, case in cases.items():
            for name, text in case.others.items():
                office.write(text, name)
            await office.start(case.text, run_id, case.inputs)
        outside = asyncio.create_task(answer_everything(office, cases))
        trouble = asyncio.create_task(disturb(crew, server, dice, restarts))
        try:
            await wait_for_all(office, cases)
        finally:
            trouble.cancel()
            await asyncio.gather(trouble, return_exceptions=True)
            outside.cancel()
            await asyncio.gather(outside, return_exceptions=True)
        calls: dict[tuple[str, int], list[float]] = {}
        for call in calls_of(tmp_path / "calls.jsonl"):
            calls.setdefault((call["key"], call["attempt"]), []).append(call["at"])
        for run_id, case in cases.items():
            await check_run(office, run_id, case, calls)
        assert (await office.journal.verify_audit()).is_intact
        moments = sorted(moment for found in calls.values() for moment in found)
        for restart in restarts[:-1]:
            assert min((m for m in moments if m > restart), default=restart + 99) - restart < 3, "it took long to go on"

    with crew_of(url, tmp_path, dispatcher) as crew:
        try:
            in_office(url, tmp_path, story)
        except BaseException:
            print("\n".join(worker.output() for worker in crew.all))
            raise
        print(f"{RUNS} runs, {crew.kills} kills, {len(restarts)} restarts of the database")
        assert crew.kills >= 3 and restarts
