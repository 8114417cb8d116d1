"""Runs of a functional workflow over a store: the journal and engine that flow files and workflow classes use too.

A run is held here (pinned) while somebody waits for it, and given back when it pauses; then it is rows only. Whoever serves
the store and knows the workflow by name can go on with it after a crash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.engines import engine_of, host_of
from orchestrator.authoring.run_start import is_durable
from orchestrator.errors import JournalConflict, OrchestratorError, RunError, RunFinished, StoreError, UnknownRun
from orchestrator.functional.body import session_of
from orchestrator.functional.errors import FORKED, ReplayDiverged, RequestError, RunArgumentError
from orchestrator.functional.questions import several_runs, unknown_request
from orchestrator.functional.session import Phase, RunSession
from orchestrator.functional.values import decode
from orchestrator.journal.store import RunRow, Store
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.journal import FINAL, InboxEntry

if TYPE_CHECKING:  # they make this
    from orchestrator.functional.workflow import FunctionalWorkflow
    from orchestrator.runtime.durable import DurableEngine

PAGE = 1_000
_RELAYED = re.compile(r".*#\d+/([^/]+?)(?:/\d+)?")  # path of a called flow / its request / how often it was asked again


def engine_for(store: Any) -> Engine:  # a URL, a Journal or an engine
    """The engine of a store. Raises: UsageError, StoreError."""
    return engine_of(store)


class StoredRuns:
    """The runs of one workflow in one durable store."""

    def __init__(self, workflow: FunctionalWorkflow[Any], engine: Engine) -> None:
        assert is_durable(engine)
        any_engine: Any = engine
        self.workflow = workflow
        self.engine: DurableEngine = any_engine
        self.store: Store = any_engine.journal
        host_of(engine).functions[workflow.name] = workflow
        self.engine._plans[workflow.plan.hash] = workflow.plan  # the newest of a name counts, also for runs to be woken

    async def start(self, started: t.Started, run_id: str | None) -> tuple[RunSession, Phase]:
        """A new run, committed. Raises: JournalConflict if one of this id exists."""
        made: list[tuple[RunSession, Phase]] = []

        def attach(actor: Actor) -> None:
            session = RunSession(self.workflow, actor)
            made.append((session, session.begin_phase(is_announced=False)))

        await self.engine.start(self.workflow.plan, started, run_id=run_id, pin=True, attach=attach)
        session, phase = made[0]
        self._keep(session)
        return session, phase

    async def find(self, run_id: str) -> RunSession:
        """A run by its id; one that has ended is only looked at. Raises: UnknownRun, StoreBusy, RunArgumentError."""
        session = self.workflow.sessions.get(run_id)
        if session is not None and session.actor.engine is self.engine:
            return session
        row = await self.store.run(run_id)
        if row.flow != self.workflow.name:
            raise RunArgumentError(f"run {run_id!r} is one of `{row.flow}`, not of workflow `{self.workflow.name}`")
        if row.status in FINAL:
            return await self._read(run_id, row.flow, row.flow_hash)
        if row.status == "parked":
            await self._try_again(row)
        self.workflow.opening.add(run_id)
        try:
            actor = await self.engine.acquire(run_id)
            self._rebind(actor)
            session = session_of(self.workflow, actor)
            for tick in await self.engine.earlier(run_id, actor.plan, 0, actor.base):
                if isinstance(tick, t.WaitOpened):
                    session.keep_questions([tick])
        except RunFinished:
            return await self._read(run_id, row.flow, row.flow_hash)
        finally:
            self.workflow.opening.discard(run_id)
        self._keep(session)
        return session

    async def _try_again(self, row: RunRow) -> None:
        """Take a run back that was set aside because its function diverged: the function may be back. Raises: StoreError."""
        reason = row.parked or {}
        if reason.get("code") not in (ReplayDiverged.code, FORKED):
            raise StoreError(f"run {row.run_id!r} is set aside: {reason.get('message')}", code=reason.get("code"))
        now = self.engine.clock.now()
        await self.store.post(InboxEntry(row.run_id, "redo", {}, f"redo:{now}", now))

    async def find_known(self, run_id: str, has_message: bool) -> RunSession | None:
        """The run of an id, if there is one. Raises: JournalConflict if a message would start it again."""
        try:
            await self.store.run(run_id)
        except UnknownRun:
            return None
        if has_message:
            raise JournalConflict(f"run {run_id!r} exists already; leave the message out to go on with it")
        return await self.find(run_id)

    async def find_waiting(self, responses: Mapping[str, Any]) -> RunSession:
        """The one run that waits and has asked for all these answers. Raises: RequestError.

        Cost: by index; linear in the runs that wait for one of these answers.
        """
        wanted = set(responses)
        asking = {run_id for name in wanted for run_id in await self._runs_asking(name, "open")}
        if not asking:  # answers that were given before, of a run that waits for others
            asking = {run_id for name in wanted for run_id in await self._runs_asking(name, "decided")}
        found = sorted([run_id for run_id in asking if await self._waits_for(run_id, wanted)])
        if not found:
            rows = await self.store.requests(limit=1_000)
            pending = {row.request_id for _, row in rows if row.flow == self.workflow.name}
            lost = next((name for name in sorted(wanted) if name not in pending), sorted(wanted)[0])
            raise RequestError(f"workflow `{self.workflow.name}`: " + unknown_request(lost, sorted(pending)))
        if len(found) > 1:
            raise RequestError(several_runs(self.workflow.name, wanted, found))
        return await self.find(found[0])

    async def _runs_asking(self, request_id: str, state: str) -> set[str]:
        """The runs of this workflow that have a question of this id in a state, or repeat one of a flow that they called."""
        relayed = _RELAYED.fullmatch(request_id)
        if relayed is not None:
            rows = await self.store.requests(state=state, request_id=relayed[1].rpartition("~")[2], limit=PAGE)
            callers = [await self._caller_of(row.run_id) for _, row in rows]
            return {caller for caller in callers if caller is not None}
        found: set[str] = set()
        after = 0
        while True:
            rows = await self.store.requests(state=state, request_id=request_id, after=after, limit=PAGE)
            found.update(row.run_id for _, row in rows if row.flow == self.workflow.name)
            if len(rows) < PAGE:
                return found
            after = rows[-1][0]

    async def _caller_of(self, run_id: str) -> str | None:
        """The run of this workflow that has called a run, itself or through others."""
        row = await self.store.run(run_id)
        while row.parent is not None:
            row = await self.store.run(row.parent)
            if row.flow == self.workflow.name:
                return row.run_id
        return None

    async def _waits_for(self, run_id: str, wanted: set[str]) -> bool:
        """Whether a run waits, and has asked for all these answers."""
        wanted = {name for name in wanted if not _RELAYED.fullmatch(name)}
        if not wanted:
            return True
        waits = {row.request_id for _, row in await self.store.requests(run_id=run_id, limit=PAGE)}
        decided = await self.store.requests(state="decided", run_id=run_id, limit=PAGE) if wanted - waits else ()
        return bool(waits) and wanted <= waits | {row.request_id for _, row in decided}

    async def fork(self, session: RunSession, error: ReplayDiverged) -> RunSession:
        """A new run with what was recorded before a call that is not repeated; the old one is set aside. Raises: UsageError."""
        from orchestrator.dispatch.operate import fork

        run_id, plan = session.actor.run_id, session.actor.plan
        reason: OrchestratorError = error
        try:
            ticks = await self.engine.earlier(run_id, plan, 0, session.actor.next_seq)
            cut = next((tick.seq for tick in ticks if getattr(tick, "path", None) == error.path), len(ticks))
            forked = await fork(self.store, run_id, cut - 1, self.engine.bind, now=self.engine.clock.now())
            reason = RunError(
                f"run {forked} goes on in its place, a fork from before the call at `{error.path}`; this one is as it was, "
                "and goes on if its function is put back and it is resumed by its id",
                run_id=run_id,
                code=FORKED,
            )
        finally:
            await self.engine.set_aside(session.actor, reason)
        return await self.find(forked)

    async def _read(self, run_id: str, flow: str, flow_hash: str) -> RunSession:
        actor = await self.engine.read(run_id, flow, flow_hash)
        told, actor.entries = actor.entries, []
        actor.base = told[-1].seq + 1 if told else 0
        session = RunSession(self.workflow, actor)
        session.keep_questions(tick for tick in told if isinstance(tick, t.WaitOpened))
        ends = [tick for tick in told if isinstance(tick, t.StepSettled | t.Cancel)]
        session.last_tick = ends[-1] if ends else None
        for tick in told:
            if isinstance(tick, t.EventIn):
                session.given[tick.type.removeprefix("?")] = decode(tick.value, None)
        return session

    def _rebind(self, actor: Actor) -> None:
        """Have a run that rests go on with this definition of the workflow, not with an older one of this process."""
        plan, known = self.workflow.plan, actor.data
        if actor.plan is plan or (isinstance(known, RunSession) and known.current is not None):
            return
        actor.plan = plan
        for act in actor.state.acts.values():
            act.step = plan.steps[self.workflow.name]
        actor.data = None

    def _keep(self, session: RunSession) -> None:
        session.unpin = self.engine.unpin
        self.workflow.sessions[session.actor.run_id] = session
