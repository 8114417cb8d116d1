"""MCP servers by URL: a real one over streamable HTTP that wants a bearer, and addresses that hold none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.server import MCPServer
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.testing.loopback import LoopbackServer
from tests.cli.support import cli, write
from tests.support.hostile_http import hostile_server


def guarded(app: ASGIApp) -> ASGIApp:
    """The app for those who bring the bearer."""

    async def check(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers") or ())
        if scope["type"] == "http" and headers.get(b"authorization") != b"Bearer hook-5ecret":
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"who are you?"})
            return
        await app(scope, receive, send)

    return check


@pytest.fixture
def url() -> Iterator[str]:
    made = MCPServer("far")

    @made.tool(structured_output=False)
    def shout(text: str) -> str:
        """Say it louder."""
        return f"{text.upper()} hook-5ecret"

    app = made.streamable_http_app()
    with LoopbackServer(guarded(app), lifespan="on") as server:
        yield f"{server.url}/mcp"


def config(folder: Path, url: str, more: str = "bearer = 'FAR_KEY'\ntimeout_s = 20") -> None:
    write(folder, "orchestrator.toml", f"[mcp.servers.far]\nurl = '{url}'\n{more}\n")


def test_a_server_by_url_is_pinned_and_called_with_its_bearer(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAR_KEY", "hook-5ecret")
    config(tmp_path, url)
    pulled = cli("mcp", "pull", cwd=tmp_path)
    assert (pulled.code, pulled.out) == (0, "+ far.shout  Say it louder.\n"), pulled.err
    done = cli("run", "--step", "far.shout", "-i", "text=hi", "--json", cwd=tmp_path)
    assert done.json["data"]["result"]["text"] == "HI ***"


def test_a_wrong_bearer_and_a_missing_one_are_told(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config(tmp_path, url)
    assert "FAR_KEY is not set" in cli("mcp", "pull", cwd=tmp_path).err
    monkeypatch.setenv("FAR_KEY", "another-5ecret")
    done = cli("mcp", "pull", cwd=tmp_path)
    assert (done.code, "far" in done.err, "another-5ecret" in done.err, "Traceback" in done.err) == (
        10,
        True,
        False,
        False,
    )


@pytest.mark.parametrize(
    "path", ["garbage", "silence", "bad-json", "500", "429", "hang-up", "endless", "gzip-bomb", "sse-broken", "none"]
)
def test_an_address_without_a_server_is_told_in_time(tmp_path: Path, path: str) -> None:
    import asyncio

    async def pull() -> Any:
        async with hostile_server() as server:
            config(tmp_path, f"{server.url}/{path}", more="timeout_s = 3")
            return await asyncio.to_thread(cli, "mcp", "pull", cwd=tmp_path)

    done = asyncio.run(pull())
    assert (done.code, "MCP server far" in done.err, "Traceback" in done.err) == (10, True, False)
