"""`orchestrator mcp serve` as a process, driven by the official client over stdio."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters, stdio_client

from tests.cli.support import ASK, ENV, HELLO, Done, command, process, write

pytestmark = pytest.mark.anyio
SLOW = """\
flow: slow
steps:
  nap:
    on: Start
    wait: 1h
    emit: Stop
"""
FAILS = """\
flow: fails
steps:
  open:
    on: Start
    call: files.read
    with: {path: not-there.txt}
    emit: Stop
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "orchestrator.toml", "")
    for name, text in (
        ("hello", HELLO),
        ("ask", ASK),
        ("slow", SLOW),
        ("fails", FAILS),
        ("broken", "flow: broken\nsteps: 3\n"),
    ):
        write(tmp_path, f"{name}.flow.yaml", text)
    return tmp_path


@asynccontextmanager
async def connected(folder: Path, *options: str) -> AsyncIterator[Client]:
    program, *words = command("mcp", "serve", folder, *options)
    transport = stdio_client(StdioServerParameters(command=program, args=words, env=ENV, cwd=folder))
    async with Client(transport, read_timeout_seconds=30) as client:
        yield client


async def shell(*args: str | Path, cwd: Path) -> Done:
    return await asyncio.to_thread(process, *args, cwd=cwd)


def content_of(result: Any) -> Any:
    return result.structured_content


async def test_every_sound_flow_is_a_tool_with_its_schemas(folder: Path) -> None:
    async with connected(folder) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert sorted(tools) == ["ask-first", "fails", "get_run", "hello", "slow"]
    assert tools["hello"].input_schema["required"] == ["name"]
    assert tools["hello"].output_schema["properties"]["outputs"]["anyOf"][0]["properties"]["text"] == {"type": "string"}


async def test_a_call_runs_the_flow_and_gives_its_outputs(folder: Path) -> None:
    async with connected(folder) as client:
        result = await client.call_tool("hello", {"name": "Ada"})
        found = content_of(result)
    assert (found["status"], found["outputs"], result.is_error) == ("done", {"text": "hello-ada"}, False)
    assert json.loads(result.content[0].text) == found
    assert (await shell("runs", "show", found["run_id"], "--json", cwd=folder)).json["data"]["status"] == "done"


async def test_wrong_inputs_and_unknown_flows_are_told_to_the_model(folder: Path) -> None:
    async with connected(folder) as client:
        wrong = await client.call_tool("hello", {"nam": "Ada"})
        unknown = await client.call_tool("helo", {})
    assert wrong.is_error and "name" in wrong.content[0].text
    assert unknown.is_error and "there is no flow 'helo'" in unknown.content[0].text


async def test_a_run_that_fails_is_an_error_with_its_code(folder: Path) -> None:
    async with connected(folder) as client:
        result = await client.call_tool("fails", {})
    assert result.is_error and content_of(result)["error"]["code"] == "files.not_found"


async def test_a_run_that_waits_for_people_answers_at_once_and_get_run_follows_it(folder: Path) -> None:
    async with connected(folder) as client:
        found = content_of(await client.call_tool("ask-first", {"title": "Trees"}))
        assert (found["status"], found["waiting"], found["outputs"]) == ("waiting", ["review"], None)
        answer = await shell("decide", found["run_id"], "approve", "--as", "kim", cwd=folder)
        assert answer.code == 0, answer.err
        for _ in range(100):
            later = content_of(await client.call_tool("get_run", {"run_id": found["run_id"]}))
            if later["status"] == "done":
                break
            await asyncio.sleep(0.1)
    assert later["outputs"] == {"verdict": "approve"}


async def test_a_call_that_is_given_up_cancels_its_run(folder: Path) -> None:
    async with connected(folder) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await client.call_tool("slow", {})
        await client.call_tool("hello", {"name": "Ada"})
        rows: list[Any] = []
        for _ in range(100):
            rows = [
                r for r in (await shell("runs", "ls", "--json", cwd=folder)).json["data"]["runs"] if r["flow"] == "slow"
            ]
            if rows and rows[0]["status"] == "cancelled":
                break
            await asyncio.sleep(0.1)
    assert [row["status"] for row in rows] == ["cancelled"]


async def test_only_the_chosen_flows_are_offered(folder: Path) -> None:
    async with connected(folder, "--flow", "hello") as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        refused = await client.call_tool("slow", {})
    assert tools == {"hello", "get_run"}
    assert refused.is_error
    assert (await shell("mcp", "serve", ".", "--flow", "nope", cwd=folder)).code == 6


async def test_the_flows_of_one_project_are_the_steps_of_another(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    words = json.dumps(command("mcp", "serve", folder, "--store", "memory:"))
    write(
        other,
        "orchestrator.toml",
        f"[mcp.servers.near]\ncommand = {words}\nenv = {{PYTHONPATH = '{ENV['PYTHONPATH']}'}}\n",
    )
    assert (await shell("mcp", "pull", cwd=other)).code == 0
    done = await shell("run", "--step", "near.hello", "-i", "name=Ada", "--json", cwd=other)
    assert done.json["data"]["result"]["outputs"] == {"text": "hello-ada"}
