"""`load`: a flow file as a Python object, with the handler of the class API."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator import Event, RequestEvent, StopEvent, WorkflowCancelledByUser, WorkflowHandler, load
from orchestrator.errors import (
    CompileFailed,
    JournalConflict,
    RunError,
    RunFinished,
    StepFailed,
    UnknownRun,
    UsageError,
)
from orchestrator.runtime.answering import AnswerRefused
from tests.integration.support import PLAIN, REVIEW, STEPS, asked, review, run, until, url, write

WAITING = """
flow: paid
inputs: {order: str}
outputs: {amount: int}
events:
  Paid: {external: true, fields: {order: str, amount: int}}
steps:
  wait_for_it:
    on: Start
    wait: {event: Paid, match: {order: "${{ inputs.order }}"}, within: 1h}
    emit: {event: Stop, with: {amount: "${{ result.amount }}"}}
  late:
    on: wait_for_it.timeout
    emit: {event: Failed, with: {code: too.late, message: nobody paid}}
"""


class Paid(Event):
    order: str
    amount: int


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return None if request.param == "memory" else url(tmp_path)


def test_a_flow_runs_and_its_handler_can_be_awaited_again_and_again(tmp_path: Path, store: str | None) -> None:
    async def main() -> None:
        handler = review(tmp_path, store=store).run(text=" tea ")
        assert isinstance(handler, WorkflowHandler)
        request = await asked(handler)
        assert (request.id, request.title, request.verdicts) == ("ask-4", 'Publish "tea"?', ("approve", "reject"))
        await handler.answer(request.id, user="kim", verdict="approve")
        assert await handler == {"text": "published tea", "by": "kim"} == await handler == handler.result()
        assert handler.is_done()
        assert handler.requests() == []

    run(main)


def test_run_sync_gives_the_outputs(tmp_path: Path) -> None:
    flow = load(write(tmp_path, "plain", PLAIN), steps=STEPS)
    assert flow.run_sync(text="tea") == {"text": "published tea"}
    assert flow.run_sync({"text": "x"}, store=url(tmp_path)) == {"text": "published x"}


def test_any_number_of_readers_see_the_question_and_the_end(tmp_path: Path, store: str | None) -> None:
    async def read(handler: WorkflowHandler) -> list[Any]:
        return [event async for event in handler.stream_events()]

    async def main() -> None:
        handler = review(tmp_path, store=store).run(text="tea")
        early = asyncio.create_task(read(handler))
        await handler.answer((await asked(handler)).id, user="kim", verdict="approve")
        await handler
        seen = await early
        assert [type(e) for e in seen] == [RequestEvent, StopEvent]
        assert (seen[0].step, seen[0].show, seen[1].result["by"]) == ("ask", {"body": "tea"}, "kim")
        assert [type(e) for e in await read(handler)] == [RequestEvent, StopEvent]

    run(main)


def test_wrong_answers_are_refused_and_leave_the_question_open(tmp_path: Path, store: str | None) -> None:
    async def main() -> None:
        handler = review(tmp_path, store=store).run(text="tea")
        name = (await asked(handler)).id
        for user, form in (("lee", {"verdict": "approve"}), ("kim", {"verdict": "maybe"}), ("kim", {})):
            with pytest.raises(AnswerRefused):
                await handler.answer(name, user=user, form=form)
        with pytest.raises(AnswerRefused):
            await handler.answer("ask-99", user="kim", verdict="approve")
        assert [r.id for r in await handler.requests()] == [name]
        await handler.answer(name, user="kim", verdict="reject")
        with pytest.raises(RunError, match="kim refused it") as error:
            await handler
        assert error.value.code == "review.refused"

    run(main)


def test_events_reach_it_by_class_by_name_and_by_run_id(tmp_path: Path, store: str | None) -> None:
    async def main() -> None:
        flow = load(write(tmp_path, "paid", WAITING), store=store)
        one, two, three = (flow.run(order=name, run_id=f"run-{name}") for name in "abc")
        await until(lambda: all(h._start.run is not None for h in (one, two, three)))
        await one.send_event(Paid(order="a", amount=1))
        await two.send_event("Paid", order="b", amount=2)
        await orchestrator.send("run-c", Paid(order="c", amount=3), store=store)
        assert [await h for h in (one, two, three)] == [{"amount": 1}, {"amount": 2}, {"amount": 3}]

    run(main)


def test_events_that_the_flow_does_not_take_are_refused(tmp_path: Path, store: str | None) -> None:
    async def main() -> None:
        handler = load(write(tmp_path, "paid", WAITING), store=store).run(order="a", run_id="r")
        await until(lambda: handler._start.run is not None)
        with pytest.raises(UsageError, match="did you mean `Paid`"):
            await handler.send_event("Payd", order="a")
        with pytest.raises(UsageError, match="amount"):
            await handler.send_event("Paid", order="a", amount="much")
        with pytest.raises(UnknownRun):
            await orchestrator.send("nobody", Paid(order="a", amount=1), store=store)
        await handler.cancel_run()
        with pytest.raises(WorkflowCancelledByUser):
            await handler
        with pytest.raises((RunFinished, UnknownRun)):
            await orchestrator.send("r", Paid(order="a", amount=1), store=store)

    run(main)


def test_wrong_inputs_are_an_error_before_anything_runs(tmp_path: Path, store: str | None) -> None:
    async def main() -> None:
        flow = review(tmp_path, store=store)
        with pytest.raises(UsageError, match="text"):
            flow.run(txet="tea")
        with pytest.raises(UsageError, match="text"):
            flow.run(text=3)

    run(main)


def test_a_run_id_that_the_store_has_is_a_conflict(tmp_path: Path) -> None:
    async def main() -> None:
        flow = review(tmp_path, store=url(tmp_path))
        first = flow.run(text="tea", run_id="one")
        await asked(first)
        again = flow.run(text="tea", run_id="one")
        assert repr(first) == "<run one of 'review', waiting>"
        with pytest.raises(JournalConflict, match=r"resume\('one'\)"):
            await again
        assert again.is_done()
        assert not first.is_done()

    run(main)


def test_a_failed_step_raises_and_ends_the_stream_with_its_event(tmp_path: Path, store: str | None) -> None:
    def fail(text: str) -> str:
        raise ValueError(f"no {text}")

    async def main() -> None:
        flow = load(write(tmp_path, "review", REVIEW), steps={**STEPS, "my.tidy": fail}, store=store)
        handler = flow.run(text="tea")
        with pytest.raises(StepFailed, match="no tea") as error:
            await handler
        assert (error.value.step, error.value.error["code"]) == ("tidy", "call.failed")
        events = [event async for event in handler.stream_events()]
        assert [type(e).__name__ for e in events] == ["WorkflowFailedEvent"]

    run(main)


def test_a_file_with_mistakes_is_checked_and_does_not_run(tmp_path: Path) -> None:
    flow = load(write(tmp_path, "bad", REVIEW.replace("on: tidy\n", "on: tydy\n")), steps=STEPS)
    assert any("did you mean `tidy`" in str(d.help) for d in flow.check())
    with pytest.raises(CompileFailed):
        flow.run_sync(text="tea")
    assert "<pre>" in flow._repr_html_()
    assert "tydy" in flow._repr_html_()
    assert "errors" in repr(flow)


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.flow\.yaml"):
        load(tmp_path / "nowhere.flow.yaml")


def test_it_draws_itself_and_shows_in_notebooks(tmp_path: Path) -> None:
    flow = review(tmp_path)
    assert "flowchart" in flow.draw()
    assert "<svg" in flow.draw(format="svg")
    assert flow._repr_html_().startswith("<svg")
    assert "publish" in flow.draw(format="ascii")
    flow.draw(tmp_path / "x.html")
    assert (tmp_path / "x.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(UsageError, match="format"):
        flow.draw(format="png")  # type: ignore[arg-type]
    assert list(flow.steps) == ["tidy", "ask", "refuse", "publish"]
    assert not [d for d in flow.check() if d.severity == "error"]


def test_what_needs_a_context_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        handler = review(tmp_path).run(text="tea")
        with pytest.raises(orchestrator.ContextStateError, match="requests"):
            _ = handler.ctx
        await handler.cancel_run()

    run(main)
