"""Watching steps: printing what they do (`verbose`) and OpenTelemetry spans. Costs nothing when neither is wanted."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.events import Event

if TYPE_CHECKING:  # only named
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.state import Activation

Call = Callable[["Actor", "Activation"], Any]  # Any: a step's value, or an awaitable of it
log = logging.getLogger("orchestrator.verbose")


class Observer:
    """Is told of every attempt of a step. There is one per process for each way of watching, so plans can be kept by it."""

    def __init__(self, *, prints: bool, traces: bool) -> None:
        self.prints = prints
        self.traces = traces

    def wrap(self, name: str, call: Call, is_async: bool) -> Call:
        """A call that is watched."""

        async def watched(run: Actor, act: Activation) -> Any:
            if self.prints:
                say(f"Running step {name}")
            if self.traces:
                from orchestrator.authoring.tracing import step_span

                with step_span(run, act):
                    result = await _value(call(run, act))
            else:
                result = await _value(call(run, act))
            if self.prints:
                say(f"Step {name} produced {_described(result)}")
            return result

        return watched


async def _value(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def _described(result: Any) -> str:
    if isinstance(result, Event):
        return f"event {type(result).__name__}"
    if isinstance(result, list):
        return f"{len(result)} events"
    return "no event"


def say(text: str) -> None:
    """Log a line if somebody listens to `orchestrator.verbose`, else print it."""
    if log.isEnabledFor(logging.INFO) and log.hasHandlers():
        log.info(text)
    else:
        print(text, file=sys.stdout, flush=True)


_OBSERVERS: dict[tuple[bool, bool], Observer] = {}


def observer_for(prints: bool) -> Observer | None:
    """Who watches a workflow's steps, None if nobody does."""
    traces = is_tracing()
    if not prints and not traces:
        return None
    return _OBSERVERS.setdefault((prints, traces), Observer(prints=prints, traces=traces))


def is_tracing() -> bool:
    """Whether the OpenTelemetry API was imported and a provider was set."""
    api = sys.modules.get("opentelemetry.trace")
    return api is not None and getattr(api, "_TRACER_PROVIDER", None) is not None
