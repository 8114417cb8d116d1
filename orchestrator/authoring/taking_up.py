"""Takes runs up from a store, with the runs that they started: what a process does with the runs of one that is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.run_start import Launch, Start, begin, take
from orchestrator.errors import RunFinished, StoreBusy, StoreError
from orchestrator.runtime import ticks as t
from orchestrator.runtime.durable_base import BINDING_CODES
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.journal import FINAL

if TYPE_CHECKING:  # loaded when a store is used
    from orchestrator.authoring.context import Outside
    from orchestrator.journal.store import Store
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.durable import DurableEngine

TRIES = 20
WAIT_S = 0.1


def take_up(launch: Launch, engine: Engine, run_id: str, outside: Outside | None = None) -> Start:
    """A start whose run is the stored one of this id."""
    start = Start(launch, engine, run_id, outside, is_beginning=True)
    start.began = asyncio.get_running_loop().create_future()
    begin(start, _fetch(start, run_id))
    return start


async def _fetch(start: Start, run_id: str) -> None:
    any_engine: Any = start.engine
    engine: DurableEngine = any_engine
    any_journal: Any = engine.journal
    store: Store = any_journal
    row = await store.run(run_id)
    kind = start.launch.plan().ir
    if (row.flow, row.kind) != (kind.name, kind.kind):
        raise StoreError(f"run {run_id!r} is one of `{row.flow}`, not of `{kind.name}`", code="run.other")
    run: Actor | None = None
    if row.status not in FINAL:
        run = await acquired(engine, run_id)
    if run is None:
        run = await engine.read(run_id, row.flow, row.flow_hash)
        take(start, run)
        return
    start.run = run
    if start.outside is not None:
        start.outside.run = run
    await _take_children(engine, store, run_id)


async def go_on_with(start: Start, cancelled: Actor) -> None:
    """Let a cancelled run go on as a new run of the same store, from before it was cancelled.

    Raises: UsageError if child runs were under way then.
    """
    from orchestrator.dispatch.operate import fork

    any_engine: Any = start.engine
    engine: DurableEngine = any_engine
    any_journal: Any = engine.journal
    if cancelled.sink is not None:
        await cancelled.sink.barrier()
    ticks = await engine.earlier(cancelled.run_id, cancelled.plan, 0, cancelled.state.seq)
    ends = [tick.seq for tick in ticks if isinstance(tick, t.Cancel)]
    at = (ends[0] if ends else len(ticks)) - 1
    now = engine.clock.now()
    start.run_id = await fork(any_journal, cancelled.run_id, at, engine.bind, now=now, why="resume")
    from orchestrator.authoring.engines import host_of

    host_of(engine).expected[start.run_id] = lambda run: take(start, run)
    await acquired(engine, start.run_id)


async def acquired(engine: DurableEngine, run_id: str) -> Actor | None:
    """The live actor of a run, None if it has ended. A process that was just killed may hold it for a moment.

    A run that was set aside for want of its code is tried again with what this process has.

    Raises: UnknownRun; StoreBusy while another process holds it; StoreError for one that is set aside.
    """
    any_journal: Any = engine.journal
    store: Store = any_journal
    is_tried = False
    for left in reversed(range(TRIES)):
        try:
            run = await engine.acquire(run_id)
        except RunFinished:
            return None
        except StoreBusy:
            row = await store.run(run_id)
            if row.status == "parked":
                why = row.parked or {}
                if is_tried or why.get("code") not in BINDING_CODES:
                    message = f"run {run_id!r} was set aside: {why.get('message')}"
                    raise StoreError(message, code=why.get("code")) from None
                is_tried = True
                await store.unpark(BINDING_CODES, now=engine.clock.now())
                continue
            if not left:
                raise
            await asyncio.sleep(WAIT_S)
        else:
            engine.unpin(run)
            return run
    return None


async def _take_children(engine: DurableEngine, store: Store, parent: str) -> None:
    """Take up the runs that a run started, as far as their flows are known here; others when a step calls them again."""
    from orchestrator.journal.store import RunFilter

    for row in (await store.runs(RunFilter(parent=parent), limit=10_000)).rows:
        if row.status in FINAL or not await engine.can_run(row.flow, row.flow_hash):
            continue
        try:
            engine.unpin(await engine.acquire(row.run_id))
        except (RunFinished, StoreBusy):
            continue  # it has ended, or somebody else works on it
        await _take_children(engine, store, row.run_id)
