"""What operators do with recorded runs: check a replay, fork from a point, run again from a step, move to another version.

A fork is a new run whose log begins with the ticks of the old one; the old one is not touched. Nothing here runs a body: a
fork is put into the store as due, and whoever serves the store goes on with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.dispatch.edited_event import Fields, with_edited_event
from orchestrator.errors import JournalConflict, StoreError, UsageError
from orchestrator.ir.codec import flow_from_json, flow_to_json
from orchestrator.ir.model import FlowIR
from orchestrator.journal.store import RunRow, Store, StoredRun
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.clock import VirtualClock
from orchestrator.runtime.codec import PLAIN, decode_tick, encode_tick
from orchestrator.runtime.engine import Engine, new_run_id
from orchestrator.runtime.flow_step import FlowStepBody
from orchestrator.runtime.journal import AuditRow, Batch, Json
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.questions import open_question_rows
from orchestrator.runtime.reduce import reduce_tick
from orchestrator.runtime.reduction import Reduction
from orchestrator.runtime.rows import dumps, request_row
from orchestrator.runtime.snapshot import encode_state, fold
from orchestrator.runtime.state import RunState

BindFlow = Callable[[FlowIR], FlowPlan]
ENDED = frozenset({"done", "failed", "cancelled", "timeout"})
MAX_TICKS = 10_000_000
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z?")


@dataclass(frozen=True, slots=True)
class Divergence:
    """A recorded decision that this code and flow would not make again."""

    seq: int
    step: str
    what: str
    recorded: Json
    now: Json

    def __str__(self) -> str:
        return f"tick {self.seq}, step `{self.step}`: {self.what} was {_short(self.recorded)} and would be {_short(self.now)}"


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """How a replay went: the ticks folded, the decisions made again, those that differ."""

    run_id: str
    ticks: int
    decisions: int
    divergences: tuple[Divergence, ...]

    @property
    def is_same(self) -> bool:
        """Whether every decision came out as recorded."""
        return not self.divergences


async def check_replay(store: Store, run_id: str, bind: BindFlow, *, flow: FlowIR | None = None) -> ReplayReport:
    """Fold a run's history and make every decision of its YAML steps again; `flow` tries another version of the flow.

    Raises: UnknownRun; StoreError if the history does not begin at the start, or does not fit the flow at all.
    """
    row, plan, ticks = await _history(store, run_id, bind, flow)
    return _Replay(row, plan).check(ticks)


async def fork(
    store: Store,
    run_id: str,
    at_seq: int,
    bind: BindFlow,
    *,
    writes: Sequence[t.StateOp] = (),
    event: Fields | None = None,
    now: float,
    why: str = "fork",
) -> str:
    """A new run that goes on from a tick of another one, with changed state; gives its id.

    With `event` (type -> the fields that change) it goes on from the events that the tick sends, as they are then.

    Requests that were open at that point are asked again; answers that came before it stay.

    Raises: UsageError for a tick that is not there, or a point at which sub-flows were under way.
    """
    row, plan, ticks = await _history(store, run_id, bind, None)
    codec = plan.codec or PLAIN
    if not 0 <= at_seq < len(ticks):
        raise UsageError(f"run {run_id} has the ticks 0 to {len(ticks) - 1}, not {at_seq}", code="fork.seq")
    if event is not None:
        kept = with_edited_event(plan, run_id, ticks[: at_seq + 1], event, writes, now=now)
    else:
        at_seq = _whole_decision(plan, ticks, at_seq)
        kept = ticks[: at_seq + 1]
        if writes:
            kept.append(t.Migrated(len(kept), now, -1, row.flow_hash, tuple(writes)))
    state = fold(plan, RunState(), kept)
    if state.children:
        raise UsageError(
            f"at tick {at_seq} sub-flows were under way; take an earlier or later tick", code="fork.children"
        )
    if state.is_over:
        raise UsageError(f"at tick {at_seq} the run had ended; take an earlier tick", code="fork.seq")
    name = new_run_id()
    meta = {**(row.meta if isinstance(row.meta, dict) else {}), "forked_from": run_id, "forked_at": at_seq}
    status = "waiting" if state.busy <= 0 else "running"
    new = RunRow(name, row.flow, row.flow_hash, row.kind, status, now, root=name, meta=meta)
    stored = StoredRun(
        new,
        flow_to_json(plan.stored_ir),
        0,
        [encode_tick(tick, codec, lambda _: "?") for tick in kept],
        None,
        [
            *(request_row(name, row.flow, request) for request in state.requests.values()),
            *open_question_rows(name, plan, state, kept),
        ],
        [
            AuditRow(
                now, name, "", f"run.{why}", {"from": run_id, "at": at_seq, **({"event": [*event]} if event else {})}
            )
        ],
    )
    await store.import_run(stored, now=now)
    return name


async def retry(store: Store, run_id: str, bind: BindFlow, *, step: str | None = None, now: float) -> str:
    """A new run that repeats a failed one from the last start of `step` (the step that failed); gives its id.

    Raises: UsageError if the run did not fail and no step is named, or never ran that step.
    """
    row = await store.run(run_id)
    if step is None:
        step = (row.error or {}).get("step")
        if row.status not in ENDED or not step:
            raise UsageError(
                f"run {run_id} is {row.status} and no step of it failed; name one with --from", code="retry.step"
            )
    _, _, ticks = await _history(store, run_id, bind, None)
    starts = [
        x.seq for x in ticks if isinstance(x, t.StepStarted) and x.step == step and x.attempt == 1 and x.phase == "main"
    ]
    if not starts:
        ran = ", ".join(dict.fromkeys(x.step for x in ticks if isinstance(x, t.StepStarted))) or "none"
        raise UsageError(f"run {run_id} never started step `{step}`; steps that ran are {ran}", code="retry.step")
    return await fork(store, run_id, starts[-1] - 1, bind, now=now, why="retry")


async def migrate(store: Store, run_id: str, bind: BindFlow, flow: FlowIR, *, worker: str, now: float) -> None:
    """Move a waiting or parked run to another version of its flow.

    Raises: UsageError that names everything of the run that the new version has no place for; StoreBusy while it is held.
    """
    row = await store.run(run_id)
    if row.status in ENDED:
        raise JournalConflict(f"run {run_id} has ended; only new runs use the new version", code="run.finished")
    _, old, ticks = await _history(store, run_id, bind, None)
    plan = bind(flow)
    state = fold(old, RunState(), ticks)
    problems = misfits(state, old, plan)
    if problems:
        raise UsageError(f"run {run_id} cannot move: {'; '.join(problems)}", code="migrate.misfit")
    if plan.hash == old.hash:
        return
    await store.put_flow(plan.hash, flow_to_json(plan.stored_ir), now=now)
    claims = await store.claim(worker, now=now, lease_s=15.0, run_id=run_id)
    if not claims:
        raise StoreError(f"run {run_id} is held by another worker now; try again", code="store.busy")
    codec = plan.codec or PLAIN
    moved = t.Migrated(len(ticks), now, -1, plan.hash)
    reduction_state = fold(plan, _rebound(state, plan), [moved])
    batch = Batch(run_id, claims[0].epoch, len(ticks), now, worker)
    batch.ticks = [dumps(encode_tick(moved, codec, lambda _: "?"))]
    batch.flow_hash = plan.hash
    batch.snapshot = (len(ticks) + 1, dumps(encode_state(reduction_state, codec)))
    batch.audit = (AuditRow(now, run_id, "", "run.migrated", {"from": old.hash, "to": plan.hash}),)
    batch.releases = True
    batch.wake_at = now if state.busy > 0 else min((x.due for x in state.timers.values()), default=None)
    await store.commit(batch)


def _whole_decision(plan: FlowPlan, ticks: list[t.Tick], at_seq: int) -> int:
    """The tick at or after `at_seq` behind which nothing is half decided: no guard to ask, no answer to hand over."""
    reduction = Reduction(plan, RunState())
    for tick in ticks:
        commands = reduce_tick(reduction, tick)
        halves = any(isinstance(c, t.Wake | t.Guard) for c in commands)
        if tick.seq >= at_seq and not halves and not reduction.state.pending:
            return tick.seq
    return at_seq


def misfits(state: RunState, old: FlowPlan, new: FlowPlan) -> list[str]:
    """What of a run another version of its flow has no place for."""
    found = []
    for act in state.acts.values():
        name = act.step.name
        step = new.steps.get(name)
        if step is None:
            found.append(f"step `{name}`, which it is in, is gone")
        elif step.ir.body.kind != act.step.ir.body.kind:
            found.append(f"step `{name}` was {act.step.ir.body.kind} and is {step.ir.body.kind}")
    for name, _ in state.joins:
        step = new.steps.get(name)
        if step is None or step.join is None or step.join.mode != old.steps[name].ir.join.mode:  # type: ignore[union-attr]
            found.append(f"step `{name}` collects events in another way")
    lost = sorted(set(state.vars) - set(new.ir.state)) if new.ir.kind == "yaml" else []
    if lost:
        found.append(f"the state has no {', '.join(lost)} any more")
    return list(dict.fromkeys(found))


def _rebound(state: RunState, plan: FlowPlan) -> RunState:
    for act in state.acts.values():
        act.step = plan.steps[act.step.name]
    for name, value in plan.ir.state.items():
        state.vars.setdefault(name, value)
    return state


async def _history(
    store: Store, run_id: str, bind: BindFlow, flow: FlowIR | None
) -> tuple[RunRow, FlowPlan, list[t.Tick]]:
    row = await store.run(run_id)
    if flow is None:
        ir = await store.get_flow(row.flow_hash)
        if ir is None:
            raise StoreError(f"the store lacks version {row.flow_hash[:12]} of flow `{row.flow}`")
        flow = flow_from_json(ir)
    plan = bind(flow)
    rows = await store.ticks(run_id, -1, MAX_TICKS)
    if rows and rows[0][0] != 0:
        raise StoreError(f"run {run_id} is kept from tick {rows[0][0]} on only; retention dropped what came before")
    codec = plan.codec or PLAIN
    return row, plan, [decode_tick(seq, data, codec) for seq, data in rows]


class _Replay:
    """Folds a history and makes the decisions of its YAML steps again, each against the state it was made in."""

    def __init__(self, row: RunRow, plan: FlowPlan) -> None:
        self._clock = VirtualClock(0.0)
        self._actor = Actor(Engine(clock=self._clock), plan, row.run_id)
        self._plan = plan
        self._wakes: dict[int, t.Wake] = {}
        self._decisions = 0
        self._found: list[Divergence] = []

    def check(self, ticks: list[t.Tick]) -> ReplayReport:
        for tick in ticks:
            self._clock.advance(max(0.0, tick.at - self._clock.now()))
            try:
                self._look(tick)
                commands = reduce_tick(self._actor, tick)
            except (KeyError, AssertionError) as error:
                step = getattr(tick, "step", "") or "?"
                self._found.append(Divergence(tick.seq, str(step), "what it refers to", "there", f"gone: {error}"))
                break
            self._actor.entries.append(tick)
            for command in commands:
                if isinstance(command, t.Wake):
                    self._wakes[command.act.id] = command
        return ReplayReport(self._actor.run_id, len(ticks), self._decisions, tuple(self._found))

    def _look(self, tick: t.Tick) -> None:
        state, run = self._actor.state, self._actor
        if isinstance(tick, t.Delivered):
            event = state.pending.get((tick.event, tick.step))
            body = self._plan.steps[tick.step].body
            if event is not None and isinstance(body, FlowStepBody):
                self._compare(tick, tick.step, body.guard(run, event), ("passes", "key", "closes", "count"))
            return
        if not isinstance(tick, t.StepStarted | t.StepSettled):
            return
        act = state.acts.get(tick.act)
        if act is None or not isinstance(act.step.body, FlowStepBody):
            return
        body = act.step.body
        if isinstance(tick, t.StepStarted):
            self._compare(tick, act.step.name, body.prepare(run, act), ("input", "writes", "request", "parks"))
            return
        wake = self._wakes.pop(act.id, None)
        if wake is not None and body._extra is not None:
            again = body._extra.wake(body, run, act, wake)
        elif tick.error is not None:
            again = body.fail(run, act, dict(tick.error))
        else:
            again = body.settle(run, act, tick.result)
        self._compare(tick, act.step.name, again, ("emitted", "writes", "is_handled", "again_as", "cancels"))

    def _compare(self, tick: Any, step: str, again: Any, fields: tuple[str, ...]) -> None:
        self._decisions += 1
        if type(again) is not type(tick):
            self._found.append(Divergence(tick.seq, step, "the outcome", type(tick).__name__, type(again).__name__))
            return
        for name in fields:
            recorded, now = _plain(getattr(tick, name)), _plain(getattr(again, name))
            if recorded != now:
                self._found.append(Divergence(tick.seq, step, f"`{name}`", recorded, now))


def _plain(value: Any) -> Json:
    """A part of a tick as JSON; moments are left out, they are those of the replay."""
    text = json.dumps(value, sort_keys=True, default=_parts)
    data = json.loads(_MOMENT.sub("", text))
    if isinstance(data, dict):
        for name in ("remind", "deadline", "escalate"):
            data.pop(name, None)
    return data


def _parts(value: Any) -> Json:
    if isinstance(value, t.Fan):
        return {"site": value.site, "members": value.members, "is_list": value.is_list}
    return repr(value)


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else text[:157] + "…"
