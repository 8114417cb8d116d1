"""Sends events into runs from outside: to every step and wait that takes them, in the run or the runs that it started."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Generator, Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from orchestrator.authoring.context import call_in_loop, running_loop
from orchestrator.authoring.run_data import RunData
from orchestrator.authoring.run_start import is_durable
from orchestrator.authoring.streaming import plain_fields
from orchestrator.errors import RunFinished, UsageError, WorkflowRuntimeError
from orchestrator.events import Event
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.engine import Engine, current_engine, new_run_id
from orchestrator.runtime.routing import takes

log = logging.getLogger("orchestrator.send")


def send_from_outside(run: Actor, event: Event, step: str | None, run_id: str | None) -> None:
    """Send an event from outside the steps, from any thread.

    Raises: WorkflowRuntimeError, UnknownRun, RunFinished.
    """
    check_event(event)
    loop = run.data.loop
    if run_id is not None and run_id != run.run_id:
        call_in_loop(loop, lambda: post(run.engine, run_id, event, step))
        return
    call_in_loop(loop, lambda: _deliver_or_put(run, event, step))


def _deliver_or_put(run: Actor, event: Event, step: str | None) -> None:
    if run.is_over or not run.is_leaving:
        deliver(run, event, step)
        return
    _put_later(run, event, step)


def _put_later(run: Actor, event: Event, step: str | None) -> asyncio.Future[None]:
    task = asyncio.ensure_future(put(run.engine, run.run_id, event, step))
    _putting.add(task)
    task.add_done_callback(_put_ended)
    return task


def _put_ended(task: asyncio.Future[None]) -> None:
    _putting.discard(task)
    if not task.cancelled() and task.exception() is not None:  # whoever awaits the send gets it too
        log.warning("an event was not delivered: %s", task.exception())


_putting: set[asyncio.Future[None]] = set()


def send_from_handler(run: Actor, message: Event | str, step: str | None, fields: Mapping[str, Any]) -> Awaitable[None]:
    """Send an event into the run of a handler, from its loop or another thread; awaited, until it is kept.

    Raises: WorkflowRuntimeError, UsageError, RunFinished.
    """
    event = named_event(run, message, fields) if isinstance(message, str) else message
    check_event(event)
    if run.is_leaving and not run.is_over:
        return _Kept(_put_later(run, event, step))
    call_in_loop(run.data.loop if isinstance(run.data, RunData) else None, lambda: deliver(run, event, step))
    return Done() if run.sink is None or run.is_leaving else _Kept(run.sink)


class _Kept:
    """Waits until an event that was sent is in the store."""

    __slots__ = ("_what",)

    def __init__(self, what: Any) -> None:
        self._what = what

    def __await__(self) -> Generator[Any, Any, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        if isinstance(self._what, asyncio.Future):
            await asyncio.shield(self._what)
        else:
            await self._what.flush()


def named_event(run: Actor, name: str, fields: Mapping[str, Any]) -> Event:
    """An event by its name: of a class that the run's workflow declares, or one with just these fields for a flow file.

    Raises: WorkflowRuntimeError for a name that is not known, or fields that do not fit.
    """
    if not isinstance(run.data, RunData):
        return event_class_named(name)(**fields)
    known = run.data.flow.names.classes
    cls = known.get(name)
    if cls is None:
        raise WorkflowRuntimeError(
            f"there is no event `{name}`; this workflow has {', '.join(known)}", run_id=run.run_id
        )
    try:
        return cls(**fields)
    except ValidationError as error:
        raise WorkflowRuntimeError(f"the fields do not make a `{name}`: {error}", run_id=run.run_id) from error


@lru_cache(maxsize=256)
def event_class_named(name: str) -> type[Event]:
    """A class for the events of a flow file that have this name."""
    return type(name, (Event,), {"__module__": __name__, "__doc__": f"The event `{name}` of a flow file."})


def deliver(run: Actor, event: Event, step: str | None = None, dedup: str | None = None) -> None:
    """Hand an event to a live run, or to those of its child runs that take it if it does not itself."""
    if run.is_over:
        raise RunFinished(f"run {run.run_id!r} has ended ({run.state.status.value}) and takes no more events")
    name = check_target(run, event, step)
    if step is None and not takes(run, name):
        children = [child for child in _descendants(run) if takes(child, _name_in(child, event))]
        for child in children:
            _give(child, event, None, dedup)
        absent = [child for child in run.state.children if child not in run.engine.runs] if run.sink else []
        if absent:
            sink: Any = run.sink
            value = sink.codec.encode(name, event, "the sent event")
            sink.forward({"type": name, "value": value}, absent, dedup or f"send/{new_run_id()}")
            sink.flush_soon()
        if children or absent:
            return
    _give(run, event, step, dedup)


def _give(run: Actor, event: Event, step: str | None, dedup: str | None) -> None:
    if run.is_leaving:
        _put_later(run, event, step)
        return
    name = _name_in(run, event)
    value: Any = event
    if run.plan.ir.kind == "yaml":
        from orchestrator.runtime.outside import check_outside_event

        value = plain_fields(event)
        check_outside_event(run.plan.ir, name, value)
    run.apply(t.EventIn(0, 0.0, -1, name, value, step, dedup))


def post(engine: Engine, run_id: str, event: Event, step: str | None = None, dedup: str | None = None) -> None:
    """Hand an event to the run of this id.

    Raises: UnknownRun, RunFinished.
    """
    deliver(engine.find(run_id), event, step, dedup)


def send(run_id: str, event: Event, *, store: Any = None) -> Any:  # store: a URL, a Journal or an engine
    """Send an event to a live or waiting run, by its id: `orchestrator.send(run_id, Approved(by="ada"))`.

    In memory it is delivered at once, and the call may be awaited or not; with a store it must be awaited.

    Raises: UnknownRun, RunFinished, UsageError outside a running event loop.
    """
    from orchestrator.authoring.engines import engine_of

    check_event(event)
    if running_loop() is None:
        raise UsageError("orchestrator.send needs a running event loop; call it from async code")
    engine = current_engine() if store is None else engine_of(store)
    if is_durable(engine):
        return put(engine, run_id, event)
    post(engine, run_id, event)
    return Done()


async def put(engine: Any, run_id: str, event: Event, step: str | None = None) -> None:  # a DurableEngine
    """Put an event into a run of a store, or into those of its child runs that know it; kept when this returns.

    Raises: UnknownRun, RunFinished, UsageError for an event that none of them takes.
    """
    live = engine.runs.get(run_id)
    if live is not None and not live.is_leaving and not live.is_over:
        deliver(live, event, step)
        await live.sink.flush()
        return
    from orchestrator.authoring.outside_events import post_entries

    for entry in await post_entries(engine, run_id, event, step):
        await engine.deliver(entry)


class Done:
    """An awaitable that is done already: for calls that act at once and may be awaited."""

    __slots__ = ("_value",)

    def __init__(self, value: Any = None) -> None:
        self._value = value

    def __await__(self) -> Any:
        return self._value
        yield


def check_event(event: object) -> None:
    """Raises: WorkflowRuntimeError for what is no event."""
    if not isinstance(event, Event):
        kind = f"the class {event.__name__}" if isinstance(event, type) else f"a {type(event).__name__}"
        raise WorkflowRuntimeError(f"only events can be sent; this is {kind}")


def check_target(run: Actor, event: Event, step: str | None) -> str:
    """The name of an event in a run.

    Raises: WorkflowRuntimeError if the step does not exist or does not take the event.
    """
    name = _name_in(run, event)
    if step is not None:
        target = run.plan.steps.get(step)
        if target is None:
            known = ", ".join(run.plan.steps)
            raise WorkflowRuntimeError(f"there is no step `{step}`; this workflow has {known}", run_id=run.run_id)
        if target not in run.plan.routes.get(name, ()):
            accepted = ", ".join(target.ir.accepts)
            raise WorkflowRuntimeError(f"step `{step}` takes {accepted}, not {name}", run_id=run.run_id, step=step)
    return name


def _name_in(run: Actor, event: Event) -> str:
    data = run.data
    if isinstance(data, RunData):
        return data.flow.names.name_of(type(event))
    return type(event).__name__


def _descendants(run: Actor) -> list[Actor]:
    found: list[Actor] = []
    for child_id in run.state.children:
        child = run.engine.runs.get(child_id)
        if child is not None and not child.is_over:
            found += [child, *_descendants(child)]
    return found
