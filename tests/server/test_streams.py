"""Event streams of a real server: every entry once and in order, over breaks of the connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.authoring.project import Project
from orchestrator.server.app import create_app
from orchestrator.server.opening import open_desk
from orchestrator.testing.loopback import LoopbackServer
from tests.server.kit import async_client, make_desk, sse_events, write_flows

pytestmark = pytest.mark.anyio
SSE = {"Accept": "text/event-stream"}
MANY = """
flow: many
inputs: {count: int}
outputs: {count: int}
events:
  Item: {n: int}
steps:
  split:
    on: Start
    emit: {for_each: range(inputs.count), event: Item, with: {n: "${{ item }}"}}
  work:
    on: Item
    emit: {event: join, with: {n: "${{ ev.n }}"}}
  join:
    collect: all
    emit: {event: Stop, with: {count: "${{ count }}"}}
"""


@pytest.fixture(params=["memory", "store"])
def url(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    from tests.server.kit import FLOWS

    write_flows(tmp_path, many=MANY, **FLOWS)
    if request.param == "memory":
        desk = make_desk(tmp_path)
    else:
        desk = open_desk(Project.open(tmp_path), f"sqlite:///{tmp_path}/runs.db")
    with LoopbackServer(create_app(desk=desk), lifespan="on") as server:
        yield server.url


async def begin(client: httpx.AsyncClient, flow: str, **inputs: Any) -> str:
    answer = await client.post(f"/api/flows/{flow}/runs", json={"inputs": inputs})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["run_id"])


async def test_a_run_is_streamed_whole_and_ends(url: str) -> None:
    async with async_client(url, **SSE) as client:
        run_id = await begin(client, "many", count=50)
        async with client.stream("GET", f"/api/runs/{run_id}/events") as response:
            seen = [event async for event in sse_events(response)]
        numbers = [int(number or -1) for number, kind, _ in seen if kind == "message"]
        assert numbers == list(range(len(numbers))) and len(numbers) > 100
        assert seen[-1][1] == "end" and seen[-1][2]["outputs"] == {"count": 50}


async def test_a_stream_broken_again_and_again_loses_and_repeats_nothing(url: str) -> None:
    async with async_client(url) as client:
        run_id = await begin(client, "many", count=60)
        numbers: list[int] = []
        is_over = False
        while not is_over:
            last = {"Last-Event-ID": str(numbers[-1])} if numbers else {}
            async with client.stream("GET", f"/api/runs/{run_id}/events", headers={**SSE, **last}) as response:
                count = 0
                async for number, kind, _ in sse_events(response):
                    if kind == "end":
                        is_over = True
                        break
                    numbers.append(int(number or -1))
                    count += 1
                    if count == 23:
                        break
        assert numbers == list(range(len(numbers)))


async def test_lines_of_json_carry_the_same_log_from_any_number(url: str) -> None:
    async with async_client(url, Accept="application/x-ndjson") as client:
        run_id = await begin(client, "echo", text="x")
        async with client.stream("GET", f"/api/runs/{run_id}/events?after=0") as response:
            entries = [json.loads(line) async for line in response.aiter_lines() if line.strip()]
        assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1)) and entries


async def test_pages_of_the_log_and_single_entries_agree(url: str) -> None:
    async with async_client(url) as client:
        run_id = await begin(client, "echo", text="y" * 100_000)
        for _ in range(200):
            page = (await client.get(f"/api/runs/{run_id}/events")).json()
            if page["is_over"]:
                break
            await asyncio.sleep(0.01)
        first = page["events"][0]
        assert first["data"]["value"]["$preview"] and first["data"]["value"]["size_bytes"] > 100_000
        whole = (await client.get(f"/api/runs/{run_id}/events/0")).json()
        assert whole["data"]["value"]["text"] == "y" * 100_000
        assert (await client.get(f"/api/runs/{run_id}/events/99")).status_code == 404


async def test_one_stream_of_a_tab_tells_of_runs_and_requests_and_follows_one(url: str) -> None:
    async with async_client(url) as client:
        run_id = await begin(client, "review", title="T", body="B")
        seen: list[tuple[str, Any]] = []
        async with client.stream("GET", f"/api/stream?run={run_id}", headers=SSE) as response:
            async for _, kind, data in sse_events(response):
                seen.append((kind, data))
                if kind == "hello":
                    rows = (await client.get("/api/requests")).json()["requests"]
                    body = {"verdict": "approve", "revision": 1, "as": "kim"}
                    assert (await client.post(f"/api/requests/{rows[0]['id']}", json=body)).status_code == 200
                if {"end", "request"} <= {kind for kind, _ in seen}:
                    break
        entries = [data["seq"] for kind, data in seen if kind == "entry"]
        assert entries == list(range(len(entries)))
        assert any(kind == "request" and data["state"] == "decided" for kind, data in seen)
        assert any(kind == "run" and data["run_id"] == run_id for kind, data in seen)


async def test_the_stream_of_a_tab_goes_on_where_it_was(url: str) -> None:
    async with async_client(url) as client:
        place = ""
        async with client.stream("GET", "/api/stream", headers=SSE) as response:
            async for number, _, _ in sse_events(response):
                place = number or ""
                break
        run_id = await begin(client, "waits", order="o1")
        async with client.stream("GET", "/api/stream", headers={**SSE, "Last-Event-ID": place}) as response:
            async for _, kind, data in sse_events(response):
                assert kind == "run" and data["run_id"] == run_id
                break


async def test_a_tab_of_an_earlier_process_is_told_to_start_over(url: str) -> None:
    async with async_client(url) as client:
        async with client.stream("GET", "/api/stream", headers={**SSE, "Last-Event-ID": "0badf00d.7"}) as response:
            async for _, kind, _ in sse_events(response):
                assert kind == "reset"
                break
        assert (await client.get("/api/stream", headers={"Last-Event-ID": "garbage"})).status_code == 422
        many = "&".join(f"run=r{n}" for n in range(21))
        assert (await client.get(f"/api/stream?{many}")).status_code == 422


async def test_a_followed_run_that_is_unknown_is_told_once(url: str) -> None:
    async with async_client(url) as client, client.stream("GET", "/api/stream?run=nobody", headers=SSE) as response:
        kinds = []
        async for _, kind, _ in sse_events(response):
            kinds.append(kind)
            if kind == "gone":
                break
        assert kinds == ["hello", "gone"]


async def test_open_streams_end_when_the_server_stops(tmp_path: Path) -> None:
    desk = make_desk(write_flows(tmp_path))
    server = LoopbackServer(create_app(desk=desk), lifespan="on").start()
    async with async_client(server.url) as client, client.stream("GET", "/api/stream", headers=SSE) as response:
        events = sse_events(response)
        assert (await anext(events))[1] == "hello"
        desk.end_streams_soon()
        assert [event async for event in events] == []
    await asyncio.to_thread(server.stop)


async def test_too_many_streams_are_refused(tmp_path: Path) -> None:
    desk = make_desk(write_flows(tmp_path), max_streams=1)
    with LoopbackServer(create_app(desk=desk), lifespan="on") as server:
        async with async_client(server.url) as client, client.stream("GET", "/api/stream", headers=SSE) as response:
            events = sse_events(response)  # kept: a generator that nobody holds closes the stream it reads
            assert (await anext(events))[1] == "hello"
            refused = await client.get("/api/stream")
            assert refused.status_code == 503 and refused.json()["code"] == "stream.full"
