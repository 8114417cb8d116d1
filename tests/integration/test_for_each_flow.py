"""`for_each` over a sub-flow: one child run per item, in order, bounded, caught, durable."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import LoadedFlow, load
from orchestrator.errors import StepFailed
from tests.integration.support import run, until, url, write

CHILD = """
flow: child
inputs: {n: int}
outputs: {out: int}
steps:
  work:
    on: Start
    call: my.work
    with: {n: "${{ inputs.n }}"}
    emit: {event: Stop, with: {out: "${{ result }}"}}
"""
ASKING = """
flow: child
inputs: {n: int}
outputs: {out: str}
steps:
  ask:
    on: Start
    ask: {title: "Number ${{ inputs.n }}?", form: {say: str}, to: {users: [kim]}}
    emit: {event: Stop, with: {out: "${{ answers[0].say }}"}}
"""
PARENT = """
flow: parent
imports: {child: ./child.flow.yaml}
inputs: {numbers: [int]}
outputs: {all: any}
steps:
  each:
    on: Start
    for_each: inputs.numbers
    call: flow.child
    with: {n: "${{ item + index * 100 }}"}
    concurrency: 2
    emit: {event: Stop, with: {all: "${{ result }}"}}
"""


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return None if request.param == "memory" else url(tmp_path)


class Work:
    """Counts what runs at a time."""

    def __init__(self, fails: tuple[int, ...] = ()) -> None:
        self.fails = list(fails)
        self.calls: list[int] = []
        self.now = self.most = 0

    async def __call__(self, n: int) -> int:
        self.calls.append(n)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01 if n % 2 else 0.02)
        self.now -= 1
        if n in self.fails:
            self.fails.remove(n)
            raise ValueError(f"no {n}")
        return n * 2


def parent(folder: Path, work: Work, more: str = "", child: str = CHILD, **options: Any) -> LoadedFlow:
    write(folder, "child", child)

    async def do(n: int) -> int:
        return await work(n)

    return load(write(folder, "parent", PARENT + more), steps={"my.work": do}, **options)


def extra(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def test_results_come_in_order_and_no_more_than_allowed_run_at_a_time(tmp_path: Path, store: str | None) -> None:
    work = Work()
    flow = parent(tmp_path, work, store=store)
    assert [d for d in flow.check() if d.severity != "info"] == []
    assert flow.run_sync(numbers=[1, 2, 3, 4, 5])["all"] == [{"out": 2 * (n + 100 * n - 100)} for n in (1, 2, 3, 4, 5)]
    assert work.most == 2


def test_no_items_give_an_empty_list(tmp_path: Path, store: str | None) -> None:
    assert parent(tmp_path, Work(), store=store).run_sync(numbers=[]) == {"all": []}


def test_a_failed_item_fails_the_step_and_cancels_the_others(tmp_path: Path, store: str | None) -> None:
    work = Work(fails=(1,))
    with pytest.raises(StepFailed, match="no 1"):
        parent(tmp_path, work, store=store).run_sync(numbers=[1, 2, 3])
    assert len(work.calls) == 2


def test_a_failed_item_that_is_caught_stands_in_its_place(tmp_path: Path, store: str | None) -> None:
    flow = parent(tmp_path, Work(fails=(1,)), extra("catch: item"), store=store)
    first, second = flow.run_sync(numbers=[1, 2])["all"]
    assert first["error"]["code"] == "flow.failed"
    assert second == {"out": 204}


def test_a_retry_starts_only_what_has_no_result(tmp_path: Path, store: str | None) -> None:
    work = Work(fails=(202,))
    flow = parent(tmp_path, work, extra("retry: {max: 2, delay: 10ms}"), store=store)
    out = flow.run_sync(numbers=[1, 1, 2, 3])["all"]
    assert out == [{"out": 2}, {"out": 202}, {"out": 404}, {"out": 606}]
    assert sorted(work.calls) in ([1, 101, 202, 202, 303, 303], [1, 101, 202, 202, 303])


def test_its_deadline_ends_the_children(tmp_path: Path, store: str | None) -> None:
    async def main() -> None:
        handler = parent(tmp_path, Work(), extra("deadline: 50ms"), ASKING, store=store).run(numbers=[1, 2, 3])
        with pytest.raises(StepFailed, match="deadline"):
            await handler
        assert handler.requests() == []

    run(main)


def test_questions_of_all_items_are_open_together_and_the_next_ones_follow(tmp_path: Path, store: str | None) -> None:
    async def main() -> None:
        handler = parent(tmp_path, Work(), child=ASKING, store=store).run(numbers=[1, 2, 3])
        for title in ("Number 102?", "Number 203?", "Number 1?"):
            found = await until(lambda title=title: [r for r in handler.requests() if r.title == title])
            assert len(handler.requests()) <= 2
            await handler.answer(found[0].id, user="kim", say=title)
        assert await handler == {"all": [{"out": "Number 1?"}, {"out": "Number 102?"}, {"out": "Number 203?"}]}

    run(main)


def test_another_process_goes_on_with_the_items_that_are_left(tmp_path: Path) -> None:
    async def begin() -> None:
        handler = parent(tmp_path, Work(), child=ASKING, store=url(tmp_path)).run(numbers=[1, 2, 3], run_id="p")
        found = await until(lambda: [r for r in handler.requests() if r.title == "Number 1?"])
        await handler.answer(found[0].id, user="kim", say="first")
        await until(lambda: [r for r in handler.requests() if r.title == "Number 203?"])

    async def go_on() -> Any:
        handler = parent(tmp_path, Work(), child=ASKING, store=url(tmp_path)).resume("p")
        for request in await handler.requests():
            await handler.answer(request.id, user="kim", say=request.title)
        return await handler

    run(begin)
    assert [o["out"] for o in run(go_on)["all"]] == ["first", "Number 102?", "Number 203?"]
