"""DBOS is a doorbell: it spreads and delays, and whatever it loses, repeats or leaves behind changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestrator.journal.open import open_journal, parse_store_url
from orchestrator.testing.dispatch_kit import CHAIN, TIMER, Scene, Setting, run_dispatch_check
from tests.durable.kit import until
from tests.support.office import CHAIN as TWO_STEPS
from tests.support.office import Office, in_office
from tests.support.worker_steps import calls_of
from tests.support.workers import WorkerProcess

pytest.importorskip("dbos", reason="dbos cannot be had here; it comes with the extra [dbos]")
LOOP = """
    flow: loop
    outputs: {n: int}
    state: {n: 0}
    events:
      Again: {n: int}
    steps:
      body:
        on: [Start, Again]
        max_visits: 100
        call: k.work
        with: {n: "${{ state.n }}"}
        emit:
          - when: result < 60
            event: Again
            set: {n: "${{ result }}"}
            with: {n: "${{ result }}"}
          - event: Stop
            with: {n: "${{ result }}"}
"""


def play(
    url: str, root: Path, story: Callable[[Scene, Any], Awaitable[None]], *, is_deaf: bool = False, **options: Any
) -> None:
    from orchestrator.dispatch.dbos import DbosDispatcher

    class Deaf(DbosDispatcher):
        """Loses every activation."""

        async def wake(self, run_id: str) -> None:
            return

    dispatcher = (Deaf if is_deaf else DbosDispatcher)(parse_store_url(url).dsn, **options)

    async def main(scene: Scene) -> None:
        scene.worker()
        await until(lambda: dispatcher._is_up)
        await story(scene, dispatcher)

    asyncio.run(run_dispatch_check(main, Setting(root, lambda: open_journal(url), lambda: dispatcher)))


def rows_of(url: str, sql: str) -> list[Any]:
    with psycopg.connect(parse_store_url(url).dsn, autocommit=True) as connection:
        return connection.execute(sql.encode()).fetchall()


def test_runs_are_woken_by_activations_that_are_plain_data(url: str, tmp_path: Path) -> None:
    async def story(scene: Scene, dispatcher: Any) -> None:
        await scene.result(await scene.add(CHAIN, {"n": 1}))  # DBOS has found its queue
        helped = dispatcher.helped
        runs = [await scene.add(CHAIN, {"n": 1}) for _ in range(5)]
        assert [await scene.result(run) for run in runs] == [{"n": 3}] * 5
        assert dispatcher.activated >= 5 and dispatcher.helped == helped
        found = rows_of(url, "SELECT workflow_uuid, serialization FROM dbos.workflow_status WHERE name ~ 'activate'")
        mine = [row for row in found if row[0].split(":")[0] in runs]
        assert sorted({row[0].split(":")[0] for row in mine}) == sorted(runs)
        assert {row[1] for row in mine} == {"portable_json"}

    play(url, tmp_path, story)


def test_an_activation_that_is_never_delivered_is_made_up_for(url: str, tmp_path: Path) -> None:
    async def story(scene: Scene, dispatcher: Any) -> None:
        run = await scene.add(CHAIN, {"n": 1})
        assert await scene.result(run) == {"n": 3}
        assert (dispatcher.activated, dispatcher.helped) == (0, 1)

    play(url, tmp_path, story, is_deaf=True)


def test_a_long_run_gives_others_a_turn_and_finishes_no_step_twice(url: str, tmp_path: Path) -> None:
    async def story(scene: Scene, dispatcher: Any) -> None:
        run = await scene.add(LOOP)
        assert await scene.result(run) == {"n": 60}
        row = await scene.journal.run(run)
        assert row.epoch >= 3 and len(scene.calls) == len(set(scene.calls)) == 60

    play(url, tmp_path, story, turn_s=0.15)


def test_a_repeated_and_a_late_activation_do_nothing(url: str, tmp_path: Path) -> None:
    async def story(scene: Scene, dispatcher: Any) -> None:
        run = await scene.add(TIMER)
        await scene.until_waiting(run)
        before = (await scene.journal.run(run)).epoch
        await asyncio.gather(*(dispatcher.wake(run) for _ in range(5)))
        assert (await scene.journal.run(run)).epoch == before
        assert await scene.result(run) == {"n": 2}
        await dispatcher.wake(run)
        await dispatcher.wake("no-such-run")

    play(url, tmp_path, story)


def test_activations_are_removed_when_they_are_old(url: str, tmp_path: Path) -> None:
    async def story(scene: Scene, dispatcher: Any) -> None:
        run = await scene.add(CHAIN, {"n": 1})
        await scene.result(run)
        sql = f"SELECT 1 FROM dbos.workflow_status WHERE workflow_uuid LIKE '{run}:%'"
        assert rows_of(url, sql)
        assert await dispatcher.clean(older_than_s=-5) > 0
        assert not rows_of(url, sql)

    play(url, tmp_path, story)


def test_two_workers_share_the_runs_and_one_goes_on_alone(url: str, tmp_path: Path) -> None:
    workers = [WorkerProcess(url, tmp_path, f"w{n}", dispatcher="dbos", lease_s=1.0, concurrency=4) for n in range(2)]
    for worker in workers:
        worker.wait_up()

    async def story(office: Office) -> None:
        for number in range(16):
            await office.start(TWO_STEPS % "slow", f"s{tmp_path.name[-2:]}{number}-{id(office)}", {"n": number})
        await until(lambda: len({c["pid"] for c in calls_of(tmp_path / "calls.jsonl")}) == 2)
        workers[0].kill()
        for number in range(16):
            row = await office.wait_for(f"s{tmp_path.name[-2:]}{number}-{id(office)}", timeout_s=30)
            assert row.outcome["result"] == {"n": number + 2}

    try:
        in_office(url, tmp_path, story)
    finally:
        for worker in workers:
            worker.close()
