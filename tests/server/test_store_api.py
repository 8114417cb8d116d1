"""The same over a store: runs outlive the server, and a second server sees what the first one does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from orchestrator.authoring.project import Project
from orchestrator.functional import FunctionalWorkflow, RunContext, step, workflow
from orchestrator.server.app import create_app
from orchestrator.server.opening import open_desk
from tests.server.kit import client_of, open_request, start, wait_for, write_flows
from tests.support.postgres import server_or_skip


@contextmanager
def stored(folder: Path, url: str = "") -> Iterator[TestClient]:
    desk = open_desk(Project.open(folder), url or f"sqlite:///{folder}/runs.db")
    with client_of(create_app(desk=desk)) as client:
        yield client


def test_a_stored_run_ends_and_is_listed(tmp_path: Path) -> None:
    with stored(write_flows(tmp_path)) as client:
        run_id = start(client, "echo", text="hello")
        run = wait_for(client, run_id, "done")
        assert (
            run["outputs"] == {"text": "HELLO"} and run["inputs"] == {"text": "hello"} and run["started_by"] == "local"
        )
        assert [row["run_id"] for row in client.get("/api/runs?status=done").json()["runs"]] == [run_id]


def test_a_waiting_run_outlives_the_server_and_is_answered_after(tmp_path: Path) -> None:
    with stored(write_flows(tmp_path)) as client:
        run_id = start(client, "review", title="T", body="B")
        request = open_request(client, run_id)
    with stored(tmp_path) as client:
        answer = client.post(f"/api/requests/{request['id']}", json={"verdict": "approve", "revision": 1, "as": "kim"})
        assert answer.json() == {"status": "accepted"}
        assert wait_for(client, run_id, "done")["outputs"] == {"verdict": "approved"}
        shown = client.get(f"/api/requests/{request['id']}").json()
        assert shown["state"] == "decided" and shown["outcome"] == "approve" and shown["answers"][0]["by"] == "kim"


def test_the_same_holds_over_postgresql(tmp_path: Path) -> None:
    url = server_or_skip().new_schema()
    with stored(write_flows(tmp_path), url) as client:
        run_id = start(client, "review", title="T", body="B")
        request = open_request(client, run_id)
        assert client.post(f"/api/requests/{request['id']}/claim", json={"as": "kim"}).status_code == 200
    with stored(tmp_path, url) as client:
        assert client.get(f"/api/requests/{request['id']}").json()["claimed_by"] == "kim"
        client.post(f"/api/requests/{request['id']}", json={"verdict": "reject", "revision": 1, "as": "kim"})
        assert wait_for(client, run_id, "done")["outputs"] == {"verdict": "rejected"}
        assert [e["seq"] for e in client.get(f"/api/runs/{run_id}/events").json()["events"]][:3] == [0, 1, 2]
        assert client.get("/api/store").json()["by_status"] == {"done": 1}


def test_a_claim_is_seen_by_another_server(tmp_path: Path) -> None:
    with stored(write_flows(tmp_path)) as one, stored(tmp_path) as other:
        run_id = start(one, "review", title="T", body="B")
        request = open_request(one, run_id)
        assert one.post(f"/api/requests/{request['id']}/claim", json={"as": "kim"}).status_code == 200
        assert other.get(f"/api/requests/{request['id']}").json()["claimed_by"] == "kim"
        refused = other.post(f"/api/requests/{request['id']}/claim", json={"as": "lee"})
        assert refused.status_code == 409 and refused.json()["code"] == "request.claimed"


def test_an_event_reaches_a_stored_run(tmp_path: Path) -> None:
    with stored(write_flows(tmp_path)) as client:
        run_id = start(client, "waits", order="o1")
        wait_for(client, run_id, "waiting")
        client.post(f"/api/runs/{run_id}/events", json={"event": "Paid", "data": {"order": "o1", "by": "card"}})
        assert wait_for(client, run_id, "done")["outputs"] == {"by": "card"}


@pytest.mark.parametrize("kind", ["memory:", ""])
def test_a_stored_waiting_run_is_cancelled(tmp_path: Path, kind: str) -> None:
    with stored(write_flows(tmp_path), kind) as client:
        run_id = start(client, "waits", order="o1")
        wait_for(client, run_id, "waiting")
        assert client.post(f"/api/runs/{run_id}/cancel", json={"reason": "no need"}).status_code == 200
        wait_for(client, run_id, "cancelled")


def test_an_idempotency_key_holds_over_a_restart(tmp_path: Path) -> None:
    body = {"json": {"inputs": {"text": "a"}}, "headers": {"Idempotency-Key": "k"}}
    with stored(write_flows(tmp_path)) as client:
        first = client.post("/api/flows/echo/runs", **body).json()["run_id"]  # type: ignore[arg-type]
    with stored(tmp_path) as client:
        again = client.post("/api/flows/echo/runs", **body)  # type: ignore[arg-type]
        assert again.status_code == 200 and again.json()["run_id"] == first


def test_the_log_and_state_of_a_stored_run_are_read(tmp_path: Path) -> None:
    with stored(write_flows(tmp_path)) as client:
        run_id = start(client, "waits", order="o1")
        wait_for(client, run_id, "waiting")
        events = client.get(f"/api/runs/{run_id}/events").json()["events"]
        assert [e["seq"] for e in events] == list(range(len(events))) and events[1]["step"] == "hold"
        assert client.get(f"/api/runs/{run_id}/state").json()["waits"][0]["event"] == "Paid"


def test_pages_of_stored_runs_lose_and_repeat_nothing(tmp_path: Path) -> None:
    with stored(write_flows(tmp_path)) as client:
        started = [start(client, "echo", text=str(n)) for n in range(7)]
        seen, cursor = [], ""
        while cursor is not None:
            page = client.get("/api/runs", params={"limit": 3, "cursor": cursor}).json()
            seen += [run["run_id"] for run in page["runs"]]
            cursor = page["next"]
        assert seen == started[::-1]


@workflow
async def signed(text: str, ctx: RunContext) -> str:
    return f"{text}, {await ctx.request_info({'text': text}, response_type=str, request_id='who')}"


@step
async def loud(text: str) -> str:
    return text.upper()


def asking_two(extra: str) -> FunctionalWorkflow:
    @workflow(name="two")
    async def two(text: str, ctx: RunContext) -> str:
        found = await loud(text + extra)
        return f"{found} {await asyncio.gather(*(ctx.request_info(name, int, request_id=name) for name in 'ab'))}"

    return two


@contextmanager
def serving(folder: Path, extra: str = "") -> Iterator[TestClient]:
    desk = open_desk(Project.open(folder), f"sqlite:///{folder}/runs.db")
    desk.shelf.add("signed", signed)
    desk.shelf.add("two", asking_two(extra))
    with client_of(create_app(desk=desk)) as client:
        yield client


def test_a_question_of_a_function_outlives_the_server(tmp_path: Path) -> None:
    with serving(write_flows(tmp_path)) as client:
        run_id = start(client, "signed", text="Dear all")
        asked = open_request(client, run_id)
        assert (asked["kind"], asked["request_id"]) == ("question", "who")
    with serving(tmp_path) as client:
        assert wait_for(client, run_id, "waiting")["flow"] == "signed"
        wrong = client.post(f"/api/requests/{asked['id']}", json={"form": {"answer": 5}, "as": "kim"})
        assert wrong.status_code == 422 and "stays open" in wrong.text
        right = client.post(f"/api/requests/{asked['id']}", json={"form": {"answer": "Kim"}, "as": "kim"})
        assert right.json() == {"status": "accepted"}
        assert wait_for(client, run_id, "done")["outputs"] == "Dear all, Kim"
        assert client.get("/api/requests").json()["requests"] == []
        assert client.get(f"/api/requests/{asked['id']}").json()["state"] == "decided"
        assert client.get(f"/runs/{run_id}").status_code == 200
        assert client.get(f"/inbox/{asked['id']}").status_code == 200


def test_an_answer_to_a_run_that_is_set_aside_is_kept_for_when_it_goes_on(tmp_path: Path) -> None:
    with serving(write_flows(tmp_path)) as client:
        run_id = start(client, "two", text="u")
        wait_for(client, run_id, "waiting")
    with serving(tmp_path, extra="2") as client:
        client.post(f"/api/requests/{run_id}~a", json={"form": {"answer": 1}, "as": "kim"})
        wait_for(client, run_id, "parked")
        kept = client.post(f"/api/requests/{run_id}~b", json={"form": {"answer": 2}, "as": "kim"})
        assert (kept.status_code, kept.json()["status"]) == (202, "kept")
        assert "taken when run" in kept.json()["message"]
