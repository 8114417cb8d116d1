"""Functions over real processes: one that dies while a branch asks and another works goes on wherever a worker is."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durable.processes import Office, until

ASKS = """
import asyncio
import os
from pathlib import Path

from orchestrator.functional import RunContext, step, workflow

def note(key):
    with open("calls", "a") as log:
        print(key, os.getpid(), file=log)

@step
async def quick(n: int) -> int:
    note("quick")
    return n * 10

@step
async def slow(n: int) -> int:
    note("slow")
    while not Path("open-slow").exists():
        await asyncio.sleep(0.01)
    return n + 1

@workflow
async def both(n: int, ctx: RunContext) -> str:
    first = await quick(n)

    async def asked() -> str:
        return await ctx.request_info("Shall we?", str, request_id="q")

    answer, second = await asyncio.gather(asked(), slow(n))
    return f"{first} {answer} {second}"
"""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    (tmp_path / "asks.py").write_text(ASKS, "utf-8")
    (tmp_path / "orchestrator.toml").write_text('[python]\nallow = ["asks"]\n', "utf-8")
    yield made
    made.close()


def keys(office: Office) -> list[str]:
    return [key for key, _ in office.calls()]


def test_a_function_that_is_answered_by_a_server_without_workers_goes_on_in_the_next_worker(office: Office) -> None:
    first = office.start("run", "asks:both", "-i", "n=1", "--run-id", "r")
    until(lambda: "slow" in keys(office))
    until(lambda: office.statuses().get("r") == "waiting" or "r/q" in office.run("inbox")[1])
    office.kill(first.pid)
    _, url = office.serve("--no-workers")
    answer = json.dumps({"form": {"answer": "yes"}}).encode()
    request = urllib.request.Request(
        f"{url}/api/requests/r~q", answer, {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        assert json.load(reply) == {"status": "accepted"}
    assert keys(office) == ["quick", "slow"], "a server without workers runs nothing"
    office.open_door("slow")
    office.start("worker")
    until(lambda: office.statuses()["r"] == "done")
    assert '"10 yes 2"' in office.run("runs", "show", "r")[1]
    assert keys(office) == ["quick", "slow", "slow"]
