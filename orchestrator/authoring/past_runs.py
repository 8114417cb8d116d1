"""What can be done with the record of a stored run: check it, go on from a point of it, run it again from a step.

Nothing changes a record: a fork is a new run that begins with a copy of the ticks until its point. A point is moved on to
where nothing is half done: a tick and the starts and guards that follow from it belong together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.errors import OrchestratorError, StoreError, UsageError
from orchestrator.ir.codec import flow_from_json
from orchestrator.journal.store import Store, StoredRun
from orchestrator.runtime import ticks as t
from orchestrator.runtime.codec import PLAIN, decode_tick, encode_tick
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.engine import new_run_id
from orchestrator.runtime.journal import AuditRow
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.reduce import reduce_tick
from orchestrator.runtime.reduction import Reduction
from orchestrator.runtime.rows import request_row
from orchestrator.runtime.snapshot import fold
from orchestrator.runtime.state import RunState

Json = Any  # plain JSON


@dataclass(frozen=True, slots=True)
class Replayed:
    """What replaying a record came to; `diverged_at` is the first tick that does not fit, `reason` why."""

    ticks: int
    status: str
    diverged_at: int | None = None
    reason: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the whole record fits."""
        return self.diverged_at is None


def replay(plan: FlowPlan, ticks: Sequence[Any]) -> Replayed:
    """Apply a record to a version of its flow, without running anything.

    Every attempt must be one that the flow starts there. Cost: linear in the record.
    """
    state = RunState()
    reduction = Reduction(plan, state)
    for number, tick in enumerate(ticks):
        if type(tick) is tuple or type(tick) is t.Streamed:
            continue
        if type(tick) is t.StepStarted:
            act = state.acts.get(tick.act)
            if act is None or act.step.name != tick.step:
                started = "no step" if act is None else f"step `{act.step.name}`"
                return Replayed(
                    number, state.status.value, number, f"the record starts `{tick.step}`, this version {started}"
                )
        try:
            reduce_tick(reduction, tick)
        except (
            OrchestratorError,
            KeyError,
            IndexError,
            AttributeError,
            ValueError,
        ) as error:  # a step or event is gone
            return Replayed(number, state.status.value, number, f"{type(error).__name__}: {error}")
        reduction.out.clear()
    return Replayed(len(ticks), state.status.value)


async def replay_stored(engine: DurableEngine, store: Store, run_id: str, plan: FlowPlan | None = None) -> Replayed:
    """Replay the record of a stored run with its own version, or with another. Raises: UnknownRun, StoreError."""
    stored = await store.export_run(run_id)
    if stored.first_seq > 0:
        raise StoreError(f"the beginning of run {run_id!r} was pruned, so it cannot be replayed", code="run.pruned")
    return replay(plan or _plan_of(engine, stored), _ticks(stored))


async def fork_run(
    engine: DurableEngine,
    store: Store,
    run_id: str,
    at: int,
    *,
    by: str = "",
    new_id: str | None = None,
    changes: Mapping[str, Json] | None = None,
) -> str:
    """A new run that goes on after a tick of another; `changes` are state keys to set first. Gives its id.

    Deadlines stay where they were. Raises: UnknownRun; UsageError `fork.point` for a point that cannot be gone on from;
    JournalConflict if `new_id` exists.
    """
    stored = await store.export_run(run_id)
    if stored.first_seq > 0:
        raise StoreError(f"the beginning of run {run_id!r} was pruned, so it cannot be forked", code="run.pruned")
    if not 0 <= at < len(stored.ticks):
        raise UsageError(f"run {run_id!r} has entries 0 to {len(stored.ticks) - 1}, not {at}", code="fork.point")
    plan = _plan_of(engine, stored)
    ticks = _ticks(stored)
    cut = whole_until(ticks, at)
    rows = list(stored.ticks[: cut + 1])
    now = engine.clock.now()
    state = fold(plan, RunState(), ticks[: cut + 1])
    if changes:
        unknown = sorted(changes.keys() - plan.ir.state.keys())
        if unknown:
            known = ", ".join(plan.ir.state) or "none"
            raise UsageError(f"flow `{plan.ir.name}` has no state {unknown[0]!r}; it has {known}", code="fork.state")
        writes = tuple(("set", (name,), value) for name, value in changes.items())
        rows.append(encode_tick(t.Flushed(len(rows), now, -1, 0, 0, writes=writes), PLAIN, lambda _: "?"))
    if state.is_over:
        raise UsageError(f"run {run_id!r} had ended by entry {cut}; name an earlier one", code="fork.point")
    if state.children:
        raise UsageError(
            f"at entry {cut} run {run_id!r} waits for a child run, which a fork would not have", code="fork.point"
        )
    name = new_id or new_run_id()
    meta = {**(stored.row.meta or {}), "by": by, "forked_from": run_id, "forked_at": cut, "idem": ""}
    row = replace(
        stored.row,
        run_id=name,
        status="waiting" if state.busy <= 0 else "running",
        created_at=now,
        ended_at=None,
        due_at=None,
        holder=None,
        parent=None,
        root=name,
        epoch=0,
        dedup=None,
        outcome=None,
        meta=meta,
    )
    requests = [request_row(name, plan.ir.name, request) for request in state.requests.values()]
    audit = [AuditRow(now, name, by, "run.forked", {"from": run_id, "at": cut, "changes": sorted(changes or ())})]
    await store.import_run(StoredRun(row, stored.flow, 0, rows, None, requests, audit), now=now)
    engine.keeper.wake()
    return name


async def retry_run(engine: DurableEngine, store: Store, run_id: str, *, step: str | None = None, by: str = "") -> str:
    """A new run that goes on where a run failed: the last start of the step that failed, or of another. Gives its id.

    Raises: UnknownRun; UsageError for a run that has not failed, or a step that it never started.
    """
    stored = await store.export_run(run_id)
    if stored.row.status not in ("failed", "timeout", "cancelled"):
        raise UsageError(
            f"run {run_id!r} is {stored.row.status}; only one that failed is run again", code="retry.status"
        )
    wanted = step or str((stored.row.error or {}).get("step") or "")
    ticks = _ticks(stored)
    starts = [
        number
        for number, tick in enumerate(ticks)
        if type(tick) is t.StepStarted and tick.attempt == 1 and tick.phase == "main" and wanted in ("", tick.step)
    ]
    if not starts:
        steps = dict.fromkeys(tick.step for tick in ticks if type(tick) is t.StepStarted)
        raise UsageError(
            f"run {run_id!r} never started step {wanted!r}; it started {', '.join(steps) or 'none'}", code="retry.step"
        )
    return await fork_run(engine, store, run_id, starts[-1], by=by)


def whole_until(ticks: Sequence[Any], at: int) -> int:
    """The last tick that belongs together with the one at `at`."""
    while at + 1 < len(ticks) and type(ticks[at + 1]) in (t.StepStarted, t.Delivered):
        at += 1
    return at


def _ticks(stored: StoredRun) -> list[Any]:
    return [decode_tick(number, row, PLAIN) for number, row in enumerate(stored.ticks)]


def _plan_of(engine: DurableEngine, stored: StoredRun) -> FlowPlan:
    if stored.flow is None:
        raise StoreError(f"the store lacks version {stored.row.flow_hash[:12]} of flow `{stored.row.flow}`")
    return engine.bind(flow_from_json(stored.flow))
