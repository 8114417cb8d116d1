"""Sessions and the sign-in form under attack: planted cookies, tokens of others, other sites, and pages made on the way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.server.access import Role
from orchestrator.server.accounts import Accounts
from orchestrator.server.app import create_app
from tests.server.kit import make_desk, write_flows

WORD = "correct horse battery"
SITE = "https://flows.example"


@contextmanager
def served(folder: Path, url: str = SITE) -> Iterator[TestClient]:
    accounts = Accounts()
    for name in ("kim", "mallory"):
        accounts.add_user(name, roles=[Role.OPERATOR], password=WORD)
    is_secure = url.startswith("https")
    desk = make_desk(write_flows(folder), accounts=accounts, url=url, hosts=("flows.example",), is_secure=is_secure)
    with TestClient(
        create_app(desk=desk), base_url=url, follow_redirects=False, client=("203.0.113.9", 4000)
    ) as client:
        yield client


@pytest.fixture
def site(tmp_path: Path) -> Iterator[TestClient]:
    with served(tmp_path) as client:
        yield client


def token_of(client: TestClient, path: str = "/sign-in") -> str:
    found = re.search(r'data-csrf="([0-9a-f]+)"', client.get(path, headers={"accept": "text/html"}).text)
    assert found is not None
    return found[1]


def sign_in(client: TestClient, name: str = "kim", token: str = "", **headers: str) -> Any:
    fields = {"_csrf": token or token_of(client), "name": name, "password": WORD}
    return client.post("/sign-in", data=fields, headers={"origin": str(client.base_url), **headers})


def who(client: TestClient) -> str:
    answer = client.get("/api/me")
    return str(answer.json()["user"]) if answer.status_code == 200 else ""


def test_the_cookie_is_this_hosts_alone_and_out_of_reach_of_script(site: TestClient) -> None:
    cookie = sign_in(site).headers["set-cookie"]
    name, _, rest = cookie.partition("=")
    parts = {part.strip().lower() for part in rest.split(";")[1:]}
    assert name == "__Host-orchestrator_session" and {"httponly", "secure", "path=/", "samesite=lax"} <= parts
    assert not any(part.startswith("domain") for part in parts)


def test_a_session_that_another_host_of_the_domain_planted_is_not_taken(tmp_path: Path) -> None:
    with served(tmp_path) as mallory:
        sign_in(mallory, "mallory")
        planted = mallory.cookies["__Host-orchestrator_session"]
        mallory.cookies.clear()
        mallory.cookies.set("orchestrator_session", planted)  # the only name that another host could set
        assert who(mallory) == ""


def test_signing_in_never_adopts_the_session_that_was_there(site: TestClient) -> None:
    site.cookies.set("__Host-orchestrator_session", "planted" * 6, domain="flows.example")
    sign_in(site)
    first = site.cookies["__Host-orchestrator_session"]
    assert who(site) == "kim" and "planted" not in first
    sign_in(site, "mallory", token_of(site, "/inbox"))
    assert who(site) == "mallory"
    site.cookies.clear()
    site.cookies.set("__Host-orchestrator_session", first, domain="flows.example")
    assert who(site) == ""  # the session before ended with the sign-in


@pytest.mark.parametrize("path", ["/sign-out", "/operate/prune", "/bulk/runs", "/filters", "/flows/echo/runs"])
def test_the_token_of_one_person_is_none_of_another(site: TestClient, path: str) -> None:
    sign_in(site, "mallory")
    theirs = token_of(site, "/inbox")
    site.cookies.clear()
    sign_in(site)
    own = {"origin": SITE, "sec-fetch-site": "same-origin"}
    assert site.post(path, data={"_csrf": theirs}, headers=own).status_code == 403
    assert who(site) == "kim"


def test_the_token_of_a_session_ends_with_it(site: TestClient) -> None:
    sign_in(site)
    before = token_of(site, "/inbox")
    site.post("/sign-out", data={"_csrf": before}, headers={"origin": SITE})
    assert who(site) == "" and sign_in(site, token=before).status_code == 403
    sign_in(site)
    assert token_of(site, "/inbox") != before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "http://flows.example"},  # a page that somebody on the way made
        {"origin": "https://evil.flows.example"},
        {"origin": "https://flows.example.evil"},
        {"origin": "https://flows.example:8443"},
        {"origin": "https://flows.example@evil.example"},
        {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-site"},
        {"origin": SITE, "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "Same-Origin "},
        {"referer": f"{SITE}/sign-in"},
    ],
)
def test_no_other_site_signs_anybody_in(site: TestClient, headers: dict[str, str]) -> None:
    fields = {"_csrf": token_of(site), "name": "mallory", "password": WORD}
    bodies: dict[str, dict[str, Any]] = {
        "/sign-in": {"data": fields},
        "/api/session": {"json": {"name": "mallory", "password": WORD}},
    }
    for path, body in bodies.items():
        if path == "/api/session" and not {"origin", "sec-fetch-site"} & headers.keys():
            continue  # not a browser: a program that signs in over JSON
        answer = site.post(path, headers=headers, **body)
        assert answer.status_code == 403 and "set-cookie" not in answer.headers, (path, headers)


def test_without_https_the_same_holds_but_for_the_name(tmp_path: Path) -> None:
    with served(tmp_path, "http://flows.example") as client:
        assert sign_in(client).status_code == 303
        assert "orchestrator_session" in client.cookies and who(client) == "kim"


def test_an_operator_on_the_machine_itself_still_gets_in_past_the_proxy(tmp_path: Path) -> None:
    with served(tmp_path) as client:
        token = token_of(client)
        local = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}
        fields = {"_csrf": token, "name": "kim", "password": WORD}
        assert client.post("/sign-in", data=fields, headers=local).status_code == 303
        assert (
            client.post("/sign-in", data=fields, headers=local | {"origin": "http://localhost:8000"}).status_code == 403
        )
