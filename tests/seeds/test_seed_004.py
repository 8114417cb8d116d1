"""The examples of seed 004: the simple flow, feedback monitors with loop, branch and three-way collect, nesting, communication."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import WorkflowConfigurationError, WorkflowValidationError
from orchestrator.errors import RunStalled
from tests.seeds.notebook import Notebook

BASICS = ("004_01", "004_02", "004_03")
MONITOR = (*BASICS, "004_07", "004_08", "004_09")
COMPLEX = (*BASICS, "004_07", "004_13", "004_14")
COMPLEX_NAMES = {"asyncio": asyncio, "random": random}


@pytest.fixture(autouse=True)
def quick_sleep(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The examples sleep for seconds; here a second is a tenth of a millisecond."""
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda delay, result=None: sleep(delay / 10_000, result))
    yield


def run(*cells: str) -> Notebook:
    """The notebook after these cells."""
    return asyncio.run(Notebook(**COMPLEX_NAMES).run(*cells))


def test_the_simple_flow_gives_its_payload(capsys: pytest.CaptureFixture[str]) -> None:
    notebook = run(*BASICS, "004_04", "004_05")
    assert notebook.result == "hello world"
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "Running step start",
        "Step start produced event SecondStepEvent",
        "Running step second_step",
        "Step second_step produced event StopEvent",
        "hello world",
    ]


@pytest.mark.parametrize(("chance", "deal"), [(0.1, "Will clear out Apple"), (0.9, "Will place an order for Apple")])
def test_the_feedback_monitor_loops_and_branches(
    chance: float, deal: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(random, "random", lambda: chance)

    async def main() -> str:
        notebook = await Notebook(**COMPLEX_NAMES).run(*MONITOR)
        return str(await notebook.FeedbackMonitorWorkflow(total_cycle=2, timeout=10).run(payload="Apple"))

    assert asyncio.run(main()) == "We're done for the day."
    assert capsys.readouterr().out.count(deal) == 2


def test_the_second_monitor_streams_its_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.9)
    run(*MONITOR, "004_11_feedback_monitor_v2_in_full", "004_12")
    shown = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines() if ":" in line[:3]]
    assert shown == [
        "我们现在回到开始步骤",
        "将获取 Apple 的最新反馈",
        "我们现在购买一些 SKU，反馈为 Good。",
        "我们现在回到开始步骤",
    ]


def test_a_monitor_whose_steps_return_nothing_says_so_at_once() -> None:
    with pytest.raises(RunStalled, match="every step has ended and none of them emitted a stop event"):
        run(*MONITOR, "004_11_feedback_monitor_v2", "004_12")


@pytest.mark.parametrize(("chance", "said"), [(0.1, "Will clear out Apple"), (0.9, "Do nothing")])
def test_three_sources_are_collected_and_vote(
    chance: float, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(random, "random", lambda: chance)
    notebook = run(*COMPLEX, "004_16")
    assert notebook.result == "We are done for the day."
    out = capsys.readouterr().out
    assert said in out
    assert f"{{'{'Bad' if chance < 0.3 else 'Good'}': 3}}" in out
    assert out.count("Running step trading_decision") == 3


def test_an_order_station_is_injected_and_runs_as_a_child(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.9)
    notebook = run(*COMPLEX, "004_17", "004_18")
    assert notebook.result == "We are done for the day."
    out = capsys.readouterr().out
    assert "We are now in a new workflow named OrderStation" in out
    assert "Will place an order for Apple" in out


def test_sharing_a_context_first_attempt_names_the_event_and_what_works() -> None:
    with pytest.raises(WorkflowValidationError) as caught:
        run(*COMPLEX, "004_19", "004_20")
    text = str(caught.value)
    assert "step `trade` returns `TradeEventV2`, but no step" in text
    assert "ctx.send_event(TradeEventV2(...), run_id=" in text
    assert "004_19_trade_event_v2.txt:23" in text


def test_sharing_a_context_second_attempt_names_the_event_and_what_works() -> None:
    with pytest.raises(WorkflowConfigurationError) as caught:
        run(*COMPLEX, "004_19", "004_21")
    text = str(caught.value)
    assert "OrderStation cannot begin: no step takes a StartEvent" in text
    assert "ctx.send_event(TradeEventV2(...), run_id=" in text


COMMUNICATION = """
class OrderStation(Workflow):
    @step
    async def open(self, ctx: Context, ev: StartEvent) -> StopEvent:
        order = await ctx.wait_for_event(TradeEventV2)
        return StopEvent(result=f"{order.feedback} {order.sku}")

class ComplexFeedbackMonitorV3(ComplexFeedbackMonitor):
    @step
    async def trade(self, ctx: Context, ev: TradeEvent) -> StopEvent:
        ctx.send_event(TradeEventV2(feedback=ev.payload, sku=self.sku), run_id=self.station)
        return StopEvent(result='We are done for the day.')

station = OrderStation().run()
monitor = ComplexFeedbackMonitorV3(timeout=20)
monitor.station = station.run_id
result = await monitor.run(payload='Apple')
order = await station
"""


def test_workflows_communicate_by_run_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.9)

    async def main() -> Notebook:
        notebook = await Notebook(**COMPLEX_NAMES).run(*COMPLEX, "004_19")
        return await notebook.execute(COMMUNICATION)

    notebook = asyncio.run(main())
    assert (notebook.result, notebook.order) == ("We are done for the day.", "Good Apple")


def test_an_unbound_step_belongs_to_its_workflow() -> None:
    async def main() -> object:
        notebook = await Notebook(**COMPLEX_NAMES).run(*BASICS, "004_22")
        return await notebook.TestWorkflow().run()

    assert asyncio.run(main()) is None


@pytest.mark.parametrize(
    ("cells", "file"),
    [
        ((*BASICS, "004_04", "004_06"), "simple_workflow.html"),
        ((*MONITOR, "004_04", "004_06", "004_10"), "feedback_monitor_workflow.html"),
        ((*COMPLEX, "004_04", "004_06", "004_15"), "complex_feedback_monitor.html"),
    ],
)
def test_a_flow_is_drawn_into_one_page(
    cells: tuple[str, ...], file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(*cells)
    page = (tmp_path / file).read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "StopEvent" in page
