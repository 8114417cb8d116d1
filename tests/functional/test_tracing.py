"""OpenTelemetry spans of functional runs: one per stretch of work of a run, inside of it one per attempt of a step."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from orchestrator.functional import RunContext, step, workflow


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Collects the spans of a test; the provider of the process is put back afterwards."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    before = trace._TRACER_PROVIDER
    trace._TRACER_PROVIDER = provider
    yield exporter
    trace._TRACER_PROVIDER = before


def tree(exporter: InMemorySpanExporter) -> list[tuple[str, str]]:
    """Every span with the one around it, in order of their ends."""
    found: Any = exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in found}
    return [(span.name, names.get(span.parent.span_id, "") if span.parent else "") for span in found]


@step
async def inner(n: int) -> int:
    with trace.get_tracer("user").start_as_current_span("mine"):
        return n


@step
async def outer(n: int) -> int:
    return await inner(n)


def test_runs_steps_and_what_is_in_them_are_spans_inside_of_each_other(spans: InMemorySpanExporter) -> None:
    @workflow
    async def flow(n: int) -> list[int]:
        return list(await asyncio.gather(outer(n), inner(n)))

    result = asyncio.run(flow.run(1))
    found = tree(spans)
    inners = [("flow.inner", "flow.outer"), ("flow.inner", "flow.run"), ("flow.outer", "flow.run")]
    assert sorted(found[:-1]) == [*inners, ("mine", "flow.inner"), ("mine", "flow.inner")]
    assert found[-1] == ("flow.run", "")
    ours = [dict(s.attributes or {}) for s in spans.get_finished_spans() if s.name != "mine"]
    assert {attributes["orchestrator.run_id"] for attributes in ours} == {result.run_id}
    assert ours[-1]["orchestrator.status"] == "done"


def test_a_run_that_pauses_is_a_span_before_and_one_after_and_a_kept_step_has_none(spans: InMemorySpanExporter) -> None:
    @workflow
    async def asks(n: int, ctx: RunContext) -> str:
        return f"{await outer(n)} {await ctx.request_info('ok?', str, request_id='q')}"

    async def story() -> None:
        await asks.run(1)
        assert (await asks.run(responses={"q": "yes"})).text == "1 yes"

    asyncio.run(story())
    assert [name for name, _ in tree(spans)] == ["mine", "asks.inner", "asks.outer", "asks.run", "asks.run"]
    runs = [dict(s.attributes or {})["orchestrator.status"] for s in spans.get_finished_spans() if s.name == "asks.run"]
    assert runs == ["waiting", "done"]


def test_every_failed_attempt_marks_its_span_and_the_failed_run_its_own(spans: InMemorySpanExporter) -> None:
    @step(retry=2)
    async def fails() -> None:
        raise ConnectionError("down")

    @workflow
    async def flow() -> None:
        await fails()

    with pytest.raises(ConnectionError):
        asyncio.run(flow.run())
    found = spans.get_finished_spans()
    assert [s.name for s in found] == ["flow.fails", "flow.fails", "flow.run"]
    assert all(s.status.status_code is StatusCode.ERROR for s in found)
