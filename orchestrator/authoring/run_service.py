"""Runs as the CLI, the server and Python handles see them: start, follow, answer, send, cancel. One way for every store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.answering import answer_request
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.flow_bind import start_tick
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.state import Status


@dataclass(slots=True)
class RunService:
    """Runs of one engine, in memory or over a journal."""

    engine: Engine

    async def start(
        self,
        plan: FlowPlan,
        inputs: Mapping[str, Any],
        *,
        run_id: str | None = None,
        meta: dict[str, Any] | None = None,
        pin: bool = False,
    ) -> Actor:
        """Start a YAML flow; over a journal it is committed when this returns.

        Raises: UsageError for wrong inputs; JournalConflict for a run id that exists.
        """
        started = start_tick(plan, inputs, self.engine.clock.now(), **(meta or {}))
        if isinstance(self.engine, DurableEngine):
            return await self.engine.start(plan, started, run_id=run_id, pin=pin)
        actor = self.engine.create(plan, run_id=run_id)
        actor.apply(started)
        return actor

    async def acquire(self, run_id: str) -> Actor:
        """The live actor of a run. Raises: UnknownRun, RunFinished, StoreBusy."""
        if isinstance(self.engine, DurableEngine):
            return await self.engine.acquire(run_id)
        return self.engine.find(run_id)

    async def answer(self, run_id: str, request_id: str, **answer: Any) -> None:
        """Act on a request; see `answer_request`. Over a journal the decision is committed when this returns.

        Raises: AnswerRefused, UnknownRun.
        """
        actor = await self.acquire(run_id)
        answer_request(actor, request_id, **answer)
        await self._flush(actor)

    async def cancel(self, run_id: str, reason: str = "") -> None:
        """Cancel a run, also one that waits. Raises: UnknownRun."""
        actor = await self.acquire(run_id)
        if not actor.is_over:
            actor.apply(t.Cancel(0, 0.0, -1, "cancelled", reason))
            await self._flush(actor)

    async def _flush(self, actor: Actor) -> None:
        if actor.sink is not None:
            await actor.sink.flush()


async def follow(actor: Actor, after: int = -1) -> AsyncIterator[tuple[int, Any]]:
    """The log of a live run from a sequence number on, as (seq, tick or streamed payload), to its end.

    A streamed payload of a run in memory comes as `(payload, act, attempt)`.
    """
    place = max(0, after + 1 - actor.base)
    log = actor.log
    while True:
        while place < len(log):
            yield actor.base + place, log[place]
            place += 1
        if actor.is_over or (actor.exception is not None and actor.state.status is Status.RUNNING):
            return
        await actor.wait_for_more()


def path_of(log: list[Any]) -> list[str]:
    """The steps whose bodies ran, in order: one entry per activation."""
    return [x.step for x in log if type(x) is t.StepStarted and x.attempt == 1 and x.phase == "main"]
