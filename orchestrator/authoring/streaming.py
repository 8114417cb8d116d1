"""The stream of a run: a cursor over its log. Any number of readers, from any place, during the run and after it.

What readers see: events written to the stream, questions (`InputRequiredEvent`) and the last event. With `expose_internal`
also the steps' states, idleness and events that nobody took. A number counts the events that readers see, from 0.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from orchestrator.authoring.outcome import last_event_of
from orchestrator.errors import OrchestratorError
from orchestrator.events import (
    Event,
    RequestEvent,
    StepState,
    StepStateChanged,
    UnhandledEvent,
    WorkflowIdleEvent,
)
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.engine import UNDELIVERED
from orchestrator.runtime.log import SETTLED, TICKS, whole

if TYPE_CHECKING:  # only named
    from orchestrator.authoring.run_start import Start

QUIET = frozenset({"ask", "stop"})


async def read_events(
    run: Actor,
    *,
    expose_internal: bool = False,
    after: int = -1,
    start: Start | None = None,
) -> AsyncIterator[Any]:
    """The events of a run after number `after`, to its end; more as they come. Cost: O(1) per entry of the log.

    With `start` the reader follows the run where its store takes it.
    """
    watcher = _Watcher(run) if expose_internal else None
    log, place = run.entries, 0
    skip = after + 1
    seen = run.base if run.sink is None else 0  # of the entries of the whole log
    while True:
        if run.sink is not None and start is not None:
            from orchestrator.authoring.following import earlier_entries

            for entry in await earlier_entries(run, seen):
                seen += 1
                for event in _look(entry, run, watcher):
                    if skip:
                        skip -= 1
                    else:
                        yield event
            place = seen - run.base
        while place < len(log):
            entry = log[place]
            place += 1
            if isinstance(entry, Event):
                if skip:
                    skip -= 1
                else:
                    yield entry
                continue
            for event in _look(entry, run, watcher):
                if skip:
                    skip -= 1
                else:
                    yield event
        seen = run.base + place
        if run.is_over:
            if not skip:
                yield last_event_of(run)
            return
        if run.lost is None and run.exception is None:
            await run.wait_for_more()
            continue
        if start is None or run.sink is None:
            return  # the process gave the run up; its handler raises why
        from orchestrator.authoring.following import find_again

        try:
            await find_again(start, run)
        except (OrchestratorError, asyncio.CancelledError):
            if asyncio.current_task() is not None and asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            return
        run = start.run or run
        log, place = run.entries, max(0, seen - run.base)


def _look(entry: Any, run: Actor, watcher: _Watcher | None) -> Iterable[Any]:
    kind = type(entry)
    if kind is tuple:
        if watcher is None:
            is_shown = len(entry) == SETTLED and run.plan.kinds.get(entry[4]) == "ask"
            return (entry[5],) if is_shown else ()
        entry = whole(entry, 0)
    elif kind not in TICKS:
        return shown_value(entry, watcher is not None)
    return shown_by(entry, run) if watcher is None else watcher.look(entry)


def shown_value(value: Any, with_internal: bool = False) -> Iterator[Any]:
    """What readers see of something that was streamed."""
    event = as_event(value)
    if type(event) is Event and event.get("type") == UNDELIVERED:
        if with_internal:
            yield UnhandledEvent(event_type=event["event"])
    else:
        yield event


def as_event(value: Any) -> Any:
    """What a step streamed, as an event; a mapping of a flow file becomes an `Event` with its fields."""
    if not isinstance(value, dict):
        return value
    if value.get("type") == RequestEvent.__name__ and "id" in value:
        return RequestEvent(**{k: v for k, v in value.items() if k != "type"})
    return Event(**{str(k): v for k, v in value.items()})


def plain_fields(event: Event) -> dict[str, Any]:
    """The fields of an event, declared and not, as plain JSON; what JSON cannot hold is named."""
    fields: dict[str, Any] = to_jsonable_python(event, fallback=repr, serialize_unknown=True)
    more = fields.pop("_data", None)
    return {**fields, **more} if isinstance(more, dict) else fields


def stream_into(run: Actor, event: Any) -> None:
    """Show an event on the stream of another run, in the form that its kind of flow has."""
    if run.is_over or not isinstance(event, Event):
        return
    if run.plan.ir.kind == "yaml":
        event = {"type": type(event).__name__, **plain_fields(event)} if type(event) is Event else named_fields(event)
    elif run.plan.ir.kind == "function":
        if isinstance(event, RequestEvent):
            return  # the function asks it itself
        event = _for_function(run, event)
    run.stream(event, 0, 0)


def named_fields(event: Event) -> dict[str, Any]:
    """An event as a flow file streams it."""
    return {**plain_fields(event), "type": type(event).__name__}


def _for_function(run: Actor, event: Event) -> Any:  # a WorkflowEvent
    from orchestrator.functional.events import WorkflowEvent  # it is loaded: the run is one of a function

    fields = plain_fields(event)
    kind = str(fields.pop("type", "event")) if type(event) is Event else type(event).__name__
    shown = WorkflowEvent(kind, data=fields)
    shown.run_id, shown.at = run.run_id, run.now()
    return shown


def custom_event(value: Any) -> Event | None:
    """What a workflow function shows by `ctx.add_event`, as an event for the stream of its caller; None for what is its own."""
    if getattr(value, "origin", "FRAMEWORK") == "FRAMEWORK":
        return None
    from orchestrator.functional.values import plain_json

    data = plain_json(value.data)
    fields = {str(name): item for name, item in data.items()} if isinstance(data, dict) else {"data": data}
    return Event(**{**fields, "type": value.type})


def shown_by(tick: Any, run: Actor, *, is_child: bool = False, with_internal: bool = False) -> Iterator[Any]:
    """The events of a tick that every reader sees; the questions of a child are named with its run."""
    kind, plan = type(tick), run.plan
    if plan.ir.kind == "function":
        if kind is t.WaitOpened and tick.request_id is not None and tick.announce is not None:
            yield question_event(tick, run.run_id, is_child)
        elif kind is t.Streamed and (event := custom_event(tick.value)) is not None:
            yield event
        return
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
    elif kind is t.Streamed:
        yield from shown_value(tick.value, with_internal)
    elif kind is t.EventIn:
        if plan.kinds.get(tick.type) == "ask":
            yield tick.value
    elif kind is t.StepStarted and tick.request is not None:
        yield request_event(tick, run.run_id, is_child)


def question_event(tick: t.WaitOpened, run_id: str, is_child: bool) -> RequestEvent:
    """The event that shows a question of a functional workflow; its answer is one value, `answer`."""
    assert tick.announce is not None
    asked = tick.announce[1]
    data = getattr(asked["data"], "json", asked["data"])
    shown = to_jsonable_python(data, fallback=repr, serialize_unknown=True)
    return RequestEvent(
        id=f"{run_id}~{tick.request_id}" if is_child else str(tick.request_id),
        run_id=run_id,
        step=asked["source"],
        title=asked["text"],
        show=shown if isinstance(shown, dict) else {"data": shown},
        form={"type": "object", "properties": {"answer": asked["schema"] or {}}, "required": ["answer"]},
    )


def request_event(tick: t.StepStarted, run_id: str, is_child: bool) -> RequestEvent:
    """The event that shows an `ask` that opened."""
    request, name = tick.request, f"{tick.step}-{tick.act}"
    return RequestEvent(
        id=f"{run_id}~{name}" if is_child else name,
        run_id=run_id,
        step=tick.step,
        title=request["title"],
        show=request["show"],
        form=request["form"],
        verdicts=list(request["verdicts"]),
        deadline=request["deadline"],
    )


class _Watcher:
    """Follows the steps of one run, to say what their attempts do."""

    def __init__(self, run: Actor) -> None:
        self.run = run
        self.plan = run.plan
        self.steps: dict[int, str] = {}
        self.waits = 0

    def look(self, tick: Any) -> Iterator[Event]:
        """The events of one tick, internal ones in their place."""
        kind = type(tick)
        if kind is t.StepStarted:
            self.steps[tick.act] = tick.step
            yield StepStateChanged(name=tick.step, step_state=StepState.PREPARING, worker_id=str(tick.act))
            yield StepStateChanged(name=tick.step, step_state=StepState.RUNNING, worker_id=str(tick.act))
        yield from shown_by(tick, self.run, with_internal=True)
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
