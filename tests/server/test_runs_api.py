"""Runs over REST: starting, listing, showing, cancelling, sending events."""

from __future__ import annotations

from pathlib import Path

from orchestrator.server.app import create_app
from orchestrator.server.models import RunDetailAnswer, RunsAnswer
from tests.server.kit import client_of, make_desk, open_client, start, wait_for, write_flows


def test_a_run_is_started_and_gives_its_outputs(tmp_path: Path) -> None:
    with open_client(tmp_path) as client:
        run = wait_for(client, start(client, "echo", text="hello"), "done")
        assert run["outputs"] == {"text": "HELLO"} and run["started_by"] == "local"
        RunDetailAnswer.model_validate(run)


def test_the_same_idempotency_key_starts_one_run(tmp_path: Path) -> None:
    with open_client(tmp_path) as client:
        answers = [
            client.post("/api/flows/echo/runs", json={"inputs": {"text": "a"}}, headers={"Idempotency-Key": "k1"})
            for _ in range(2)
        ]
        assert [a.status_code for a in answers] == [201, 200]
        assert answers[0].json()["run_id"] == answers[1].json()["run_id"]
        assert [a.json()["is_new"] for a in answers] == [True, False]


def test_an_idempotency_key_with_other_inputs_is_a_conflict(tmp_path: Path) -> None:
    with open_client(tmp_path) as client:
        headers = {"Idempotency-Key": "k1"}
        client.post("/api/flows/echo/runs", json={"inputs": {"text": "a"}}, headers=headers)
        answer = client.post("/api/flows/echo/runs", json={"inputs": {"text": "b"}}, headers=headers)
        assert answer.status_code == 409 and answer.json()["code"] == "idempotency.conflict"


def test_runs_are_listed_newest_first_a_page_at_a_time(tmp_path: Path) -> None:
    with open_client(tmp_path) as client:
        started = [start(client, "echo", text=str(n)) for n in range(5)]
        seen, cursor = [], ""
        while cursor is not None:
            page = client.get("/api/runs", params={"limit": 2, "cursor": cursor}).json()
            RunsAnswer.model_validate(page)
            seen += [run["run_id"] for run in page["runs"]]
            cursor = page["next"]
        assert seen == started[::-1]


def test_runs_are_filtered_by_workflow_and_status(tmp_path: Path) -> None:
    with open_client(tmp_path) as client:
        wait_for(client, start(client, "echo", text="a"), "done")
        waiting = start(client, "waits", order="o1")
        wait_for(client, waiting, "waiting")
        found = client.get("/api/runs", params={"status": "waiting,running", "flow": "waits"}).json()["runs"]
        assert [run["run_id"] for run in found] == [waiting] and found[0]["waiting"] == ["hold"]


def test_an_event_from_outside_moves_a_run_on(tmp_path: Path) -> None:
    with open_client(tmp_path) as client:
        run_id = start(client, "waits", order="o1")
        wait_for(client, run_id, "waiting")
        answer = client.post(
            f"/api/runs/{run_id}/events", json={"event": "Paid", "data": {"order": "o1", "by": "card"}}
        )
        assert answer.status_code == 202
        assert wait_for(client, run_id, "done")["outputs"] == {"by": "card"}


def test_an_event_that_is_not_external_is_refused(tmp_path: Path) -> None:
    with open_client(tmp_path) as client:
        run_id = start(client, "waits", order="o1")
        answer = client.post(f"/api/runs/{run_id}/events", json={"event": "Stop", "data": {"by": "me"}})
        assert answer.status_code == 422 and "Paid" in answer.json()["message"]
        wrong = client.post(f"/api/runs/{run_id}/events", json={"event": "Paid", "data": {"order": 7}})
        assert wrong.status_code == 422 and wrong.json()["code"] == "type.payload"


def test_a_waiting_run_is_cancelled_once(tmp_path: Path) -> None:
    with open_client(tmp_path) as client:
        run_id = start(client, "waits", order="o1")
        assert client.post(f"/api/runs/{run_id}/cancel").status_code == 200
        assert wait_for(client, run_id, "cancelled")["error"]["code"] == "cancelled"
        assert client.post(f"/api/runs/{run_id}/cancel").status_code == 409


def test_wrong_inputs_are_named(tmp_path: Path) -> None:
    with open_client(tmp_path) as client:
        answer = client.post("/api/flows/echo/runs", json={"inputs": {"txt": 1}})
        assert answer.status_code == 422 and "txt" in answer.json()["message"] and "text" in answer.json()["message"]


def test_a_flow_with_errors_is_listed_and_cannot_be_started(tmp_path: Path) -> None:
    from tests.server.kit import BROKEN

    with client_of(create_app(desk=make_desk(write_flows(tmp_path, broken=BROKEN)))) as client:
        assert client.get("/api/flows").json()["flows"][0]["is_ok"] is False
        answer = client.post("/api/flows/broken/runs", json={})
        assert answer.status_code == 422 and answer.json()["details"][0]["line"] == 4


def test_the_state_of_a_run_is_shown_now_and_before(tmp_path: Path) -> None:
    with open_client(tmp_path) as client:
        run_id = start(client, "waits", order="o1")
        wait_for(client, run_id, "waiting")
        assert client.get(f"/api/runs/{run_id}/state").json()["waits"][0]["event"] == "Paid"
        assert client.get(f"/api/runs/{run_id}/state?at=0").json()["waits"] == []
