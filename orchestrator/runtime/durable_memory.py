"""Results under `id` and `cache` keys in a journal, so that they hold across runs, processes and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from orchestrator.errors import NotSerializable, StepError
from orchestrator.plugin.info import Emitted
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.codec import require_json
from orchestrator.runtime.flow_bind import CallMemory, digest_of
from orchestrator.runtime.journal import Journal, Json

SPENT, SPENT_S = "llm.spent", 400 * 86_400.0
JOIN_DELAYS_S = (0.01, 0.02, 0.05, 0.1, 0.2)


class JournalMemory(CallMemory):
    """`CallMemory` over a journal. A result is recorded before the step that asked for it settles; a call whose process
    died before is made again, with the same idempotency key."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        super().__init__()
        self._journal = journal
        self._clock = clock

    async def once(self, flow: str, key: str, inputs: Any, call: Callable[[], Awaitable[Any]], holder: str = "") -> Any:
        """The result under an `id`: made once, joined while it runs wherever it runs, reused afterwards.

        Raises: StepError `id.conflict` if the key was used with other inputs. A failed call frees the key.
        """
        digest = digest_of(inputs)
        turn = 0
        while True:
            known = await self._journal.reserve(flow, key, digest, holder, now=self._clock.now())
            if known.state == "conflict":
                raise StepError(
                    "id.conflict", f"id {key!r} was used before with other inputs; an id names one piece of work"
                )
            if known.state == "done":
                return _plain(known.result)
            if known.state == "mine":
                return await self._make(flow, key, holder, call)
            await asyncio.sleep(JOIN_DELAYS_S[min(turn, len(JOIN_DELAYS_S) - 1)])
            turn += 1

    async def _make(self, flow: str, key: str, holder: str, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            result = await call()
            stored = _stored(result, f"the result under id {key!r}")
        except asyncio.CancelledError:
            raise  # the key stays with its holder, which makes the call again, or ends and frees it
        except BaseException:
            await self._journal.settle(flow, key, holder, None, has_failed=True)
            raise
        await self._journal.settle(flow, key, holder, stored)
        return result

    async def cached(
        self, scope: str, key: str, ttl_s: float | None, now: float, call: Callable[[], Awaitable[Any]]
    ) -> Any:
        """The result under a `cache` key that is younger than `ttl_s`, else a new one; one that is no JSON is not kept."""
        known = await self._journal.recall(scope, key, now=now)
        if known is not None:
            return _plain(known[0])
        result = await call()
        try:
            stored = _stored(result, "a cached result")
        except NotSerializable:
            return result
        await self._journal.keep(scope, key, stored, expires_at=None if ttl_s is None else now + ttl_s)
        return result

    async def spent(self, run_id: str) -> Json:
        """What a run has spent on models, wherever it was."""
        known = await self._journal.recall(SPENT, run_id, now=self._clock.now())
        return known[0] if known is not None else None

    async def keep_spent(self, run_id: str, spent: Json) -> None:
        """Keep what a run has spent, longer than runs are kept after they end."""
        await self._journal.keep(SPENT, run_id, spent, expires_at=self._clock.now() + SPENT_S)


def _stored(result: Any, where: str) -> Json:
    if isinstance(result, Emitted):
        return {"event": result.event, "value": require_json(result.fields, where)}
    return {"value": require_json(result, where)}


def _plain(stored: Json) -> Any:
    return Emitted(stored["event"], stored["value"]) if "event" in stored else stored["value"]
