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
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.errors import (
    Fenced,
    JournalConflict,
    OrchestratorError,
    StoreBusy,
)
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.admission import admission_of
from orchestrator.runtime.codec import PLAIN, encode_tick
from orchestrator.runtime.engine import deepen, undelivered
from orchestrator.runtime.intake import take_inbox
from orchestrator.runtime.journal import (
    Admission,
    Batch,
    Claim,
    Committed,
    InboxEntry,
    NewRun,
)
from orchestrator.runtime.placed import pool_of
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.sink import ActorSink
from orchestrator.runtime.state import Activation

if TYPE_CHECKING:  # loaded with the first flow that keeps results
    pass

from orchestrator.runtime.durable_claims import ClaimedRuns


class DurableEngine(ClaimedRuns):
    """The runs that this process holds of a journal.

    `bind` makes a stored version of a flow ready to run; it raises PluginError or UsageError for one that cannot run
    here, and then the run is parked with that reason. `is_strict`: a result is on the disk before the next call that may
    have an effect starts and before anyone is told; else commits are grouped (64 ticks or 5 ms).
    """

    # Starting runs.

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

    async def set_aside(self, actor: Actor, error: OrchestratorError) -> None:
        """Park a run that cannot go on with the code that is here, with the reason; what it has applied is kept."""
        sink = self.sinks.get(actor.run_id)
        if sink is None or sink.actor is not actor:
            return
        if await sink.barrier() and self.sinks.get(actor.run_id) is sink:  # several of its calls may ask for it
            self.commit_failed(sink, error)
            await self._park_here(actor, sink, error)

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
                self.notify(actor, command)
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
