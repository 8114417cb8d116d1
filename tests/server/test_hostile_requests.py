"""Hostile and mistaken requests: the right status, a message that helps, and no effect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.server.app import OPERATIONS
from tests.server.kit import desk_of, open_client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with open_client(tmp_path) as client:
        yield client


RUNS = "/api/flows/echo/runs"
JSON = {"Content-Type": "application/json"}


def runs(client: TestClient) -> int:
    return len(client.get("/api/runs").json()["runs"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "body.malformed"),
        (b'{"inputs": {"text": NaN}}', 400, "body.malformed"),
        (b'{"inputs": {"text": "\\ud800"}}', 400, "body.malformed"),
        (b"\xff\xfe{}", 400, "body.malformed"),
        (b"[" * 100_000, 400, "body.malformed"),
        (b"[]", 422, "body.invalid"),
        (b'"text"', 422, "body.invalid"),
        (b'{"inputs": []}', 422, "body.invalid"),
        (b'{"inputs": {"text": "x"}, "definition": {"flow": "evil"}}', 422, "body.invalid"),
        (b'{"inputs": {"text": 7}}', 422, "inputs"),
        (b'{"inputs": {"text": "x"}, "run_id": "../../etc"}', 422, "run.id"),
    ],
)
def test_a_bad_body_starts_nothing(client: TestClient, body: bytes, status: int, code: str) -> None:
    answer = client.post(RUNS, content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json" and runs(client) == 0


def test_a_body_over_a_mebibyte_is_refused_by_its_length_and_while_it_comes(client: TestClient) -> None:
    big = json.dumps({"inputs": {"text": "x" * 1_100_000}}).encode()
    assert client.post(RUNS, content=big, headers=JSON).status_code == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 32_768

    assert client.post(RUNS, content=pieces(), headers=JSON).status_code == 413
    assert runs(client) == 0


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_body_that_is_not_json_is_refused(client: TestClient, kind: str) -> None:
    answer = client.post(RUNS, content=b'{"inputs": {"text": "x"}}', headers={"Content-Type": kind})
    assert answer.status_code == 415 and runs(client) == 0


@pytest.mark.parametrize(
    "path",
    [
        "/api/flows/nobody",
        "/api/flows/nobody/graph",
        "/api/flows/nobody/source",
        "/api/runs/nobody",
        "/api/runs/nobody/events",
        "/api/runs/nobody/events/0",
        "/api/runs/nobody/state",
        "/api/requests/nobody",
        "/api/requests/nobody~x",
        "/api/requests/nobody~=////",
        "/api/links/forged",
        "/api/nothing",
        "/nothing",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/nothing.css",
    ],
)
def test_what_is_not_there_is_not_found(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404 and set(answer.json()) >= {"code", "message", "help"}


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "limit=501", "status=odd", "since=soon", "since=nan", "cursor=!!!", "cursor=WyJ4Il0"],
)
def test_a_bad_query_is_named(client: TestClient, query: str) -> None:
    answer = client.get(f"/api/runs?{query}")
    assert answer.status_code == 422 and query.partition("=")[0] in answer.json()["message"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "127.0.0.1@evil.example", "a b"])
def test_a_foreign_host_name_is_refused(client: TestClient, host: str) -> None:
    answer = TestClient(client.app, base_url="http://127.0.0.1", client=("127.0.0.1", 5)).get(
        "/api/flows", headers={"Host": host}
    )
    assert answer.status_code == 421 and answer.json()["code"] == "host"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_post_from_another_site_has_no_effect(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post(RUNS, json={"inputs": {"text": "x"}}, headers=headers)
    assert answer.status_code == 403 and runs(client) == 0


@pytest.mark.parametrize("path", ["/static/%00", "/static/..%2f..%2fpages.py", "/static/app.css%00.js"])
def test_an_odd_path_of_a_static_file_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_post_from_our_own_page_is_taken(client: TestClient) -> None:
    headers = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
    assert client.post(RUNS, json={"inputs": {"text": "x"}}, headers=headers).status_code == 201


def test_every_answer_carries_a_strict_policy(client: TestClient) -> None:
    for path in ("/api/flows", "/nothing", "/static/app.css"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
    assert client.get("/api/flows").headers["cache-control"] == "no-store"
    assert "sandbox" in client.get("/api/flows/echo/graph").headers["content-security-policy"]


def test_no_get_and_no_head_changes_anything(client: TestClient) -> None:
    client.post("/api/flows/review/runs", json={"inputs": {"title": "t", "body": "b"}, "run_id": "r1"})
    before = (client.get("/api/runs").json(), client.get("/api/requests").json(), client.get("/api/schedules").json())
    for op in OPERATIONS:
        if op.method == "GET" and op.path != "/api/stream":
            path = (
                op.path.replace("{run_id}", "r1")
                .replace("{name}", "review")
                .replace("{id}", "r1~look-1")
                .replace("{seq}", "0")
            )
            client.get(path.replace("{token}", "x"))
            client.head(path.replace("{token}", "x"))
    after = (client.get("/api/runs").json(), client.get("/api/requests").json(), client.get("/api/schedules").json())
    assert before == after


def test_an_error_nobody_foresaw_shows_nothing_of_the_inside(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: Any = None
    desk_of(client).shelf._by_name["echo"] = broken
    answer = client.get("/api/flows")
    assert answer.status_code == 500 and answer.json()["code"] == "internal"
    assert "Traceback" not in answer.text and "NoneType" not in answer.text


def test_checking_a_text_reads_no_file_outside_the_project(client: TestClient) -> None:
    for place in ("../x.flow.yaml", "/etc/x.flow.yaml", "x.txt", "a\0.flow.yaml"):
        assert client.post("/api/check", json={"text": "flow: x", "file": place}).status_code == 422
    found = client.post("/api/check", json={"text": "flow: x\nsteps:\n  a:\n    on: Strat\n"}).json()
    assert not found["is_ok"] and found["diagnostics"][0]["file"] == "unsaved.flow.yaml"


def test_hostile_yaml_is_a_finding_and_not_a_crash(client: TestClient) -> None:
    for text in ("[" * 25_000, "&a [*a, *a]", "\x00", "flow: !!python/object:os.system x", "a: " + "x" * 300_000):
        answer = client.post("/api/check", json={"text": text})
        assert answer.status_code == 200 and answer.json()["diagnostics"]
