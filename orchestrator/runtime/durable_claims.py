"""Takes runs out of the journal: claims them, rebuilds their actors, parks those that cannot go on here (D5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.errors import (
    Fenced,
    OrchestratorError,
    RunFinished,
    StoreBusy,
    UnknownRun,
)
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.codec import PLAIN, decode_tick
from orchestrator.runtime.intake import take_inbox
from orchestrator.runtime.journal import (
    AuditRow,
    Batch,
    Claim,
)
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.rebuild import Rebuilt, rebuild
from orchestrator.runtime.sink import ActorSink

if TYPE_CHECKING:  # loaded with the first flow that keeps results
    pass

from orchestrator.runtime.durable_base import AGAIN_S, HELD, RESTING_S
from orchestrator.runtime.durable_rest import RestingRuns


class ClaimedRuns(RestingRuns):
    """Taking and rebuilding runs."""

    # Taking runs.

    @asynccontextmanager
    async def hold(self, run_id: str, *, is_passive: bool = False) -> AsyncIterator[Actor]:
        """The live actor of a run, kept here for the time of the block; see `acquire`."""
        actor = await self.acquire(run_id, is_passive=is_passive)
        try:
            yield actor
        finally:
            self.unpin(actor)

    def unpin(self, actor: Actor) -> None:
        """Take back what `acquire` or a pinned start did: the run may leave this process when it rests."""
        sink = actor.sink
        if isinstance(sink, ActorSink):
            sink.pins -= 1
            self.rest_if_quiet(actor)

    async def acquire(self, run_id: str, *, is_passive: bool = False) -> Actor:
        """The live actor of a run, claimed and rebuilt from the journal if it is not here, and pinned until `unpin`.

        A passive one only takes what comes: its bodies run in a worker, once it is given up again.

        Raises: UnknownRun, RunFinished; StoreBusy while another worker holds it, or it is parked or queued.
        """
        await self.keeper.open()
        for _ in range(3):
            actor = self.runs.get(run_id)
            sink = self.sinks.get(run_id)
            if actor is not None and sink is not None and not actor.state.is_over and not sink.is_releasing:
                sink.pins += 1
                return actor
            if sink is not None:
                await sink.wait_closed()  # it is being given up, or has ended
            loading = self._loading.get(run_id)
            if loading is not None:
                await asyncio.shield(loading)
            else:
                await self._claim_one(run_id, is_passive)
        message = f"run {run_id!r} cannot be taken now: another worker holds it, or it is parked or queued"
        raise StoreBusy(message, code=HELD)

    async def _claim_one(self, run_id: str, is_passive: bool) -> None:
        async with self._claiming:
            if run_id in self._loading or run_id in self.sinks:
                return
            claims = await self.journal.claim(self.worker, now=self.clock.now(), lease_s=self.lease_s, run_id=run_id)
            loading = self._begin_loading(claims, is_passive)
        for load in loading:
            await asyncio.shield(load)

    async def sweep(self, limit: int = 100) -> int:
        """Claim and wake runs that are due; gives how many."""
        await self.keeper.open()
        async with self._claiming:
            claims = await self.journal.claim(self.worker, now=self.clock.now(), lease_s=self.lease_s, limit=limit)
            loading = self._begin_loading(claims, False)
        if loading:
            await asyncio.gather(*loading)
        return len(claims)

    async def take_queued(self) -> None:
        """Go on with runs that were started here and had to queue, where they have been admitted."""
        for run_id, (actor, _) in list(self._queued.items()):
            ahead = await self.journal.ahead(run_id)  # a question, where a claim writes
            if ahead:
                if not self.serves and actor.plan.ir.admission.mode == "restart":
                    await self._end_replaced(ahead)
                continue
            try:
                await self._claim_one(run_id, False)
                is_elsewhere = run_id in self._queued and bool(await self.journal.ticks(run_id, -1, 1))
            except (RunFinished, UnknownRun) as error:
                actor.lost = error
            else:
                if is_elsewhere:
                    actor.lost = StoreBusy(f"run {run_id!r} was admitted, and another worker took it")
            if actor.lost is not None:
                self._queued.pop(run_id, None)
                actor.discard()
                actor.wake_readers()

    async def _end_replaced(self, ahead: Iterable[str]) -> None:
        """Take the runs whose place another one takes, where nobody holds them: their cancel waits in their inboxes."""
        now = self.clock.now()
        for older in ahead:
            if older in self.sinks or self._tried_at.get(older, 0.0) > now - AGAIN_S:
                continue
            self._tried_at[older] = now
            try:
                await self._claim_one(older, False)
            except (RunFinished, UnknownRun):
                continue

    @property
    def has_queued(self) -> bool:
        """Whether runs that were started here wait for admission."""
        return bool(self._queued)

    def _begin_loading(self, claims: Iterable[Claim], is_passive: bool) -> list[asyncio.Future[Actor | None]]:
        begun: list[asyncio.Future[Actor | None]] = []
        for claim in claims:
            task = asyncio.get_running_loop().create_task(self._load(claim, is_passive))
            self._loading[claim.run_id] = task
            task.add_done_callback(partial(self._loaded, claim.run_id))
            begun.append(task)
        return begun

    def _loaded(self, run_id: str, task: asyncio.Future[Actor | None]) -> None:
        if self._loading.get(run_id) is task:
            del self._loading[run_id]

    # Rebuilding.

    async def _load(self, claim: Claim, is_passive: bool) -> Actor | None:
        """Rebuild a claimed run and let it go on; a run that cannot run here is parked with the reason (D5)."""
        try:
            loaded = claim.loaded or await self.journal.load(claim.run_id)
            plan = await self._plan_of(claim)
        except StoreBusy:
            self.keeper.give_up_later(claim.run_id, claim.epoch, self.clock.now() + 1)
            return None
        except OrchestratorError as error:
            await self._park(claim, error)
            return None
        if self._loading.get(claim.run_id) is not asyncio.current_task():
            return None  # claimed again meanwhile, with a higher epoch
        old = self.runs.get(claim.run_id)
        if old is not None:
            self._drop(old)
        try:
            rebuilt = rebuild(claim, plan, loaded)
            actor = self._revive(claim, plan, rebuilt, is_passive)
            take_inbox(actor, self.sinks[claim.run_id], loaded.inbox)
        except OrchestratorError as error:
            broken = self.runs.get(claim.run_id)
            if broken is not None:
                self._drop(broken)
            await self._park(claim, error)
            return None
        sink = self.sinks.get(claim.run_id)
        if sink is not None:
            sink.flush_soon()
            if not sink.is_dirty:
                asyncio.get_running_loop().call_later(RESTING_S, self.rest_if_quiet, actor)
        return actor

    def _revive(self, claim: Claim, plan: FlowPlan, rebuilt: Rebuilt, is_passive: bool) -> Actor:
        queued = self._queued.pop(claim.run_id, None)
        actor = queued[0] if queued is not None else Actor(self, plan, claim.run_id)
        for listener in self.on_actor if queued is None else ():
            listener(actor)
        actor.adopt(rebuilt.state)
        actor.is_passive = is_passive
        actor.entries.extend(rebuilt.ticks)
        actor.base = rebuilt.base
        self.runs[claim.run_id] = actor
        sink = self._attach(actor, claim.epoch)
        sink.pins += bool(queued and queued[1])
        sink.loaded(rebuilt.seq, len(rebuilt.ticks), rebuilt.tail_bytes, rebuilt.snapshot_bytes, claim.status)
        if claim.parent is not None:
            actor.parent = (claim.parent, 0)
        if queued is None:
            for revived in self.on_revived:
                revived(actor)
            if not self.on_revived and plan.attach is not None:
                plan.attach(actor)
        actor.resume()
        return actor

    async def read(self, run_id: str, flow: str, flow_hash: str) -> Actor:
        """A run as the store has it, with its whole log: an actor that nobody drives. For runs that ended elsewhere.

        Raises: UnknownRun, StoreError.
        """
        claim = Claim(run_id, 0, flow, flow_hash, "", "", None, None)
        plan = await self.plan_of(flow, flow_hash)
        actor = Actor(self, plan, run_id)
        rebuilt = rebuild(claim, plan, await self.journal.load(run_id))
        actor.adopt(rebuilt.state)
        actor.entries, actor.base = [*await self.earlier(run_id, plan, 0, rebuilt.base), *rebuilt.ticks], 0
        return actor

    async def earlier(self, run_id: str, plan: FlowPlan, start: int, end: int) -> list[t.Tick]:
        """Committed ticks from `start` to before `end`. Raises: StoreError if retention has dropped them."""
        if start >= end:
            return []
        rows = await self.journal.ticks(run_id, start - 1, end - start)
        return [decode_tick(seq, row, plan.codec or PLAIN) for seq, row in rows]

    async def _park(self, claim: Claim, error: OrchestratorError) -> None:
        """Set a run aside that cannot go on here, with the reason."""
        now = self.clock.now()
        batch = Batch(claim.run_id, claim.epoch, 0, now, self.worker, status="parked", releases=True)
        batch.outcome = {"parked": {"code": error.code, "message": str(error), "at": now}}
        batch.audit = (AuditRow(now, claim.run_id, "", "run.parked", batch.outcome["parked"]),)
        try:
            await self.journal.commit(batch)
        except Fenced:
            return
        except OrchestratorError:
            self.keeper.give_up_later(claim.run_id, claim.epoch, now + 1)
            raise
