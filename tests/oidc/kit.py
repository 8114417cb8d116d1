"""A server of ours in front of a provider on loopback, and a browser that walks between them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.testclient import TestClient

from orchestrator.authoring.project import Project
from orchestrator.server.accounts import Accounts
from orchestrator.server.app import create_app
from orchestrator.server.desk import Desk, ServerSettings
from tests.server.kit import client_of
from tests.support import oidc_provider as op

CONFIG = """\
[oidc]
issuer = "{url}"
client_id = "orchestrator"
client_secret = "OIDC_SECRET"
[oidc.roles]
editors = ["editor", "approver"]
boss = ["operator"]
"""


class Site:
    """A server of ours in front of a provider."""

    def __init__(self, folder: Path, provider: op.Provider, accounts: Accounts) -> None:
        self.folder, self.provider, self.accounts = folder, provider, accounts
        self.config = CONFIG.format(url=provider.url)

    @contextmanager
    def client(self) -> Iterator[TestClient]:
        """A browser at the server as it is configured now."""
        (self.folder / "orchestrator.toml").write_text(self.config, "utf-8")
        desk = Desk(project=Project.open(self.folder), accounts=self.accounts, settings=ServerSettings(is_open=False))
        with client_of(create_app(desk=desk), accept="text/html") as client:
            client.follow_redirects = False
            yield client


def go(client: TestClient, following: str = "") -> httpx.Response:
    """Begin at the server, pass the provider, come back."""
    begun = client.get("/sign-in/oidc", params={"next": following} if following else None)
    assert begun.status_code == 303, begun.text
    return client.get(back_from(begun.headers["location"]))


def back_from(url: str) -> str:
    """Where the provider sends the browser, as a path of ours."""
    parts = urlsplit(httpx.get(url, trust_env=False).headers["location"])
    return f"{parts.path}?{parts.query}"


def me(client: TestClient) -> Any:
    return client.get("/api/me").json()


def refusal(site: Site) -> tuple[int, str]:
    """The status of a refused sign-in and what the page says; nobody is signed in and nobody was added."""
    with site.client() as client:
        answer = go(client)
        assert client.get("/api/me").status_code == 401
    assert site.accounts.users() == []
    text = re.sub(r"<[^>]+>", " ", answer.text)
    return answer.status_code, " ".join(text.split())
