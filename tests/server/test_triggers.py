"""What starts runs by itself: schedules by a moved clock, signed webhooks, events."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.authoring.project import Project
from orchestrator.journal import db_threads
from orchestrator.runtime.clock import VirtualClock
from orchestrator.server.app import create_app
from orchestrator.server.opening import open_desk
from orchestrator.server.scheduler import LONGEST_PAUSE_S
from orchestrator.server.triggers import signature_of
from tests.server.kit import client_of, desk_of, in_loop, write_flows

NIGHTLY = """
flow: nightly
inputs: {day: str}
outputs: {day: str}
triggers:
  - cron: "0 2 * * *"
    timezone: Europe/Berlin
    inputs: {day: "${{ now | date('%Y-%m-%d') }}"}
steps:
  one:
    on: Start
    emit: {event: Stop, with: {day: "${{ inputs.day }}"}}
"""
HOOK = """
flow: hook
inputs: {order: str, amount: float}
outputs: {order: str}
secrets: [SHOP]
triggers:
  - webhook: {path: /orders, verify: {hmac: SHOP, header: X-Signature}}
    when: ev.amount > 0
    inputs: {order: "${{ ev.order }}-${{ meta.query.shop }}", amount: "${{ ev.amount }}"}
steps:
  one:
    on: Start
    emit: {event: Stop, with: {order: "${{ inputs.order }}"}}
"""
ON_EVENT = """
flow: on-paid
inputs: {order: str}
outputs: {order: str}
triggers:
  - event: Paid
    inputs: {order: "${{ ev.order }}"}
events:
  Paid: {external: true, fields: {order: str}}
steps:
  one:
    on: Start
    emit: {event: Stop, with: {order: "${{ inputs.order }}"}}
"""
SECRET = "whsec_" + base64.b64encode(b"a shared secret").decode()


@contextmanager
def served(folder: Path, clock: VirtualClock, store: bool = False) -> Iterator[TestClient]:
    url = f"sqlite:///{folder}/runs.db" if store else None
    desk = open_desk(Project.open(folder), url, clock=clock)
    with client_of(create_app(desk=desk)) as client:
        yield client


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def client(tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("SHOP", SECRET)
    write_flows(tmp_path, nightly=NIGHTLY, hook=HOOK, paid=ON_EVENT)
    (tmp_path / "orchestrator.toml").write_text('[secrets.grant]\nhook = ["SHOP"]\n', "utf-8")
    with served(tmp_path, clock) as client:
        yield client


def fire(client: TestClient) -> None:
    in_loop(client, desk_of(client).scheduler.fire_due)


def started(client: TestClient, flow: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/api/runs?flow={flow}").json()["runs"]
    return found


def test_a_schedule_starts_one_run_when_it_is_due_however_often_it_is_asked(
    client: TestClient, clock: VirtualClock
) -> None:
    [row] = [r for r in client.get("/api/schedules").json()["schedules"] if r["kind"] == "cron"]
    assert 0 < row["next_at"] - clock.now() <= 86_400
    fire(client)
    assert started(client, "nightly") == []
    clock.advance(row["next_at"] - clock.now() + 1)
    fire(client)
    fire(client)
    [run] = started(client, "nightly")
    assert run["started_by"] == "schedule"
    [after] = [r for r in client.get("/api/schedules").json()["schedules"] if r["kind"] == "cron"]
    assert after["next_at"] - row["next_at"] == 86_400 and after["last_at"] == clock.now()


def test_nights_that_passed_without_a_server_are_made_up_for_by_one_run(tmp_path: Path, clock: VirtualClock) -> None:
    write_flows(tmp_path, nightly=NIGHTLY)
    with served(tmp_path, clock, store=True):
        pass
    clock.advance(5 * 86_400)
    with served(tmp_path, clock, store=True) as client:
        fire(client)
        assert len(started(client, "nightly")) == 1
    with served(tmp_path, clock, store=True) as client:
        fire(client)
        assert len(started(client, "nightly")) == 1


def test_a_time_by_a_clock_that_ran_ahead_is_worked_out_anew_and_starts_one_run(
    client: TestClient, clock: VirtualClock
) -> None:
    right = next_at(client)
    clock.advance(400 * 86_400)
    fire(client)
    clock.advance(-400 * 86_400)
    fire(client)
    assert next_at(client) == right and len(started(client, "nightly")) == 1
    clock.advance(right - clock.now() + 1)
    fire(client)
    assert len(started(client, "nightly")) == 1, "that time had started a run already"
    clock.advance(86_400)
    fire(client)
    assert len(started(client, "nightly")) == 2


def next_at(client: TestClient) -> float:
    [row] = [r for r in client.get("/api/schedules").json()["schedules"] if r["kind"] == "cron"]
    return float(row["next_at"])


def test_a_time_is_due_until_the_store_takes_its_run(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_threads, "BUSY_MS", 20)
    write_flows(tmp_path, nightly=NIGHTLY.replace("triggers:", "concurrency: {mode: queue}\ntriggers:"))
    with served(tmp_path, clock, store=True) as client, sqlite3.connect(tmp_path / "runs.db") as other:
        clock.advance(86_400)
        other.execute("BEGIN IMMEDIATE")
        fire(client)
        assert started(client, "nightly") == [] and next_at(client) <= clock.now()
        other.rollback()
        fire(client)
        assert len(started(client, "nightly")) == 1 and next_at(client) > clock.now()
    other.close()


def test_a_trigger_of_a_flow_that_is_gone_costs_no_looking(tmp_path: Path, clock: VirtualClock) -> None:
    write_flows(tmp_path, nightly=NIGHTLY)
    with served(tmp_path, clock, store=True):
        pass
    (tmp_path / "nightly.flow.yaml").unlink()
    clock.advance(2 * 86_400)
    with served(tmp_path, clock, store=True) as client:
        assert in_loop(client, desk_of(client).scheduler.fire_due) == LONGEST_PAUSE_S


def test_a_paused_schedule_starts_nothing_until_it_is_resumed(client: TestClient, clock: VirtualClock) -> None:
    assert client.post("/api/schedules/nightly/0/pause").json() == {"status": "paused"}
    clock.advance(2 * 86_400)
    fire(client)
    assert started(client, "nightly") == []
    client.post("/api/schedules/nightly/0/resume")
    fire(client)
    assert len(started(client, "nightly")) == 1
    assert client.post("/api/schedules/nightly/7/pause").status_code == 404


def test_a_schedule_is_fired_by_hand(client: TestClient) -> None:
    fired = client.post("/api/schedules/nightly/0/fire")
    assert fired.status_code == 202 and fired.json()["run_ids"] == [started(client, "nightly")[0]["run_id"]]


def hook(client: TestClient, clock: VirtualClock, body: Any, **changes: Any) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    message_id, at = changes.get("id", "m1"), changes.get("at", str(int(clock.now())))
    digest = signature_of(changes.get("secret", SECRET), message_id, at, raw)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": at,
        "X-Signature": changes.get("signature", "v1," + base64.b64encode(digest).decode()),
        "Content-Type": "application/json",
    }
    headers = {name: value for name, value in headers.items() if name != changes.get("without")}
    method = changes.get("method", "POST")
    return client.request(method, "/hooks/orders?shop=s1", content=changes.get("sent", raw), headers=headers)


def test_a_signed_webhook_starts_a_run_once(client: TestClient, clock: VirtualClock) -> None:
    first = hook(client, clock, {"order": "o1", "amount": 5})
    again = hook(client, clock, {"order": "o1", "amount": 5})
    assert first.status_code == 202 and again.json() == first.json()
    [run] = started(client, "hook")
    assert client.get(f"/api/runs/{run['run_id']}").json()["inputs"]["order"] == "o1-s1"


def test_a_webhook_may_be_signed_in_hex(client: TestClient, clock: VirtualClock) -> None:
    raw = b'{"order": "o1", "amount": 5}'
    digest = signature_of(SECRET, "m1", str(int(clock.now())), raw).hex()
    assert hook(client, clock, raw, signature=f"sha256={digest}").status_code == 202


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "other"},
        {"signature": "v1,AAAA"},
        {"signature": "garbage"},
        {"sent": b'{"order": "o2", "amount": 5}'},
        {"at": "1"},
        {"at": "soon"},
        {"without": "webhook-id"},
        {"without": "webhook-timestamp"},
        {"without": "X-Signature"},
    ],
)
def test_a_webhook_that_is_not_signed_right_starts_nothing(
    client: TestClient, clock: VirtualClock, changes: dict[str, Any]
) -> None:
    answer = hook(client, clock, {"order": "o1", "amount": 5}, **changes)
    assert answer.status_code == 401 and answer.json()["code"] == "webhook.signature"
    assert started(client, "hook") == []


def test_a_replayed_webhook_is_too_old_after_the_window(client: TestClient, clock: VirtualClock) -> None:
    sent_at = str(int(clock.now()))
    clock.advance(301)
    assert hook(client, clock, {"order": "o1", "amount": 5}, at=sent_at).status_code == 401


def test_a_webhook_whose_condition_is_false_starts_nothing(client: TestClient, clock: VirtualClock) -> None:
    assert hook(client, clock, {"order": "o1", "amount": 0}).json() == {"run_ids": []}
    assert hook(client, clock, {"order": "o1"}, id="m2").status_code == 422
    assert hook(client, clock, b"{", id="m3").status_code == 400
    assert hook(client, clock, {"order": "o1", "amount": "much"}, id="m4").status_code == 422
    assert started(client, "hook") == []


def test_unknown_webhooks_and_methods_are_told_apart(client: TestClient, clock: VirtualClock) -> None:
    assert client.post("/hooks/nothing", json={}).status_code == 404
    answer = hook(client, clock, {"order": "o1", "amount": 5}, method="PUT")
    assert answer.status_code == 405 and answer.headers["allow"] == "POST"


def test_an_event_starts_the_flows_that_wait_for_it(client: TestClient) -> None:
    answer = client.post("/api/events", json={"event": "Paid", "data": {"order": "o7"}})
    assert answer.status_code == 202
    assert client.get(f"/api/runs/{answer.json()['run_ids'][0]}").json()["inputs"] == {"order": "o7"}
    assert client.post("/api/events", json={"event": "Nothing"}).json() == {"run_ids": []}
    assert client.post("/api/events", json={"event": "Paid", "data": {}}).status_code == 422


def test_an_event_that_is_sent_again_under_its_key_starts_what_did_not_start(client: TestClient) -> None:
    body, key = {"event": "Paid", "data": {"order": "o7"}}, {"Idempotency-Key": "e1"}
    first = client.post("/api/events", json=body, headers=key).json()
    assert client.post("/api/events", json=body, headers=key).json() == first
    assert len(started(client, "on-paid")) == 1


def test_a_flow_that_is_busy_does_not_keep_an_event_from_the_others(tmp_path: Path, clock: VirtualClock) -> None:
    busy = ON_EVENT.replace("on-paid", "a-busy").replace("events:", "concurrency: {mode: single}\nevents:")
    busy = busy.replace("    on: Start\n    emit:", "    on: Start\n    wait: 1h\n    emit:")
    write_flows(tmp_path, busy=busy, paid=ON_EVENT)
    with served(tmp_path, clock) as client:
        body = {"event": "Paid", "data": {"order": "o7"}}
        assert [len(client.post("/api/events", json=body).json()["run_ids"]) for _ in range(2)] == [2, 1]
        assert len(started(client, "on-paid")) == 2
