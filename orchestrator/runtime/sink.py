"""Takes the ticks of one durable run to the journal: what is pending, what is in flight, and who waits for the commit.

Theory. Ticks become JSON when they are applied, because the values they carry may be changed in place afterwards. One commit
per run is in flight; what is applied meanwhile goes into the next. Commands that reach outside of the run become rows of the
transaction that holds the tick they came from. A commit whose outcome is unknown is simply made again (journal, J2).

Invariants
 D1  a body with effects starts only when every tick before it is committed (strict), whoever commits it.
 D2  a commit refused as `Fenced` discards the actor and everything it has not committed.
 D3  an inbox row is consumed by the commit that holds its tick, and is taken once per claim.
 D4  readers of a strict run see a tick only when it is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.errors import Fenced, OrchestratorError, StoreBusy, StoreError
from orchestrator.runtime import ticks as t
from orchestrator.runtime.codec import ValueCodec, encode_tick
from orchestrator.runtime.journal import FINAL, AuditRow, Batch, Committed, InboxEntry, Json, NewRun, RequestRow, Untold
from orchestrator.runtime.questions import QuestionWatch
from orchestrator.runtime.rows import (
    answer_audit,
    cancel_row,
    dumps,
    failed_child,
    outcome_of,
    post_row,
    request_rows,
    settled_row,
)
from orchestrator.runtime.sizes import SizeWatch
from orchestrator.runtime.snapshot import encode_state

if TYPE_CHECKING:  # the engine makes sinks
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.durable import DurableEngine


TOLD = ("opened", "reminded", "escalated", "delegated")  # what people are told of a request
RELAXED_TICKS = 64
RELAXED_S = 0.005
STREAM_S = 0.008  # what is only shown is committed at once after a rest of this length, else grouped over it
BUSY_RETRIES = 8  # 0.05 s doubling: about 12 s
FAULT_RETRIES = 3


@dataclass(frozen=True, slots=True)
class SnapshotRule:
    """When a snapshot is due: the tail is longer than both numbers and than the last snapshot, or an idle run's is."""

    ticks: int = 256
    bytes: int = 64 * 1024
    idle_ticks: int = 32


class ActorSink:
    """The journal's end of one actor."""

    def __init__(self, engine: DurableEngine, actor: Actor, codec: ValueCodec, epoch: int) -> None:
        self.engine = engine
        self.actor = actor
        self.codec = codec
        self.epoch = epoch
        self.committed = 0  # the seq after the last committed tick
        self.pins = 0  # handles in this process that keep the actor in memory
        self.is_settled = False
        self.is_releasing = False
        self.error: OrchestratorError | None = None
        self.is_created = True
        self.idle_since = 0.0
        self._status: str | None = None  # as it stands in the run's row
        self._create: NewRun | None = None
        self._texts: list[str] = []
        self._ticks: list[t.Tick] = []
        self._held: list[t.Command] = []  # performed here when they are committed
        self._posts: list[InboxEntry] = []
        self._children: list[NewRun] = []
        self._flows: list[tuple[str, Json]] = []
        self._requests: dict[str, Any] = {}
        self._untold: list[Untold] = []
        self._audit: list[AuditRow] = []
        self._consumed: list[tuple[int, Json]] = []
        self._taken: set[int] = set()  # inbox ids of this claim
        self._has_work = False  # something that must not wait for long
        self._in_flight: Batch | None = None
        self._flying: tuple[list[t.Tick], list[t.Command]] = ([], [])
        self._tries = 0
        self._covered: list[asyncio.Future[None]] = []
        self._next: list[asyncio.Future[None]] = []
        self._leavers: list[asyncio.Future[None]] = []
        self._is_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._shown_at = 0.0  # when what is only shown was last committed, by the loop's time
        self._tail_ticks = 0
        self._tail_bytes = 0
        self._snapshot_bytes = 0
        self._sizes = SizeWatch(actor.plan.limits, codec)
        self._questions = QuestionWatch(actor) if actor.plan.answer is not None else None

    # What the actor calls.

    def add(self, tick: t.Tick) -> None:
        """A tick is about to be applied."""
        acts = self.actor.state.acts

        def step_of(act: int) -> str:
            found = acts.get(act)
            return found.step.name if found is not None else "?"

        text = dumps(encode_tick(tick, self.codec, step_of))
        self._sizes.check(tick, text, self.actor.state.vars, step_of)
        self._texts.append(text)
        if self._questions is not None:
            for row, line in self._questions.rows(tick, self._shown):
                self._write_request(row.request_id, row, line)
        kind = type(tick)
        if kind is not t.Streamed:
            self._has_work = True
            if kind is t.Answer:
                assert isinstance(tick, t.Answer)
                self._audit.append(answer_audit(tick, self.actor.run_id))
            elif kind is t.Cancel:
                assert isinstance(tick, t.Cancel)
                self._audit.append(AuditRow(tick.at, self.actor.run_id, "", "run.cancel", {"reason": tick.reason}))
        if self.engine.is_strict:
            self._ticks.append(tick)
        else:
            self.actor.entries.append(tick)
            self.actor.wake_readers()

    def hold(self, command: t.Command) -> None:
        """A command that reaches outside of the run waits for the commit."""
        actor, at = self.actor, self.engine.clock.now()
        match command:
            case t.Post():
                self._posts.append(post_row(actor, command, self.codec, at))
            case t.StartChild(act, child):
                try:
                    new, plan = self.engine.new_child(actor, act, child, at)
                    self._children.append(new)
                    self._flows += self.engine.unstored(plan)
                except OrchestratorError as error:  # wrong inputs, or a flow that is not here
                    actor.apply(failed_child(child, error))
            case t.CancelChild(child):
                self._posts.append(cancel_row(child, at))
            case t.Notify(request):
                row, line = request_rows(actor, command, at)
                self._write_request(request, row, line)
                if command.what in TOLD and self.engine.tells_after_s is not None:
                    due = at + self.engine.tells_after_s
                    self._untold.append(Untold(actor.run_id, request, command.number, command.what, due))
                self._held.append(command)
            case t.Finish():
                if actor.parent is not None:
                    self._posts.append(settled_row(actor, actor.parent[0], self.codec, at))
                if self._questions is not None:
                    for row, line in self._questions.end(at):
                        self._write_request(row.request_id, row, line)
                self._held.append(command)
            case _:
                raise AssertionError(f"{command} does not reach outside")

    def _write_request(self, request_id: str, row: RequestRow, line: AuditRow | None) -> None:
        is_short = row.data is None and request_id in self._requests  # opened and closed in one commit
        self._requests[request_id + "/closed" if is_short else request_id] = row
        if line is not None:
            self._audit.append(line)

    def _shown(self, announced: Any) -> Json:
        any_codec: Any = self.codec  # of a workflow function: it alone asks so
        return any_codec.question(announced)

    def must_flush(self, is_pure: bool) -> bool:
        """Whether the next body has to wait for a commit: strict runs, for bodies with effects."""
        if not self.is_created:
            return True
        return not is_pure and self.engine.is_strict and (self._has_work or self._in_flight is not None)

    def type_of(self, value: Any) -> str:
        """The event type of a streamed payload."""
        name_of = getattr(self.codec, "stream_type", None)
        if isinstance(value, dict):
            name = str(value.get("type") or "event")
            return name if name_of is None else f"~{name}"  # not the name of an event that the workflow declares
        return type(value).__name__ if name_of is None else str(name_of(value))

    async def flush(self) -> None:
        """Commit everything applied so far. Raises: Fenced, StoreError."""
        if self.error is not None:
            raise self.error
        if self._is_dirty:
            future = asyncio.get_running_loop().create_future()
            self._next.append(future)
            if self._in_flight is None:
                self._start()
        elif self._in_flight is not None:
            future = asyncio.get_running_loop().create_future()
            self._covered.append(future)
        else:
            return
        await future

    async def barrier(self) -> bool:
        """Commit everything applied so far; False if the run does not go on here."""
        try:
            await self.flush()
        except OrchestratorError:
            return False
        return self.error is None

    def flush_soon(self) -> None:
        """Have everything applied so far committed before long: at once in strict runs, grouped otherwise."""
        if self._in_flight is not None or self._is_scheduled or self.error is not None or not self._is_dirty:
            return
        is_urgent = self._held or self._posts or self._children or self._consumed or self.actor.state.is_over
        if self._has_work and (self.engine.is_strict or is_urgent or len(self._texts) >= RELAXED_TICKS):
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._soon)
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            delay_s = RELAXED_S if self._has_work else self._shown_at + STREAM_S - loop.time()
            self._timer = loop.call_later(max(0.0, delay_s), self._start_if_idle)

    # What the engine calls.

    def create_with(self, new: NewRun, flows: list[tuple[str, Json]]) -> None:
        """The first commit makes the run's row, and stores versions of flows."""
        self._create = new
        self._flows += flows
        self.is_created = False
        self._has_work = True

    def loaded(self, seq: int, tail_ticks: int, tail_bytes: int, snapshot_bytes: int, status: str) -> None:
        """The actor was rebuilt from the journal up to here."""
        self.committed = seq
        self._tail_ticks, self._tail_bytes, self._snapshot_bytes = tail_ticks, tail_bytes, snapshot_bytes
        self._sizes = SizeWatch(self.actor.plan.limits, self.codec, tail_bytes + snapshot_bytes)
        self._questions = QuestionWatch(self.actor) if self.actor.plan.answer is not None else None
        self._status = status

    def take_entry(self, entry: InboxEntry) -> bool:
        """Whether an inbox row is new to this claim; D3."""
        if entry.id in self._taken:
            return False
        self._taken.add(entry.id)
        return True

    def consume(self, entry: InboxEntry, reply: Json = None, audit: AuditRow | None = None) -> None:
        """Have an inbox row consumed by the next commit."""
        self._consumed.append((entry.id, reply))
        self._has_work = True
        if audit is not None:
            self._audit.append(audit)

    def forward(self, data: Json, children: Iterable[str], dedup: str) -> None:
        """Have the next commit hand an event to child runs, for those that take it."""
        at = self.engine.clock.now()
        more = {**data, "forwarded": True}
        self._posts += [InboxEntry(child, "event", more, dedup, at) for child in children]
        self._has_work = True

    def note(self, line: AuditRow) -> None:
        """Have a line of the audit log written by the next commit."""
        self._audit.append(line)
        self._has_work = True

    def close(self, error: OrchestratorError) -> None:
        """Nothing more is committed; those who wait get the error."""
        if self.error is None:
            self.error = error
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        leavers, self._leavers = self._leavers, []
        for future in leavers:
            if not future.done():
                future.set_result(None)
        waiting = [*self._covered, *self._next]
        self._covered, self._next = [], []
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever awaits it gets it; nobody has to

    async def wait_closed(self) -> None:
        """Wait until nothing more is committed through this sink."""
        if self.error is None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._leavers.append(future)
            await future

    @property
    def is_dirty(self) -> bool:
        """Whether something is not committed yet."""
        return self._is_dirty or self._in_flight is not None

    @property
    def _is_dirty(self) -> bool:
        return bool(self._texts or self._consumed or self._audit or self._posts or self._create is not None)

    # Commits.

    def _soon(self) -> None:
        """One more round of the loop, so that everything that is ready now joins this commit."""
        asyncio.get_running_loop().call_soon(self._start_if_idle)

    def _start_if_idle(self) -> None:
        self._is_scheduled = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._in_flight is None and self.error is None and self._is_dirty:
            self._start()

    def _start(self) -> None:
        if not self._has_work:
            self._shown_at = asyncio.get_running_loop().time()
        batch = self._take()
        self._in_flight = batch
        self._covered, self._next = self._next, []
        self._tries = 0
        self._send(batch)

    def _send(self, batch: Batch) -> None:
        try:
            if self.engine.commit_then is not None:
                self.engine.commit_then(batch, self._told)
            else:
                asyncio.ensure_future(self.engine.journal.commit(batch)).add_done_callback(self._done)
        except OrchestratorError as error:  # the journal is closed
            self._fail(error)

    def _done(self, sent: asyncio.Future[Committed]) -> None:
        if not sent.cancelled():
            error = sent.exception()
            self._told(None if error is not None else sent.result(), error)

    def _told(self, result: Committed | None, error: BaseException | None) -> None:
        batch = self._in_flight
        if batch is None or self.error is not None:
            return
        if result is not None:
            self._succeed(batch, result)
        elif isinstance(error, StoreError) and self._tries < _retries(error):
            delay_s = min(2.0, 0.05 * 2**self._tries)
            self._tries += 1
            asyncio.get_running_loop().call_later(delay_s, self._again, batch)
        else:
            self._fail(error if isinstance(error, OrchestratorError) else StoreError(f"a commit failed: {error!r}"))

    def _again(self, batch: Batch) -> None:
        if self._in_flight is batch and self.error is None:
            self._send(batch)

    def _fail(self, error: OrchestratorError) -> None:
        batch, self._in_flight = self._in_flight, None
        for child in batch.children if batch is not None else ():  # an earlier try may have made them
            self.engine.keeper.give_up_later(child.run_id, 1, self.engine.clock.now())
        self.close(error)
        self.engine.commit_failed(self, error)

    def _succeed(self, batch: Batch, result: Committed) -> None:
        self._in_flight = None
        self.is_created = True
        self.committed = batch.first_seq + len(batch.ticks)
        if batch.status is not None:
            self._status = batch.status
            self.is_settled = batch.status in FINAL
        ticks, held = self._flying
        covered, self._covered = self._covered, []
        if ticks:
            self.actor.entries.extend(ticks)
            self.actor.wake_readers()
        self.engine.committed(self, batch, held, result)
        for future in covered:
            if not future.done():
                future.set_result(None)
        if self._next and self.error is None:
            self._start()
        else:
            self.flush_soon()
            if not self.actor.has_drivers or self.actor.is_passive:
                self.engine.rest_if_quiet(self.actor)

    def _take(self) -> Batch:
        actor, state, engine = self.actor, self.actor.state, self.engine
        batch = Batch(actor.run_id, self.epoch, self.committed, engine.clock.now(), engine.worker, self._texts)
        self._texts = []
        self._has_work = False
        self._flying = (self._ticks, self._held)
        self._ticks, self._held = [], []
        if self._create is not None:
            batch.create, self._create = self._create, None
            self._status = "running"
        if self._consumed:
            batch.consumed, self._consumed = self._consumed, []
        if self._posts:
            batch.posts, self._posts = self._posts, []
        if self._children:
            batch.children, self._children = self._children, []
        if self._flows:
            batch.flows, self._flows = self._flows, []
        if self._requests:
            batch.requests = list(self._requests.values())
            self._requests = {}
            batch.untold, self._untold = self._untold, []
        if self._audit:
            batch.audit, self._audit = self._audit, []
        status = engine.status_of(actor)
        if status != self._status:
            batch.status = status
        if state.is_over:
            batch.outcome = outcome_of(actor, self.codec)
        batch.releases = self.is_releasing = engine.may_release(actor, self)
        if batch.releases:
            batch.wake_at = None if state.is_over else engine.wake_at_of(actor)
        self._add_snapshot(batch)
        return batch

    def _add_snapshot(self, batch: Batch) -> None:
        rule = self.engine.snapshots
        self._tail_ticks += len(batch.ticks)
        self._tail_bytes += sum(map(len, batch.ticks))
        if batch.releases or self.actor.state.is_over:
            is_due = self._tail_ticks > rule.idle_ticks
        else:
            is_due = self._tail_ticks > rule.ticks and self._tail_bytes > max(rule.bytes, self._snapshot_bytes)
        if is_due and not self.actor.state.pending:
            text = dumps(encode_state(self.actor.state, self.codec))
            batch.snapshot = (batch.first_seq + len(batch.ticks), text)
            self._tail_ticks = self._tail_bytes = 0
            self._snapshot_bytes = len(text)


def _retries(error: StoreError) -> int:
    if isinstance(error, StoreBusy):
        return BUSY_RETRIES
    if isinstance(error, Fenced) or error.code.startswith(("run.", "flow.", "store.conflict", "store.closed")):
        return 0
    return FAULT_RETRIES
