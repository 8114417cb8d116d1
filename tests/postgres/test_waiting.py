"""Runs that wait cost rows: no memory in a worker, next to no processor."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.office import CHAIN, Office, in_office
from tests.support.workers import WorkerProcess

WAITING = 10_000
LIMIT = 0.02  # of a core


def cpu_s(pid: int) -> float:
    """The processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def rss_kb(pid: int) -> int:
    """The memory that a process has in use."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@pytest.mark.parametrize("dispatcher", ["local", "dbos"])
def test_ten_thousand_waiting_runs_cost_a_worker_nothing(dispatcher: str, url: str, tmp_path: Path) -> None:
    if dispatcher == "dbos":
        pytest.importorskip("dbos")
    worker = WorkerProcess(url, tmp_path, "w", dispatcher=dispatcher)
    worker.wait_up()
    pid = worker.process.pid

    async def story(office: Office) -> None:
        await office.start(CHAIN % "work", "warm", {"n": 1})
        await office.wait_for("warm")
        await asyncio.sleep(1.5)  # the worker's own first rounds take memory once
        memory = await asyncio.to_thread(rss_kb, pid)
        sql = (
            "INSERT INTO runs (id, flow, flow_hash, kind, status, epoch, ready_at, created_at, root)"
            " SELECT 'q' || g, 'chain', (SELECT flow_hash FROM runs LIMIT 1), 'yaml', 'waiting', 1, ?::float8 + g, 0, 'q' || g"
            " FROM generate_series(1, ?) g"
        )
        await office.postgres._change(lambda tx: tx.write(sql, (time.time() + 3600, WAITING)).rowcount)
        await asyncio.sleep(1.2)
        before, began = await asyncio.to_thread(cpu_s, pid), time.monotonic()
        await asyncio.sleep(6.0)
        share = (await asyncio.to_thread(cpu_s, pid) - before) / (time.monotonic() - began)
        print(f"{dispatcher}: {share:.2%} of a core")
        assert share <= LIMIT, f"{share:.2%} of a core"
        assert await asyncio.to_thread(rss_kb, pid) - memory < 4096  # KB: of 10,000 objects each takes more than that
        assert (await office.journal.stats()).by_status["waiting"] == WAITING

    try:
        in_office(url, tmp_path, story)
    finally:
        worker.close()
