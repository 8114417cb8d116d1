"""Sends events into runs from outside: to every step and wait that takes them, in the run or the runs that it started."""

from __future__ import annotations

from typing import Any

from orchestrator.authoring.context import call_in_loop, running_loop
from orchestrator.authoring.run_data import RunData
from orchestrator.errors import RunFinished, UsageError, WorkflowRuntimeError
from orchestrator.events import Event
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.engine import Engine, current_engine


def send_from_outside(run: Actor, event: Event, step: str | None, run_id: str | None) -> None:
    """Send an event from outside the steps, from any thread.

    Raises: WorkflowRuntimeError, UnknownRun, RunFinished.
    """
    check_event(event)
    loop = run.data.loop
    if run_id is not None and run_id != run.run_id:
        call_in_loop(loop, lambda: post(run.engine, run_id, event, step))
        return
    call_in_loop(loop, lambda: deliver(run, event, step))


def deliver(run: Actor, event: Event, step: str | None = None, dedup: str | None = None) -> None:
    """Hand an event to a live run, or to those of its child runs that take it if it does not itself."""
    if run.is_over:
        raise RunFinished(f"run {run.run_id!r} has ended ({run.state.status.value}) and takes no more events")
    name = check_target(run, event, step)
    if step is None and not _takes(run, name):
        children = [child for child in _descendants(run) if _takes(child, _name_in(child, event))]
        if children:
            for child in children:
                child.apply(t.EventIn(0, 0.0, -1, _name_in(child, event), event, None, dedup))
            return
    run.apply(t.EventIn(0, 0.0, -1, name, event, step, dedup))


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
    from orchestrator.authoring.engines import engine_of, post_to_store

    check_event(event)
    if running_loop() is None:
        raise UsageError("orchestrator.send needs a running event loop; call it from async code")
    engine = current_engine() if store is None else engine_of(store)
    if type(engine) is not Engine:
        return post_to_store(engine, run_id, event)
    post(engine, run_id, event)
    return Done()


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
            takes = ", ".join(target.ir.accepts)
            raise WorkflowRuntimeError(f"step `{step}` takes {takes}, not {name}", run_id=run.run_id, step=step)
    return name


def _name_in(run: Actor, event: Event) -> str:
    data = run.data
    if isinstance(data, RunData):
        return data.flow.names.name_of(type(event))
    return type(event).__name__


def _takes(run: Actor, name: str) -> bool:
    return name in run.plan.routes or name in run.state.waits


def _descendants(run: Actor) -> list[Actor]:
    found: list[Actor] = []
    for child_id in run.state.children:
        child = run.engine.runs.get(child_id)
        if child is not None and not child.is_over:
            found += [child, *_descendants(child)]
    return found
