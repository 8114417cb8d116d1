"""Going back in the record of a run: retry, fork, replay, over a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.server.kit import desk_of, in_loop, open_client, open_request, start, wait_for, write_flows
from tests.server.test_store_api import stored

RISKY = """
flow: risky
inputs: {file: str}
outputs: {text: str, round: int}
state:
  round: 0
steps:
  count:
    on: Start
    set: {round: "${{ state.round + 1 }}"}
  read:
    on: count
    call: files.read
    with: {path: "${{ inputs.file }}"}
    emit: {event: Stop, with: {text: "${{ result }}", round: "${{ state.round }}"}}
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    from tests.server.kit import REVIEW

    write_flows(tmp_path, risky=RISKY, review=REVIEW)
    with stored(tmp_path) as client:
        yield client


def failed(client: TestClient) -> str:
    run_id = start(client, "risky", file="note.txt")
    run = wait_for(client, run_id, "failed")
    assert run["error"]["step"] == "read"
    return run_id


def test_a_failed_run_is_run_again_from_the_step_that_failed(client: TestClient, tmp_path: Path) -> None:
    run_id = failed(client)
    (tmp_path / "note.txt").write_text("hello", "utf-8")
    made = client.post(f"/api/runs/{run_id}/retry", json={})
    assert made.status_code == 201
    run = wait_for(client, made.json()["run_id"], "done")
    assert run["outputs"] == {"text": "hello", "round": 1}
    assert client.get(f"/api/runs/{run_id}").json()["status"] == "failed"


def test_a_run_that_did_not_fail_is_not_retried(client: TestClient) -> None:
    run_id = start(client, "review", title="T", body="B")
    wait_for(client, run_id, "waiting")
    assert client.post(f"/api/runs/{run_id}/retry", json={}).json()["code"] == "retry.step"
    assert client.post(f"/api/runs/{failed(client)}/retry", json={"step": "nobody"}).json()["code"] == "retry.step"
    assert client.post("/api/runs/nobody/retry", json={}).status_code == 404


def test_a_fork_goes_on_from_a_point_with_changed_state(client: TestClient, tmp_path: Path) -> None:
    run_id = failed(client)
    (tmp_path / "note.txt").write_text("hello", "utf-8")
    events = client.get(f"/api/runs/{run_id}/events").json()["events"]
    point = next(e["seq"] for e in events if e["type"] == "step.started" and e["step"] == "read")
    made = client.post(f"/api/runs/{run_id}/fork", json={"at": point, "set": {"round": 41}})
    assert made.status_code == 201
    assert wait_for(client, made.json()["run_id"], "done")["outputs"] == {"text": "hello", "round": 41}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"at": -1}, "fork.seq"),
        ({"at": 999}, "fork.seq"),
        ({"at": 1, "set": {"odd": 1}}, "fork.state"),
        ({"at": "x"}, "body.invalid"),
    ],
)
def test_a_fork_that_cannot_be_is_refused(client: TestClient, body: dict[str, Any], code: str) -> None:
    answer = client.post(f"/api/runs/{failed(client)}/fork", json=body)
    assert answer.status_code == 422 and answer.json()["code"] == code


def test_a_fork_of_a_decided_request_asks_again(client: TestClient) -> None:
    run_id = start(client, "review", title="T", body="B")
    request = open_request(client, run_id)
    client.post(f"/api/requests/{request['id']}", json={"verdict": "reject", "revision": 1, "as": "kim"})
    assert wait_for(client, run_id, "done")["outputs"] == {"verdict": "rejected"}
    fork_id = client.post(f"/api/runs/{run_id}/fork", json={"at": 1}).json()["run_id"]
    again = open_request(client, fork_id)
    assert again["run_id"] == fork_id and again["answers"] == []
    client.post(f"/api/requests/{again['id']}", json={"verdict": "approve", "revision": 1, "as": "kim"})
    assert wait_for(client, fork_id, "done")["outputs"] == {"verdict": "approved"}


def test_a_record_replays_on_its_own_version_and_diverges_on_a_changed_one(client: TestClient, tmp_path: Path) -> None:
    run_id = start(client, "review", title="T", body="B")
    wait_for(client, run_id, "waiting")
    assert client.post(f"/api/runs/{run_id}/replay", json={}).json()["is_same"] is True
    change(client, tmp_path, "Publish", "Print")
    assert client.post(f"/api/runs/{run_id}/replay", json={}).json()["is_same"] is True
    changed = client.post(f"/api/runs/{run_id}/replay", json={"current": True}).json()
    assert changed["is_same"] is False and changed["divergences"][0]["step"] == "look"


def change(client: TestClient, folder: Path, old: str, new: str) -> None:
    """Edit the flow `review`, and have the server see it."""
    file = folder / "review.flow.yaml"
    file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")
    assert in_loop(client, desk_of(client).rescan) == ["review"]


def test_a_waiting_run_moves_to_the_flow_as_it_is_now(client: TestClient, tmp_path: Path) -> None:
    run_id = start(client, "review", title="T", body="B")
    request = open_request(client, run_id)
    change(client, tmp_path, "verdict: approved", "verdict: printed")
    assert client.post(f"/api/runs/{run_id}/migrate").json() == {"status": "migrated"}
    client.post(f"/api/requests/{request['id']}", json={"verdict": "approve", "revision": 1, "as": "kim"})
    assert wait_for(client, run_id, "done")["outputs"] == {"verdict": "printed"}
    assert client.post(f"/api/runs/{run_id}/migrate").status_code == 409


def test_a_run_that_has_no_place_in_the_new_flow_does_not_move(client: TestClient, tmp_path: Path) -> None:
    run_id = start(client, "review", title="T", body="B")
    wait_for(client, run_id, "waiting")
    change(client, tmp_path, "look:", "see:")
    refused = client.post(f"/api/runs/{run_id}/migrate")
    assert refused.status_code == 422 and "`look`" in refused.json()["message"]


def test_a_run_in_memory_has_no_record_to_go_back_in(tmp_path: Path) -> None:
    with open_client(tmp_path) as client:
        run_id = start(client, "waits", order="o1")
        wait_for(client, run_id, "waiting")
        for what, body in (("fork", {"at": 0}), ("retry", {}), ("replay", {}), ("migrate", {})):
            assert client.post(f"/api/runs/{run_id}/{what}", json=body).json()["code"] == "run.not_stored"


ROUTED = """
flow: routed
inputs: {score: int}
outputs: {path: str, by: str}
state: {seen: ""}
events:
  Scored: {score: int, by: str}
steps:
  score:
    on: Start
    emit: {event: Scored, with: {score: "${{ inputs.score }}", by: machine}}
  high:
    on: Scored
    when: ev.score >= 5
    emit: {event: Stop, with: {path: high, by: "${{ ev.by }} ${{ state.seen }}"}}
  low:
    on: Scored
    when: ev.score < 5
    ask:
      title: Low
      form: {verdict: fine | bad}
      to: {users: [kim]}
    emit: {event: Stop, with: {path: "low ${{ outcome }}", by: "${{ ev.by }}"}}
"""


@pytest.fixture
def routed(tmp_path: Path) -> Iterator[TestClient]:
    write_flows(tmp_path, routed=ROUTED)
    with stored(tmp_path) as client:
        yield client


def entry_of(client: TestClient, run_id: str, step: str, kind: str = "step.ended") -> int:
    events = client.get(f"/api/runs/{run_id}/events").json()["events"]
    return next(int(e["seq"]) for e in events if e["type"] == kind and e["step"] == step)


def test_a_fork_with_an_edited_event_takes_the_way_of_the_new_fields(routed: TestClient) -> None:
    run_id = start(routed, "routed", score=3)
    wait_for(routed, run_id, "waiting")
    body = {"at": entry_of(routed, run_id, "score"), "event": {"Scored": {"score": 8}}, "set": {"seen": "later"}}
    made = routed.post(f"/api/runs/{run_id}/fork", json=body)
    assert made.status_code == 201, made.text
    fork_id = made.json()["run_id"]
    assert wait_for(routed, fork_id, "done")["outputs"] == {"path": "high", "by": "machine later"}
    found = routed.post(f"/api/runs/{fork_id}/replay", json={}).json()["divergences"]
    assert [(d["seq"], d["step"], d["what"]) for d in found] == [(body["at"], "score", "`emitted`")]  # the edit, told
    assert routed.get(f"/api/runs/{run_id}").json()["status"] == "waiting"


def test_a_fork_with_an_edited_event_asks_where_it_now_leads_to_people(routed: TestClient) -> None:
    run_id = start(routed, "routed", score=7)
    wait_for(routed, run_id, "done")
    body = {"at": entry_of(routed, run_id, "score"), "event": {"Scored": {"score": 1, "by": "me"}}}
    fork_id = routed.post(f"/api/runs/{run_id}/fork", json=body).json()["run_id"]
    request = open_request(routed, fork_id)
    routed.post(f"/api/requests/{request['id']}", json={"verdict": "fine", "revision": 1, "as": "kim"})
    assert wait_for(routed, fork_id, "done")["outputs"] == {"path": "low fine", "by": "me"}


@pytest.mark.parametrize(
    ("step", "kind", "event", "code"),
    [
        ("score", "step.ended", {"Other": {}}, "fork.event"),
        ("score", "step.ended", {}, "fork.event"),
        ("score", "step.ended", {"Scored": {"score": "many"}}, "type.payload"),
        ("score", "step.started", {"Scored": {"score": 1}}, "fork.event"),
        ("high", "step.ended", {"Stop": {"path": "x"}}, "fork.seq"),
    ],
)
def test_an_event_that_cannot_be_edited_is_refused(
    routed: TestClient, step: str, kind: str, event: dict[str, Any], code: str
) -> None:
    run_id = start(routed, "routed", score=7)
    wait_for(routed, run_id, "done")
    body = {"at": entry_of(routed, run_id, step, kind), "event": event}
    answer = routed.post(f"/api/runs/{run_id}/fork", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert len(routed.get("/api/runs").json()["runs"]) == 1
