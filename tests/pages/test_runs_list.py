"""What the list of runs says beside status and time: tags, what was spent on models, who began it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator import StartEvent, StopEvent, Workflow, step
from orchestrator.authoring.project import Project
from orchestrator.functional import workflow
from orchestrator.server import WorkflowServer
from orchestrator.server.app import create_app
from orchestrator.server.costs import Spent
from orchestrator.server.desk import Desk
from tests.pages.kit import COUNT, page, submit, write_team
from tests.server.kit import client_of, desk_of, in_loop, start, wait_for

ASKING = """
flow: asking
inputs:
  topics: [str]
outputs:
  text: str
steps:
  one:
    on: Start
    for_each: inputs.topics
    call: llm.chat
    with: {prompt: "Write about ${{ item }}"}
    emit:
      event: Stop
      with: {text: "${{ result[0].text }}"}
"""


class Named(StartEvent):
    name: str


class Greet(Workflow):
    @step
    async def greet(self, ev: Named) -> StopEvent:
        return StopEvent(result=f"Hello, {ev.name}")


@workflow
async def shout(text: str) -> str:
    return text.upper()


@pytest.fixture
def client(tmp_path: Path) -> Any:
    folder = write_team(tmp_path, asking=ASKING, count=COUNT)
    with client_of(create_app(desk=Desk(project=Project.open(folder, fake_llm=True)))) as client:
        yield client


def test_a_run_that_asked_a_model_shows_what_it_spent(client: TestClient) -> None:
    run_id = start(client, "asking", topics=["tea", "coffee"])
    wait_for(client, run_id, "done")
    sums = re.search(r"(\d+) tokens in\s*(\d+) tokens out", page(client, f"/runs/{run_id}?tab=llm").words)
    assert sums is not None
    row = in_loop(client, desk_of(client).run, run_id).row
    spent = in_loop(client, desk_of(client).costs.of, row)
    assert spent.tokens == sum(map(int, sums.groups())) > 0 and spent.is_whole
    assert "Cost" in page(client, "/runs?flow=asking").words and "spent 0.0000" in page(client, f"/runs/{run_id}").words


def test_a_list_without_model_calls_has_no_column_for_them(client: TestClient) -> None:
    wait_for(client, start(client, "count", to=3), "done")
    assert "Cost" not in page(client, "/runs").words
    assert desk_of(client).costs._known == {}  # its log was not read


def test_calls_inside_a_step_are_counted_once_and_prices_are_summed() -> None:
    def entry(seq: int, kind: str, **data: Any) -> dict[str, Any]:
        return {"seq": seq, "act": 1, "type": kind, "data": data}

    answer = {"model": "m", "usage": {"input_tokens": 10, "output_tokens": 5}, "cost": 0.25}
    spent = Spent()
    spent.add([entry(0, "step.started"), entry(1, "call.ended", value=answer), entry(2, "call.ended", value=answer)])
    spent.add([entry(3, "step.ended", result=answer), entry(4, "step.started"), entry(5, "step.ended", result=answer)])
    spent.is_whole = True
    assert (spent.tokens, spent.text) == (45, "0.7500")


def test_tags_are_given_shown_and_searched(client: TestClient) -> None:
    shown = submit(client, "/flows/count", f__to="2", _tags="autumn, big <b>, autumn")
    assert "autumn" in shown.words and "big <b>" in shown.words
    other = start(client, "count", to=1)
    found = client.get("/api/runs", params={"tag": "big <b>"}).json()["runs"]
    assert [run["tags"] for run in found] == [["autumn", "big <b>"]]
    assert other not in page(client, "/runs?tag=autumn").html


@pytest.mark.parametrize("tags", [["x" * 61], ["a\nb"], [str(n) for n in range(21)]])
def test_tags_that_are_none_are_refused(client: TestClient, tags: list[str]) -> None:
    answer = client.post("/api/flows/count/runs", json={"inputs": {"to": 1}, "tags": tags})
    assert (answer.status_code, answer.json()["code"]) == (422, "run.tags")
    assert client.get("/api/runs").json()["runs"] == []


@pytest.mark.parametrize("is_stored", [False, True])
def test_python_workflows_keep_who_began_them_and_their_tags(tmp_path: Path, is_stored: bool) -> None:
    server = WorkflowServer(store=f"sqlite:///{tmp_path}/runs.db" if is_stored else None)
    server.add_workflow("greet", Greet())
    server.add_workflow("shout", shout)
    with client_of(server.app) as client:
        client.cookies.set("orchestrator_as", "kim")
        for name, inputs in (("greet", {"name": "Ada"}), ("shout", {"text": "hi"})):
            answer = client.post(f"/api/flows/{name}/runs", json={"inputs": inputs, "tags": ["t1"]})
            assert answer.status_code == 201, answer.text
            run = wait_for(client, answer.json()["run_id"], "done")
            assert (run["flow"], run["started_by"], run["tags"]) == (name, "kim", ["t1"])


def test_the_inbox_says_who_asks(client: TestClient) -> None:
    client.cookies.set("orchestrator_as", "kim")
    wait_for(client, start(client, "article", title="Autumn", author="kim", text="x"), "waiting")
    client.cookies.set("orchestrator_as", "lee")
    assert re.search(r"from kim\s*for editors", page(client, "/inbox").words)
