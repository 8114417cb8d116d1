"""Where the run of a handler is, and how it goes on when its store has moved it: released here, taken elsewhere, ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.run_start import Start
from orchestrator.errors import Fenced, StoreError
from orchestrator.runtime.actor import Actor

if TYPE_CHECKING:  # loaded when a store is used
    from orchestrator.journal.store import Store
    from orchestrator.runtime.durable import DurableEngine

LOOK_AGAIN_S = 0.02
LOOK_RARELY_S = 1.0


async def until_over(start: Start) -> Actor:
    """The actor of the run when it has ended, wherever that was.

    Raises: what keeps the run from going on.
    """
    while True:
        run = start.run
        assert run is not None
        if run.is_over:
            return run
        if run.lost is None:
            try:
                await run.wait_finished()
            except BaseException:
                if run.lost is None:
                    raise  # it is the caller who was cancelled
                continue
        else:
            await find_again(start, run)


async def find_again(start: Start, run: Actor) -> None:
    """Wait until a run that has left its actor has another one here, or has ended; that is `start.run` then.

    Raises: why the run does not go on; StoreError for one that was set aside.
    """
    from orchestrator.runtime.journal import FINAL  # a run in memory need not load it

    lost = run.lost
    assert lost is not None
    if run.sink is None or not isinstance(lost, StoreError):
        raise lost
    any_engine: Any = run.engine
    engine: DurableEngine = any_engine
    any_journal: Any = engine.journal
    store: Store = any_journal
    pause_s = LOOK_AGAIN_S
    while True:
        if engine.is_closing or not (engine.serves or isinstance(lost, Fenced)):
            raise lost
        live = engine.runs.get(run.run_id)
        if live is not None and live is not run and live.lost is None:
            _found(start, live)
            return
        row = await store.run(run.run_id)
        if row.status in FINAL:
            _found(start, await engine.read(row.run_id, row.flow, row.flow_hash))
            return
        if row.status == "parked":
            why = row.parked or {}
            raise StoreError(f"run {row.run_id!r} was set aside: {why.get('message')}", code=why.get("code"))
        await asyncio.sleep(pause_s)
        pause_s = min(LOOK_RARELY_S, pause_s * 1.5)


def _found(start: Start, run: Actor) -> None:
    start.run = run
    if start.outside is not None:
        start.outside.run = run


async def earlier_entries(run: Actor, start: int) -> list[Any]:
    """The entries of a run's log from `start` on that are in its store only. Empty for a run in memory."""
    if run.sink is None or run.base <= start:
        return []
    engine: Any = run.engine
    found: list[Any] = await engine.earlier(run.run_id, run.plan, start, run.base)
    return found
