"""Puts the app together: REST, pages, the adapter for another client, and the layers around them."""

from __future__ import annotations

import functools
import signal
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from types import FrameType
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.authoring.project import Project
from orchestrator.errors import OrchestratorError
from orchestrator.server import (
    api_accounts,
    api_events,
    api_flows,
    api_links,
    api_ops,
    api_past,
    api_requests,
    api_runs,
    api_triggers,
)
from orchestrator.server.access import checked_routes
from orchestrator.server.desk import Desk, ServerSettings
from orchestrator.server.endpoints import Operation, routes_of
from orchestrator.server.openapi import document_of
from orchestrator.server.pages import page_routes, problem_page
from orchestrator.server.problems import Refused, answer_problem
from orchestrator.server.shield import Shield

OPERATIONS: tuple[Operation, ...] = (
    *api_flows.OPERATIONS,
    *api_runs.OPERATIONS,
    *api_past.OPERATIONS,
    *api_events.OPERATIONS,
    *api_requests.OPERATIONS,
    *api_links.OPERATIONS,
    *api_triggers.OPERATIONS,
    *api_accounts.OPERATIONS,
    *api_ops.OPERATIONS,
)


def create_app(
    project: Project | None = None,
    *,
    desk: Desk | None = None,
    settings: ServerSettings | None = None,
    more: Sequence[BaseRoute] = (),
) -> Starlette:
    """The server of a project as an ASGI app; it can be mounted in any other.

    `desk` brings accounts and a store of its own. `more` are further guarded routes, matched first.

    Example: uvicorn.run(create_app(Project.open(Path("."))), port=8000)
    """
    desk = desk or Desk(project=project, settings=settings)
    routes = checked_routes([*more, *routes_of(OPERATIONS), *api_triggers.hook_routes(), *page_routes()])
    handlers = dict.fromkeys((Refused, OrchestratorError, HTTPException, Exception), answer_problem)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await desk.start()
        with _ends_streams_on_signals(desk):
            try:
                yield
            finally:
                await desk.stop()

    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    app.state.desk = desk
    app.state.gate = desk.gate
    app.state.problem_page = problem_page
    app.state.openapi = functools.cache(lambda: document_of(OPERATIONS, package_version()))
    app.add_middleware(_Started, desk=desk)
    settings = desk.settings
    app.add_middleware(Shield, hosts=settings.hosts, origins=settings.origins, is_secure=settings.is_secure)
    return app


def package_version() -> str:
    """The version of this package; `0` where it is used from its source without an install."""
    try:
        return version_of("orchestrator-flows")
    except PackageNotFoundError:
        return "0"


class _Started:
    """Starts the desk at the first request, for apps whose lifespan nobody runs, and counts requests."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self.app = app
        self.desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if not self.desk.is_started:
            await self.desk.start()
        began = time.perf_counter()
        status = 500

        async def counting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, counting)
        finally:
            self.desk.metrics.request_answered(scope["method"], status, time.perf_counter() - began)


class _ends_streams_on_signals:  # a context manager, named like what it does
    """Lets open streams end when the process is told to stop: servers wait for them otherwise."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            if callable(before):
                self._before[number] = before
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._desk.end_streams_soon()
        self._before[number](number, frame)

    def __exit__(self, *exc: object) -> None:
        for number, before in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, before)
