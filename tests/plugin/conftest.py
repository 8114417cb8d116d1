"""Async tests run on asyncio; one hostile server and one caller per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.calling import Caller
from tests.support.hostile_http import HostileServer, hostile_server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def hostile(anyio_backend: str) -> AsyncIterator[HostileServer]:
    async with hostile_server() as server:
        yield server


@pytest.fixture
async def call(anyio_backend: str) -> AsyncIterator[Caller]:
    caller = Caller()
    yield caller
    await caller.hub.aclose()
