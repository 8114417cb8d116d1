"""A process that works off the runs of a store: takes what it can run, sets aside what nobody can, gives all back when it ends.

Theory. A worker is an engine that serves. Over PostgreSQL it takes only runs of flow versions that it has looked at and can run
(callables, secrets), in its own pools, and it says so in its row of `workers`; so a run goes where its steps are, and workers
of different code versions share one store. What has been due for `STRANDED_S` and no live worker can run is parked with the
reason; every worker that starts lets such runs try again. Over SQLite and in memory, where all workers are alike, a run that
cannot run here is parked at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.dispatch.capability import CanRun
from orchestrator.dispatch.dispatcher import Dispatcher, LocalDispatcher
from orchestrator.errors import Fenced, OrchestratorError, PluginError
from orchestrator.ir.codec import flow_from_json
from orchestrator.ir.model import FlowIR
from orchestrator.journal.postgres_scope import Shared
from orchestrator.plugin.apart import run_apart
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.durable_base import BindFlow
from orchestrator.runtime.journal import Batch, Claim, Committed, Journal
from orchestrator.runtime.placed import pool_of
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.sink import ActorSink

CONCURRENCY = 100
PATROL_S = 1.0
STRANDED_S = 5.0
JUDGING_S = 3_600.0  # each import has its own limit, far below
HINT_S = 0.005
log = logging.getLogger("orchestrator.worker")


@dataclass(slots=True)
class Counts:
    """What a worker has done since it started, for `/metrics`."""

    taken: int = 0
    commits: int = 0
    ticks: int = 0
    ended: int = 0
    fenced: int = 0
    parked: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """How long a run may go on before others get a turn."""

    seconds: float
    ticks: int


class Worker(DurableEngine):
    """An engine that serves a store.

    `can_run` says why a flow cannot run in this process, None if it can; `learn` is told of every stored flow that a flow
    calls. `concurrency` bounds how many runs it holds at a time; those that wait are not held.
    """

    def __init__(
        self,
        journal: Journal,
        bind: BindFlow,
        *,
        can_run: CanRun | None = None,
        learn: Callable[[FlowIR], None] | None = None,
        dispatcher: Dispatcher | None = None,
        pools: frozenset[str] = frozenset(),
        concurrency: int = CONCURRENCY,
        stranded_s: float = STRANDED_S,
        **options: Any,  # those of DurableEngine
    ) -> None:
        super().__init__(journal, bind, **options)
        self.counts = Counts()
        self.concurrency = concurrency
        self.dispatcher: Dispatcher = dispatcher or LocalDispatcher()
        self.shared = journal if isinstance(journal, Shared) else None
        if self.shared is not None:
            self.pools = pools
            self.shared.scope.can = set()
            self.shared.scope.pools = pools
        self._can_run = can_run
        self._learn = learn
        self._stranded_s = stranded_s
        self._gone: dict[str, asyncio.Future[None]] = {}
        self._offered: tuple[int, int] | None = None
        self._fit: set[str] = set()  # flow versions that this process has what it takes for
        self._has_hint = False
        self._slots = asyncio.Semaphore(concurrency)
        self._end: asyncio.Future[None] | None = None

    # Serving.

    def serve(self) -> None:
        """Work off the store, here, until `aclose`."""
        super().serve()
        if self.shared is not None:
            loop = asyncio.get_running_loop()
            self.shared.on_change(lambda: _call(loop, self._hint))
            self.keeper.spawn(self._patrol())
        self.keeper.spawn(self.dispatcher.start(self))

    async def aclose(self, *, grace_s: float = 0.0) -> None:
        """Take nothing more, let what runs end for up to `grace_s`, give everything back."""
        self.is_closing = True
        for actor in self.runs.values():
            actor.is_passive = True  # nothing new begins, however long the dispatcher takes to end
        self._ending().cancel()
        await self.dispatcher.aclose()
        await super().aclose(grace_s=grace_s)

    async def sweep(self, limit: int = 100) -> int:
        """Have what is due woken; gives how many runs were taken here."""
        if self.is_closing:
            return 0
        await self._look_at_flows()
        return await self.dispatcher.sweep(self, min(limit, self.room))

    @property
    def room(self) -> int:
        """How many more runs it may hold."""
        return max(0, self.concurrency - len(self.sinks) - len(self._loading))

    async def take_due(self, limit: int) -> int:
        """Claim and wake up to `limit` due runs."""
        taken = await super().sweep(limit) if limit > 0 else 0
        self.counts.taken += taken
        return taken

    async def take_rung(self, limit: int, *, rung_before: float, turn: Turn) -> int:
        """The same for due runs that a dispatcher was asked to wake before a time, in vain."""
        if self.shared is None:
            return 0
        async with self._claiming:
            limit = min(limit, self.room)  # activations may have come since it was counted
            if limit <= 0:
                return 0
            now = self.clock.now()
            claims = await self.shared.claim_rung(
                self.worker, now=now, lease_s=self.lease_s, rung_before=rung_before, limit=limit
            )
            loading = self._begin_loading(claims, False)
        for actor in await asyncio.gather(*loading):
            if actor is not None:
                self.keeper.spawn(self._while_here(actor, turn))
        self.counts.taken += len(claims)
        return len(claims)

    async def activate(self, run_id: str, turn: Turn) -> bool:
        """Take one run if it is due, and return when it has left this process; False if it was not to be had.

        When its turn is over it begins nothing new, is given up, and is due at once: somebody else gets a turn.
        """
        assert self.shared is not None
        async with self._slots:
            if run_id in self.sinks or run_id in self._loading:
                return False
            async with self._claiming:
                if self.is_closing or self.room <= 0:
                    return False
                now = self.clock.now()
                claims = await self.shared.claim_if_due(self.worker, run_id, now=now, lease_s=self.lease_s)
                loading = self._begin_loading(claims, False)
            for load in loading:
                self.counts.taken += 1
                actor = await asyncio.shield(load)
                if actor is not None:
                    await self._while_here(actor, turn)
            return bool(claims)

    async def _while_here(self, actor: Actor, turn: Turn) -> None:
        gone = self._gone.setdefault(actor.run_id, asyncio.get_running_loop().create_future())
        deadline, last = self.clock.now() + turn.seconds, actor.next_seq + turn.ticks
        while not gone.done() and self.runs.get(actor.run_id) is actor:
            await asyncio.wait({gone}, timeout=min(0.25, turn.seconds))
            if self.clock.now() > deadline or actor.next_seq > last:
                actor.is_passive = True
                self.rest_if_quiet(actor)  # now, or when the body that runs has ended: it may be followed by no commit
        self._gone.pop(actor.run_id, None)

    def _ending(self) -> asyncio.Future[None]:
        """Done when the worker is being closed."""
        if self._end is None:
            self._end = asyncio.get_running_loop().create_future()
        return self._end

    # What an engine does, counted and with an eye on what follows.

    def committed(self, sink: ActorSink, batch: Batch, held: list[Any], result: Committed) -> None:
        """As an engine does; a run that leaves makes room for the next."""
        self.counts.commits += 1
        self.counts.ticks += len(batch.ticks)
        super().committed(sink, batch, held, result)
        if batch.releases:
            self.counts.ended += sink.actor.state.is_over
            self.keeper.wake()

    def commit_failed(self, sink: ActorSink, error: OrchestratorError) -> None:
        """As an engine does."""
        self.counts.fenced += isinstance(error, Fenced)
        super().commit_failed(sink, error)
        self._left(sink.actor.run_id)

    def _drop(self, actor: Actor) -> None:
        super()._drop(actor)
        self._left(actor.run_id)

    def _left(self, run_id: str) -> None:
        gone = self._gone.pop(run_id, None)
        if gone is not None and not gone.done():
            gone.set_result(None)

    # What can run here.

    async def _plan_of(self, claim: Claim) -> FlowPlan:
        plan = await super()._plan_of(claim)
        reason = await self._why_not_apart(plan.ir, claim.flow_hash)
        if reason is not None and not await self._is_cancelled(claim.run_id):
            self.counts.parked += 1
            raise PluginError(f"no worker can run this: {reason}", code="run.unbound")
        return plan

    async def can_run(self, flow: str, flow_hash: str) -> bool:
        """Whether this process has what a stored version of a flow needs, its steps of today included."""
        try:
            plan = await self.plan_of(flow, flow_hash)
        except OrchestratorError:
            return False
        return self._why_not(plan.ir, flow_hash) is None

    def rebind(self) -> None:
        """As an engine does; what can be run here is looked at anew."""
        self._fit.clear()
        if self.shared is not None:
            self.shared.scope.can, self.shared.scope.cannot = set(), {}
            self._offered = None
        super().rebind()

    def runs_here(self, plan: FlowPlan) -> bool:
        """As for an engine; over a shared store a child whose steps are elsewhere is left to those who have them."""
        return super().runs_here(plan) and (self.shared is None or self._why_not(plan.ir, plan.hash) is None)

    async def _why_not_apart(self, flow: FlowIR, flow_hash: str) -> str | None:
        """The same beside the event loop: finding out may import plugins, which may take its time."""
        if flow_hash in self._fit:
            return None
        return await run_apart(lambda: self._why_not(flow, flow_hash), JUDGING_S, f"look at {flow.name}")

    def _why_not(self, flow: FlowIR, flow_hash: str) -> str | None:
        if flow_hash in self._fit:
            return None
        pool = pool_of(flow)
        if pool is not None and self.pools is not None and pool not in self.pools:
            return f"there is no worker of pool `{pool}`; start one with `orchestrator worker --pool {pool}`"
        reason = self._can_run(flow) if self._can_run is not None else None
        if reason is None:
            self._fit.add(flow_hash)
        return reason

    async def _is_cancelled(self, run_id: str) -> bool:
        return any(entry.kind == "cancel" for entry in await self.journal.inbox(run_id))

    async def _look_at_flows(self) -> None:
        """Find out whether due runs of flow versions that are new here can run here."""
        shared = self.shared
        if shared is None:
            return
        for flow_hash in await shared.unseen_flows(now=self.clock.now()):
            reason = await self._judge(flow_hash)
            if reason is None and shared.scope.can is not None:
                shared.scope.can.add(flow_hash)
            elif reason is not None:
                shared.scope.cannot[flow_hash] = reason
                log.info("worker %s leaves flow %s alone: %s", self.worker, flow_hash[:12], reason)

    async def _judge(self, flow_hash: str) -> str | None:
        try:
            flow = await self._stored_flow(flow_hash)
            if flow is None:
                return f"the store lacks version {flow_hash[:12]}"
            for called in flow.imports.values():
                child = await self._stored_flow(called)
                if child is not None and self._learn is not None:
                    self._learn(child)
            can_run = self._can_run
            reason = (
                None if can_run is None else await run_apart(lambda: can_run(flow), JUDGING_S, f"look at {flow.name}")
            )
            if reason is None and flow_hash not in self._plans:
                self.know(self.bind(flow))
        except OrchestratorError as error:
            return str(error)
        return reason

    async def _stored_flow(self, flow_hash: str) -> FlowIR | None:
        ir = await self.journal.get_flow(flow_hash)
        return None if ir is None else flow_from_json(ir)

    # Beside the runs.

    def _hint(self) -> None:
        """Somebody wrote something: look soon, once for all that was told meanwhile."""
        if not self._has_hint:
            self._has_hint = True
            asyncio.get_running_loop().call_later(HINT_S, self._look)

    def _look(self) -> None:
        self._has_hint = False
        self.keeper.wake()

    async def _patrol(self) -> None:
        await self.keeper.open()
        while not self.is_closing:
            try:
                await self._patrol_once()
            except OrchestratorError as error:
                log.warning("worker %s: %s", self.worker, error)
            await asyncio.wait({self._ending()}, timeout=PATROL_S)

    async def _patrol_once(self) -> None:
        shared = self.shared
        assert shared is not None
        now = self.clock.now()
        await self._look_at_flows()
        size = (len(shared.scope.can or ()), len(shared.scope.cannot))
        if size != self._offered:
            await shared.offer(self.worker)
            self._offered = size
        stranded = await shared.stranded(before=now - self._stranded_s)
        if not stranded:
            return
        offers = await shared.offers(now=now)
        for group in stranded:
            if not any(offer.may_take(group.flow_hash, group.pool) for offer in offers):
                for run_id in group.run_ids:
                    await self._claim_one(run_id, False)


def _call(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:  # the loop is closed: nobody waits any more
        return
