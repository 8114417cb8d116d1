"""Workflows over REST: lists, schemas, pictures, checking and saving texts; the description of the interface."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.server.app import OPERATIONS, create_app
from orchestrator.server.models import FlowDetailAnswer, FlowsAnswer, PluginsAnswer
from orchestrator.server.models_accounts import StoreAnswer
from tests.server.kit import BROKEN, ECHO, client_of, make_desk, open_client, start, wait_for, write_flows


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with open_client(tmp_path) as client:
        yield client


def test_flows_are_listed_and_shown_with_schemas(client: TestClient) -> None:
    listed = client.get("/api/flows").json()
    FlowsAnswer.model_validate(listed)
    assert [flow["name"] for flow in listed["flows"]] == ["echo", "review", "waits"]
    shown = client.get("/api/flows/waits").json()
    FlowDetailAnswer.model_validate(shown)
    assert shown["inputs"]["required"] == ["order"] and shown["file"] == "waits.flow.yaml"
    assert [e["name"] for e in shown["events"] if e["external"]] == ["Paid"]


def test_a_misspelt_flow_is_answered_with_the_near_one(client: TestClient) -> None:
    assert "'echo'" in client.get("/api/flows/ecko").json()["help"]


@pytest.mark.parametrize(
    ("form", "sign"), [("svg", "<svg"), ("mermaid", "flowchart"), ("dot", "digraph"), ("json", '"nodes"')]
)
def test_a_flow_is_drawn_in_four_forms(client: TestClient, form: str, sign: str) -> None:
    answer = client.get(f"/api/flows/review/graph?format={form}")
    assert answer.status_code == 200 and sign in answer.text


def test_the_graph_of_a_run_shows_the_way_it_took(client: TestClient) -> None:
    run_id = start(client, "echo", text="x")
    wait_for(client, run_id, "done")
    assert "is-done" in client.get(f"/api/runs/{run_id}/graph").text
    path = client.get(f"/api/runs/{run_id}/graph?format=json").json()["path"]
    assert path["steps"] == {"shout": {"state": "done", "count": 1}}
    assert {"source": "@start", "event": "Start", "target": "shout", "count": 1} in path["edges"]


def test_a_text_is_checked_and_drawn_without_being_saved(client: TestClient, tmp_path: Path) -> None:
    found = client.post("/api/check", json={"text": BROKEN, "graph": True}).json()
    assert not found["is_ok"] and found["diagnostics"][0]["fix"]["edits"]
    fine = client.post("/api/check", json={"text": ECHO.replace("flow: echo", "flow: echo-two"), "graph": True}).json()
    assert fine["is_ok"] and fine["svg"].startswith("<svg") and "<style" not in fine["svg"]
    assert len(list(tmp_path.glob("*.flow.yaml"))) == 3


def test_saving_needs_permission_and_the_digest_of_what_was_read(tmp_path: Path) -> None:
    write_flows(tmp_path, echo=ECHO)
    for allows, expected in ((False, 403), (True, 200)):
        with client_of(create_app(desk=make_desk(tmp_path, allows_edit=allows))) as client:
            source = client.get("/api/flows/echo/source").json()
            text = source["text"].replace("upper", "lower")
            saved = client.put("/api/flows/echo/source", json={"text": text, "digest": source["digest"]})
            assert saved.status_code == expected
    assert "lower" in (tmp_path / "echo.flow.yaml").read_text()


@pytest.mark.parametrize("text", ["flow: other\n", "flow: ../../evil\n", "steps: {}\n", "flow: echo\n\0"])
def test_a_flow_keeps_its_name_when_it_is_saved(tmp_path: Path, text: str) -> None:
    write_flows(tmp_path, echo=ECHO)
    with client_of(create_app(desk=make_desk(tmp_path, allows_edit=True))) as client:
        source = client.get("/api/flows/echo/source").json()
        refused = client.put("/api/flows/echo/source", json={"text": text, "digest": source["digest"]})
        assert (refused.status_code, refused.json()["code"]) == (422, "edit.name")
        assert client.get("/api/flows/echo").status_code == 200
    assert (tmp_path / "echo.flow.yaml").read_text("utf-8").lstrip() == source["text"].lstrip()


def test_a_file_that_changed_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    write_flows(tmp_path, echo=ECHO)
    with client_of(create_app(desk=make_desk(tmp_path, allows_edit=True))) as client:
        source = client.get("/api/flows/echo/source").json()
        (tmp_path / "echo.flow.yaml").write_text("# mine\n" + ECHO, "utf-8")
        answer = client.put("/api/flows/echo/source", json={"text": "x", "digest": source["digest"]})
        assert answer.status_code == 409 and (tmp_path / "echo.flow.yaml").read_text().startswith("# mine")


def test_plugins_are_listed_with_their_schemas(client: TestClient) -> None:
    found = client.get("/api/plugins").json()
    PluginsAnswer.model_validate(found)
    http = next(c for c in found["callables"] if c["name"] == "http.get")
    assert http["provider"] == "bundled" and "url" in http["input"]["properties"]


def test_health_readiness_and_metrics(client: TestClient) -> None:
    wait_for(client, start(client, "echo", text="x"), "done")
    assert client.get("/api/health").json() == {"status": "ok"}
    assert client.get("/api/ready").json() == {"status": "ready", "checks": {"server": "ok"}}
    text = client.get("/api/metrics").text
    assert 'orchestrator_runs_started_total{flow="echo"} 1' in text and "orchestrator_streams_open 0" in text
    assert 'orchestrator_http_requests_total{method="POST",status="201"} 1' in text


def test_the_store_is_shown_to_operators(client: TestClient, tmp_path: Path) -> None:
    from tests.server.test_store_api import stored

    wait_for(client, start(client, "waits", order="o1"), "waiting")
    shown = client.get("/api/store").json()
    StoreAnswer.model_validate(shown)
    assert shown["is_durable"] is False and shown["by_status"] == {"waiting": 1}
    with stored(tmp_path) as other:
        wait_for(other, start(other, "echo", text="x"), "done")
        kept = other.get("/api/store").json()
        assert (
            kept["is_durable"] is True
            and kept["by_status"] == {"done": 1}
            and kept["size_bytes"] > 0
            and kept["workers"]
        )


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_the_interface_describes_itself_completely(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(op.method, op.path) for op in OPERATIONS}
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= names
    ids = [op["operationId"] for methods in document["paths"].values() for op in methods.values()]
    assert len(ids) == len(set(ids)) and json.dumps(document)


def test_an_app_mounted_in_another_works_under_its_prefix(tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    inner = create_app(desk=make_desk(write_flows(tmp_path)))
    with client_of(Starlette(routes=[Mount("/flows-here", app=inner)])) as client:
        answer = client.post("/flows-here/api/flows/echo/runs", json={"inputs": {"text": "x"}})
        assert answer.status_code == 201 and answer.headers["location"].startswith("/flows-here/api/runs/")
        assert client.get(answer.headers["location"]).status_code == 200
