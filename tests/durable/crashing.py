"""A journal that dies with its process: at a chosen commit it does, or does not do, what was asked, and then nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from orchestrator.runtime.journal import Batch, Committed, Journal


class CrashingJournal:
    """Passes everything on until the nth commit; from then on every call waits for ever, as those of a dead process do.

    `is_done`: whether that commit reached the disk. `crashed` is set when it happened.
    """

    def __init__(self, inner: Journal, at: int, *, is_done: bool) -> None:
        self.inner = inner
        self.at = at
        self.is_done = is_done
        self.commits = 0
        self.crashed = asyncio.Event()
        self.last: asyncio.Future[Committed] | None = None

    def commit(self, batch: Batch) -> Awaitable[Committed]:
        self.commits += 1
        if self.commits < self.at and not self.crashed.is_set():
            return self.inner.commit(batch)
        if not self.crashed.is_set():
            if self.is_done:
                self.last = asyncio.ensure_future(self.inner.commit(batch))
            self.crashed.set()
        return asyncio.get_running_loop().create_future()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)

        async def call(*args: Any, **options: Any) -> Any:
            if self.crashed.is_set():
                await asyncio.get_running_loop().create_future()
            return await found(*args, **options)

        return call
