"""Checkpoint storages: the same behaviour in memory, in files, in SQLite and behind somebody else's storage."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import JournalConflict, StoreError, UsageError
from orchestrator.functional import (
    FileCheckpointStorage,
    InMemoryCheckpointStorage,
    RunContext,
    SQLiteCheckpointStorage,
    WorkflowCheckpoint,
    step,
    workflow,
)


class SomebodyElses:
    """The peer's protocol and nothing else."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}

    async def save(self, checkpoint: WorkflowCheckpoint) -> str:
        self.kept[checkpoint.checkpoint_id] = checkpoint.to_dict()
        return checkpoint.checkpoint_id

    async def load(self, checkpoint_id: str) -> WorkflowCheckpoint:
        return WorkflowCheckpoint.from_dict(self.kept[checkpoint_id])

    async def list_checkpoints(self, *, workflow_name: str, run_id: str | None = None) -> list[WorkflowCheckpoint]:
        found = [WorkflowCheckpoint.from_dict(data) for data in self.kept.values()]
        return [c for c in found if c.workflow_name == workflow_name and run_id in (None, c.run_id)]

    async def delete(self, checkpoint_id: str) -> bool:
        return self.kept.pop(checkpoint_id, None) is not None

    async def get_latest(self, *, workflow_name: str, run_id: str | None = None) -> WorkflowCheckpoint | None:
        found = await self.list_checkpoints(workflow_name=workflow_name, run_id=run_id)
        return found[-1] if found else None

    async def list_checkpoint_ids(self, *, workflow_name: str, run_id: str | None = None) -> list[str]:
        return [c.checkpoint_id for c in await self.list_checkpoints(workflow_name=workflow_name, run_id=run_id)]


class Twin:
    """Two views of one place, as two processes have them; `second` sees only what was written."""

    def __init__(self, kind: str, path: Path) -> None:
        makers: dict[str, Any] = {
            "file": lambda: FileCheckpointStorage(path / "runs"),
            "relaxed file": lambda: FileCheckpointStorage(path / "runs", is_relaxed=True),
            "sqlite": lambda: SQLiteCheckpointStorage(path / "runs.db"),
            "relaxed sqlite": lambda: SQLiteCheckpointStorage(path / "runs.db", is_relaxed=True),
        }
        self.first = (
            makers[kind]() if kind in makers else InMemoryCheckpointStorage() if kind == "memory" else SomebodyElses()
        )
        self.second = makers[kind]() if kind in makers else self.first

    def close(self) -> None:
        for storage in (self.first, self.second):
            if hasattr(storage, "close"):
                storage.close()


OURS = ["memory", "file", "relaxed file", "sqlite", "relaxed sqlite"]


@pytest.fixture(params=OURS)
def twin(request: Any, tmp_path: Path) -> Any:
    made = Twin(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture(params=[*OURS, "somebody else's"])
def any_twin(request: Any, tmp_path: Path) -> Any:
    made = Twin(request.param, tmp_path)
    yield made
    made.close()


def make_flow(storage: Any, calls: list[Any], fails: bool = False) -> Any:
    @step
    async def work(n: int, ctx: RunContext) -> int:
        calls.append(n)
        if fails and n == 2:
            raise ConnectionError("down")
        ctx.set_state("last", n)
        return n

    @workflow(checkpoint_storage=storage)
    async def flow(x: int, ctx: RunContext) -> Any:
        total = await work(1) + await work(2)
        answer = await ctx.request_info({"total": total}, int, request_id="q")
        return [x, total + answer, await work(3), ctx.get_state("last")]

    return flow


def test_a_waiting_run_goes_on_in_another_process_object(any_twin: Twin) -> None:
    calls: list[Any] = []
    asyncio.run(make_flow(any_twin.first, calls).run(7))
    result = asyncio.run(make_flow(any_twin.second, calls).run(responses={"q": 10}))
    assert result.get_outputs() == [[7, 13, 3, 3]]
    assert calls == [1, 2, 3]


def test_a_finished_run_is_restored_without_computing_anything(any_twin: Twin) -> None:
    calls: list[Any] = []

    async def main() -> Any:
        flow = make_flow(any_twin.first, calls)
        await flow.run(7)
        await flow.run(responses={"q": 1})
        latest = await any_twin.second.get_latest(workflow_name="flow")
        return await make_flow(any_twin.second, calls).run(checkpoint_id=latest.checkpoint_id)

    result = asyncio.run(main())
    assert result.get_outputs() == [[7, 4, 3, 3]]
    assert (calls, [e.type for e in result][-1]) == ([1, 2, 3], "output")


def test_a_failed_run_is_restored_and_makes_the_failed_call_again(any_twin: Twin) -> None:
    calls: list[Any] = []

    async def main() -> Any:
        with pytest.raises(ConnectionError):
            await make_flow(any_twin.first, calls, fails=True).run(7)
        latest = await any_twin.second.get_latest(workflow_name="flow")
        return await make_flow(any_twin.second, calls).run(checkpoint_id=latest.checkpoint_id)

    assert asyncio.run(main()).get_request_info_events()[0].data == {"total": 3}
    assert calls == [1, 2, 2]


def test_an_earlier_checkpoint_makes_a_fork_and_leaves_the_run_alone(twin: Twin) -> None:
    calls: list[Any] = []

    async def main() -> Any:
        flow = make_flow(twin.first, calls)
        first = await flow.run(7)
        checkpoints = await twin.first.list_checkpoints(workflow_name="flow", run_id=first.run_id)
        fork = await flow.run(checkpoint_id=checkpoints[0].checkpoint_id)
        done = [await flow.run(responses={"q": n}, run_id=r.run_id) for n, r in ((1, first), (2, fork))]
        latest = await twin.first.get_latest(workflow_name="flow", run_id=fork.run_id)
        return first.run_id, done, latest

    run_id, done, latest = asyncio.run(main())
    assert [r.get_outputs()[0][1] for r in done] == [4, 5]
    assert calls == [1, 2, 2, 3, 3]
    assert latest.metadata == {"forked_from": run_id}


def test_a_checkpoint_shows_state_steps_message_and_questions(twin: Twin) -> None:
    async def main() -> Any:
        await make_flow(twin.first, []).run(7)
        return await twin.second.list_checkpoints(workflow_name="flow")

    *_, before, last = asyncio.run(main())
    assert (last.state, last.messages, last.iteration_count) == ({"last": 2}, {"flow": 7}, 0)
    assert last.steps == {"work#0": 1, "work#1": 2}
    assert [(k, e.data) for k, e in last.pending_request_info_events.items()] == [("q", {"total": 3})]
    assert (before.pending_request_info_events, last.previous_checkpoint_id) == ({}, before.checkpoint_id)


def test_responses_and_checkpoint_go_together(twin: Twin) -> None:
    async def main() -> Any:
        flow = make_flow(twin.first, [])
        await flow.run(7)
        latest = await twin.first.get_latest(workflow_name="flow")
        return await make_flow(twin.second, []).run(checkpoint_id=latest.checkpoint_id, responses={"q": 5})

    assert asyncio.run(main()).get_outputs()[0][1] == 8


def test_two_users_of_one_workflow_never_mix(twin: Twin) -> None:
    async def main() -> Any:
        flow = make_flow(twin.first, [])
        runs = await asyncio.gather(*(flow.run(n, run_id=f"user {n}/ü") for n in range(5)))
        results = await asyncio.gather(*(flow.run(responses={"q": n}, run_id=r.run_id) for n, r in enumerate(runs)))
        latest = await twin.first.get_latest(workflow_name="flow", run_id="user 3/ü")
        return [r.get_outputs()[0][:2] for r in results], latest.messages

    outputs, messages = asyncio.run(main())
    assert outputs == [[n, 3 + n] for n in range(5)]
    assert messages == {"flow": 3}


def test_deleting_the_last_checkpoint_of_a_run_removes_it(twin: Twin) -> None:
    async def main() -> Any:
        await make_flow(twin.first, []).run(7)
        ids = await twin.first.list_checkpoint_ids(workflow_name="flow")
        gone = [await twin.first.delete(name) for name in ids]
        return gone, await twin.second.list_checkpoint_ids(workflow_name="flow"), await twin.first.delete(ids[0])

    gone, left, again = asyncio.run(main())
    assert (set(gone), left, again) == ({True}, [], False)


def test_a_checkpoint_can_be_carried_to_another_storage(twin: Twin) -> None:
    other = InMemoryCheckpointStorage()

    async def main() -> Any:
        await make_flow(twin.first, []).run(7)
        latest = await twin.first.get_latest(workflow_name="flow")
        await other.save(WorkflowCheckpoint.from_dict(latest.to_dict()))
        return await make_flow(other, []).run(responses={"q": 0})

    assert asyncio.run(main()).get_outputs()[0][:2] == [7, 3]


@pytest.mark.parametrize("twin", OURS[1:], indirect=True)
def test_two_processes_that_go_on_with_one_run_do_not_both_write(twin: Twin) -> None:
    async def main() -> Any:
        run_id = (await make_flow(twin.first, []).run(7)).run_id
        return await asyncio.gather(
            *(make_flow(s, []).run(responses={"q": 1}, run_id=run_id) for s in (twin.first, twin.second)),
            return_exceptions=True,
        )

    results = asyncio.run(main())
    refused = [r for r in results if isinstance(r, JournalConflict)]
    assert len(refused) == 1
    assert "continued elsewhere" in str(refused[0])


def test_an_answer_that_its_schema_refuses_is_refused_in_a_process_that_never_saw_the_question(twin: Twin) -> None:
    calls: list[Any] = []

    async def main() -> Any:
        await make_flow(twin.first, calls).run(7)
        with pytest.raises(ValueError, match="'x' is not of type 'integer'; the question stays open"):
            await make_flow(twin.second, calls).run(responses={"q": "x"})
        return await make_flow(twin.second, calls).run(responses={"q": 1})

    assert asyncio.run(main()).get_outputs()[0][1] == 4
    assert calls == [1, 2, 3]


@pytest.mark.parametrize("url", ["sqlite:///{}/a.db", "file:///{}/runs"])
def test_a_store_can_be_given_as_a_url(url: str, tmp_path: Path) -> None:
    flow = make_flow(None, [])
    store = url.format(str(tmp_path))

    @workflow(store=store)
    async def stored(x: int) -> int:
        return x

    assert asyncio.run(stored.run(3)).get_outputs() == [3]
    asyncio.run(flow.run(1, store=store))


def test_an_unusable_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"file/runs\.db cannot be opened"):
        SQLiteCheckpointStorage(tmp_path / "file" / "runs.db")
    with pytest.raises(UsageError, match="names no store"):
        make_flow(None, []).run(1, store="redis://x")
    with pytest.raises(StoreError, match="could not be written"):
        asyncio.run(make_flow(FileCheckpointStorage(tmp_path / "file" / "runs"), []).run(1))


def test_half_a_line_that_a_killed_process_left_is_ignored_and_cut_off(tmp_path: Path) -> None:
    calls: list[Any] = []
    asyncio.run(make_flow(FileCheckpointStorage(tmp_path), calls).run(7))
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(file.read_bytes() + b'[99,"progre')
    result = asyncio.run(make_flow(FileCheckpointStorage(tmp_path), calls).run(responses={"q": 1}))
    assert result.get_outputs()[0][1] == 4
    assert all(line.endswith(b"]") for line in file.read_bytes().splitlines())


def test_the_thousandth_step_costs_the_storage_as_much_as_the_first(tmp_path: Path) -> None:
    storage = FileCheckpointStorage(tmp_path, is_relaxed=True)

    @step
    async def work(n: int) -> int:
        return n

    @workflow(checkpoint_storage=storage)
    async def flow(x: int) -> None:
        for n in range(x):
            await work(n)

    asyncio.run(flow.run(1000))
    (file,) = tmp_path.glob("*.jsonl")
    lines = file.read_bytes().splitlines()
    assert len(lines) == 1003
    assert max(map(len, lines)) < 200
