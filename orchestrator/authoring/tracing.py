"""OpenTelemetry spans of runs and steps. Imported only when the API package is in use and a provider is set.

A run's span begins with its first step and ends with the run; a step's attempt is a child of it. A wait for somebody is part of
the attempt's span and no error; a cancelled attempt is marked, not failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

from orchestrator.runtime.actor import Actor
from orchestrator.runtime.state import Activation

NAME = "orchestrator"
_RUNS: dict[str, Span] = {}  # spans of runs that have begun and not ended, by run id


@contextmanager
def step_span(run: Actor, act: Activation) -> Iterator[Span]:
    """The span of one attempt of a step."""
    parent = trace.set_span_in_context(_run_span(run))
    tracer = trace.get_tracer(NAME)
    attributes: dict[str, Any] = {
        "orchestrator.run_id": run.run_id,
        "orchestrator.flow": run.plan.ir.name,
        "orchestrator.step": act.step.name,
        "orchestrator.attempt": act.attempt,
        "orchestrator.event": ",".join(dict.fromkeys(event.type for event in act.events)),
    }
    with tracer.start_as_current_span(
        f"{run.plan.ir.name}.{act.step.name}",
        context=parent,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except asyncio.CancelledError:
            span.set_attribute("orchestrator.cancelled", True)
            raise
        except Exception as error:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
            raise


def _run_span(run: Actor) -> Span:
    span = _RUNS.get(run.run_id)
    if span is None:
        attributes = {"orchestrator.run_id": run.run_id, "orchestrator.flow": run.plan.ir.name}
        span = trace.get_tracer(NAME).start_span(f"{run.plan.ir.name}.run", attributes=attributes)
        if not run.is_over:
            _RUNS[run.run_id] = span
    return span


def end_run_span(run: Actor) -> None:
    """The run has ended: so has its span, with the run's status."""
    span = _RUNS.pop(run.run_id, None)
    if span is None:
        return
    status = run.state.status.value
    span.set_attribute("orchestrator.status", status)
    if status in ("failed", "timeout"):
        span.set_status(Status(StatusCode.ERROR, str((run.state.error or {}).get("message", status))))
    span.end()
