"""Runs as the CLI, the server and Python handles see them: start, follow, answer, send, cancel. One way for every store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator.authoring.parked import keep_if_parked
from orchestrator.errors import AdmissionRefused, RunFinished, StoreBusy
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.admission import admission_of
from orchestrator.runtime.answering import AnswerRefused, answer_request
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.engine import Engine, new_run_id
from orchestrator.runtime.flow_bind import start_tick
from orchestrator.runtime.intake import refused_audit
from orchestrator.runtime.journal import AuditRow, InboxEntry
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.sink import ActorSink

REPLY_DELAYS_S = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


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
        """Start a flow, or a Python workflow whose plan says how; over a journal it is committed when this returns.

        A run that has to queue (`concurrency`) stands still until it is admitted: its `state.status` is `new`.

        Raises: UsageError for wrong inputs; JournalConflict for a run id that exists; AdmissionRefused.
        """
        if plan.start is not None:
            started = plan.start(inputs, self.engine.clock.now())
            started.meta.update(meta or {})
        else:
            started = start_tick(plan, inputs, self.engine.clock.now(), **(meta or {}))
        if isinstance(self.engine, DurableEngine):
            return await self.engine.start(plan, started, run_id=run_id, meta=meta, pin=pin, attach=plan.attach)
        rule = admission_of(plan.ir, started.inputs, self.engine.clock.now())
        actor = self.engine.create(plan, run_id=run_id)
        if plan.attach is not None:
            plan.attach(actor)
        if rule is None:
            actor.apply(started)
            return actor
        try:
            self.engine.gate.enter(actor, rule, lambda: actor.apply(started))
        except AdmissionRefused:
            self.engine.forget(actor)
            raise
        return actor

    @asynccontextmanager
    async def hold(self, run_id: str) -> AsyncIterator[Actor]:
        """The live actor of a run, kept here for the time of the block.

        In a process that serves no runs it only takes what comes; its bodies run in a worker.

        Raises: UnknownRun, RunFinished; StoreBusy while another worker holds it.
        """
        engine = self.engine
        if not isinstance(engine, DurableEngine):
            yield engine.find(run_id)
            return
        async with engine.hold(run_id, is_passive=not engine.serves) as actor:
            yield actor

    async def answer(self, run_id: str, request_id: str, *, user: str, **answer: Any) -> None:
        """Act on a request; see `answer_request`. Over a journal the decision is committed when this returns.

        A run that another process holds gets it through its inbox.

        Raises: AnswerRefused, UnknownRun, RunFinished; RunParked if it is kept for a run that is set aside; StoreBusy if
        the holder did not take it in time. What is refused is in the audit log, a late answer too.
        """
        try:
            await self._answer(run_id, request_id, user, answer)
        except RunFinished:
            await self._log_late(run_id, request_id, user, answer)
            raise

    async def _log_late(self, run_id: str, request_id: str, user: str, answer: Mapping[str, Any]) -> None:
        if isinstance(self.engine, DurableEngine):
            line = {"request": request_id, "code": "request.closed"}
            action = f"refused.{answer.get('action', 'answer')}"
            await self.engine.journal.log([AuditRow(self.engine.clock.now(), run_id, user, action, line)])

    async def _answer(self, run_id: str, request_id: str, user: str, answer: Mapping[str, Any]) -> None:
        try:
            async with self.hold(run_id) as actor:
                try:
                    answer_request(actor, request_id, user=user, **answer)
                except AnswerRefused as error:
                    await self._log_refusal(actor, request_id, user, str(answer.get("action", "answer")), error)
                    raise
                await self._flush(actor)
        except StoreBusy:
            if not isinstance(self.engine, DurableEngine):
                raise
            await self._answer_elsewhere(self.engine, run_id, request_id, user, answer)

    async def _log_refusal(self, actor: Actor, request_id: str, user: str, action: str, error: AnswerRefused) -> None:
        sink = actor.sink
        if isinstance(sink, ActorSink):
            sink.note(refused_audit(actor, request_id, user, action, error))
            await sink.flush()

    async def _answer_elsewhere(
        self, engine: DurableEngine, run_id: str, request_id: str, user: str, answer: Mapping[str, Any]
    ) -> None:
        data = {"request": request_id, "who": {"user": user, "groups": list(answer.get("groups") or ())}}
        data |= {name: answer[name] for name in ("form", "action", "revision", "item") if answer.get(name) is not None}
        entry = InboxEntry(run_id, "answer", data, f"answer/{new_run_id()}", engine.clock.now())
        await keep_if_parked(engine, entry)
        await engine.deliver(entry)
        reply = await self._reply_to(engine, entry)
        if reply is None:
            await self._log_late(run_id, request_id, user, answer)
            raise AnswerRefused("conflict", "request.closed", "the run ended before the answer was taken")
        refused = reply.get("refused")
        if refused is not None:
            raise AnswerRefused(refused["kind"], refused["code"], refused["message"])

    async def _reply_to(self, engine: DurableEngine, entry: InboxEntry) -> Any:  # the JSON that its consumer left
        for delay_s in REPLY_DELAYS_S:
            is_consumed, reply = await engine.journal.reply(entry.run_id, entry.dedup)
            if is_consumed:
                return reply
            await asyncio.sleep(delay_s)
        raise StoreBusy(
            f"the answer waits in the store, and the worker that holds run {entry.run_id!r} has not taken it yet"
        )

    async def cancel(self, run_id: str, reason: str = "", *, user: str = "") -> None:
        """Cancel a run, also one that waits, queues, is parked, or is held by another process.

        Raises: UnknownRun, RunFinished.
        """
        engine = self.engine
        if isinstance(engine, DurableEngine):
            data = {"reason": reason, "user": user}
            await engine.deliver(InboxEntry(run_id, "cancel", data, f"cancel/{new_run_id()}", engine.clock.now()))
            if engine.serves or run_id in engine.runs:
                return
            try:
                async with engine.hold(run_id, is_passive=True) as actor:
                    await self._flush(actor)
            except (StoreBusy, RunFinished):
                return  # its holder takes it, or it has ended already
            return
        actor = engine.find(run_id)
        if not actor.is_over:
            actor.apply(t.Cancel(0, 0.0, -1, "cancelled", reason))

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
        if actor.is_over or actor.lost is not None:
            return
        await actor.wait_for_more()


def path_of(log: Sequence[Any]) -> list[str]:
    """The steps whose bodies ran, in order: one entry per activation."""
    return [x.step for x in log if type(x) is t.StepStarted and x.attempt == 1 and x.phase == "main"]
