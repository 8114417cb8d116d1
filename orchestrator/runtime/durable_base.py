"""What an engine over a journal holds: its settings, its sinks, and the versions of flows that it has bound. Claims nothing."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from orchestrator.errors import (
    OrchestratorError,
    StoreBusy,
    StoreError,
)
from orchestrator.ir.codec import flow_from_json, flow_to_json
from orchestrator.ir.model import FlowIR
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.codec import PLAIN
from orchestrator.runtime.engine import Engine, new_run_id
from orchestrator.runtime.journal import (
    Batch,
    Claim,
    Committed,
    Journal,
)
from orchestrator.runtime.keeper import POLL_S, Keeper
from orchestrator.runtime.placed import pool_of
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.sink import ActorSink, SnapshotRule

if (
    TYPE_CHECKING
):  # what is passed to sinks and the keeper is the whole engine; results are kept by the first flow that does
    from orchestrator.runtime.durable import DurableEngine
    from orchestrator.runtime.flow_bind import CallMemory

LEASE_S = 15.0
KEEP_WARM_S = 60.0
# parked for these, a run is tried by every new worker: what was missing may be here now
BINDING_CODES = ("plugin", "usage", "binding", "run.unbound", "replay.diverged")
HELD = "run.held"  # the code of a StoreBusy that is about the run, not about the store
AGAIN_S = 1.0  # until it is tried again to take a run that somebody holds
RESTING_S = 0.001  # a rebuilt run may get something to do at once

BindFlow = Callable[[FlowIR], FlowPlan]
CommitThen = Callable[[Batch, Callable[[Committed | None, Exception | None], None]], None]


class HeldRuns(Engine):
    """Settings, sinks and bound flows of an engine; see `DurableEngine`."""

    def __init__(
        self,
        journal: Journal,
        bind: BindFlow,
        *,
        clock: Clock | None = None,
        is_strict: bool = True,
        worker: str | None = None,
        lease_s: float = LEASE_S,
        keep_warm_s: float = KEEP_WARM_S,
        poll_s: float = POLL_S,
        snapshots: SnapshotRule | None = None,
    ) -> None:
        super().__init__(clock=clock)
        self.journal = journal
        self.commit_then: CommitThen | None = getattr(journal, "commit_then", None)  # saves a turn of the loop
        self.bind = bind
        self.is_strict = is_strict
        self.worker = worker or f"{socket.gethostname()}:{os.getpid()}:{new_run_id()[:8]}"
        self.lease_s = lease_s
        self.keep_warm_s = keep_warm_s
        self.snapshots = snapshots or SnapshotRule()
        self.sinks: dict[str, ActorSink] = {}
        self.on_committed: list[Callable[[Actor, Batch], None]] = []
        self.on_revived: list[Callable[[Actor], None]] = []  # told of an actor that is rebuilt, before it goes on
        self.serves = False
        self.tells_after_s: float | None = None  # people are told of requests; when others may do so instead
        # whose placed steps run here; None, as for every store of one host: all
        self.pools: frozenset[str] | None = getattr(journal, "own_pools", None)
        self.retried_codes = BINDING_CODES
        self.keeper = Keeper(cast("DurableEngine", self), poll_s)
        self._known_flows: set[str] = set()
        self._plans: dict[str, FlowPlan] = {}
        self._loading: dict[str, asyncio.Future[Actor | None]] = {}
        self._queued: dict[str, tuple[Actor, bool]] = {}
        self._tried_at: dict[str, float] = {}  # runs that another one replaces: when it was tried to take them
        self.notes: dict[str, dict[str, Any]] = {}  # `meta` of runs that are started by another way than `start`, by id
        self._claiming = asyncio.Lock()
        self.is_closing = False
        self._call_memory: CallMemory | None = None

    @property
    def call_memory(self) -> CallMemory:
        """Results under `id` and `cache` keys, in the journal."""
        if self._call_memory is None:
            from orchestrator.runtime.durable_memory import JournalMemory

            self._call_memory = JournalMemory(self.journal, self.clock)
        return self._call_memory

    async def keep_flow(self, plan: FlowPlan) -> None:
        """Store a version of a flow, once, with the flows that it calls."""
        for flow_hash, ir in self.unstored(plan):
            await self.journal.put_flow(flow_hash, ir, now=self.clock.now())
            self._known_flows.add(flow_hash)

    def unstored(self, plan: FlowPlan) -> list[tuple[str, Any]]:
        """The versions of a plan and of the flows that it calls as (hash, IR), those not known to be stored."""
        self.know(plan)
        if plan.hash in self._known_flows:
            return []
        found: list[tuple[str, Any]] = []
        for step in plan.steps.values():
            called = getattr(step.body, "called", None)
            if called is not None:
                found += self.unstored(called())
        return [*found, (plan.hash, flow_to_json(plan.stored_ir))]

    def know(self, plan: FlowPlan) -> None:
        """Use this plan for runs of its version."""
        self._plans.setdefault(plan.hash, plan)

    async def plan_of(self, flow: str, flow_hash: str) -> FlowPlan:
        """A stored version of a flow, bound to what is here. Raises: StoreError, PluginError, UsageError."""
        plan = self._plans.get(flow_hash)
        if plan is None:
            ir = await self.journal.get_flow(flow_hash)
            if ir is None:
                raise StoreError(f"the store lacks version {flow_hash[:12]} of flow `{flow}`", code="run.unbound")
            plan = self._plans[flow_hash] = await self._bind_stored(flow_hash, flow_from_json(ir))
        return plan

    async def can_run(self, flow: str, flow_hash: str) -> bool:
        """Whether this process has what a stored version of a flow needs."""
        try:
            await self.plan_of(flow, flow_hash)
        except OrchestratorError:
            return False
        return True

    async def _plan_of(self, claim: Claim) -> FlowPlan:
        """The plan of a run that is taken up here."""
        return await self.plan_of(claim.flow, claim.flow_hash)

    async def _bind_stored(self, flow_hash: str, flow: FlowIR) -> FlowPlan:
        """A stored version, bound after the versions of the flows that it calls: these may be older than their files."""
        for ref in flow.imports.values():
            ir = await self.journal.get_flow(ref) if ref not in self._plans and ref != flow_hash else None
            if ir is not None:
                self.know(await self._bind_stored(ref, flow_from_json(ir)))
        self._known_flows.add(flow_hash)
        return self.bind(flow)

    def rebind(self) -> None:
        """The code has changed: bind flows anew when runs are taken up, and try those again that were parked for want of it."""
        self._plans = {key: plan for key, plan in self._plans.items() if plan.ir.kind != "yaml"}
        self.keeper.unpark()

    def runs_here(self, plan: FlowPlan) -> bool:
        """Whether this process may take the runs of a flow; asked for children, which their creator claims."""
        pool = pool_of(plan.ir)
        return pool is None or self.pools is None or pool in self.pools

    def _attach(self, actor: Actor, epoch: int) -> ActorSink:
        sink = ActorSink(cast("DurableEngine", self), actor, actor.plan.codec or PLAIN, epoch)
        actor.sink = sink
        self.sinks[actor.run_id] = sink
        return sink

    def _drop(self, actor: Actor) -> None:
        if self.runs.get(actor.run_id) is actor:
            del self.runs[actor.run_id]
        sink = actor.sink
        if isinstance(sink, ActorSink):
            if self.sinks.get(actor.run_id) is sink:
                del self.sinks[actor.run_id]
            sink.close(StoreBusy(f"run {actor.run_id!r} was given up meanwhile; try again"))
        if not actor.state.is_over:
            actor.lost = actor.lost or StoreBusy(f"run {actor.run_id!r} waits in the store")
            actor.discard()
            actor.wake_readers()

    def forget(self, actor: Actor) -> None:
        """A run will not go on here."""
        if self.runs.get(actor.run_id) is actor:
            del self.runs[actor.run_id]
