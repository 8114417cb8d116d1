"""A placed step is a run of its own in the pool, and its end is the step's, whatever it was."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import StepError, UsageError
from orchestrator.journal.memory import MemoryJournal
from orchestrator.plugin.services import StepContext
from tests.durable.battery import CHILD
from tests.durable.kit import World

FLOW = """
flow: placed
inputs: {n: int}
outputs: {n: int}
steps:
  near:
    on: Start
    call: t.work
    with: {n: "${{ inputs.n }}"}
  far:
    on: near
    placement: gpu
    call: t.work
    with: {n: "${{ ev.result + 1 }}"}
    emit: {event: Stop, with: {n: "${{ result * 10 }}"}}
"""
EACH = """
flow: each
outputs: {n: [int]}
steps:
  far:
    on: Start
    placement: gpu
    for_each: "${{ [1, 2, 3] }}"
    call: t.work
    with: {n: "${{ item + index }}"}
    emit: {event: Stop, with: {n: "${{ result }}"}}
"""
FAILS = """
flow: fails
outputs: {code: str, step: str}
steps:
  far:
    on: Start
    placement: gpu
    call: t.flaky
    retry: {max: 2, delay: 1ms}
    emit: {event: Stop, with: {code: none, step: none}}
  caught:
    on: far.failed
    emit: {event: Stop, with: {code: "${{ ev.error.code }}", step: "${{ ev.error.step }}"}}
"""
SECRET = """
flow: keys
secrets: [TOKEN]
outputs: {n: int}
steps:
  far:
    on: Start
    placement: gpu
    call: t.login
    with: {user: kim, token: "${{ secrets.TOKEN }}"}
    emit: {event: Stop, with: {n: "${{ result }}"}}
"""


async def run(text: str, root: Path, inputs: dict[str, Any], **steps: Any) -> tuple[Any, MemoryJournal]:
    journal = MemoryJournal()
    world = World(root, journal, **steps)
    service = world.service(serves=True)
    await service.start(world.plan(text), inputs, run_id="r")
    await world.until_over("r")
    await world.aclose()
    return journal.rows["r"].outcome, journal


async def work(n: int) -> int:
    return n + 1


SEEN: list[tuple[str, str]] = []


async def login(user: str, token: str) -> int:
    SEEN.append((user, token))
    return 1


@pytest.mark.parametrize(
    ("text", "inputs", "expected"), [(FLOW, {"n": 1}, {"n": 40}), (EACH, {}, {"n": [2, 4, 6]})], ids=["one", "for_each"]
)
def test_a_placed_call_gives_its_result_to_the_step(text: str, inputs: Any, expected: Any, tmp_path: Path) -> None:
    outcome, journal = asyncio.run(run(text, tmp_path, inputs, work=work))
    assert outcome["result"] == expected
    (child,) = (row for name, row in journal.rows.items() if name != "r")
    assert child.status == "done" and child.new.pool == "gpu" and child.new.parent == "r"


def test_attempts_of_a_placed_call_share_a_key_and_its_error_is_the_steps(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []

    async def flaky(ctx: StepContext) -> int:
        seen.append((ctx.idempotency_key, ctx.attempt))
        raise StepError("crm.gone", "no such customer")

    outcome, _ = asyncio.run(run(FAILS, tmp_path, {}, flaky=flaky))
    assert outcome["result"] == {"code": "crm.gone", "step": "far"}
    assert [attempt for _, attempt in seen] == [1, 2] and len({key for key, _ in seen}) == 1


def test_the_flows_that_a_flow_calls_are_stored_with_it(tmp_path: Path) -> None:
    async def main() -> list[str]:
        journal = MemoryJournal()
        world = World(tmp_path, journal, work=work)
        plan = world.prepare(CHILD)
        await world.engine().keep_flow(plan)
        calls = [journal.flows[plan.hash], journal.flows[plan.ir.imports["sub"]]]
        await world.aclose()
        return [call[0]["name"] for call in calls]

    assert asyncio.run(main()) == ["parent", "sub"]


def test_a_secret_of_a_placed_call_is_put_in_where_the_call_is_made(tmp_path: Path, monkeypatch: Any) -> None:
    SEEN.clear()
    (tmp_path / "orchestrator.toml").write_text('[secrets.grant]\nkeys = ["TOKEN"]\n', "utf-8")
    monkeypatch.setenv("TOKEN", "s3cret-token")
    outcome, journal = asyncio.run(run(SECRET, tmp_path, {}, login=login))
    assert outcome["result"] == {"n": 1} and SEEN == [("kim", "s3cret-token")]
    assert not any("s3cret" in text for row in journal.rows.values() for text in row.ticks)


def test_a_secret_that_is_mixed_with_data_is_refused_before_anything_runs(tmp_path: Path) -> None:
    text = SECRET.replace("${{ secrets.TOKEN }}", "${{ secrets.TOKEN }}-${{ inputs.x }}").replace(
        "outputs:", "inputs: {x: str}\noutputs:"
    )
    with pytest.raises(UsageError, match="may not mix a secret"):
        asyncio.run(run(text, tmp_path, {"x": "y"}, login=login))
