"""Several things at once: one verdict for many requests, cancelling and retrying many runs, two runs side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.authoring.project import Project
from orchestrator.server.app import create_app
from orchestrator.server.opening import open_desk
from tests.pages.kit import TEAM, ask, be, page, team, write_team
from tests.server.kit import client_of, start, wait_for

SHAKY = """
flow: shaky
inputs: {text: str}
outputs: {text: str}
steps:
  one:
    on: Start
    call: files.read
    with: {path: "${{ inputs.text }}"}
    emit: {event: Stop, with: {text: "${{ result }}"}}
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with team(tmp_path) as client:
        be(client, "lee")
        yield client


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[TestClient]:
    project = Project.open(write_team(tmp_path, shaky=SHAKY))
    with client_of(create_app(desk=open_desk(project, f"sqlite:///{tmp_path}/runs.db"))) as client:
        yield client


def picks(client: TestClient, path: str) -> list[str]:
    return [given["value"] for given in page(client, path).all("input", name="pick")]


def send(client: TestClient, path: str, do: str, pick: list[str], status: int = 200, shown: str = "/runs") -> str:
    fields: dict[str, Any] = {"_csrf": page(client, shown).fields["_csrf"], "do": do, "pick": pick}
    answer = client.post(path, data=fields, headers={"accept": "text/html"})
    assert answer.status_code == status, answer.text[:2000]
    return answer.text


def states(client: TestClient) -> list[tuple[str, int]]:
    rows = client.get("/api/requests?scope=all").json()["requests"]
    details = [client.get(f"/api/requests/{row['id']}").json() for row in rows]
    return sorted((row["state"], len(row["answers"])) for row in details)


def test_one_verdict_answers_every_request_that_is_ticked(client: TestClient) -> None:
    for title in ("One", "Two", "Three"):
        ask(client, title=title, author="kim", text="Leaves.")
    ticked = picks(client, "/inbox")
    assert len(ticked) == 3
    assert "Your answers are recorded" in send(client, "/bulk/requests", "verdict:approve", ticked[:2], shown="/inbox")
    assert states(client) == [("open", 0), ("open", 1), ("open", 1)]


def test_a_request_that_refuses_leaves_the_others_answered(client: TestClient) -> None:
    ask(client, title="Of lee", author="lee", text="Mine.")
    ask(client, title="Of kim", author="kim", text="Leaves.")
    rows = client.get("/api/requests?scope=all").json()["requests"]
    both = [f"{row['id']}@1" for row in rows]
    told = send(client, "/bulk/requests", "verdict:approve", both, 409, shown="/inbox")
    refused = told.partition('role="alert"')[2].partition("</div>")[0]
    assert "Of lee" in refused and "Of kim" not in refused and "1 answer recorded" in told
    assert states(client) == [("open", 0), ("open", 1)]


def test_requests_that_ask_for_different_things_are_not_answered_together(tmp_path: Path) -> None:
    other = TEAM.replace("flow: article", "flow: letter").replace("score: int | null", "stars: int | null")
    write_team(tmp_path, letter=other)
    with team(tmp_path) as client:
        be(client, "lee")
        for flow in ("article", "letter"):
            ask(client, flow, title="One", author="kim", text="Leaves.")
        told = send(client, "/bulk/requests", "verdict:approve", picks(client, "/inbox"), 422, shown="/inbox")
        assert "different forms" in told and states(client) == [("open", 0), ("open", 0)]


def test_a_text_that_changed_since_the_list_was_shown_is_not_approved(client: TestClient) -> None:
    for title in ("One", "Two"):
        ask(client, title=title, author="kim", text="Leaves.")
    ticked = picks(client, "/inbox")
    be(client, "noa")
    public = ticked[0].rpartition("@")[0]
    edited = client.post(f"/api/requests/{public}/edit", json={"text": "Other.", "revision": 1})
    assert edited.status_code == 200, edited.text
    be(client, "lee")
    send(client, "/bulk/requests", "verdict:approve", ticked, 409, shown="/inbox")
    assert states(client) == [("open", 0), ("open", 1)]


@pytest.mark.parametrize(
    ("do", "pick"),
    [
        ("verdict:approve", []),
        ("verdict:nonsense", ["x~y@1"]),
        ("verdict:approve", ["no id"]),
        ("verdict:approve", ["gone~look@1"]),
        ("drop", ["x~y@1"]),
    ],
)
def test_ticks_that_name_nothing_change_nothing(client: TestClient, do: str, pick: list[str]) -> None:
    ask(client)
    ask(client)
    assert "Not taken" in send(client, "/bulk/requests", do, pick, 422, shown="/inbox")
    assert states(client) == [("open", 0), ("open", 0)]


def test_ticked_runs_are_cancelled_and_ended_ones_told(client: TestClient) -> None:
    runs = [start(client, "article", title="A", author="kim", text="t") for _ in range(2)]
    for run_id in runs:
        wait_for(client, run_id, "waiting")
    send(client, "/bulk/runs", "cancel", runs[:1])
    assert wait_for(client, runs[0], "cancelled")
    told = send(client, "/bulk/runs", "cancel", [*runs, "nowhere"], 409)
    assert "1 run cancelled" in told and f"{runs[0]}: " in told and "nowhere: " in told
    assert wait_for(client, runs[1], "cancelled")


def test_ticked_failed_runs_begin_again(stored: TestClient) -> None:
    runs = [start(stored, "shaky", text=text) for text in ("a", "b")]
    for run_id in runs:
        wait_for(stored, run_id, "failed")
    send(stored, "/bulk/runs", "retry", runs)
    assert len(stored.get("/api/runs?flow=shaky").json()["runs"]) == 4


def test_two_runs_are_shown_side_by_side(stored: TestClient) -> None:
    runs = [start(stored, "shaky", text=text) for text in ("cold", "warm")]
    for run_id in runs:
        wait_for(stored, run_id, "failed")
    assert len(picks(stored, "/runs")) == 2
    send(stored, "/bulk/compare", "", runs[:1], 422)
    shown = send(stored, "/bulk/compare", "", list(reversed(runs)))
    assert "<del>cold</del>" in shown and "<ins>warm</ins>" in shown
    page(stored, f"/compare?a={runs[0]}&b=nowhere", 404)
    page(stored, f"/compare?b={runs[0]}")


def test_the_size_of_the_store_is_shown_to_operators(stored: TestClient) -> None:
    words = page(stored, "/operate").words
    assert "Size of the store" in words and "KiB" in words and "Runs in the store" in words


def keep(client: TestClient, name: str, query: str, do: str = "keep", status: int = 200, where: str = "runs") -> str:
    fields = {"_csrf": page(client, "/runs").fields["_csrf"], "page": where, "name": name, "query": query, "do": do}
    answer = client.post("/filters", data=fields, headers={"accept": "text/html"})
    assert answer.status_code == status, answer.text[:2000]
    return answer.text


def test_a_filter_is_kept_for_its_person_and_taken_away(client: TestClient) -> None:
    assert page(client, "/runs?flow=article&status=failed").all("button", value="keep")
    keep(client, "Broken <b>", "cursor=9&status=failed&flow=article")
    shown = page(client, "/runs")
    assert shown.all("a", href="/runs?flow=article&status=failed") and "Broken <b>" in shown.words
    assert not page(client, "/runs?status=failed&flow=article").all("button", value="keep")
    be(client, "noa")
    assert "Broken" not in page(client, "/runs").words
    be(client, "lee")
    keep(client, "Broken <b>", "", "remove")
    assert "Broken" not in page(client, "/runs").words


def test_a_filter_of_the_inbox_keeps_its_scope(client: TestClient) -> None:
    ask(client)
    assert not page(client, "/inbox?scope=all").all("button", value="keep")
    keep(client, "Articles", "scope=all&flow=article", where="inbox")
    assert page(client, "/inbox").all("a", href="/inbox?scope=all&flow=article")


@pytest.mark.parametrize(("name", "where"), [("", "runs"), ("x" * 41, "runs"), ("a\x00b", "runs"), ("a", "operate")])
def test_a_filter_that_cannot_be_kept_is_refused(client: TestClient, name: str, where: str) -> None:
    keep(client, name, "status=failed", status=422, where=where)
