"""The disk and network between a worker and the truth: slow, busy, stalled, cut off, and unsure whether it wrote."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import StoreBusy, StoreError
from orchestrator.journal.memory import MemoryJournal
from orchestrator.runtime.journal import Batch, Committed


@dataclass(frozen=True)
class Rates:
    """How often something goes wrong, per call."""

    busy: float = 0.02
    unknown: float = 0.02
    slow_s: float = 0.02


class FaultyJournal:
    """One worker's way to the journal. After `die` it answers nobody; until `stalled_until` it answers nobody yet."""

    def __init__(self, truth: MemoryJournal, rng: random.Random, rates: Rates) -> None:
        self.truth = truth
        self.rng = rng
        self.rates = rates
        self.stalled_until = 0.0
        self.is_dead = False

    def die(self) -> None:
        self.is_dead = True

    def commit(self, batch: Batch) -> Awaitable[Committed]:
        return self._commit(batch)

    async def _commit(self, batch: Batch) -> Committed:
        await self._way()
        outcome = self.rng.random()
        if outcome < self.rates.busy:
            raise StoreBusy("busy")
        if outcome < self.rates.busy + self.rates.unknown / 2:
            raise StoreError("the disk failed before it wrote", code="store.io")
        result = self.truth.commit_now(batch)
        await self._way()
        if outcome > 1 - self.rates.unknown / 2:
            raise StoreError("the disk failed after it wrote", code="store.io")
        return result

    async def _way(self) -> None:
        await asyncio.sleep(self.rng.random() * self.rates.slow_s)
        loop = asyncio.get_running_loop()
        while self.stalled_until > loop.time():
            await asyncio.sleep(self.stalled_until - loop.time())
        if self.is_dead:
            await loop.create_future()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.truth, name)

        async def call(*args: Any, **options: Any) -> Any:
            await self._way()
            if self.rng.random() < self.rates.busy:
                raise StoreBusy("busy")
            result = await found(*args, **options)
            await self._way()
            return result

        return call
