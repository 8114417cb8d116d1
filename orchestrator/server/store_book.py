"""Runs in a store, as the server sees them: rows for lists, ticks for logs; runs are held only while something is done to them.

What this process commits wakes readers at once; what others commit is noticed by asking the store for changes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.authoring.run_path import path_of
from orchestrator.authoring.run_service import RunService
from orchestrator.dispatch.submit import submit_run
from orchestrator.draw.overlay import RunPath
from orchestrator.errors import OrchestratorError, StoreError
from orchestrator.ir.codec import flow_from_json
from orchestrator.ir.model import FlowIR
from orchestrator.journal import store as s
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.codec import PLAIN, decode_tick
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.engine import new_run_id
from orchestrator.runtime.journal import Batch, InboxEntry
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.snapshot import fold
from orchestrator.runtime.state import RunState
from orchestrator.server.book import Reply, RequestRow, RunDetail, RunQuery, RunRow
from orchestrator.server.problems import Refused
from orchestrator.server.run_views import state_view, waiting_steps
from orchestrator.server.tick_views import Json, StepNames, entry_view, to_json

POLL_S = 0.25
KEEP_NAMES = 500
CHUNK = 1_000
CLOSED = ("decided", "timeout", "undecided", "cancelled")


class StoreBook:
    """The `RunBook` over a store and the engine that runs on it. `serves`: whether runs that are due are taken here."""

    is_durable = True

    def __init__(self, engine: DurableEngine, store: s.Store, *, serves: bool = True) -> None:
        self.engine = engine
        self.store = store
        self.service = RunService(engine)
        self.on_run: list[Callable[[RunRow, int, bool], None]] = []
        self.on_request: list[Callable[[RequestRow], None]] = []
        self.on_elsewhere: list[Callable[[], None]] = []
        self.has_classes: Callable[[], bool] = lambda: False
        self.served_name: Callable[[str], str] = lambda flow: flow
        self._serves = serves
        self._names: OrderedDict[str, StepNames] = OrderedDict()
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._commits = 0
        engine.on_committed.append(self._committed)

    async def open(self) -> None:
        """Take runs that are due, and watch for what other processes do."""
        if self._serves:
            self.engine.serve()
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def close(self, grace_s: float = 5.0) -> None:
        """Let what runs come to rest, commit it, give up every run, close the store."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.engine.aclose(grace_s=grace_s)
        await self.store.aclose()

    def rebind(self) -> None:
        """The project was loaded anew."""
        self.engine.rebind()

    async def check(self) -> str:
        """`ok`, or what is wrong with the store."""
        try:
            await self.store.next_due(now=self.engine.clock.now())
        except OrchestratorError as error:
            return str(error)
        return "ok"

    def live_count(self) -> int:
        """How many runs this process holds."""
        return len(self.engine.runs)

    # Runs.

    async def start(self, plan: FlowPlan, inputs: Mapping[str, Json], run_id: str, meta: dict[str, Any]) -> None:
        """Start a YAML flow; committed when this returns. Where runs are left to workers, one of them begins it."""
        if not self._serves:
            await submit_run(self.engine, plan, inputs, run_id=run_id, meta=meta)
            return
        await self.service.start(plan, inputs, run_id=run_id, meta=meta)

    async def runs(self, query: RunQuery, before: int | None, limit: int) -> list[RunRow]:
        """At most `limit` runs, newest first."""
        flow = self._one_flow(query)
        which = s.RunFilter(
            flow=flow, statuses=query.statuses, since=query.since, until=query.until, parent=query.parent
        )
        found: list[RunRow] = []
        while len(found) < limit:
            page = await self.store.runs(which, before=before, limit=max(limit, 50))
            rows = [row for row in map(self._row, page.rows) if query.takes(row)]
            found += rows[: limit - len(found)]
            if page.next is None:
                break
            before = page.next
        return [await self._with_waiting(row) for row in found]

    def _one_flow(self, query: RunQuery) -> str | None:
        """The flow that the store may look for by itself; classes are served under other names than their flows have."""
        if len(query.flows) != 1 or self.has_classes():
            return None
        return query.flows[0]

    async def run(self, run_id: str) -> RunDetail:
        """One run. Raises: UnknownRun."""
        stored = await self.store.run(run_id)
        row = await self._with_waiting(self._row(stored))
        outcome = stored.outcome if isinstance(stored.outcome, dict) else {}
        children = await self.store.runs(s.RunFilter(parent=run_id), limit=200)
        idem = str((stored.meta or {}).get("idem", ""))
        ids = tuple(child.run_id for child in reversed(children.rows))
        result = outcome.get("result")
        if stored.kind == "class" and outcome.get("type") == "StopEvent" and isinstance(result, dict):
            result = result.get("result")  # a plain StopEvent stands for its result
        return RunDetail(row, await self._inputs(run_id), to_json(result), ids, idem)

    async def status(self, run_id: str) -> str:
        """A run's status."""
        return (await self.store.run(run_id)).status

    async def started_by(self, run_id: str) -> str:
        """Who started a run."""
        return self._row(await self.store.run(run_id)).started_by

    async def _inputs(self, run_id: str) -> Json:
        try:
            first = await self.store.ticks(run_id, -1, 1)
        except StoreError:
            return None  # its beginning was pruned
        if not first or first[0][1][0] != "started":
            return None
        tick: Any = decode_tick(first[0][0], first[0][1], PLAIN)
        return to_json(tick.inputs if tick.inputs is not None else tick.value)

    async def _with_waiting(self, row: RunRow) -> RunRow:
        if row.status not in ("waiting", "running"):
            return row
        actor = self.engine.runs.get(row.run_id)
        if actor is not None:
            return replace(row, waiting=waiting_steps(actor.state))
        asked = await self.store.requests(run_id=row.run_id, limit=50)
        return replace(row, waiting=tuple(sorted({request.step for _, request in asked})))

    async def log(self, run_id: str, after: int, limit: int, *, is_whole: bool = False) -> list[Json]:
        """What happened in a run after a number, oldest first."""
        names = await self._names_until(run_id, after)
        rows = await self.store.ticks(run_id, after, limit)
        return [entry_view(seq, decode_tick(seq, row, PLAIN), names, None, is_whole=is_whole) for seq, row in rows]

    async def _names_until(self, run_id: str, after: int) -> StepNames:
        names = self._names.get(run_id)
        if names is None:
            names = self._names[run_id] = StepNames()
            if len(self._names) > KEEP_NAMES:
                self._names.popitem(last=False)
        self._names.move_to_end(run_id)
        while names.seen < after:
            rows = await self.store.ticks(run_id, names.seen, min(CHUNK, after - names.seen))
            if not rows:
                break
            for seq, row in rows:
                names.learn(seq, decode_tick(seq, row, PLAIN) if row[0] == "step" else None)
        return names

    async def grown(self, run_id: str, after: int) -> None:
        """Wait until the log may hold more than `after`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(run_id, set())
        waiting.add(future)
        try:
            stored = await self.store.run(run_id)
            if stored.status in ("done", "failed", "cancelled", "timeout") or await self.store.ticks(run_id, after, 1):
                return
            await future
        finally:
            waiting.discard(future)
            if not waiting and self._waiting.get(run_id) is waiting:
                del self._waiting[run_id]

    async def _ticks(self, run_id: str, until: int | None) -> list[Any]:
        found: list[Any] = []
        place = -1
        while until is None or place < until:
            rows = await self.store.ticks(run_id, place, CHUNK)
            if not rows:
                break
            place = rows[-1][0]
            found += [decode_tick(seq, row, PLAIN) for seq, row in rows if until is None or seq <= until]
        return found

    async def plan_of(self, run_id: str) -> FlowPlan:
        """The bound version of the flow that a run began with. Raises: UnknownRun, StoreError, PluginError."""
        stored = await self.store.run(run_id)
        ir = await self.store.get_flow(stored.flow_hash)
        if ir is None:
            raise StoreError(f"the store lacks version {stored.flow_hash[:12]} of flow `{stored.flow}`")
        return self.engine.bind(flow_from_json(ir))

    async def state(self, run_id: str, at: int | None) -> Json:
        """The state, now or after a tick."""
        actor = self.engine.runs.get(run_id)
        if at is None and actor is not None:
            return state_view(actor.state)
        return state_view(await self._folded(run_id, at))

    async def _folded(self, run_id: str, at: int | None) -> RunState:
        return fold(await self.plan_of(run_id), RunState(), await self._ticks(run_id, at))

    async def path(self, run_id: str, at: int | None) -> tuple[FlowIR, RunPath]:
        """A run's flow and the path it took."""
        plan = await self.plan_of(run_id)
        ticks = await self._ticks(run_id, at)
        return plan.stored_ir, path_of(plan, ticks, fold(plan, RunState(), ticks))

    async def cancel(self, run_id: str, reason: str) -> None:
        """Cancel a run, also one that waits in the store or is held elsewhere."""
        await self.service.cancel(run_id, reason)

    async def send(self, run_id: str, event: str, data: Mapping[str, Json], step: str | None) -> None:
        """Send an event into a run that takes it."""
        value = {"type": event, "value": dict(data), "target": step}
        await self.engine.deliver(InboxEntry(run_id, "event", value, f"sent/{new_run_id()}", self.engine.clock.now()))

    def _row(self, stored: s.RunRow) -> RunRow:
        meta = stored.meta if isinstance(stored.meta, dict) else {}
        return RunRow(
            stored.run_id,
            str(meta.get("flow") or self.served_name(stored.flow)),
            stored.kind,
            stored.flow_hash[:12],
            stored.status,
            stored.created_at,
            stored.ended_at,
            stored.parent,
            str(meta.get("by") or ""),
            (),
            to_json(stored.error or stored.parked),
            stored.rk,
            tuple(map(str, meta.get("tags") or ())),
        )

    # Requests.

    async def requests(self, state: str | None, limit: int) -> list[RequestRow]:
        """Requests of a state (None: closed ones), the newest first."""
        found: list[RequestRow] = []
        for one in CLOSED if state is None else (state,):
            after = 0
            while len(found) < 50_000:
                rows = await self.store.requests(state=one, after=after, limit=CHUNK)
                found += [_request(row) for _, row in rows]
                if len(rows) < CHUNK:
                    break
                after = rows[-1][0]
        found.sort(key=lambda row: row.closed_at or row.opened_at, reverse=True)
        return found[:limit]

    async def request(self, run_id: str, request_id: str) -> RequestRow:
        """One request. Raises: Refused 404."""
        for state in ("open", *CLOSED):
            after = 0
            while True:
                rows = await self.store.requests(state=state, run_id=run_id, after=after, limit=CHUNK)
                for _, row in rows:
                    if row.request_id == request_id:
                        return _request(row)
                if len(rows) < CHUNK:
                    break
                after = rows[-1][0]
        raise Refused(404, "request.unknown", "there is no such request", "GET /api/requests lists those that are open")

    async def reply(self, run_id: str, reply: Reply) -> None:
        """Act on a request; committed when this returns."""
        await self.request(run_id, reply.request_id)
        await self.service.answer(
            run_id,
            reply.request_id,
            user=reply.user,
            groups=list(reply.groups),
            form=dict(reply.form),
            action=reply.action,
            revision=reply.revision,
            item=reply.item,
        )

    # Changes.

    def _committed(self, actor: Actor, batch: Batch) -> None:
        self._commits += 1
        self._wake(batch.run_id)
        meta = actor.state.meta
        flow = str(meta.get("flow") or self.served_name(actor.plan.ir.name))
        status = batch.status or self.engine.status_of(actor)
        row = RunRow(batch.run_id, flow, actor.plan.ir.kind, actor.plan.hash[:12], status, batch.at)
        for listener in self.on_run:
            listener(row, batch.first_seq + len(batch.ticks) - 1, batch.create is not None)
        for request in batch.requests:
            for told in self.on_request:
                told(_request(request))

    def _wake(self, run_id: str) -> None:
        for future in self._waiting.get(run_id, ()):
            if not future.done():
                future.set_result(None)

    async def _watch(self) -> None:
        """Notice what other processes commit."""
        seen = await self.store.changes()
        commits = self._commits
        while True:
            await asyncio.sleep(POLL_S)
            try:
                now = await self.store.changes()
            except OrchestratorError:
                continue  # `check` says so; the store may be well again
            if now == seen:
                continue
            is_own, seen, commits = commits != self._commits, now, self._commits
            for run_id in list(self._waiting):
                if run_id not in self.engine.runs:
                    self._wake(run_id)
            if not is_own:
                for listener in self.on_elsewhere:
                    listener()


def _request(row: Any) -> RequestRow:
    data: dict[str, Any] = row.data or {}
    outcomes = [outcome for outcome in data.get("outcomes", ()) if outcome is not None]
    distinct = set(outcomes)
    outcome = (
        None
        if row.state == "open"
        else row.state
        if not distinct
        else outcomes[0]
        if len(distinct) == 1
        else "answered"
    )
    return RequestRow(
        row.run_id,
        row.request_id,
        row.flow,
        row.step,
        row.state,
        row.opened_at,
        data,
        int(data.get("revision", 1)),
        data.get("text"),
        data.get("claimed_by"),
        tuple(data.get("delegates", ())),
        bool(data.get("escalated")),
        row.closed_at,
        outcome,
        tuple(data.get("answers", ())),
        tuple(data.get("history", ())),
        str(data.get("kind", "ask")),
    )
