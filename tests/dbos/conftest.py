"""A new schema in a real PostgreSQL for every test."""

from __future__ import annotations

import pytest

from tests.support.postgres import Server, server_or_skip


@pytest.fixture
def server() -> Server:
    return server_or_skip()


@pytest.fixture
def url(server: Server) -> str:
    return server.new_schema()
