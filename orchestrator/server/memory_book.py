"""Runs in the memory of this process: of Python workflows, and of flows served without a store. The newest ended ones are kept.

A run that is let go of and restored (a functional workflow over its own storage) goes on under its id; its log is numbered on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from orchestrator.authoring.run_path import path_of
from orchestrator.draw.overlay import RunPath
from orchestrator.errors import JournalConflict, RunFinished, UnknownRun
from orchestrator.ir.model import FlowIR
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.answering import AnswerRefused, answer_request
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.people import Request
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.snapshot import fold
from orchestrator.runtime.state import RunState
from orchestrator.server.book import Reply, RequestRow, RunDetail, RunQuery, RunRow
from orchestrator.server.problems import Refused
from orchestrator.server.run_views import shown_error, state_view, status_of, waiting_steps
from orchestrator.server.tick_views import Json, StepNames, entry_view, to_json

KEEP_ENDED = 1_000
KEEP_CLOSED = 5_000


@dataclass(slots=True)
class Record:
    """A run with what the server knows beside its state. `segments` are (number of its first entry, actor)."""

    actor: Actor
    created_at: float
    segments: list[tuple[int, Actor]]
    number: int
    names: StepNames = field(default_factory=StepNames)
    is_released: bool = False

    def entries(self, after: int) -> Iterator[tuple[int, Any]]:
        """The log from after a number on."""
        for first, actor in self.segments:
            log = actor.log
            for place in range(max(0, after + 1 - first), len(log)):
                yield first + place, log[place]

    @property
    def end(self) -> int:
        """The number after the last entry."""
        first, actor = self.segments[-1]
        return first + len(actor.log)


class MemoryEngine(Engine):
    """An engine whose runs can be looked up after they have ended."""

    def __init__(self, *, clock: Clock | None = None, keep_ended: int = KEEP_ENDED) -> None:
        super().__init__(clock=clock)
        self.records: OrderedDict[str, Record] = OrderedDict()
        self.on_change: list[Callable[[Record], None]] = []
        self.on_drop: list[Callable[[str], None]] = []
        self._keep = keep_ended
        self._count = 0
        self._ended: OrderedDict[str, None] = OrderedDict()

    def create(self, plan: FlowPlan, *, run_id: str | None = None, state: RunState | None = None) -> Actor:
        """A new actor, kept on record. Raises: JournalConflict if a run of this id is known and this is a new one."""
        known = self.records.get(run_id) if run_id is not None else None
        if known is not None and state is None:
            raise JournalConflict(f"there is a run {run_id!r} already", code="run.exists")
        actor = super().create(plan, run_id=run_id, state=state)
        if known is not None:
            known.segments.append((max(known.end, actor.base), actor))
            known.actor, known.is_released = actor, False
            record = known
        else:
            first = state.seq if state is not None else 0
            self._count += 1
            record = Record(actor, self.clock.now(), [(first, actor)], self._count)
            self.records[actor.run_id] = record
        for listener in self.on_change:
            listener(record)
        return actor

    def finished(self, actor: Actor) -> None:
        """A run has ended: it stays on record, the oldest of too many does not."""
        super().finished(actor)
        self._ended[actor.run_id] = None
        while len(self._ended) > self._keep:
            self.drop(next(iter(self._ended)))

    def drop(self, run_id: str) -> None:
        """Take a run that has ended off the record."""
        self._ended.pop(run_id, None)
        self.records.pop(run_id, None)
        for listener in self.on_drop:
            listener(run_id)

    def forget(self, actor: Actor) -> None:
        """A run was let go of; it is on record, and can be restored by whoever keeps it."""
        super().forget(actor)
        record = self.records.get(actor.run_id)
        if record is not None and record.actor is actor and actor.state.status.value == "new":
            self.drop(actor.run_id)  # it was not let in (`concurrency`), so there never was a run
        elif record is not None and record.actor is actor and not actor.is_over:
            record.is_released = True


class MemoryBook:
    """The `RunBook` over a `MemoryEngine`."""

    is_durable = False

    def __init__(self, engine: MemoryEngine) -> None:
        self.engine = engine
        self._requests: OrderedDict[tuple[str, str], tuple[Record, Request, str, float | None]] = OrderedDict()
        self.on_request: list[Callable[[RequestRow], None]] = []
        self.meta: dict[str, dict[str, Any]] = {}
        self.expected: dict[str, RunRow] = {}  # runs that wait for others of their workflow to end
        engine.listeners.append(self._noticed)
        engine.on_drop.append(self._dropped)

    # Runs.

    async def runs(self, query: RunQuery, before: int | None, limit: int) -> list[RunRow]:
        """At most `limit` runs, newest first; those that queue for their workflow come first. Cost: linear in the runs."""
        found = [row for row in self._still_expected() if before is None and query.takes(row)]
        for record in reversed(self.engine.records.values()):
            if len(found) >= limit:
                break
            if before is None or record.number < before:
                row = self.row(record)
                if query.takes(row):
                    found.append(row)
        return found[:limit]

    async def run(self, run_id: str) -> RunDetail:
        """One run. Raises: UnknownRun."""
        if self._is_queued(run_id):
            return RunDetail(self.expected[run_id])
        record = self.record(run_id)
        state = record.actor.state
        result = None if state.result is None else _result(state.result.value)
        inputs = state.inputs if state.inputs is not None else _start_value(record)
        return RunDetail(
            self.row(record),
            to_json(inputs),
            to_json(result),
            tuple(state.children),
            self.note(record, "idem"),
        )

    async def started_by(self, run_id: str) -> str:
        """Who started a run."""
        return self.note(self.record(run_id), "by")

    def _dropped(self, run_id: str) -> None:
        self.meta.pop(run_id, None)

    def expect(self, run_id: str, flow: str, handler: Any) -> None:
        """A run was asked for; it is queued until it begins."""
        if run_id not in self.engine.records and not handler.is_done():
            by = str(self.meta.get(run_id, {}).get("by", ""))
            self.expected[run_id] = RunRow(run_id, flow, "class", "", "queued", self.engine.clock.now(), started_by=by)

    def _is_queued(self, run_id: str) -> bool:
        return run_id in self.expected and run_id not in self.engine.records

    def _still_expected(self) -> list[RunRow]:
        for run_id in [run_id for run_id in self.expected if run_id in self.engine.records]:
            del self.expected[run_id]
        return list(self.expected.values())

    def record(self, run_id: str) -> Record:
        """The record of a run. Raises: UnknownRun."""
        record = self.engine.records.get(run_id)
        if record is None:
            raise UnknownRun(f"there is no run {run_id!r}")
        return record

    async def log(self, run_id: str, after: int, limit: int, *, is_whole: bool = False) -> list[Json]:
        """What happened in a run after a number, oldest first."""
        record = self.record(run_id)
        names = record.names
        if names.seen < after:
            for seq, entry in record.entries(names.seen):
                if seq > after:
                    break
                names.learn(seq, entry)
        codec = record.actor.plan.codec
        out: list[Json] = []
        for seq, entry in record.entries(after):
            out.append(entry_view(seq, entry, names, codec, is_whole=is_whole))
            if len(out) >= limit:
                break
        return out

    async def grown(self, run_id: str, after: int) -> None:
        """Wait until there is more than `after`, or the run is over."""
        record = self.record(run_id)
        if record.end > after + 1 or record.actor.is_over:
            return
        if record.is_released:
            await asyncio.sleep(0.2)  # nobody here holds it; it may be restored at any time
            return
        await record.actor.wait_for_more()

    async def state(self, run_id: str, at: int | None) -> Json:
        """The state, now or after a tick."""
        record = self.record(run_id)
        return state_view(record.actor.state if at is None else self._state_at(record, at))

    async def status(self, run_id: str) -> str:
        """A run's status."""
        return "queued" if self._is_queued(run_id) else self.row(self.record(run_id)).status

    async def path(self, run_id: str, at: int | None) -> tuple[FlowIR, RunPath]:
        """A run's flow and the path it took."""
        record = self.record(run_id)
        entries = [entry for seq, entry in record.entries(-1) if at is None or seq <= at]
        state = record.actor.state if at is None else self._state_at(record, at)
        return record.actor.plan.stored_ir, path_of(record.actor.plan, entries, state)

    def _state_at(self, record: Record, at: int) -> RunState:
        if len(record.segments) > 1:  # a run that was restored: its parts cannot be folded into one
            return record.actor.state
        ticks = [entry for seq, entry in record.entries(-1) if seq <= at and type(entry) is not tuple]
        return fold(record.actor.plan, RunState(), ticks)

    async def cancel(self, run_id: str, reason: str) -> None:
        """Cancel a run. Raises: UnknownRun, RunFinished."""
        actor = self.live(run_id)
        actor.apply(t.Cancel(0, 0.0, -1, "cancelled", reason))

    async def check(self) -> str:
        """Memory is always well."""
        return "ok"

    def live_count(self) -> int:
        """How many runs have not ended."""
        return len(self.engine.runs)

    def live(self, run_id: str) -> Actor:
        """The actor of a run that has not ended. Raises: UnknownRun, RunFinished."""
        record = self.record(run_id)
        if record.actor.is_over:
            raise RunFinished(f"run {run_id!r} has ended ({record.actor.state.status.value})")
        if record.is_released:
            raise RunFinished(f"run {run_id!r} is not held by this process any more", code="run.released")
        return record.actor

    def row(self, record: Record) -> RunRow:
        """A run as a list shows it."""
        actor = record.actor
        state, ir = actor.state, actor.plan.ir
        return RunRow(
            actor.run_id,
            self.note(record, "flow") or ir.name,
            ir.kind,
            actor.plan.hash[:12] if ir.kind == "yaml" else "",
            _shown_status(record),
            record.created_at,
            state.ended_at or None if state.is_over else None,
            actor.parent[0] if actor.parent is not None else None,
            self.note(record, "by"),
            waiting_steps(state) if not state.is_over else (),
            shown_error(state.error),
            record.number,
            tuple(self._noted(record).get("tags") or ()),
        )

    def _noted(self, record: Record) -> dict[str, Any]:
        return self.meta.get(record.actor.run_id) or record.actor.state.meta

    def note(self, record: Record, name: str) -> str:
        """What the server noted of a run: by, flow, idem."""
        return str(self._noted(record).get(name, ""))

    # Requests.

    def _noticed(self, actor: Actor, request_id: str, what: str) -> None:
        record = self.engine.records.get(actor.run_id)
        if record is None:
            return
        key = (actor.run_id, request_id)
        request = actor.state.requests.get(request_id)
        if request is not None:
            self._requests[key] = (record, request, "open", None)
        elif key in self._requests:
            record, request, _, _ = self._requests[key]
            self._requests[key] = (record, request, what, self.engine.clock.now())
            self._requests.move_to_end(key)
            self._trim()
        else:
            return
        for listener in self.on_request:
            listener(self._request_row(*self._requests[key]))

    def _trim(self) -> None:
        while len(self._requests) > KEEP_CLOSED:
            key, entry = self._requests.popitem(last=False)
            if entry[2] == "open":
                self._requests[key] = entry
                return

    async def requests(self, state: str | None, limit: int) -> list[RequestRow]:
        """Requests of a state (None: closed ones), the newest first."""
        found: list[RequestRow] = []
        for entry in reversed(self._requests.values()):
            if (entry[2] == state) if state is not None else entry[2] != "open":
                found.append(self._request_row(*entry))
        found.sort(key=lambda row: row.closed_at or row.opened_at, reverse=True)
        return found[:limit]

    async def request(self, run_id: str, request_id: str) -> RequestRow:
        """One request. Raises: Refused 404."""
        entry = self._requests.get((run_id, request_id))
        if entry is None:
            raise Refused(
                404, "request.unknown", "there is no such request", "GET /api/requests lists those that are open"
            )
        return self._request_row(*entry)

    async def reply(self, run_id: str, reply: Reply) -> None:
        """Act on a request."""
        if (run_id, reply.request_id) not in self._requests:
            raise Refused(
                404, "request.unknown", "there is no such request", "GET /api/requests lists those that are open"
            )
        record = self.record(run_id)
        if record.actor.is_over:
            raise AnswerRefused("conflict", "request.closed", "this request has been decided or has expired")
        answer_request(
            record.actor,
            reply.request_id,
            user=reply.user,
            groups=list(reply.groups),
            form=reply.form,
            action=reply.action,
            revision=reply.revision,
            item=reply.item,
        )

    def _request_row(self, record: Record, request: Request, state: str, closed_at: float | None) -> RequestRow:
        actor = record.actor
        return RequestRow(
            actor.run_id,
            request.id,
            self.note(record, "flow") or actor.plan.ir.name,
            request.step,
            state,
            request.opened_at,
            request.data,
            request.revision,
            request.text,
            request.claimed_by,
            tuple(request.delegates),
            request.is_escalated,
            closed_at,
            _outcome(request, state),
            tuple({**a, "item": n} for n, ballot in enumerate(request.ballots) for a in ballot.answers),
            tuple(request.history),
        )


def _outcome(request: Request, state: str) -> str | None:
    if state == "open":
        return None
    outcomes = {ballot.outcome for ballot in request.ballots if ballot.outcome is not None}
    return state if not outcomes else next(iter(outcomes)) if len(outcomes) == 1 else "answered"


def _result(value: Any) -> Any:
    """What a run gave: a plain StopEvent stands for its result."""
    own = getattr(value, "_get_result", None)
    return own() if callable(own) else value


def _start_value(record: Record) -> Any:
    first = record.segments[0][1].log
    return first[0].value if first and isinstance(first[0], t.Started) else None


def _shown_status(record: Record) -> str:
    """As a store tells it: a flow's run that has not begun stands in the queue of its `concurrency`."""
    if record.is_released:
        return "waiting"
    status = status_of(record.actor.state)
    return "queued" if status == "new" and record.actor.plan.ir.kind == "yaml" else status
