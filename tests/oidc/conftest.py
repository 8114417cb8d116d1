"""One server and one provider per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.server.accounts import Accounts
from orchestrator.testing.loopback import LoopbackServer
from tests.oidc.kit import Site
from tests.support import oidc_provider as op


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    provider = op.Provider()
    monkeypatch.setenv("OIDC_SECRET", provider.client_secret)
    with LoopbackServer(provider.app) as server:
        provider.url = server.url
        yield Site(tmp_path, provider, Accounts())
