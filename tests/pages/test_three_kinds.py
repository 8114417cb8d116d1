"""All three kinds of workflow on every page, in memory and over a store: form, picture, tabs, points of the log, questions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from starlette.testclient import TestClient

from orchestrator import (
    Context,
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
from orchestrator.functional import RunContext, workflow
from orchestrator.server import WorkflowServer
from tests.pages.kit import Page, page, submit
from tests.pages.test_flow_and_run_pages import TABS, assert_inert
from tests.server.kit import client_of, in_loop, wait_for, write_flows

EVIL = "<img src=x onerror=alert(1)>"


class Go(StartEvent):
    topic: str
    count: int = 3


class Piece(Event):
    n: int


class Made(Event):
    text: str


class Question(InputRequiredEvent):
    text: str


class Answer(HumanResponseEvent):
    verdict: Literal["fine", "again"]
    note: str = ""


class Fan(Workflow):
    """Fans out, collects, asks, loops."""

    @step
    async def spread(self, ctx: Context[Any], ev: Go | Answer) -> Piece | StopEvent | None:
        if isinstance(ev, Answer) and ev.verdict == "fine":
            return StopEvent(result=f"fine {ev.note}")
        for n in range(ev.count if isinstance(ev, Go) else 3):
            ctx.send_event(Piece(n=n))
        return None

    @step
    async def make(self, ev: Piece) -> Made:
        return Made(text=f"{EVIL} {ev.n}")

    @step
    async def gather(self, ctx: Context[Any], ev: Made) -> Question | None:
        return None if ctx.collect_events(ev, [Made] * 3) is None else Question(text=f"Good {EVIL}?")


class Plain(Workflow):
    @step
    async def ask(self, ctx: Context[Any], ev: StartEvent) -> StopEvent:
        first = await ctx.wait_for_event(
            HumanResponseEvent, waiter_event=InputRequiredEvent(**{"prefix": "Your name?"})
        )
        said: Any = first.get("response")
        ctx.write_event_to_stream(Question(text="And now?"))
        second = await ctx.wait_for_event(Answer, requirements={"verdict": "fine"})
        return StopEvent(result=f"{said} {second.note}")


@workflow
async def shout(text: str, ctx: RunContext) -> str:
    return f"{text.upper()} {await ctx.request_info(f'Who {EVIL}?', str, request_id='who')}"


YAML = """
flow: looks
inputs: {text: str}
outputs: {verdict: str}
steps:
  look:
    on: Start
    ask:
      title: "Good ${{ inputs.text }}?"
      form: {verdict: fine | again}
      to: {users: [lee]}
    emit: {event: Stop, with: {verdict: "${{ outcome }}"}}
"""
KINDS: dict[str, dict[str, Any]] = {"fan": {"f__topic": EVIL}, "shout": {"f__text": EVIL}, "looks": {"f__text": EVIL}}


@pytest.fixture(params=["memory", "store"])
def client(request: Any, tmp_path: Path) -> Iterator[TestClient]:
    write_flows(tmp_path, looks=YAML)
    server = WorkflowServer(store=None if request.param == "memory" else f"sqlite:///{tmp_path}/runs.db")
    server.add_workflow("fan", Fan(timeout=None))
    server.add_workflow("plain", Plain(timeout=None))
    server.add_workflow("shout", shout)
    server.add_workflow("looks", tmp_path / "looks.flow.yaml")
    with client_of(server.app) as client:
        client.cookies.set("orchestrator_as", "lee")
        yield client


def begin(client: TestClient, kind: str) -> str:
    shown = submit(client, f"/flows/{kind}", **KINDS[kind])
    assert_inert(shown)
    found = re.search(r'data-run="([^"]+)"', shown.html)
    assert found is not None
    wait_for(client, found[1], "waiting")
    return found[1]


def question(client: TestClient, run_id: str, after: str = "") -> str:
    """The page of the run's open question, once it is another one than `after`."""
    for _ in range(200):
        rows = [row for row in client.get("/api/requests").json()["requests"] if row["run_id"] == run_id]
        found = [f"/inbox/{row['id']}" for row in rows]
        assert len(found) <= 1
        if found and found[0] != after:
            return found[0]
        in_loop(client, asyncio.sleep, 0.01)
    raise AssertionError(f"run {run_id} asks nothing new")


def answer(client: TestClient, path: str, do: str, status: int = 200, **fields: Any) -> Page:
    return submit(client, path, do, status, **fields)


@pytest.mark.parametrize("kind", KINDS)
def test_every_tab_shows_a_run_of_every_kind_at_every_point(client: TestClient, kind: str) -> None:
    run_id = begin(client, kind)
    last = int(client.get(f"/api/runs/{run_id}/events").json()["events"][-1]["seq"])
    for tab in TABS:
        for at in ("", *(f"&at={seq}" for seq in range(last + 1))):
            assert_inert(page(client, f"/runs/{run_id}?tab={tab}{at}"))
    for seq in range(last + 1):
        overlay = client.get(f"/runs/{run_id}/overlay?at={seq}")
        assert overlay.status_code == 200 and overlay.json()["at"] == seq


@pytest.mark.parametrize("kind", KINDS)
def test_a_flow_of_every_kind_has_its_form_and_tells_what_is_missing(client: TestClient, kind: str) -> None:
    shown = page(client, f"/flows/{kind}")
    assert "<svg" in shown.html and "Start a run" in shown.words
    field = next(iter(KINDS[kind])).replace("__", ".")
    assert field in shown.fields
    if kind != "shout":  # an empty text is a text; a function that takes one is not told that it is missing
        token = {"_csrf": shown.fields["_csrf"], "once": "x"}
        assert client.post(f"/flows/{kind}/runs", data=token, headers={"accept": "text/html"}).status_code == 422


def test_a_class_asks_in_the_inbox_and_its_loop_asks_again(client: TestClient) -> None:
    run_id = begin(client, "fan")
    inbox = page(client, "/inbox?scope=all")
    assert f"Good {EVIL}?" in inbox.text and client.get("/inbox/count").json() == {"count": 1}
    assert_inert(inbox)
    first = question(client, run_id)
    assert_inert(page(client, first))
    answer(client, first, "verdict:again")
    second = question(client, run_id, first)
    assert page(client, first, 404)
    answer(client, second, "verdict:fine", f__note="ok")
    assert wait_for(client, run_id, "done")["outputs"] == "fine ok"
    assert client.get("/api/requests").json()["requests"] == []


def test_a_question_of_a_class_is_answered_once(client: TestClient) -> None:
    run_id = begin(client, "fan")
    first = question(client, run_id)
    path = first.replace("/inbox/", "/api/requests/")
    body = {"verdict": "again"}
    given = [client.post(path, json=body).status_code for _ in range(2)]
    assert given[0] == 200 and given[1] in (404, 409)
    assert client.post(path, json={"verdict": "never"}).status_code in (404, 409, 422)
    assert question(client, run_id, first)  # the second round's, not answered by the second post


def test_waits_of_a_class_ask_one_after_the_other(client: TestClient) -> None:
    run_id = client.post("/api/flows/plain/runs", json={"inputs": {}}).json()["run_id"]
    wait_for(client, run_id, "waiting")
    first = question(client, run_id)
    assert "Your name?" in page(client, first).words
    answer(client, first, "answer", f__response="Ada")
    second = question(client, run_id, first)
    assert "And now?" in page(client, second).words
    answer(client, second, "answer", f__note="done")
    assert wait_for(client, run_id, "done")["outputs"] == "Ada done"


def test_a_function_asks_by_the_text_of_its_question(client: TestClient) -> None:
    run_id = begin(client, "shout")
    path = question(client, run_id)
    shown = page(client, path)
    assert shown.all("h1") and f"Who {EVIL}?" in shown.text and "request_data" not in shown.text
    answer(client, path, "answer", f__answer="Ada")
    assert wait_for(client, run_id, "done")["outputs"] == f"{EVIL.upper()} Ada"
