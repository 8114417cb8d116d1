"""Runs over a journal: every tick is committed, effects wait for the commit, and a waiting run is rows only.

Theory. A durable actor has a *sink*. Ticks applied since the last commit are *pending*; commands that reach outside of the run
(posts, child runs, notices, the end) are held in the *outbox* and become rows of the same transaction. One commit per actor is
in flight; what is applied meanwhile goes into the next one. When nothing runs and nobody here holds on to the run, the claim
is given up with the last commit and the actor is dropped; the journal's due time wakes it again, in whatever process.

Invariants
 D1  a body with effects starts only when every tick before it is committed (strict), whoever commits it.
 D2  a commit refused as `Fenced` discards the actor and everything it has not committed.
 D3  an inbox row is consumed by the commit that holds its tick; a row whose dedup key was seen becomes no tick.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.errors import Fenced, OrchestratorError, StoreError
from orchestrator.ir.codec import flow_from_json, flow_to_json
from orchestrator.ir.model import FlowIR
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.codec import PLAIN, ValueCodec, decode_tick, encode_tick
from orchestrator.runtime.engine import Engine, new_run_id
from orchestrator.runtime.journal import AuditRow, Batch, Claim, InboxEntry, Journal, NewRun, RequestRow
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.snapshot import decode_state, encode_state, fold
from orchestrator.runtime.state import Activation, RunState

LEASE_S = 15.0
SNAPSHOT_TICKS = 256
SNAPSHOT_BYTES = 256 * 1024
IDLE_TICKS = 32
RELAXED_TICKS = 64
RELAXED_S = 0.005
STREAM_S = 0.03
FINAL = frozenset({"done", "failed", "cancelled", "timeout"})

BindFlow = Callable[[FlowIR], FlowPlan]


class ActorSink:
    """Takes the ticks of one durable actor to the journal."""

    def __init__(self, engine: DurableEngine, actor: Actor, codec: ValueCodec, epoch: int) -> None:
        self.engine = engine
        self.actor = actor
        self.codec = codec
        self.epoch = epoch
        self.outbox: list[t.Command] = []
        self.create: NewRun | None = None
        self.consumed: list[int] = []
        self.committed = 0  # seq after the last committed tick
        self.pins = 0  # handles in this process that keep the actor in memory
        self._pending: list[t.Tick] = []
        self._tail_ticks = 0
        self._tail_bytes = 0
        self._last_snapshot_bytes = 0
        self._has_lazy_only = True
        self._flushing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None

    def add(self, tick: t.Tick) -> None:
        """A tick was applied."""
        self._pending.append(tick)
        if type(tick) is not t.Streamed:
            self._has_lazy_only = False

    def must_flush(self, is_pure: bool) -> bool:
        """Whether the next body has to wait for a commit: strict runs, for bodies with effects."""
        return bool(self._pending) and not is_pure and self.engine.is_strict

    def type_of(self, value: Any) -> str:
        """The event type of a streamed payload."""
        if isinstance(value, dict):
            return str(value.get("type") or "event")
        name_of = getattr(self.codec, "stream_type", None)
        return type(value).__name__ if name_of is None else str(name_of(value))

    def loaded(self, seq: int, tail_ticks: int, tail_bytes: int, snapshot_bytes: int) -> None:
        """The actor was rebuilt from the journal up to here."""
        self.committed = seq
        self._tail_ticks, self._tail_bytes, self._last_snapshot_bytes = tail_ticks, tail_bytes, snapshot_bytes

    async def flush(self) -> None:
        """Commit everything applied so far."""
        while self._pending or self.outbox or self.consumed:
            if self._failure is not None:
                raise self._failure
            if self._flushing is None:
                self._start()
            flushing = self._flushing
            assert flushing is not None
            await asyncio.shield(flushing)
        if self._failure is not None:
            raise self._failure

    def flush_soon(self) -> None:
        """Have everything applied so far committed before long: at once in strict runs, grouped otherwise."""
        if self._flushing is not None or self._failure is not None:
            return
        if not (self._pending or self.outbox or self.consumed):
            return
        if self._has_lazy_only and not self.outbox:
            self._later(STREAM_S)
        elif self.engine.is_strict or self.outbox or len(self._pending) >= RELAXED_TICKS or self.actor.state.is_over:
            self._start()
        else:
            self._later(RELAXED_S)

    def _later(self, delay_s: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flushing is None and self._failure is None and (self._pending or self.outbox or self.consumed):
            self._flushing = asyncio.get_running_loop().create_task(self._commit_pending())
            self._flushing.add_done_callback(_retrieve)

    async def _commit_pending(self) -> None:
        """Commit until nothing is pending; one transaction per round."""
        try:
            while (self._pending or self.outbox or self.consumed) and self._failure is None:
                await asyncio.sleep(0)  # let everything that is ready now join this commit
                batch, outbox = self._take()
                await self.engine.journal.commit(batch)
                self.committed = batch.first_seq + len(batch.ticks)
                self.engine.committed(self, batch, outbox)
                if batch.releases:
                    return
        except OrchestratorError as error:
            self._failure = error
            self.engine.commit_failed(self, error)
            raise
        finally:
            self._flushing = None

    def _take(self) -> tuple[Batch, list[t.Command]]:
        actor, state = self.actor, self.actor.state
        pending, self._pending = self._pending, []
        outbox, self.outbox = self.outbox, []
        consumed, self.consumed = self.consumed, []
        self._has_lazy_only = True
        acts = state.acts

        def step_of(act: int) -> str:
            found = acts.get(act)
            return found.step.name if found is not None else "?"

        batch = Batch(actor.run_id, self.epoch, self.committed, self.engine.clock.now(), consumed=consumed)
        batch.ticks = [json.dumps(encode_tick(x, self.codec, step_of), separators=(",", ":")) for x in pending]
        batch.create, self.create = self.create, None
        batch.status = "waiting" if not state.is_over and state.busy <= 0 else state.status.value
        batch.wake_at = min((x.due for x in state.timers.values()), default=None)
        self._add_outbox(batch, outbox)
        self._tail_ticks += len(batch.ticks)
        self._tail_bytes += sum(len(x) for x in batch.ticks)
        batch.releases = self._may_release()
        if self._wants_snapshot(batch.releases):
            text = json.dumps(encode_state(state, self.codec), separators=(",", ":"))
            batch.snapshot = (batch.first_seq + len(batch.ticks), text)
            self._tail_ticks = self._tail_bytes = 0
            self._last_snapshot_bytes = len(text)
        if state.is_over:
            result = state.result
            batch.outcome = {
                "result": None if result is None else self.codec.encode(result.type, result.value, "the result"),
                "type": None if result is None else result.type,
                "error": state.error,
            }
        return batch, outbox

    def _may_release(self) -> bool:
        actor = self.actor
        if actor.state.is_over:
            return True
        return (
            self.pins == 0
            and actor.is_quiet
            and not any(act.is_running and act.waits == 0 for act in actor.state.acts.values())
            and not self.engine.holds_bodies(actor)
        )

    def _wants_snapshot(self, releases: bool) -> bool:
        if self.actor.state.pending:
            return False
        if self.actor.state.is_over:
            return self._tail_ticks > IDLE_TICKS
        if releases:
            return self._tail_ticks > IDLE_TICKS
        return self._tail_ticks > SNAPSHOT_TICKS and self._tail_bytes > max(SNAPSHOT_BYTES, self._last_snapshot_bytes)

    def _add_outbox(self, batch: Batch, outbox: Iterable[t.Command]) -> None:
        actor, at = self.actor, batch.at
        for command in outbox:
            match command:
                case t.Post(run_id, type_name, value, dedup):
                    data = {"type": type_name, "value": self.codec.encode(type_name, value, "a sent event")}
                    data["sender"] = actor.run_id
                    batch.posts.append(InboxEntry(run_id, "event", data, f"{actor.run_id}/{dedup}", at))
                case t.StartChild(act, child):
                    batch.children.append(self.engine.new_child(actor, act, child, at))
                case t.CancelChild(child):
                    batch.posts.append(InboxEntry(child, "cancel", {"reason": "its parent ended"}, "parent", at))
                case t.Notify(request, what):
                    self._add_notice(batch, request, what)
                case t.Finish(status):
                    if actor.parent is not None:
                        batch.posts.append(self._settled_for_parent(at))
                    batch.audit.append(AuditRow(at, actor.run_id, "", f"run.{status.value}", {}))
        for tick in batch.ticks:
            if tick.startswith('["answer"'):
                row = json.loads(tick)
                who = row[5].get("user", "") if isinstance(row[5], dict) else ""
                batch.audit.append(
                    AuditRow(at, actor.run_id, who, f"request.{row[4]}", {"request": row[3], "tick": row})
                )

    def _add_notice(self, batch: Batch, request_id: str, what: str) -> None:
        request = self.actor.state.requests.get(request_id)
        if request is None:
            state = what if what in ("decided", "timeout", "undecided") else "cancelled"
            row = RequestRow(self.actor.run_id, request_id, "", state, None, 0.0, closed_at=batch.at)
        else:
            data = {
                **request.data,
                "revision": request.revision,
                "text": request.text,
                "claimed_by": request.claimed_by,
                "delegates": request.delegates,
                "escalated": request.is_escalated,
            }
            due = request.data.get("deadline")
            row = RequestRow(self.actor.run_id, request_id, request.step, "open", data, request.opened_at, due)
        batch.requests.append(row)
        batch.audit.append(AuditRow(batch.at, self.actor.run_id, "", f"request.{what}", {"request": request_id}))

    def _settled_for_parent(self, at: float) -> InboxEntry:
        actor, state = self.actor, self.actor.state
        assert actor.parent is not None
        result = state.result
        data = {
            "child": actor.run_id,
            "status": state.status.value,
            "type": result.type if result is not None else "",
            "value": None if result is None else self.codec.encode(result.type, result.value, "the result"),
            "error": state.error,
        }
        return InboxEntry(actor.parent[0], "child", data, f"child/{actor.run_id}", at)


class DurableEngine(Engine):
    """The runs that this process holds of a journal, and the loop that wakes those that are due.

    `bind` makes a stored version of a flow ready to run; it raises PluginError or UsageError for one that cannot run
    here, and then the run is parked with that reason.
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
    ) -> None:
        super().__init__(clock=clock)
        self.journal = journal
        self.bind = bind
        self.is_strict = is_strict
        self.worker = worker or f"{socket.gethostname()}:{os.getpid()}:{new_run_id()[:8]}"
        self.lease_s = lease_s
        self.sinks: dict[str, ActorSink] = {}
        self.on_committed: list[Callable[[Actor, Batch], None]] = []
        self._known_flows: set[str] = set()
        self._plans: dict[str, FlowPlan] = {}
        self._loading: dict[str, asyncio.Task[Actor | None]] = {}
        self._service: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._finish_waiters: dict[str, list[asyncio.Future[None]]] = {}

    # Runs.

    async def start(
        self,
        plan: FlowPlan,
        started: t.Started,
        *,
        run_id: str | None = None,
        dedup: str | None = None,
        meta: dict[str, Any] | None = None,
        pin: bool = False,
    ) -> Actor:
        """Create a run and start it; when this returns, it is committed.

        Raises: JournalConflict if a run of this id (or dedup key) exists.
        """
        await self.keep_flow(plan)
        actor = self.create(plan, run_id=run_id)
        sink = self._attach(actor, 1)
        sink.pins += pin
        sink.create = NewRun(
            actor.run_id,
            plan.ir.name,
            plan.hash,
            plan.ir.kind,
            self.clock.now(),
            dedup=dedup,
            meta=meta,
            root=actor.run_id,
        )
        actor.apply(started)
        await sink.flush()
        return actor

    async def keep_flow(self, plan: FlowPlan) -> None:
        """Store a version of a flow, once."""
        if plan.hash not in self._known_flows:
            await self.journal.put_flow(plan.hash, flow_to_json(plan.stored_ir))
            self._known_flows.add(plan.hash)
        self._plans.setdefault(plan.hash, plan)

    def _attach(self, actor: Actor, epoch: int) -> ActorSink:
        sink = ActorSink(self, actor, actor.plan.codec or PLAIN, epoch)
        actor.sink = sink
        self.sinks[actor.run_id] = sink
        return sink

    async def acquire(self, run_id: str) -> Actor:
        """The live actor of a run, loaded from the journal if it is not here.

        Raises: UnknownRun, RunFinished; StoreBusy while another worker holds it.
        """
        actor = self.runs.get(run_id)
        if actor is not None and not actor.is_over:
            return actor
        loading = self._loading.get(run_id)
        if loading is None:
            loading = self._loading[run_id] = asyncio.get_running_loop().create_task(self._claim_one(run_id))
            loading.add_done_callback(lambda _: self._loading.pop(run_id, None))
        actor = await asyncio.shield(loading)
        if actor is None:
            raise StoreError(f"run {run_id!r} is held by another worker", code="store.busy")
        return actor

    async def _claim_one(self, run_id: str) -> Actor | None:
        claims = await self.journal.claim(self.worker, now=self.clock.now(), lease_s=self.lease_s, run_id=run_id)
        return await self._load(claims[0]) if claims else None

    async def _load(self, claim: Claim) -> Actor | None:
        """Rebuild a claimed run and let it go on; a run that cannot run here is parked with the reason."""
        try:
            plan = await self._plan_of(claim)
            loaded = await self.journal.load(claim.run_id)
            codec = plan.codec or PLAIN
            if loaded.snapshot is not None:
                state = decode_state(json.loads(loaded.snapshot[1]), plan, codec)
                base = loaded.snapshot[0]
            else:
                state, base = RunState(), 0
            rows = [(seq, text) for seq, text in loaded.ticks if seq >= base]
            ticks = [decode_tick(seq, json.loads(text), codec) for seq, text in rows]
            fold(plan, state, ticks)
        except OrchestratorError as error:
            await self._park(claim, error)
            return None
        actor = Actor(self, plan, claim.run_id, state)
        actor.log.extend(ticks)
        actor.base = base
        self.runs[claim.run_id] = actor
        sink = self._attach(actor, claim.epoch)
        seq = base + len(ticks)
        snapshot_bytes = len(loaded.snapshot[1]) if loaded.snapshot is not None else 0
        sink.loaded(seq, len(ticks), sum(len(text) for _, text in rows), snapshot_bytes)
        if claim.parent is not None:
            actor.parent = (claim.parent, 0)
        actor.resume()
        self._take_inbox(actor, sink, loaded.inbox)
        sink.flush_soon()
        if not loaded.inbox and actor.is_quiet:
            await self._release_quiet(sink)
        return actor

    async def _plan_of(self, claim: Claim) -> FlowPlan:
        plan = self._plans.get(claim.flow_hash)
        if plan is None:
            ir = await self.journal.get_flow(claim.flow_hash)
            if ir is None:
                raise StoreError(f"the store lacks version {claim.flow_hash[:12]} of flow `{claim.flow}`")
            plan = self._plans[claim.flow_hash] = self.bind(flow_from_json(ir))
            self._known_flows.add(claim.flow_hash)
        return plan

    async def _park(self, claim: Claim, error: OrchestratorError) -> None:
        """Set a run aside that cannot go on here, with the reason."""
        loaded = await self.journal.load(claim.run_id)
        last = loaded.ticks[-1][0] + 1 if loaded.ticks else (loaded.snapshot[0] if loaded.snapshot else 0)
        batch = Batch(claim.run_id, claim.epoch, last, self.clock.now(), status="parked", releases=True)
        batch.outcome = {"parked": {"code": error.code, "message": str(error)}}
        batch.audit.append(AuditRow(batch.at, claim.run_id, "", "run.parked", batch.outcome["parked"]))
        await self.journal.commit(batch)

    def _take_inbox(self, actor: Actor, sink: ActorSink, entries: Iterable[InboxEntry]) -> None:
        for entry in entries:
            sink.consumed.append(entry.id)
            if actor.is_over:
                continue
            tick = _tick_of(entry, sink.codec)
            if tick is not None:
                actor.apply(tick)

    async def _release_quiet(self, sink: ActorSink) -> None:
        actor = sink.actor
        if sink.pins or not actor.is_quiet or actor.is_over or self.holds_bodies(actor):
            return
        await sink.flush()
        wake_at = min((x.due for x in actor.state.timers.values()), default=None)
        if actor.run_id in self.runs:
            await self.journal.release(actor.run_id, sink.epoch, wake_at=wake_at)
            self._drop(actor)

    def holds_bodies(self, actor: Actor) -> bool:
        """Whether a suspended Python body would be lost with the actor."""
        return any(act.task is not None for act in actor.state.acts.values())

    # What comes from outside.

    def expect(self, run_id: str) -> None:
        """Nothing: only the journal knows which runs there are; the post is a row of the sender's commit."""

    async def deliver(self, entry: InboxEntry) -> bool:
        """Take something for a run: applied and committed here if the run is here, else put into its inbox.

        Raises: UnknownRun, RunFinished.
        """
        accepted = await self.journal.post(entry)
        actor = self.runs.get(entry.run_id)
        if actor is not None and not actor.is_over:
            sink = self.sinks[entry.run_id]
            await self._read_inbox(actor, sink)
            await sink.flush()
        else:
            self._wake.set()
        return accepted

    async def _read_inbox(self, actor: Actor, sink: ActorSink) -> None:
        last = max(sink.consumed, default=0)
        entries = await self.journal.inbox(actor.run_id, last)
        seen = set(sink.consumed)
        self._take_inbox(actor, sink, [e for e in entries if e.id not in seen])

    def new_child(self, parent: Actor, act: Activation, child: str, at: float) -> NewRun:
        """The row of a child run, created in its parent's commit."""
        body: Any = act.step.body
        plan, tick = body.child_start(parent, act)
        self._plans.setdefault(plan.hash, plan)
        tick.at = at
        return NewRun(
            child,
            plan.ir.name,
            plan.hash,
            plan.ir.kind,
            at,
            start=encode_tick(tick, plan.codec or PLAIN, lambda _: "?"),
            parent=parent.run_id,
            root=parent.run_id,
            meta={"ir": flow_to_json(plan.stored_ir)} if plan.hash not in self._known_flows else None,
        )

    # After a commit.

    def committed(self, sink: ActorSink, batch: Batch, outbox: list[t.Command]) -> None:
        """A batch is in the journal: tell those who wait for it."""
        actor = sink.actor
        for command in outbox:
            if isinstance(command, t.Notify):
                self.notify(actor, command.request, command.what)
            elif isinstance(command, t.Finish):
                actor.perform(command)
        for listener in self.on_committed:
            listener(actor, batch)
        actor._wake_readers()
        if batch.posts or batch.children:
            self._wake.set()
        if batch.releases:
            self._drop(actor)

    def commit_failed(self, sink: ActorSink, error: OrchestratorError) -> None:
        """A commit was refused: the run goes on elsewhere (Fenced), or not before the store is well again."""
        sink.actor.exception = error
        sink.actor.discard()
        sink.actor._wake_readers()
        self.sinks.pop(sink.actor.run_id, None)
        if not isinstance(error, Fenced):
            self._wake.set()

    def _drop(self, actor: Actor) -> None:
        if self.runs.get(actor.run_id) is actor:
            del self.runs[actor.run_id]
        self.sinks.pop(actor.run_id, None)
        if not actor.is_over:
            actor.discard()

    def finished(self, actor: Actor) -> None:
        """A run has ended and that is committed."""
        for future in self._finish_waiters.pop(actor.run_id, ()):
            if not future.done():
                future.set_result(None)

    def forget(self, actor: Actor) -> None:
        """A run will not go on here."""
        if self.runs.get(actor.run_id) is actor:
            del self.runs[actor.run_id]

    # The service loop.

    def serve(self) -> None:
        """Wake what is due, here, until `aclose`."""
        if self._service is None:
            self._service = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        last_renewal = self.clock.now()
        changes = -1
        while True:
            now = self.clock.now()
            if now - last_renewal >= self.lease_s / 3:
                await self.journal.renew(self.worker, now=now, lease_s=self.lease_s)
                last_renewal = now
            await self.sweep()
            seen = await self.journal.changes()
            if seen != changes:
                changes = seen
                for run_id, sink in list(self.sinks.items()):
                    if run_id in self.runs:
                        await self._read_inbox(sink.actor, sink)
            due = await self.journal.next_due()
            pause = 0.2 if due is None else min(0.2, max(0.0, due - self.clock.now()))
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                pass

    async def sweep(self, limit: int = 100) -> int:
        """Claim and wake runs that are due; gives how many."""
        claims = await self.journal.claim(self.worker, now=self.clock.now(), lease_s=self.lease_s, limit=limit)
        for claim in claims:
            await self._load(claim)
        return len(claims)

    async def wait_finished(self, run_id: str) -> None:
        """Wait until a run that this process holds has ended and that is committed."""
        if run_id not in self.runs:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._finish_waiters.setdefault(run_id, []).append(future)
        await future

    async def aclose(self) -> None:
        """Stop serving, commit what is applied, give up every claim. Running bodies are cancelled; they run again."""
        if self._service is not None:
            self._service.cancel()
            await asyncio.gather(self._service, return_exceptions=True)
            self._service = None
        for sink in list(self.sinks.values()):
            try:
                await sink.flush()
            except OrchestratorError:
                continue
            actor = sink.actor
            if not actor.is_over:
                wake_at = min((x.due for x in actor.state.timers.values()), default=None)
                busy = actor.state.busy > 0
                await self.journal.release(actor.run_id, sink.epoch, wake_at=self.clock.now() if busy else wake_at)
                self._drop(actor)


def _tick_of(entry: InboxEntry, codec: ValueCodec) -> t.Tick | None:
    data = entry.data
    match entry.kind:
        case "start":
            return decode_tick(0, data, codec)
        case "event":
            value = codec.decode(data["type"], data["value"])
            return t.EventIn(0, 0.0, -1, data["type"], value, data.get("target"), entry.dedup, data.get("sender"))
        case "answer":
            return t.Answer(
                0,
                0.0,
                -1,
                data["request"],
                data["action"],
                data["who"],
                data.get("form") or {},
                data.get("revision"),
                data.get("item"),
            )
        case "child":
            value = codec.decode(data["type"], data["value"]) if data["type"] else None
            return t.ChildSettled(0, 0.0, -1, data["child"], data["status"], data["type"], value, data.get("error"))
        case "cancel":
            return t.Cancel(0, 0.0, -1, data.get("status", "cancelled"), data.get("reason", ""))
    raise StoreError(f"the inbox of run {entry.run_id!r} holds an entry of unknown kind {entry.kind!r}")


def _retrieve(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
