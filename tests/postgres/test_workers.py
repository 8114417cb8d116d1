"""Workers of one store: runs go where their steps are, are taken over from the dead, and nothing is stranded."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.durable.kit import until
from tests.support.office import CHAIN, PLACED, Office, in_office
from tests.support.worker_steps import calls_of
from tests.support.workers import WorkerProcess


@pytest.fixture
def start_worker(url: str, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    made: list[WorkerProcess] = []

    def start(name: str, **options: Any) -> WorkerProcess:
        made.append(WorkerProcess(url, tmp_path, name, **options))
        made[-1].wait_up()
        return made[-1]

    yield start
    for worker in made:
        worker.close()


def test_a_run_goes_only_where_its_steps_are(url: str, tmp_path: Path, start_worker: Any) -> None:
    """Two versions of the code share a store; what only the newer one can run waits for it, and says why meanwhile."""
    start_worker("old", steps=("work",))

    async def story(office: Office) -> None:
        await office.start(CHAIN % "work", "both", {"n": 1})
        await office.start((CHAIN % "new").replace("flow: chain", "flow: newer"), "newer", {"n": 1})
        assert (await office.wait_for("both")).outcome["result"] == {"n": 3}
        parked = (await office.wait_for("newer", "parked")).parked
        assert parked["code"] == "run.unbound" and "`t.new`" in parked["message"]
        new = start_worker("new", steps=("work", "new"))
        assert (await office.wait_for("newer")).outcome["result"] == {"n": 3}
        assert {c["pid"] for c in calls_of(tmp_path / "calls.jsonl") if c["run"] == "newer"} == {new.process.pid}

    in_office(url, tmp_path, story)


def test_a_placed_step_runs_in_its_pool_and_waits_for_one(url: str, tmp_path: Path, start_worker: Any) -> None:
    plain = start_worker("plain")

    async def story(office: Office) -> None:
        await office.start(PLACED, "r", {"n": 1})
        (child,) = (await office.children("r")).rows
        parked = (await office.wait_for(child.run_id, "parked")).parked
        assert "--pool gpu" in parked["message"] and (await office.journal.run("r")).status == "waiting"
        pool = start_worker("pool", pools=("gpu",))
        assert (await office.wait_for("r")).outcome["result"] == {"n": 3}
        calls = calls_of(tmp_path / "calls.jsonl")
        assert [c["pid"] for c in calls if c["run"] != "r"] == [pool.process.pid] != [plain.process.pid]

    in_office(url, tmp_path, story)


def test_a_parked_run_can_be_cancelled_though_nobody_can_run_it(url: str, tmp_path: Path, start_worker: Any) -> None:
    start_worker("old", steps=("work",))

    async def story(office: Office) -> None:
        await office.start(CHAIN % "new", "r", {"n": 1})
        await office.wait_for("r", "parked")
        await office.service.cancel("r", "no use")
        assert (await office.wait_for("r")).status == "cancelled"

    in_office(url, tmp_path, story)


@pytest.mark.parametrize("how", ["kill -9", "frozen", "kill -9, other host"])
def test_a_lost_workers_run_is_taken_over_within_its_lease(
    url: str, tmp_path: Path, start_worker: Any, how: str
) -> None:
    lease_s = 1.0
    first = start_worker("first", lease_s=lease_s, is_remote="other" in how)
    second = start_worker("second", lease_s=lease_s)
    second.signal(signal.SIGSTOP)

    async def story(office: Office) -> None:
        await office.start(CHAIN % "slow", "r", {"n": 1})
        await _until_calls(tmp_path, 2)
        assert (await office.journal.run("r")).holder == "first"
        first.signal(signal.SIGSTOP if how == "frozen" else signal.SIGKILL)
        second.signal(signal.SIGCONT)
        lost_at = time.monotonic()
        await office.when("r", lambda row: row.holder == "second")
        assert time.monotonic() - lost_at < lease_s + 2
        assert (await office.wait_for("r")).outcome["result"] == {"n": 3}
        if how == "frozen":
            first.signal(signal.SIGCONT)
            await asyncio.sleep(0.7)  # what it was about to commit is refused
            assert len([t for _, t in await office.journal.ticks("r", -1, 99) if t[0] == "settled"]) == 2
        assert [str(c["key"])[:4] for c in calls_of(tmp_path / "calls.jsonl")] == ["r/a/", "r/b/", "r/b/"]

    in_office(url, tmp_path, story)


async def _until_calls(root: Path, count: int) -> None:
    await until(lambda: len(calls_of(root / "calls.jsonl")) >= count, 15)


def test_sigterm_lets_calls_end_and_gives_the_rest_back(url: str, tmp_path: Path, start_worker: Any) -> None:
    first = start_worker("first", lease_s=60.0)

    async def story(office: Office) -> None:
        await office.start(CHAIN % "slow", "r", {"n": 1})
        await _until_calls(tmp_path, 2)
        assert await asyncio.to_thread(first.end) == 0
        assert (await office.journal.stats()).workers[-1].name != "first"
        start_worker("second")
        assert (await office.wait_for("r")).outcome["result"] == {"n": 3}
        assert len(calls_of(tmp_path / "calls.jsonl")) == 2

    in_office(url, tmp_path, story)
