"""The primary dies and its streaming replica takes its place: work goes on, nothing that was acknowledged is lost or repeated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from orchestrator.errors import StoreBusy
from orchestrator.journal.open import open_journal
from orchestrator.runtime.codec import PLAIN, decode_tick
from tests.durable.kit import until
from tests.support.office import Office, in_office
from tests.support.postgres import Replica, Server, server_or_skip
from tests.support.switch import Switch
from tests.support.worker_steps import calls_of
from tests.support.workers import WorkerProcess

RUNS, STEPS = 12, 60
LOOP = """
flow: loop
outputs: {n: int}
state: {n: 0}
events:
  Again: {n: int}
steps:
  body:
    on: [Start, Again]
    max_visits: 1000
    call: t.work
    with: {n: "${{ state.n }}"}
    emit:
      - when: result < 60
        event: Again
        set: {n: "${{ result }}"}
        with: {n: "${{ result }}"}
      - event: Stop
        with: {n: "${{ result }}"}
"""


@pytest.fixture
def pair() -> Iterator[tuple[Server, Replica]]:
    server_or_skip()
    server = Server()
    replica = server.replica()
    yield server, replica
    replica.close()
    server.close()


async def settled_of(office: Office, run_id: str) -> list[Any]:
    rows = await office.journal.ticks(run_id, -1, 1000)
    return [decode_tick(seq, data, PLAIN) for seq, data in rows if data[0] == "settled"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("dispatcher", "address"), [("local", "both hosts"), ("dbos", "both hosts"), ("local", "a name")]
)
def test_work_goes_on_within_three_seconds_of_a_failover(
    dispatcher: str, address: str, pair: tuple[Server, Replica], tmp_path: Path
) -> None:
    """The address has both hosts, or is a name that points to the new one before that takes writes."""
    if dispatcher == "dbos":
        pytest.importorskip("dbos")
    server, replica = pair
    switch, database = Switch(server.socket), server.new_database()
    url = (
        f"{database.partition('?')[0]}?host=127.0.0.1&port={switch.port}"
        if address == "a name"
        else replica.urls(database)
    )
    calls = tmp_path / "calls.jsonl"
    workers = [WorkerProcess(url, tmp_path, f"w{n}", dispatcher=dispatcher, pause_s=0.05) for n in range(2)]
    for worker in workers:
        worker.wait_up()

    async def story(office: Office) -> None:
        await asyncio.gather(*(office.start(LOOP, f"r{n}", {}) for n in range(RUNS)))
        await until(lambda: len(calls_of(calls)) > 100, 30)
        seen = {f"r{n}": len(await settled_of(office, f"r{n}")) for n in range(RUNS)}
        await asyncio.to_thread(server.stop, "immediate")
        await asyncio.to_thread(switch.turn, replica.socket)
        await asyncio.sleep(1.0)  # nobody takes writes
        await asyncio.to_thread(replica.promote)
        promoted_at = time.time()
        for number in range(RUNS):
            row = await office.wait_for(f"r{number}", timeout_s=60)
            assert row.outcome["result"] == {"n": STEPS}
            ends = await settled_of(office, row.run_id)
            assert len(ends) == len({end.act for end in ends}) == STEPS >= seen[row.run_id]
        made = calls_of(calls)
        pause_s = min(c["at"] for c in made if c["at"] > promoted_at) - promoted_at
        print(f"{dispatcher}, {address}: the first call {pause_s:.2f} s after the new primary took writes")
        assert pause_s < 3
        again = len(made) - len({c["key"] for c in made})
        assert again <= RUNS  # only a call that was under way, once for each run

    try:
        in_office(url, tmp_path, story)
    except BaseException:
        print("\n".join(worker.output() for worker in workers))
        raise
    finally:
        for worker in workers:
            worker.close()
        switch.close()


def test_a_standby_is_named_as_one(pair: tuple[Server, Replica]) -> None:
    server, replica = pair
    url = server.new_database()
    open_journal(url).close()
    standby = f"{url.partition('?')[0]}?host={quote(str(replica.socket), safe='')}"
    replica.wait_for(url)
    with pytest.raises(StoreBusy, match="is a standby, which takes no writes; name the primary"):
        open_journal(standby)
