"""Engines over a store by its URL, in this process. One engine per event loop and store, however many ask for it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.ir.model import FlowIR
from orchestrator.journal.open import open_journal, parse_store_url
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.durable_base import BindFlow
from orchestrator.runtime.loop_end import at_loop_end
from orchestrator.runtime.plan import FlowPlan


class Binders:
    """Tries several ways to make a stored flow ready to run; what an engine of many front ends binds with."""

    def __init__(self, *binders: BindFlow) -> None:
        self._binders = list(binders)

    def add(self, binder: BindFlow) -> None:
        """One more way, tried before the others; the same one counts once."""
        if binder not in self._binders:
            self._binders.insert(0, binder)

    def __call__(self, flow: FlowIR) -> FlowPlan:
        """The flow, ready to run. Raises: what the last binder raised; UsageError if there is none."""
        problem: OrchestratorError = UsageError(
            f"nothing here can run flow `{flow.name}` ({flow.kind}); load it in this process first", code="run.unbound"
        )
        for binder in self._binders:
            try:
                return binder(flow)
            except OrchestratorError as error:
                problem = error
        raise problem


def open_engine(url: str, bind: BindFlow, *, clock: Clock | None = None, **options: Any) -> DurableEngine:
    """A new engine over the store at a URL, which it opens; `close_engine` closes both.

    The URL's `?durability=strict|relaxed` decides when a result is on the disk. Options are those of `DurableEngine`.

    Raises: UsageError for a URL that names no store; StoreError for a file that cannot be used.
    """
    parsed = parse_store_url(url)
    return DurableEngine(open_journal(url), bind, clock=clock, is_strict=parsed.is_strict, **options)


async def close_engine(engine: DurableEngine, *, grace_s: float = 0.0) -> None:
    """Let what runs end for up to `grace_s`, give everything up, and close the store. Harmless if that is done."""
    if engine.is_closing:
        return
    await engine.aclose(grace_s=grace_s)
    await engine.journal.aclose()


@asynccontextmanager
async def engine_on(url: str, bind: BindFlow, **options: Any) -> AsyncIterator[DurableEngine]:
    """An engine over the store at a URL for the time of the block.

    Raises: UsageError, StoreError.
    """
    engine = open_engine(url, bind, **options)
    try:
        yield engine
    finally:
        await close_engine(engine)


_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, DurableEngine]] = weakref.WeakKeyDictionary()


def shared_engine(url: str, bind: BindFlow | None = None) -> DurableEngine:
    """The running loop's engine over the store at a URL, made at first use; `bind` is added to what it can run.

    It is closed when the loop ends. It takes part in the runs that are started or acquired through it, and in no others
    until somebody calls `serve`.

    Raises: UsageError, StoreError.
    """
    engines = _shared.setdefault(asyncio.get_running_loop(), {})
    parsed = parse_store_url(url)
    where = parsed.path.resolve() if parsed.path else f"{parsed.dsn}#{parsed.schema}" if parsed.dsn else ""
    key = f"{parsed.scheme}:{where}?{parsed.is_strict}"
    engine = engines.get(key)
    if engine is None:
        engine = engines[key] = open_engine(url, Binders())
        at_loop_end(partial(close_engine, engine))
    if bind is not None:
        binders = engine.bind
        assert isinstance(binders, Binders)
        binders.add(bind)
    return engine


async def close_shared() -> None:
    """Close every shared engine of the running loop."""
    engines = _shared.pop(asyncio.get_running_loop(), {})
    for engine in engines.values():
        await close_engine(engine)
