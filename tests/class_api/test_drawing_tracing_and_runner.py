"""SEMANTICS 1, row "draw"; OpenTelemetry spans; `orchestrator.testing`; `verbose`."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from orchestrator import (
    Context,
    StartEvent,
    StepFailedEvent,
    StopEvent,
    Workflow,
    catch_error,
    draw_all_possible_flows,
    draw_most_recent_execution,
    step,
)
from orchestrator.authoring.run_path import path_of
from orchestrator.draw.model import START, STOP
from orchestrator.errors import UsageError
from orchestrator.events import StepStateChanged
from orchestrator.testing import WorkflowTestRunner
from tests.class_api.support import A, B, run


class Loops(Workflow):
    """Goes round three times."""

    @step
    async def go(self, ctx: Context, ev: StartEvent | A) -> A | StopEvent:
        ctx.write_event_to_stream(B())
        n = 0 if isinstance(ev, StartEvent) else ev.n
        return StopEvent(result=n) if n == 3 else A(n=n + 1)

    @catch_error
    async def rescue(self, ev: StepFailedEvent) -> StopEvent:
        return StopEvent()


@pytest.mark.parametrize(
    ("name", "begins"),
    [("f.html", "<!DOCTYPE html>"), ("f.svg", "<svg"), ("f.dot", "digraph"), ("f.mmd", "flowchart")],
)
def test_the_ending_of_the_name_decides_what_is_drawn(name: str, begins: str, tmp_path: Path) -> None:
    text = draw_all_possible_flows(Loops, filename=tmp_path / name)
    assert (tmp_path / name).read_text(encoding="utf-8") == text
    assert begins in text[:200]
    assert "go" in text


def test_an_unknown_ending_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="its name ends in one of .html"):
        draw_all_possible_flows(Loops, filename=tmp_path / "f.png")


def test_a_page_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = draw_all_possible_flows(Loops(), filename=None)
    assert "src=" not in page
    assert "default-src 'none'" in page


def test_a_finished_run_is_drawn_with_the_path_it_took(tmp_path: Path) -> None:
    async def main() -> Any:
        workflow = Loops()
        handler = workflow.run()
        await handler
        drawn = draw_most_recent_execution(handler, filename=tmp_path / "run.svg")
        assert drawn == draw_most_recent_execution(workflow, filename=None) or (tmp_path / "run.svg").exists()
        actor = handler._start.run
        assert actor is not None
        return path_of(actor.plan, actor.log, actor.state)

    path = run(main)
    assert path.steps["go"].count == 4
    assert path.edges == {(START, "StartEvent", "go"): 1, ("go", "A", "go"): 3, ("go", "StopEvent", STOP): 1}


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


def test_a_run_and_its_steps_are_spans(spans: InMemorySpanExporter) -> None:
    async def main() -> str:
        handler = Loops().run()
        await handler
        return handler.run_id

    run_id = run(main)
    found: list[ReadableSpan] = list(spans.get_finished_spans())
    assert [s.name for s in found] == ["Loops.go"] * 4 + ["Loops.run"]
    whole = found[-1]
    assert all(s.parent is not None and s.parent.span_id == whole.context.span_id for s in found[:-1])
    assert {dict(s.attributes or {})["orchestrator.run_id"] for s in found} == {run_id}
    assert dict(whole.attributes or {})["orchestrator.status"] == "done"


def test_a_failed_step_marks_its_span_and_that_of_the_run(spans: InMemorySpanExporter) -> None:
    class Fails(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        Fails().run_sync()
    step_span, run_span = spans.get_finished_spans()
    assert (step_span.status.status_code, run_span.status.status_code) == (StatusCode.ERROR, StatusCode.ERROR)
    assert step_span.events[0].name == "exception"


def test_what_a_step_starts_is_inside_its_span(spans: InMemorySpanExporter) -> None:
    class Inside(Workflow):
        @step
        async def go(self, ev: StartEvent) -> StopEvent:
            with trace.get_tracer("user").start_as_current_span("mine"):
                return StopEvent()

    Inside().run_sync()
    mine, outer, _ = spans.get_finished_spans()
    assert mine.parent is not None
    assert mine.parent.span_id == outer.context.span_id


def test_without_a_provider_the_api_package_is_not_even_imported() -> None:
    code = (
        "import sys; from orchestrator import StartEvent, StopEvent, Workflow, step\n"
        "class W(Workflow):\n    @step\n    async def go(self, ev: StartEvent) -> StopEvent:\n        return StopEvent()\n"
        "W().run_sync(); print(any(m.startswith('opentelemetry') for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_verbose_goes_to_the_log_if_somebody_listens(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="orchestrator.verbose"):
        Loops(verbose=True).run_sync()
    assert caplog.messages[:2] == ["Running step go", "Step go produced event A"]


def test_the_test_runner_collects_what_a_run_shows() -> None:
    async def main() -> Any:
        plain = await WorkflowTestRunner(Loops()).run(expose_internal=False)
        chosen = await WorkflowTestRunner(Loops()).run(StartEvent(), exclude_events=[B])
        return plain, chosen

    plain, chosen = run(main)
    assert (plain.event_types[B], plain.event_types[StopEvent], plain.result) == (4, 1, 3)
    assert (chosen.event_types[B], chosen.event_types[StepStateChanged]) == (0, 12)
    assert plain.ctx.run_id
