"""A hundred thousand runs that wait in a file: no memory, no processor, and one that wakes costs one claim."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.runtime.journal import Claim
from tests.durable.kit import World, until

WAITING = 100_000
NAP = "flow: nap\nsteps:\n  a: {on: Start, wait: 1h, emit: Stop}\n"
COPIES = """
    WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < ?)
    INSERT INTO runs (id, flow, flow_hash, kind, status, epoch, ready_at, created_at, root)
    SELECT 'q' || n, flow, flow_hash, kind, 'waiting', 1, ? + n, 0, 'q' || n FROM runs, g WHERE id = 'first'
"""
COPIED_TICKS = """
    INSERT INTO ticks (rk, seq, body, cuts) SELECT r.rk, t.seq, t.body, t.cuts FROM runs r, ticks t
    WHERE r.id != 'first' AND t.rk = (SELECT rk FROM runs WHERE id = 'first')
"""


class Counting(SqliteJournal):
    """Counts the claims that got something."""

    claimed = 0

    async def claim(
        self, worker: str, *, now: float, lease_s: float, run_id: str | None = None, limit: int = 1
    ) -> list[Claim]:
        found = await super().claim(worker, now=now, lease_s=lease_s, run_id=run_id, limit=limit)
        self.claimed += len(found)
        return found


@asynccontextmanager
async def many_waiting(root: Path) -> AsyncIterator[tuple[World, Counting]]:
    """A file of runs that all wait for an hour, and a process that serves it."""
    journal = Counting(root / "runs.db")
    world = World(root, journal)
    await world.service(serves=True).start(world.plan(NAP, "nap"), {}, run_id="first")
    await until(lambda: not world.engines[0].runs)
    await world.engines[0].aclose()
    later = time.time() + 3600
    await journal.on_writer(lambda db: db.execute(COPIES, (WAITING, later)).rowcount)
    await journal.on_writer(lambda db: db.execute(COPIED_TICKS).rowcount)
    try:
        yield world, journal
    finally:
        await world.aclose()
        await journal.aclose()


def test_a_hundred_thousand_waiting_runs_cost_no_memory_and_no_processor(tmp_path: Path) -> None:
    async def main() -> None:
        async with many_waiting(tmp_path) as (world, journal):
            assert (await journal.stats()).by_status["waiting"] == WAITING + 1
            tracemalloc.start()
            engine = world.engine(serves=True, poll_s=0.25)
            await asyncio.sleep(1.0)
            before, began = time.process_time(), time.monotonic()
            await asyncio.sleep(3.0)
            share = (time.process_time() - before) / (time.monotonic() - began)
            held = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            assert engine.runs == {} and held < 1_000_000, f"{held} bytes"
            assert share < 0.02, f"{share:.1%} of a core"
            print(f"{WAITING} waiting: {share:.2%} of a core, {held / 1024:.0f} KB")

    asyncio.run(main())


def test_one_of_a_hundred_thousand_that_wakes_costs_one_claim(tmp_path: Path) -> None:
    async def main() -> None:
        async with many_waiting(tmp_path) as (world, journal):
            journal.claimed = 0
            due = "UPDATE runs SET ready_at = 1 WHERE id = 'q50000'"
            await journal.on_writer(lambda db: db.execute(due).rowcount)
            world.engine(serves=True)
            async with asyncio.timeout(10):
                while journal.claimed == 0:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            assert journal.claimed == 1

    asyncio.run(main())
