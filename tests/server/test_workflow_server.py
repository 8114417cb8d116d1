"""`WorkflowServer` as seed 003 uses it, with all three kinds of workflow, driven by the published client and by plain HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from llama_agents.client import WorkflowClient  # type: ignore[import-untyped]  # it has no types

from orchestrator import Context, Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent, Workflow, step
from orchestrator.functional import RunContext, workflow
from orchestrator.server import WorkflowServer
from orchestrator.testing.loopback import LoopbackServer
from tests.server.kit import ECHO, WAITS, write_flows

pytestmark = pytest.mark.anyio


class StreamEvent(Event):
    sequence: int


class Greeting(Workflow):
    @step
    async def greet(self, ctx: Context[Any], ev: StartEvent) -> StopEvent:
        for number in range(3):
            ctx.write_event_to_stream(StreamEvent(sequence=number))
            await asyncio.sleep(0)
        return StopEvent(result=f"Hello, {ev.get('name', 'World')}!")


class Question(InputRequiredEvent):
    text: str


class Answer(HumanResponseEvent):
    text: str


class Asking(Workflow):
    @step
    async def ask(self, ev: StartEvent) -> Question:
        return Question(text="why?")

    @step
    async def take(self, ctx: Context[Any], ev: Answer) -> StopEvent:
        count = await ctx.store.get("count", 0) + 1
        await ctx.store.set("count", count)
        return StopEvent(result=f"{ev.text} {count}")


class Failing(Workflow):
    @step
    async def fail(self, ev: StartEvent) -> StopEvent:
        raise ValueError("no luck")


@workflow
async def shout(text: str, ctx: RunContext) -> str:
    name = await ctx.request_info("Who?", str, request_id="who")
    return f"{text.upper()} {name}"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    write_flows(tmp_path, echo=ECHO, waits=WAITS)
    server = WorkflowServer()
    for name, served in (("greet", Greeting()), ("ask", Asking()), ("fail", Failing()), ("shout", shout)):
        server.add_workflow(name, served)
    server.add_workflow("echo", tmp_path / "echo.flow.yaml")
    server.add_workflow("waits", tmp_path / "waits.flow.yaml")
    with LoopbackServer(server.app, lifespan="on") as running:
        yield running.url


async def test_the_published_client_runs_a_workflow_and_gets_its_result(url: str) -> None:
    client = WorkflowClient(base_url=url)
    assert (await client.is_healthy()).status == "healthy"
    assert (await client.list_workflows()).workflows == ["ask", "echo", "fail", "greet", "shout", "waits"]
    handler = await client.run_workflow("greet", start_event={"name": "Ada"})
    assert handler.status == "completed" and handler.result is not None
    assert handler.result.value == {"result": "Hello, Ada!"} and handler.result.type == "StopEvent"
    assert handler.result.load_event().result == "Hello, Ada!"


async def test_the_published_client_streams_and_resumes_events(url: str) -> None:
    client = WorkflowClient(base_url=url)
    handler = await client.run_workflow_nowait("greet")
    assert handler.status == "running"
    stream = client.get_workflow_events(handler.handler_id)
    seen = [(event.type, event.value.get("sequence"), stream.last_sequence) async for event in stream]
    assert [(kind, number) for kind, number, _ in seen] == [
        ("StreamEvent", 0),
        ("StreamEvent", 1),
        ("StreamEvent", 2),
        ("StopEvent", None),
    ]
    later = client.get_workflow_events(handler.handler_id, after_sequence=seen[1][2])
    assert [event.type async for event in later] == ["StreamEvent", "StopEvent"]
    assert [e async for e in client.get_workflow_events(handler.handler_id, after_sequence=seen[-1][2])] == []


async def test_internal_events_are_shown_on_request(url: str) -> None:
    client = WorkflowClient(base_url=url)
    handler = await client.run_workflow_nowait("greet")
    kinds = {event.type async for event in client.get_workflow_events(handler.handler_id, include_internal_events=True)}
    assert "StepStateChanged" in kinds


async def test_the_published_client_answers_a_question_and_goes_on_with_the_same_handler(url: str) -> None:
    client = WorkflowClient(base_url=url)
    for count in (1, 2):
        handler = await client.run_workflow_nowait("ask", handler_id="h1")
        async for event in client.get_workflow_events("h1"):
            if event.type == "Question":
                await client.send_event("h1", {"type": "Answer", "value": {"text": "because"}})
        done = await client.wait_for_handler(handler.handler_id, poll_interval=0.01)
        assert done.result is not None and done.result.value == {"result": f"because {count}"}


async def test_the_published_client_sees_schemas_and_graphs(url: str) -> None:
    client = WorkflowClient(base_url=url)
    assert (await client.get_workflow_schema("waits")).start["properties"] == {"order": {"type": "string"}}
    assert {schema["title"] for schema in (await client.get_workflow_events_schema("ask")).events} >= {
        "Question",
        "Answer",
    }
    graph = (await client.get_workflow_graph("ask")).graph
    assert {node.id for node in graph.nodes if node.node_type == "step"} == {"ask", "take"}
    assert any(edge.source == "ask" and edge.target == "event:Question" for edge in graph.edges)


async def test_the_published_client_lists_filters_cancels_and_purges(url: str) -> None:
    client = WorkflowClient(base_url=url)
    await client.run_workflow("greet")
    waiting = await client.run_workflow_nowait("ask")
    running = (await client.get_handlers(status=["running"])).handlers
    assert [handler.handler_id for handler in running] == [waiting.handler_id]
    assert [h.workflow_name for h in (await client.get_handlers(workflow_name=["greet"])).handlers] == ["greet"]
    assert (await client.cancel_handler(waiting.handler_id)).status == "cancelled"
    assert (await client.cancel_handler(waiting.handler_id, purge=True)).status == "deleted"
    assert len((await client.get_handlers()).handlers) == 1


async def test_flow_files_and_functions_are_served_to_the_published_client(url: str) -> None:
    client = WorkflowClient(base_url=url)
    handler = await client.run_workflow("echo", start_event={"text": "hi"})
    assert handler.result is not None and handler.result.value == {"result": {"text": "HI"}}
    waiting = await client.run_workflow_nowait("waits", start_event={"order": "o1"})
    await client.send_event(waiting.handler_id, {"type": "Paid", "value": {"order": "o1", "by": "card"}})
    done = await client.wait_for_handler(waiting.handler_id, poll_interval=0.01)
    assert done.result is not None and done.result.value == {"result": {"by": "card"}}


async def test_a_functional_workflow_asks_through_the_inbox(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        run = (await client.post("/api/flows/shout/runs", json={"inputs": {"text": "hi"}})).json()
        asked = (await client.get("/api/requests")).json()["requests"]
        assert [(row["run_id"], row["kind"], row["request_id"]) for row in asked] == [
            (run["run_id"], "question", "who")
        ]
        answer = await client.post(f"/api/requests/{asked[0]['id']}", json={"form": {"answer": "Ada"}})
        assert answer.status_code == 200, answer.text
        async with client.stream(
            "GET", f"/api/runs/{run['run_id']}/events", headers={"Accept": "application/x-ndjson"}
        ) as log:
            assert [line async for line in log.aiter_lines()]
        assert (await client.get(f"/api/runs/{run['run_id']}")).json()["outputs"] == "HI Ada"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/workflows/greet/run", None, 400),
        ("POST", "/workflows/nobody/run", {}, 404),
        ("POST", "/workflows/greet/run", {"context": {"version": 1}}, 400),
        ("POST", "/workflows/greet/run", {"start_event": "not json"}, 400),
        ("POST", "/workflows/waits/run", {"start_event": {"order": 5}}, 400),
        ("POST", "/workflows/fail/run", {}, 500),
        ("GET", "/handlers/nobody", None, 404),
        ("GET", "/events/nobody", None, 404),
        ("POST", "/events/nobody", {"event": {"type": "A", "value": {}}}, 404),
    ],
)
async def test_the_codes_of_the_other_interface(url: str, method: str, path: str, body: object, status: int) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        if path == "/workflows/fail/run":
            assert answer.json()["status"] == "failed" and "no luck" in answer.json()["error"]


async def test_a_running_handler_conflicts_and_unknown_events_are_refused(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        first = await client.post("/workflows/ask/run-nowait", json={"handler_id": "h1"})
        assert first.status_code == 200 and (await client.get("/handlers/h1")).status_code == 202
        assert (await client.post("/workflows/ask/run-nowait", json={"handler_id": "h1"})).status_code == 409
        wrong = await client.post("/events/h1", json={"event": {"type": "Nothing", "value": {}}})
        assert wrong.status_code == 400
        sent = await client.post("/events/h1", json={"event": '{"type": "Answer", "value": {"text": "x"}}'})
        assert sent.json() == {"status": "sent"}
        for _ in range(100):
            if (await client.get("/handlers/h1")).status_code == 200:
                break
            await asyncio.sleep(0.01)
        assert (await client.get("/results/h1")).json()["result"] == "x 1"
        assert (
            await client.post("/events/h1", json={"event": {"type": "Answer", "value": {"text": "x"}}})
        ).status_code == 409


async def test_start_and_stop_may_be_called_by_hand() -> None:
    server = WorkflowServer()
    server.add_workflow("greet", Greeting())
    await server.start()
    transport = httpx.ASGITransport(app=server.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.post("/workflows/greet/run", json={})
        assert answer.json()["result"]["value"] == {"result": "Hello, World!"}
    await server.stop()


async def test_runs_of_classes_outlive_a_server_over_a_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"

    def serve() -> LoopbackServer:
        server = WorkflowServer(store=url)
        server.add_workflow("ask", Asking())
        server.add_workflow("greet", Greeting())
        return LoopbackServer(server.app, lifespan="on")

    with serve() as first:
        client = WorkflowClient(base_url=first.url)
        done = await client.run_workflow("greet", start_event={"name": "Ada"})
        assert done.result is not None and done.result.value == {"result": "Hello, Ada!"}
        handler = await client.run_workflow_nowait("ask")
        stream = client.get_workflow_events(handler.handler_id)
        assert (await anext(aiter(stream))).type == "Question"
        await stream.aclose()
    with serve() as second:
        client = WorkflowClient(base_url=second.url)
        assert (await client.get_handler(handler.handler_id)).status == "running"
        await client.send_event(handler.handler_id, {"type": "Answer", "value": {"text": "late"}})
        ended = await client.wait_for_handler(handler.handler_id, poll_interval=0.02)
        assert ended.result is not None and ended.result.value == {"result": "late 1"} and ended.workflow_name == "ask"
        assert [h.workflow_name for h in (await client.get_handlers(workflow_name=["greet"])).handlers] == ["greet"]
