"""What limits a PostgreSQL store, measured here and carried on to larger ones: `python bench/scale_model.py [--quick]`.

Measured: durable steps and whole small runs per second of one database with 1, 2 and 4 writing processes; bytes of log (WAL) and
of tables per step and per run; the bytes of a waiting run, and what finding the next due one costs beside many of them.
The model is arithmetic on those, printed with its formulas; change the load on the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

from orchestrator.journal.open import open_journal  # noqa: E402 - the checkout is on the path now
from orchestrator.runtime.journal import Batch, NewRun  # noqa: E402

RUNS = 100  # at a time, per process
TICK = '["settled",1800000000.123456,7,3,1,{"result":{"n":%d,"text":"about as much as a small step gives"}}]'
DAY_S, MONTH_D = 86_400.0, 30.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What one database did. Rates per second, sizes in bytes."""

    steps_per_s: dict[int, float]
    runs_per_s: dict[int, float]
    wal_per_step: float
    disk_per_step: float
    disk_per_run: float
    disk_per_waiting: float
    due_ms: float
    waiting: int


async def write_runs(url: str, name: str, runs: int, steps: int, barrier: Any) -> None:
    """`runs` runs, RUNS at a time, that each commit `steps` small results; begins when everybody is ready."""
    journal: Any = open_journal(url)
    await journal.renew(name, now=time.time(), lease_s=600)
    barrier.wait()
    slots = asyncio.Semaphore(RUNS)

    async def one(run: str) -> None:
        async with slots:
            now = time.time()
            made = NewRun(run, "f", "h", "yaml", now, root=run)
            await journal.commit(Batch(run, 1, 0, now, name, [TICK % 0], create=made))
            for seq in range(1, steps):
                await journal.commit(Batch(run, 1, seq, now, name, [TICK % seq]))
            last = Batch(run, 1, steps, now, name, [TICK % steps], status="done", outcome={}, releases=True)
            await journal.commit(last)

    await asyncio.gather(*(one(f"{name}-{n}") for n in range(runs)))
    await journal.aclose()


def process(url: str, name: str, runs: int, steps: int, barrier: Any) -> None:
    """One writing process."""
    asyncio.run(write_runs(url, name, runs, steps, barrier))


def in_processes(url: str, count: int, runs: int, steps: int, label: str) -> float:
    """How long `count` processes take for `runs` runs of `steps` steps each."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count + 1)
    made = [context.Process(target=process, args=(url, f"{label}{n}", runs, steps, barrier)) for n in range(count)]
    for one in made:
        one.start()
    barrier.wait()
    began = time.perf_counter()
    for one in made:
        one.join()
        assert one.exitcode == 0
    return time.perf_counter() - began


def ask(url: str, statement: str) -> float:
    """One number from the database."""
    import psycopg

    from orchestrator.journal.open import parse_store_url

    with psycopg.connect(parse_store_url(url).dsn, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return float(row[0])


def add_waiting(url: str, count: int) -> None:
    """Rows of runs that wait for a person for an hour."""
    import psycopg

    from orchestrator.journal.open import parse_store_url

    with psycopg.connect(parse_store_url(url).dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO orchestrator.runs (id, flow, flow_hash, kind, status, epoch, ready_at, created_at, root)"
            " SELECT 'q' || g, 'f', 'h', 'yaml', 'waiting', 1, 4e9 + g, 0, 'q' || g FROM generate_series(1, %s) g",
            (count,),
        )
        connection.execute("ANALYZE orchestrator.runs")


def measure(scale: int) -> Measured:
    """Measure everything on a new server."""
    from tests.support.postgres import Server

    server = Server()
    try:
        steps_per_s: dict[int, float] = {}
        runs_per_s: dict[int, float] = {}
        for count in (1, 2, 4):
            url = server.new_database()
            open_journal(url).close()
            steps = 40 * scale
            wal = ask(url, "SELECT pg_current_wal_insert_lsn() - '0/0'")
            steps_per_s[count] = count * RUNS * steps / in_processes(url, count, RUNS, steps, "s")
            if count == 1:
                wal_per_step = (ask(url, "SELECT pg_current_wal_insert_lsn() - '0/0'") - wal) / (RUNS * steps)
                disk_per_step = ask(url, "SELECT pg_total_relation_size('orchestrator.ticks')") / (RUNS * steps)
            before = ask(url, "SELECT count(*) FROM orchestrator.runs")
            size = ask(url, "SELECT pg_total_relation_size('orchestrator.runs')")
            runs = 4 * RUNS * scale
            runs_per_s[count] = count * runs / in_processes(url, count, runs, 1, "r")
            made = ask(url, "SELECT count(*) FROM orchestrator.runs") - before
            disk_per_run = (ask(url, "SELECT pg_total_relation_size('orchestrator.runs')") - size) / made
        url, waiting = server.new_database(), 100_000 * scale
        open_journal(url).close()
        size = ask(url, "SELECT pg_total_relation_size('orchestrator.runs')")
        add_waiting(url, waiting)
        per_waiting = (ask(url, "SELECT pg_total_relation_size('orchestrator.runs')") - size) / waiting
        due_ms = asyncio.run(time_of_due(url))
    finally:
        server.close()
    return Measured(steps_per_s, runs_per_s, wal_per_step, disk_per_step, disk_per_run, per_waiting, due_ms, waiting)


async def time_of_due(url: str) -> float:
    """Milliseconds that a worker's question for the next due run takes."""
    journal: Any = open_journal(url)
    for _ in range(20):
        await journal.next_due(now=0.0)
    began = time.perf_counter()
    for _ in range(200):
        await journal.next_due(now=0.0)
    passed = time.perf_counter() - began
    await journal.aclose()
    return passed / 200 * 1000


def show(found: Measured, runs_per_day: list[float], steps: float, wait_days: float) -> None:
    """Print the figures and what follows from them."""
    print("measured on this machine")
    for count in found.steps_per_s:
        rates = found.steps_per_s[count], found.runs_per_s[count]
        print(f"  {count} writing processes: {rates[0]:8.0f} durable steps/s, {rates[1]:6.0f} runs/s of 2 commits")
    print(
        f"  log: {found.wal_per_step:.0f} B/step; tables: {found.disk_per_step:.0f} B/step, {found.disk_per_run:.0f} B/run"
    )
    print(
        f"  a waiting run: {found.disk_per_waiting:.0f} B; next due of {found.waiting:,} waiting ones: {found.due_ms:.2f} ms"
    )
    best_steps, best_runs = max(found.steps_per_s.values()), max(found.runs_per_s.values())
    print(f"\nmodel: {steps:g} steps a run, each run waits {wait_days:g} days, kept {MONTH_D:g} days after its end")
    print(
        "  seconds of one database per run = 1/runs_per_s + steps/steps_per_s; databases = load x that / 0.5 (half free)"
    )
    print("  runs a day   steps/s  databases   log MB/s   tables TB   waiting rows  waiting GB")
    busy = 1 / best_runs + steps / best_steps
    for load in runs_per_day:
        per_s = load / DAY_S
        kept = load * (MONTH_D + wait_days) * (found.disk_per_run + steps * found.disk_per_step)
        waiting = load * wait_days
        print(
            f"  {load:10,.0f} {per_s * steps:9,.0f} {max(1, -(-per_s * busy // 0.5)):10,.0f}"
            f" {per_s * steps * found.wal_per_step / 1e6:10.2f} {kept / 1e12:11.3f} {waiting:14,.0f}"
            f" {waiting * found.disk_per_waiting / 1e9:11.2f}"
        )


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--steps", type=float, default=10, help="durable steps of a run")
    parser.add_argument("--wait-days", type=float, default=2, help="how long a run waits for people")
    parser.add_argument("--runs-per-day", type=float, nargs="*", default=[1e5, 1e6, 1e7, 1e8, 1e9])
    parser.add_argument("--json", type=Path, help="write what was measured here as well")
    options = parser.parse_args()
    found = measure(1 if options.quick else 5)
    show(found, options.runs_per_day, options.steps, options.wait_days)
    if options.json is not None:
        options.json.write_text(
            json.dumps({name: getattr(found, name) for name in Measured.__slots__}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
