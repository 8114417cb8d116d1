"""The stream of a run: a cursor over its log. Any number of readers, from any place, during the run and after it.

What readers see: events written to the stream, questions (`InputRequiredEvent`) and the last event. With `expose_internal`
also the steps' states, idleness and events that nobody took. A number counts the events that readers see, from 0.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from orchestrator.authoring.outcome import last_event_of
from orchestrator.events import (
    Event,
    StepState,
    StepStateChanged,
    UnhandledEvent,
    WorkflowIdleEvent,
)
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.engine import Undelivered
from orchestrator.runtime.plan import FlowPlan

QUIET = frozenset({"ask", "stop"})


async def read_events(run: Actor, *, expose_internal: bool = False, after: int = -1) -> AsyncIterator[Any]:
    """The events of a run after number `after`, to its end; more as they come. Cost: O(1) per entry of the log."""
    log = run.log
    watcher = _Watcher(run.plan) if expose_internal else None
    place = 0
    skip = after + 1
    while True:
        while place < len(log):
            entry = log[place]
            place += 1
            if type(entry) is tuple:
                shown = entry[0]
                if type(shown) is Undelivered:
                    if watcher is None:
                        continue
                    shown = UnhandledEvent(event_type=shown.type)
                if skip:
                    skip -= 1
                else:
                    yield shown
                continue
            for event in watcher.look(entry) if watcher is not None else shown_by(entry, run.plan):
                if skip:
                    skip -= 1
                else:
                    yield event
        if run.is_over:
            if not skip:
                yield last_event_of(run)
            return
        if run.exception is not None:
            return  # the process gave the run up; its handler raises why
        await run.wait_for_more()


def shown_by(tick: Any, plan: FlowPlan) -> Iterator[Any]:
    """The events of a tick that every reader sees."""
    kind = type(tick)
    if kind is t.StepSettled or kind is t.Flushed:
        if tick.emitted:
            kinds = plan.kinds
            for item in tick.emitted:
                if type(item) is t.Fan:
                    for name, value, _ in item.members:
                        if kinds.get(name) == "ask":
                            yield value
                elif kinds.get(item[0]) == "ask":
                    yield item[1]
    elif kind is t.WaitOpened:
        if tick.announce is not None:
            yield tick.announce[1]
    elif kind is t.Streamed or (kind is t.EventIn and plan.kinds.get(tick.type) == "ask"):
        yield tick.value


class _Watcher:
    """Follows the steps of one run, to say what their attempts do."""

    def __init__(self, plan: FlowPlan) -> None:
        self.plan = plan
        self.steps: dict[int, str] = {}
        self.waits = 0

    def look(self, tick: Any) -> Iterator[Event]:
        """The events of one tick, internal ones in their place."""
        kind = type(tick)
        if kind is t.StepStarted:
            self.steps[tick.act] = tick.step
            yield StepStateChanged(name=tick.step, step_state=StepState.PREPARING, worker_id=str(tick.act))
            yield StepStateChanged(name=tick.step, step_state=StepState.RUNNING, worker_id=str(tick.act))
        yield from shown_by(tick, self.plan)
        if kind is t.StepSettled:
            name = self.steps.pop(tick.act, "")
            outputs = [e[0] for e in tick.emitted if type(e) is not t.Fan]
            yield StepStateChanged(
                name=name,
                step_state=StepState.NOT_RUNNING,
                worker_id=str(tick.act),
                output_event_name=outputs[-1] if outputs else None,
            )
            for output in outputs:
                if self._is_unhandled(output):
                    yield UnhandledEvent(event_type=output, step_name=name)
        elif kind is t.WaitOpened:
            yield WorkflowIdleEvent()
        elif kind is t.EventIn and self._is_unhandled(tick.type):
            yield UnhandledEvent(event_type=tick.type)

    def _is_unhandled(self, type_name: str) -> bool:
        return type_name not in self.plan.routes and self.plan.kinds.get(type_name) not in QUIET
