"""The path that a run took through its flow, from its log; for drawing. Works for every kind of flow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from orchestrator.draw.model import FAILED, OUTSIDE, START, STOP
from orchestrator.draw.overlay import RunPath, StepState, Visit
from orchestrator.runtime import ticks as t
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.state import RunState


def path_of(plan: FlowPlan, log: Iterable[Any], state: RunState) -> RunPath:
    """What a run did until now. Cost: O(log)."""
    walk = _Walk(plan)
    for tick in log:
        match tick:
            case t.Started():
                walk.send(START, tick.type, None)
            case t.EventIn():
                walk.send(OUTSIDE, tick.type, tick.target)
            case t.StepStarted():
                walk.step_of[tick.act] = tick.step
                if tick.attempt == 1 and tick.phase == "main":
                    walk.counts[tick.step] += 1
            case t.Flushed():
                walk.send_all(walk.step_of.get(tick.act, ""), tick.emitted)
            case t.StepSettled():
                walk.settle(tick)
            case _:
                pass
    for act in state.acts.values():
        walk.states[act.step.name] = StepState.WAITING if act.waits else StepState.RUNNING
    visits = {name: Visit(walk.states.get(name, StepState.DONE), count) for name, count in walk.counts.items()}
    for name, joined in _collecting(plan, state).items():
        known = visits.get(name, Visit(StepState.WAITING, 0))
        visits[name] = Visit(known.state, known.count, joined)
    return RunPath(visits, dict(walk.edges))


def _collecting(plan: FlowPlan, state: RunState) -> dict[str, tuple[int, int]]:
    """Steps in front of which events are collected: how many came, of how many; all groups of a step together."""
    found: dict[str, tuple[int, int]] = {}

    def add(step: str, have: int, of: int) -> None:
        before = found.get(step, (0, 0))
        found[step] = (before[0] + have, before[1] + of)

    for group in state.groups.values():
        for step in plan.ir.joins_of.get(group.site, ()):
            if step not in group.fired:
                add(step, len(group.collected.get(step, ())), group.size)
    for buffer in state.joins.values():
        join = plan.steps[buffer.step].ir.join
        if join is not None and not buffer.fired:
            have = len(buffer.events) or sum(1 for queue in buffer.queues.values() if queue)
            add(buffer.step, have, len(join.events) if join.mode == "each" else join.count)
    return found


class _Walk:
    """Counts steps and edges while it goes through a log."""

    def __init__(self, plan: FlowPlan) -> None:
        self.plan = plan
        self.step_of: dict[int, str] = {}
        self.counts: Counter[str] = Counter()
        self.states: dict[str, StepState] = {}
        self.edges: Counter[tuple[str, str, str]] = Counter()

    def settle(self, tick: t.StepSettled) -> None:
        name = self.step_of.get(tick.act, "")
        self.states[name] = StepState.DONE if tick.error is None or tick.is_handled else StepState.FAILED
        if tick.error is not None and tick.again_at is None and not tick.is_handled:
            self.edges[name, "", FAILED] += 1
        self.send_all(name, tick.emitted)

    def send_all(self, source: str, emitted: Iterable[t.Emission | t.Fan]) -> None:
        for item in emitted:
            if isinstance(item, t.Fan):
                for member in item.members:
                    self.send(source, member[0], member[2])
            else:
                self.send(source, item[0], item[2])

    def send(self, source: str, event: str, target: str | None) -> None:
        if target is not None:
            is_recovery = self.plan.steps[target].recovers
            self.edges[source, "" if is_recovery else event, target] += 1
        elif self.plan.kinds.get(event) == "stop":
            self.edges[source, event, STOP] += 1
        else:
            for step in self.plan.routes.get(event, ()):
                self.edges[source, event, step.name] += 1
