"""OpenTelemetry spans of runs of workflow functions and of their steps. Imported only when a provider is set.

A span of the run reaches from the beginning of a pass to its pause or its end: a run that waits for a week is a span before
and one after. The spans of steps are inside of it, and those of the steps and calls in a step inside of that one. What is
answered from the record has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

from orchestrator.functional.outcomes import Outcome, Paused, Raised

if TYPE_CHECKING:  # they make the spans
    from orchestrator.functional.passes import Pass
    from orchestrator.runtime.actor import Actor

NAME = "orchestrator"


async def traced_pass(run: Actor, work: Any) -> Outcome:  # work: an awaitable of the outcome
    """The outcome of a pass, done in a span of the run."""
    with _span(run, "run", {}) as span:
        outcome: Outcome = await work
        if isinstance(outcome, Raised):
            _mark(span, outcome.error)
        span.set_attribute("orchestrator.status", _STATUS.get(type(outcome).__name__, "running"))
    return outcome


_STATUS = {"Returned": "done", "Raised": "failed", Paused.__name__: "waiting"}


async def traced_step(run: Pass, name: str, path: str, work: Any) -> Any:  # work: an awaitable of the step's value
    """The value of a step, computed in a span of its own."""
    with _span(run.actor, name, {"orchestrator.step": name, "orchestrator.path": path}) as span:
        try:
            return await work
        except asyncio.CancelledError:
            span.set_attribute("orchestrator.waiting" if run.is_released else "orchestrator.cancelled", True)
            raise
        except Exception as error:
            _mark(span, error)
            raise


@contextmanager
def _span(run: Actor, name: str, more: dict[str, Any]) -> Iterator[Span]:
    flow = run.plan.ir.name
    attributes = {"orchestrator.run_id": run.run_id, "orchestrator.flow": flow, **more}
    with trace.get_tracer(NAME).start_as_current_span(
        f"{flow}.{name}", attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        yield span


def _mark(span: Span, error: BaseException) -> None:
    span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
