"""Runs over a journal: every tick is committed, effects wait for the commit, and a waiting run is rows only.

Theory. A run is held by one engine at a time, by a claim with an epoch; its actor's `ActorSink` takes what happens to the
journal. When nothing runs and nobody here holds on to the run, the claim is given up with the last commit and the actor is
dropped; its due time or its inbox wakes it again, in whatever process. `serve` makes the engine take any run that is due;
without it the engine keeps what was started or acquired here, and leaves all else alone.

Invariants (sink: D1 to D4)
 D5  a run that cannot go on here for a reason of its own (binding, unreadable rows) is parked with the reason; it never
     stops the worker.
 D6  what is applied to an actor between the commit that releases it and its end is not lost: it is in the inbox, or due again.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.errors import (
    Fenced,
    JournalConflict,
    OrchestratorError,
    RunFinished,
    StoreBusy,
    StoreError,
    UnknownRun,
)
from orchestrator.ir.codec import flow_from_json, flow_to_json
from orchestrator.ir.model import FlowIR
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.admission import admission_of
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.codec import PLAIN, decode_tick, encode_tick
from orchestrator.runtime.engine import Engine, deepen, new_run_id, undelivered
from orchestrator.runtime.intake import take_inbox
from orchestrator.runtime.journal import (
    Admission,
    AuditRow,
    Batch,
    Claim,
    Committed,
    InboxEntry,
    Journal,
    NewRun,
)
from orchestrator.runtime.keeper import POLL_S, Keeper
from orchestrator.runtime.placed import pool_of
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.rebuild import Rebuilt, rebuild
from orchestrator.runtime.sink import ActorSink, SnapshotRule
from orchestrator.runtime.state import Activation

if TYPE_CHECKING:  # loaded with the first flow that keeps results
    from orchestrator.runtime.flow_bind import CallMemory

LEASE_S = 15.0
KEEP_WARM_S = 60.0
# parked for these, a run is tried by every new worker: what was missing may be here now
BINDING_CODES = ("plugin", "usage", "binding", "run.unbound", "replay.diverged")
RESTING_S = 0.001  # a rebuilt run may get something to do at once

BindFlow = Callable[[FlowIR], FlowPlan]
CommitThen = Callable[[Batch, Callable[[Committed | None, Exception | None], None]], None]


class DurableEngine(Engine):
    """The runs that this process holds of a journal.

    `bind` makes a stored version of a flow ready to run; it raises PluginError or UsageError for one that cannot run
    here, and then the run is parked with that reason. `is_strict`: a result is on the disk before the next call that may
    have an effect starts and before anyone is told; else commits are grouped (64 ticks or 5 ms).
    """

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
        # whose placed steps run here; None, as for every store of one host: all
        self.pools: frozenset[str] | None = getattr(journal, "own_pools", None)
        self.retried_codes = BINDING_CODES
        self.keeper = Keeper(self, poll_s)
        self._known_flows: set[str] = set()
        self._plans: dict[str, FlowPlan] = {}
        self._loading: dict[str, asyncio.Future[Actor | None]] = {}
        self._queued: dict[str, tuple[Actor, bool]] = {}
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

    # Starting and finding runs.

    async def start(
        self,
        plan: FlowPlan,
        started: t.Started,
        *,
        run_id: str | None = None,
        dedup: str | None = None,
        meta: dict[str, Any] | None = None,
        pin: bool = False,
        admission: Admission | None = None,
        attach: Callable[[Actor], None] | None = None,
    ) -> Actor:
        """Create a run and start it; when this returns, it is committed. `attach` gets its actor before the first tick.

        A run that has to queue for admission stands still until it is admitted: its `state.status` is `new`.

        Raises: JournalConflict if a run of this id or dedup key exists; AdmissionRefused.
        """
        await self.keeper.open()
        if run_id is not None and (run_id in self.runs or run_id in self.sinks or run_id in self._queued):
            raise JournalConflict(f"a run {run_id!r} exists already", code="run.exists")
        actor = self.create(plan, run_id=run_id)
        if attach is not None:
            attach(actor)
        new = NewRun(
            actor.run_id,
            plan.ir.name,
            plan.hash,
            plan.ir.kind,
            self.clock.now(),
            dedup=dedup,
            meta=meta if meta is not None else self.notes.get(actor.run_id),
            root=actor.run_id,
            admission=admission or admission_of(plan.ir, started.inputs, self.clock.now()),
        )
        if new.admission is not None:
            return await self._start_admitted(actor, new, started, pin)
        sink = self._attach(actor, 1)
        sink.pins += pin
        sink.create_with(new, self.unstored(plan))
        try:
            actor.apply(started)
            await sink.flush()
        except OrchestratorError:
            self._drop(actor)
            raise
        return actor

    async def _start_admitted(self, actor: Actor, new: NewRun, started: t.Started, pin: bool) -> Actor:
        plan = actor.plan
        started.at = self.clock.now()
        row = encode_tick(started, actor.plan.codec or PLAIN, lambda _: "?")
        batch = Batch(
            actor.run_id, 1, 0, started.at, self.worker, create=replace(new, start=row), flows=self.unstored(plan)
        )
        try:
            made = await self.journal.commit(batch)
        except OrchestratorError as error:
            self.forget(actor)
            if not isinstance(error, JournalConflict):
                self.keeper.give_up_later(actor.run_id, 1, started.at)  # it may have been made
            raise
        if made.is_queued:
            self.forget(actor)
            self._queued[actor.run_id] = (actor, pin)
            return actor
        sink = self._attach(actor, 1)
        sink.pins += pin
        sink.loaded(0, 0, 0, 0, "new")
        take_inbox(actor, sink, await self.journal.inbox(actor.run_id))
        await sink.flush()
        return actor

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

    def _attach(self, actor: Actor, epoch: int) -> ActorSink:
        sink = ActorSink(self, actor, actor.plan.codec or PLAIN, epoch)
        actor.sink = sink
        self.sinks[actor.run_id] = sink
        return sink

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
        raise StoreBusy(f"run {run_id!r} cannot be taken now: another worker holds it, or it is parked or queued")

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
            if not self.serves and actor.plan.ir.admission.mode == "restart":
                await self._end_replaced(run_id)
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

    async def _end_replaced(self, run_id: str) -> None:
        """Take the runs whose place another one takes, where nobody holds them: their cancel waits in their inboxes."""
        for older in await self.journal.ahead(run_id):
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

    async def can_run(self, flow: str, flow_hash: str) -> bool:
        """Whether this process has what a stored version of a flow needs."""
        try:
            await self._plan_of(Claim("", 0, flow, flow_hash, "", "", None, None))
        except OrchestratorError:
            return False
        return True

    async def read(self, run_id: str, flow: str, flow_hash: str) -> Actor:
        """A run as the store has it, with its whole log: an actor that nobody drives. For runs that ended elsewhere.

        Raises: UnknownRun, StoreError.
        """
        claim = Claim(run_id, 0, flow, flow_hash, "", "", None, None)
        plan = await self._plan_of(claim)
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

    async def _plan_of(self, claim: Claim) -> FlowPlan:
        plan = self._plans.get(claim.flow_hash)
        if plan is None:
            ir = await self.journal.get_flow(claim.flow_hash)
            if ir is None:
                raise StoreError(
                    f"the store lacks version {claim.flow_hash[:12]} of flow `{claim.flow}`", code="run.unbound"
                )
            plan = self._plans[claim.flow_hash] = await self._bind_stored(claim.flow_hash, flow_from_json(ir))
        return plan

    async def _bind_stored(self, flow_hash: str, flow: FlowIR) -> FlowPlan:
        """A stored version, bound after the versions of the flows that it calls: these may be older than their files."""
        for ref in flow.imports.values():
            ir = await self.journal.get_flow(ref) if ref not in self._plans and ref != flow_hash else None
            if ir is not None:
                self.know(await self._bind_stored(ref, flow_from_json(ir)))
        self._known_flows.add(flow_hash)
        return self.bind(flow)

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

    # What comes from outside.

    def expect(self, run_id: str) -> None:
        """Nothing: only the journal knows which runs there are; the post is a row of the sender's commit."""

    async def deliver(self, entry: InboxEntry) -> bool:
        """Take something for a run: applied and committed here if the run is here, else put into its inbox.

        Raises: UnknownRun, RunFinished.
        """
        accepted = await self.journal.post(entry)
        if entry.run_id in self.runs:
            await self.read_inbox(entry.run_id)
            sink = self.sinks.get(entry.run_id)
            if sink is not None:
                await sink.barrier()
        else:
            self.keeper.wake()
        return accepted

    async def read_inbox(self, run_id: str) -> None:
        """Apply what has come for a run that is here."""
        if run_id not in self.sinks:
            return
        entries = await self.journal.inbox(run_id)
        actor, sink = self.runs.get(run_id), self.sinks.get(run_id)
        if actor is None or sink is None or sink.is_releasing:
            return
        try:
            take_inbox(actor, sink, entries)
        except OrchestratorError as error:
            self.commit_failed(sink, error)
            await self._park_here(actor, sink, error)
        else:
            sink.flush_soon()

    def set_aside_soon(self, actor: Actor, error: OrchestratorError, then: Callable[[], None] | None = None) -> bool:
        """Set a run aside beside what goes on; `then` is called when it is, or could not be."""
        sink = self.sinks.get(actor.run_id)
        if sink is None or sink.actor is not actor:
            return False

        async def work() -> None:
            try:
                await self.set_aside(actor, error)
            finally:
                if then is not None:
                    then()

        self.keeper.spawn(work())
        return True

    async def set_aside(self, actor: Actor, error: OrchestratorError) -> None:
        """Park a run that cannot go on with the code that is here, with the reason; what it has applied is kept."""
        sink = self.sinks.get(actor.run_id)
        if sink is None or sink.actor is not actor:
            return
        if await sink.barrier() and self.sinks.get(actor.run_id) is sink:  # several of its calls may ask for it
            self.commit_failed(sink, error)
            await self._park_here(actor, sink, error)

    def rebind(self) -> None:
        """The code has changed: bind flows anew when runs are taken up, and try those again that were parked for want of it."""
        self._plans = {key: plan for key, plan in self._plans.items() if plan.ir.kind != "yaml"}
        self.look_again()
        self.keeper.unpark()

    async def _park_here(self, actor: Actor, sink: ActorSink, error: OrchestratorError) -> None:
        plan = actor.plan
        claim = Claim(actor.run_id, sink.epoch, plan.ir.name, plan.hash, plan.ir.kind, "", None, None)
        await self._park(claim, error)

    def new_child(self, parent: Actor, act: Activation, child: str, at: float) -> tuple[NewRun, FlowPlan]:
        """The row of a child run, created in its parent's commit and started here right after it, and its plan."""
        body: Any = act.step.body
        plan, tick = body.child_start(parent, act, child)
        deepen(parent, tick)
        tick.at = at
        pool = pool_of(plan.ir)
        new = NewRun(
            child,
            plan.ir.name,
            plan.hash,
            plan.ir.kind,
            at,
            start=encode_tick(tick, plan.codec or PLAIN, lambda _: "?"),
            parent=parent.run_id,
            root=parent.run_id,
            is_claimed=not parent.is_passive and self.runs_here(plan),
            pool=pool,
        )
        return new, plan

    def look_again(self) -> None:
        """What can be run here may have changed; an engine looks at a flow when it takes a run of it."""

    def runs_here(self, plan: FlowPlan) -> bool:
        """Whether this process may take the runs of a flow; asked for children, which their creator claims."""
        pool = pool_of(plan.ir)
        return pool is None or self.pools is None or pool in self.pools

    # After a commit.

    def committed(self, sink: ActorSink, batch: Batch, held: list[t.Command], result: Committed) -> None:
        """A batch is in the journal: do what waited for it."""
        actor = sink.actor
        for listener in self.on_committed:
            listener(actor, batch)
        if not batch.is_plain or result.undelivered:
            self._after_more(sink, batch, held, result)

    def _after_more(self, sink: ActorSink, batch: Batch, held: list[t.Command], result: Committed) -> None:
        actor = sink.actor
        self._known_flows.update(flow_hash for flow_hash, _ in batch.flows)
        for command in held:
            if isinstance(command, t.Notify):
                self.notify(actor, command.request, command.what)
            else:
                actor.perform(command)
        for entry in result.undelivered:
            if not actor.state.is_over:
                actor.stream(undelivered(entry.run_id, entry.data["type"]), 0, 0)
        if batch.releases:
            actor.wake_readers()
            self._drop(actor)
        for post in batch.posts:
            if post.run_id in self.sinks:
                self.keeper.spawn(self.read_inbox(post.run_id))
            else:
                self.keeper.wake()
        for child in batch.children:
            if child.is_claimed:
                self.keeper.spawn(self._start_child(child))
            else:
                self.keeper.wake()

    async def _start_child(self, child: NewRun) -> None:
        if child.run_id in self.runs or child.run_id in self._loading or self.is_closing:
            return
        claim = Claim(child.run_id, 1, child.flow, child.flow_hash, child.kind, "new", child.parent, child.meta)
        await asyncio.gather(*self._begin_loading([claim], False))

    def commit_failed(self, sink: ActorSink, error: OrchestratorError) -> None:
        """A commit was refused: the run goes on elsewhere (Fenced), or not before the store is well again."""
        actor = sink.actor
        sink.close(error)
        actor.exception = actor.lost = error
        actor.discard()
        actor.wake_readers()
        if self.sinks.get(actor.run_id) is sink:
            del self.sinks[actor.run_id]
        if not isinstance(error, Fenced):
            self.keeper.give_up_later(actor.run_id, sink.epoch, self.clock.now())

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

    # Resting.

    def status_of(self, actor: Actor) -> str:
        """A run's status as its row shows it."""
        state = actor.state
        if state.is_over or (state.busy > 0 and not actor.is_quiet):
            return state.status.value
        return "waiting"

    def may_release(self, actor: Actor, sink: ActorSink) -> bool:
        """Whether the claim can be given up with the next commit: the run is over, or rests and nobody here needs it."""
        if actor.state.is_over:
            return True
        if sink.pins or not (actor.is_quiet or (actor.is_passive and actor.rests)):
            return False
        return self.serves or actor.is_passive

    def wake_at_of(self, actor: Actor) -> float | None:
        """When a run that is given up is due: now if something is under way in it, else with its next timer."""
        if not actor.rests or actor.has_ready:
            return self.clock.now()
        return min((x.due for x in actor.state.timers.values()), default=None)

    def rest_if_quiet(self, actor: Actor) -> None:
        """Give up a run that rests, if that is not under way already."""
        sink = self.sinks.get(actor.run_id)
        if sink is None or sink.actor is not actor or sink.is_dirty or sink.is_releasing or actor.state.is_over:
            return
        if self.may_release(actor, sink):
            sink.is_releasing = True
            self.keeper.spawn(self.give_up(actor, sink))

    async def give_up(self, actor: Actor, sink: ActorSink) -> None:
        """Let go of a run whose ticks are committed; whatever is under way in it is started again by the next claimer."""
        sink.is_releasing = True
        wake_at = self.wake_at_of(actor)
        self._drop(actor)
        try:
            await self.journal.release(actor.run_id, sink.epoch, wake_at=wake_at)
        except OrchestratorError:
            self.keeper.give_up_later(actor.run_id, sink.epoch, wake_at)
            raise
        self.keeper.wake()

    def finished(self, actor: Actor) -> None:
        """A run has ended and that is committed."""

    def forget(self, actor: Actor) -> None:
        """A run will not go on here."""
        if self.runs.get(actor.run_id) is actor:
            del self.runs[actor.run_id]

    # Life of the engine.

    def serve(self) -> None:
        """Wake whatever is due in the journal, here, until `aclose`."""
        self.serves = True
        self.keeper.begin()
        self.keeper.wake()
        for actor in list(self.runs.values()):
            self.rest_if_quiet(actor)

    def abandon(self) -> None:
        """Stop at once, as a process that dies does: what is held stays held until its lease ends."""
        self.is_closing = True
        self.keeper.abandon()
        for sink in list(self.sinks.values()):
            sink.close(StoreBusy("this engine has been abandoned"))
            sink.actor.discard()
        self.sinks.clear()
        self.runs.clear()

    async def aclose(self, *, grace_s: float = 0.0) -> None:
        """Stop, commit what is applied, give up every claim. Bodies that still run after `grace_s` are cancelled; they run
        again elsewhere.
        """
        self.is_closing = True
        for actor in self.runs.values():
            actor.is_passive = True  # what runs may end, nothing new begins
        await self.keeper.close()
        deadline = self.clock.now() + grace_s
        while self.clock.now() < deadline and not all(a.rests for a in self.runs.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for run_id, sink in list(self.sinks.items()):
            if await sink.barrier() and run_id in self.runs and not sink.actor.state.is_over:
                await self.give_up(sink.actor, sink)
        await self.keeper.leave()
