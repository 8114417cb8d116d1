"""A run's history up to an entry that sends events, with other fields in one of them, and what is decided about it then.

Theory. A fork is put into the store as due, and whoever serves the store starts the steps that are ready. What lies between an
event and a ready step, the guards (`when`, `key`, `until`) and waits that the event may end, is decided in the same breath as
the event is recorded, so no log ends between them. An edited event is therefore decided about here, as the shell would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.plugin.schema_check import compile_schema
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.clock import VirtualClock
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.flow_step import FlowStepBody
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.reduce import reduce_tick

Json = Any  # plain JSON
Fields = Mapping[str, Mapping[str, Json]]
MOST_DECISIONS = 10_000


def with_edited_event(
    plan: FlowPlan, run_id: str, ticks: Sequence[t.Tick], fields: Fields, writes: Sequence[t.StateOp], *, now: float
) -> list[t.Tick]:
    """The ticks, the last of them with other fields in the events that it sends, then `writes`, and what follows at once.

    `fields`: event type -> the fields that change. Raises: UsageError `fork.event` for what the tick does not send.
    """
    if plan.ir.kind != "yaml":
        raise UsageError(
            "only the events of a YAML flow can be edited; a Python run is forked as it is", code="fork.event"
        )
    last = _edited(plan, ticks[-1], fields)
    kept: list[t.Tick] = [*ticks[:-1], last]
    run = Actor(Engine(clock=VirtualClock(now)), plan, run_id)
    wakes: dict[int, t.Wake] = {}
    for tick in kept:
        _reduce(run, tick, wakes)
    if writes:
        kept.append(t.Migrated(len(kept), now, -1, plan.hash, tuple(writes)))
        _reduce(run, kept[-1], wakes)
    for _ in range(MOST_DECISIONS):
        again = _decision(plan, run, wakes)
        if again is None:
            return kept
        again.seq, again.at, again.cause = len(kept), now, last.seq
        kept.append(again)
        _reduce(run, again, wakes)
    raise UsageError("the edited event leads to no end of decisions; take another one", code="fork.event")


def _reduce(run: Actor, tick: t.Tick, wakes: dict[int, t.Wake]) -> None:
    if isinstance(tick, t.StepSettled):
        wakes.pop(tick.act, None)
    for command in reduce_tick(run, tick):
        if isinstance(command, t.Wake):
            wakes[command.act.id] = command
    run.entries.append(tick)


def _decision(plan: FlowPlan, run: Actor, wakes: dict[int, t.Wake]) -> t.Delivered | t.StepSettled | None:
    """The next decision that is due: the guard of a step about an event, or what an ended wait leads to."""
    for (_, step), event in run.state.pending.items():
        decided: t.Delivered = plan.steps[step].body.guard(run, event)
        return decided
    while wakes:
        wake = wakes.pop(next(iter(wakes)))
        body = wake.act.step.body
        if isinstance(body, FlowStepBody) and body._extra is not None:
            settled = body._extra.wake(body, run, wake.act, wake)
            if settled is not None:
                return settled
    return None


def _edited(plan: FlowPlan, tick: t.Tick, fields: Fields) -> t.Tick:
    sent = _sent(tick)
    odd = sorted(set(fields) - {kind for kind, _ in sent})
    if odd or not fields:
        known = ", ".join(dict.fromkeys(kind for kind, _ in sent)) or "none"
        asked = f"`{odd[0][:100]}`" if odd else "no event"
        raise UsageError(
            f"entry {tick.seq} does not send {asked}; the events that it sends: {known}", code="fork.event"
        )
    if isinstance(tick, t.EventIn):
        return replace(tick, value=_changed(plan, tick.type, tick.value, fields))
    assert isinstance(tick, t.StepSettled)
    return replace(tick, emitted=tuple(_part(plan, part, fields) for part in tick.emitted))


def _sent(tick: t.Tick) -> list[tuple[str, Any]]:
    if isinstance(tick, t.EventIn):
        return [(tick.type, tick.value)]
    if not isinstance(tick, t.StepSettled):
        return []
    members = [m for part in tick.emitted for m in (part.members if isinstance(part, t.Fan) else (part,))]
    return [(kind, value) for kind, value, _ in members]


def _part(plan: FlowPlan, part: t.Emission | t.Fan, fields: Fields) -> t.Emission | t.Fan:
    if isinstance(part, t.Fan):
        members = [(kind, _changed(plan, kind, value, fields), target) for kind, value, target in part.members]
        return replace(part, members=tuple(members))
    kind, value, target = part
    return kind, _changed(plan, kind, value, fields), target


def _changed(plan: FlowPlan, kind: str, value: Any, fields: Fields) -> Any:
    """A payload with the fields that change. Raises: UsageError for one that the event's schema refuses."""
    if kind not in fields:
        return value
    changed = {**(value if isinstance(value, dict) else {}), **fields[kind]}
    declared = plan.ir.events.get(kind)
    if declared is not None and declared.schema is not True and declared.schema:
        problems = compile_schema(declared.schema).problems(changed)
        if problems:
            raise UsageError(f"event `{kind}`: {'; '.join(map(str, problems[:8]))}", code="type.payload")
    return changed
