"""A real browser for tests: Debian's Chromium driven by Playwright, and real servers for it. Tests skip by name without one."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from orchestrator.server.app import create_app
from orchestrator.server.desk import Desk

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ROOT = Path(__file__).parent.parent.parent
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
CHECKS = Path(__file__).with_name("checks.js")


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser. Skips where Playwright or a Chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """Somebody at a browser window; keeps what the window asked for outside of the server and what went wrong in it."""

    def __init__(self, browser: Any, url: str, name: str = "", **options: Any) -> None:
        self.url = url
        self.context = browser.new_context(**options)
        if name:
            self.context.add_cookies([{"name": "orchestrator_as", "value": name, "url": url}])
        self.page = self.context.new_page()
        self.page.set_default_timeout(8_000)
        self.outside: list[str] = []
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("request", self._asked)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._said)

    def _asked(self, request: Any) -> None:
        self.requests.append(request.url)
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.outside.append(request.url)

    def _said(self, message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text and "ERR_" not in message.text:
            self.errors.append(message.text)

    def go(self, path: str) -> Any:
        """Open a page; gives it."""
        self.page.goto(self.url + path, wait_until="load")
        return self.page

    def close(self) -> None:
        """Close the window. Nothing may have gone wrong in it."""
        self.context.close()
        assert self.errors == []
        assert self.outside == []


class LiveServer:
    """A server in a thread of this process, so that tests can move its clock."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(create_app(desk=desk), log_level="error", lifespan="on", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        async def main() -> None:
            self.loop = asyncio.get_running_loop()
            await self.server.serve(sockets=[self.socket])

        asyncio.run(main())

    def call(self, function: Any, *args: Any) -> Any:
        """Call something in the server's loop, and let what follows happen."""

        async def calling() -> Any:
            result = function(*args)
            await asyncio.sleep(0)
            return result

        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(calling(), self.loop).result(10)

    def __enter__(self) -> LiveServer:
        self.thread.start()
        wait_until_up(self.url)
        return self

    def __exit__(self, *exc: object) -> None:
        self.call(self.desk.end_streams_soon)
        self.server.should_exit = True
        self.thread.join(10)
        self.socket.close()


def wait_until_up(url: str) -> None:
    """Until the server answers."""
    for _ in range(200):
        try:
            if httpx.get(f"{url}/api/health", trust_env=False, timeout=1).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(f"no server at {url}")


class ServerProcess:
    """`orchestrator dev` as a process that can be killed and started again on the same port and store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
        store = f"sqlite:///{self.folder}/runs.db"
        command = [
            sys.executable,
            "-m",
            "orchestrator",
            "dev",
            str(self.folder),
            "--port",
            str(self.port),
            "--store",
            store,
        ]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            [*command, "--no-reload"], env={**os.environ, "PYTHONPATH": path}, stdout=quiet, stderr=quiet
        )
        wait_until_up(self.url)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None
