"""A flow's `concurrency` holds for runs that the server starts, in memory and over a store alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from orchestrator.authoring.project import Project
from orchestrator.server.app import create_app
from orchestrator.server.opening import open_desk
from tests.server.kit import WAITS, client_of, wait_for, write_flows

KINDS = ("memory", "store")


@contextmanager
def one_at_a_time(folder: Path, kind: str, mode: str) -> Iterator[TestClient]:
    flow = WAITS.replace("outputs:", f"concurrency: {{mode: {mode}}}\noutputs:", 1)
    project = Project.open(write_flows(folder, waits=flow))
    store = f"sqlite:///{folder}/runs.db" if kind == "store" else None
    with client_of(create_app(desk=open_desk(project, store))) as client:
        yield client


def begin(client: TestClient, run_id: str) -> int:
    answer = client.post("/api/flows/waits/runs", json={"inputs": {"order": run_id}, "run_id": run_id})
    return answer.status_code


def pay(client: TestClient, run_id: str) -> None:
    body = {"event": "Paid", "data": {"order": run_id, "by": "card"}}
    assert client.post(f"/api/runs/{run_id}/events", json=body).status_code == 202


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_run_of_a_single_flow_is_refused_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    with one_at_a_time(tmp_path, kind, "single") as client:
        assert (begin(client, "x"), begin(client, "y")) == (201, 409)
        assert [row["run_id"] for row in client.get("/api/runs").json()["runs"]] == ["x"]
        assert client.get("/api/runs/y").status_code == 404
        wait_for(client, "x", "waiting")
        pay(client, "x")
        wait_for(client, "x", "done")
        assert begin(client, "y") == 201


@pytest.mark.parametrize("kind", KINDS)
def test_runs_of_a_queueing_flow_take_their_turn(tmp_path: Path, kind: str) -> None:
    with one_at_a_time(tmp_path, kind, "queue") as client:
        assert (begin(client, "x"), begin(client, "y")) == (201, 201)
        wait_for(client, "x", "waiting")
        wait_for(client, "y", "queued")
        assert client.get("/runs/y", headers={"accept": "text/html"}).status_code == 200
        pay(client, "x")
        wait_for(client, "x", "done")
        wait_for(client, "y", "waiting")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_queues_can_be_cancelled(tmp_path: Path, kind: str) -> None:
    with one_at_a_time(tmp_path, kind, "queue") as client:
        assert (begin(client, "x"), begin(client, "y"), begin(client, "z")) == (201, 201, 201)
        wait_for(client, "x", "waiting")
        assert client.post("/api/runs/y/cancel").status_code in (200, 202)
        wait_for(client, "y", "cancelled")
        pay(client, "x")
        wait_for(client, "z", "waiting")


@pytest.mark.parametrize("kind", KINDS)
def test_a_restarting_flow_cancels_the_run_before(tmp_path: Path, kind: str) -> None:
    with one_at_a_time(tmp_path, kind, "restart") as client:
        assert begin(client, "x") == 201
        wait_for(client, "x", "waiting")
        assert begin(client, "y") == 201
        wait_for(client, "x", "cancelled")
        wait_for(client, "y", "waiting")
