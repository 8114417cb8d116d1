"""Pages of flows, runs, the editor and the rest, read without a browser."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.server.app import create_app
from orchestrator.server.opening import open_desk
from orchestrator.server.views.graph_css import FILE, graph_css
from tests.pages.kit import COUNT, Page, be, page, submit, team, team_desk, write_team
from tests.server.kit import client_of, desk_of, people, start, wait_for

EVIL = '<script>alert("x")</script>"><img src=x onerror=alert(1)>'
ODD = """
flow: odd
title: '<script>alert("t")</script>'
description: '<img src=x onerror=alert(1)> **bold**'
inputs:
  text: str
outputs:
  text: str
state:
  note: ''
events:
  Loud:
    description: '<script>alert("e")</script>'
    fields: {text: str}
steps:
  shout:
    title: '<script>alert("s")</script>'
    on: Start
    set: {note: "${{ inputs.text }}"}
    call: llm.chat
    with: {prompt: "${{ inputs.text }}"}
    emit:
      event: Loud
      with: {text: "${{ inputs.text }}"}
  fail:
    on: Loud
    emit:
      event: Failed
      with: {code: odd.bad, message: "${{ ev.text }}"}
triggers:
  - cron: 0 9 * * mon
    inputs: {text: x}
"""
TABS = ("graph", "timeline", "events", "state", "logs", "llm")


@pytest.fixture
def client(tmp_path: Path) -> Any:
    with team(tmp_path) as client:
        yield client


def assert_inert(shown: Page) -> None:
    """No element that runs or loads came from data."""
    assert all(s.get("src", "").startswith("/static/") for s in shown.all("script"))
    for tag, given in shown.elements:
        assert tag not in ("img", "iframe", "object", "style"), given
        assert not any(name.startswith("on") or name == "style" for name in given), given


def test_the_start_leads_to_the_flows(client: TestClient) -> None:
    assert client.get("/").url.path == "/flows"


def test_flows_are_listed_with_how_they_fare(client: TestClient) -> None:
    start(client, "article", title="A", author="kim", text="t")
    shown = page(client, "/flows")
    assert "Article Somebody writes, **two** people approve." in shown.words
    assert "1 open" in shown.words


def test_a_flow_shows_its_picture_form_steps_and_events(client: TestClient) -> None:
    shown = page(client, "/flows/article")
    assert {"f.title", "f.author", "f.text"} <= shown.fields.keys()
    assert len(shown.all("g", **{"data-step": "review"})) == 1
    assert "NeedsWork text: string, notes: string" in shown.words
    assert shown.all("strong")[0] == {}


def test_the_form_of_a_flow_starts_a_run(client: TestClient) -> None:
    be(client, "noa")
    started = submit(client, "/flows/article", f__title="A", f__author="kim", f__text="Hello.")
    assert "by noa" in started.words
    assert "Title A Author kim" in started.words


def test_sending_the_form_twice_starts_one_run(client: TestClient) -> None:
    fields = {**page(client, "/flows/article").fields, "f.title": "A", "f.author": "kim", "f.text": "t"}
    first, second = (client.post("/flows/article/runs", data=fields) for _ in range(2))
    assert first.url == second.url
    assert len(client.get("/api/runs").json()["runs"]) == 1


def test_inputs_that_do_not_fit_are_told_at_their_field(client: TestClient) -> None:
    shown = submit(client, "/flows/article", status=422, f__title=EVIL, f__author="", f__text="t")
    assert "this is needed" in shown.words
    assert shown.fields["f.title"] == EVIL
    assert client.get("/api/runs").json()["runs"] == []


def test_a_flow_with_errors_shows_them_and_cannot_be_started(tmp_path: Path) -> None:
    write_team(tmp_path, broken="flow: broken\nsteps:\n  one:\n    on: Strat\n    emit: Stop\n")
    with client_of(create_app(desk=team_desk(tmp_path))) as client:
        shown = page(client, "/flows/broken")
        assert "Strat" in shown.words
        assert "Start a run" not in shown.words


def test_a_run_has_a_page_for_each_way_to_look_at_it(client: TestClient) -> None:
    run_id = start(client, "article", title="A", author="kim", text="t")
    wait_for(client, run_id, "waiting")
    for tab in TABS:
        shown = page(client, f"/runs/{run_id}?tab={tab}")
        assert [one["href"].partition("tab=")[2] for one in shown.all("a", **{"aria-current": "page"})][-1] == tab
    assert page(client, f"/runs/{run_id}?tab=other", 404)


@pytest.fixture
def tmp_count(tmp_path: Path) -> Any:
    with client_of(create_app(desk=team_desk(write_team(tmp_path, count=COUNT)))) as client:
        yield client


def test_a_run_at_an_earlier_point_keeps_it_in_every_tab(tmp_count: TestClient) -> None:
    run_id = start(tmp_count, "count", to=5)
    wait_for(tmp_count, run_id, "done")
    shown = page(tmp_count, f"/runs/{run_id}?tab=state&at=3")
    tabs = shown.all("nav", **{"aria-label": "Parts of the run"})
    assert "State after entry 3" in shown.words
    assert tabs
    assert {f"/runs/{run_id}?tab={tab}&at=3" for tab in TABS} <= {one.get("href") for one in shown.all("a")}


def test_the_overlay_says_how_the_picture_is_coloured(tmp_count: TestClient) -> None:
    run_id = start(tmp_count, "count", to=3)
    wait_for(tmp_count, run_id, "done")
    whole = tmp_count.get(f"/runs/{run_id}/overlay").json()
    early = tmp_count.get(f"/runs/{run_id}/overlay?at=1").json()
    assert whole["nodes"]["add"] == ["done", "×3"]
    assert early["nodes"]["add"] == ["running", ""]
    assert (early["at"], early["last"]) == (1, whole["last"])


def test_a_run_of_ten_thousand_events_stays_usable(tmp_count: TestClient) -> None:
    run_id = start(tmp_count, "count", to=5_000)
    wait_for(tmp_count, run_id, "done")
    last = tmp_count.get(f"/runs/{run_id}/overlay").json()["last"]
    assert last >= 10_000
    for tab in TABS:
        began = time.perf_counter()
        shown = page(tmp_count, f"/runs/{run_id}?tab={tab}&at={last // 2}")
        assert time.perf_counter() - began < 5.0, tab
        assert len(shown.html) < 700_000, tab


def test_events_are_paged_and_filtered(tmp_count: TestClient) -> None:
    run_id = start(tmp_count, "count", to=500)
    wait_for(tmp_count, run_id, "done")
    first = page(tmp_count, f"/runs/{run_id}?tab=events&after=-1")
    rows = [one["id"] for one in first.all("li") if one.get("id", "").startswith("e")]
    assert rows == [f"e{n}" for n in range(200)]
    following = first.all("a", rel="next")[0]["href"]
    after = page(tmp_count, following)
    assert after.all("li", id="e200")
    assert not after.all("li", id="e199")
    only = page(tmp_count, f"/runs/{run_id}?tab=events&type=run.started")
    assert [one["id"] for one in only.all("li") if one.get("id", "").startswith("e")] == ["e0"]


def test_a_picture_of_a_thousand_steps_is_drawn_once(tmp_path: Path) -> None:
    events = "".join(f"  E{n}: {{}}\n" for n in range(1_000))
    steps = "".join(f"  s{n}:\n    on: {f'E{n - 1}' if n else 'Start'}\n    emit: E{n}\n" for n in range(1_000))
    text = f"flow: long\nevents:\n{events}steps:\n{steps}  end:\n    on: E999\n    emit: Stop\n"
    with client_of(create_app(desk=team_desk(write_team(tmp_path, long=text)))) as client:
        assert len(page(client, "/flows/long").all("g", tabindex="0")) >= 1_000
        began = time.perf_counter()
        run_id = start(client, "long")
        wait_for(client, run_id, "done")
        overlay = client.get(f"/runs/{run_id}/overlay").json()
        assert len(overlay["nodes"]) >= 1_000
        assert time.perf_counter() - began < 10.0


BREAKS = """
flow: breaks
steps:
  fill:
    on: Start
    call: text.template
    with: {template: "{gone}"}
    emit: Stop
"""


def test_a_failed_run_says_where_its_step_is_written_and_the_list_how_long_runs_take(tmp_path: Path) -> None:
    from orchestrator.authoring.project import Project
    from orchestrator.server.desk import Desk

    project = Project.open(write_team(tmp_path, breaks=BREAKS), fake_llm=True)
    with client_of(create_app(desk=Desk(project=project))) as client:
        run_id = start(client, "breaks")
        wait_for(client, run_id, "failed")
        assert "text.missing in fill (breaks.flow.yaml:3)" in page(client, f"/runs/{run_id}").words
        assert "95 % within" in page(client, "/flows").words


def test_script_in_every_field_of_flows_and_runs_is_text(tmp_path: Path) -> None:
    from orchestrator.authoring.project import Project
    from orchestrator.server.desk import Desk

    project = Project.open(write_team(tmp_path, odd=ODD), fake_llm=True)
    with client_of(create_app(desk=Desk(project=project))) as client:
        run_id = start(client, "odd", text=EVIL)
        wait_for(client, run_id, "failed")
        paths = ["/flows", "/flows/odd", "/flows/odd/edit", "/runs", "/schedules", "/plugins", "/operate"]
        for path in [*paths, *(f"/runs/{run_id}?tab={tab}" for tab in TABS)]:
            assert_inert(page(client, path))
        assert "odd.bad" in page(client, f"/runs/{run_id}").words
        assert EVIL in page(client, f"/runs/{run_id}?tab=llm").text


@pytest.mark.parametrize(
    "path",
    [
        "/runs?text=%3Cscript%3Ealert(1)%3C/script%3E",
        "/inbox?text=%22%3E%3Cscript%3E&flow=%3Cb%3E",
        "/plugins?text=%3Cscript%3E",
        "/runs/%3Cscript%3E",
        "/flows/%3Cscript%3E",
        "/sign-in?next=%22%3E%3Cscript%3E",
    ],
)
def test_script_in_an_address_is_text(client: TestClient, path: str) -> None:
    assert_inert(Page(client.get(path, headers={"accept": "text/html"}).text))


@pytest.mark.parametrize("path", ["/runs?status=odd", "/runs?cursor=x", "/runs?limit=0", "/runs?since=nan"])
def test_a_wrong_address_is_told_what_it_takes(client: TestClient, path: str) -> None:
    assert "query" in page(client, path, 422).words


def test_runs_are_filtered_and_paged_by_their_address(tmp_count: TestClient) -> None:
    for _ in range(60):
        wait_for(tmp_count, start(tmp_count, "count", to=1), "done")
    shown = page(tmp_count, "/runs?flow=count&status=done")
    older = shown.all("a", rel="next")[0]["href"]
    assert "flow=count" in older
    assert len(page(tmp_count, older).all("a", **{"data-key": ""})) == 10
    assert "Nothing matches" in page(tmp_count, "/runs?status=failed").words


def test_a_run_can_be_cancelled_from_its_page(client: TestClient) -> None:
    run_id = start(client, "article", title="A", author="kim", text="t")
    wait_for(client, run_id, "waiting")
    shown = page(client, f"/runs/{run_id}")
    client.post(f"/runs/{run_id}/cancel", data={"_csrf": shown.fields["_csrf"]})
    assert wait_for(client, run_id, "cancelled")
    again = client.post(f"/runs/{run_id}/cancel", data={"_csrf": shown.fields["_csrf"]})
    assert again.status_code == 409


def test_a_stored_run_offers_to_fork_and_shows_its_past(tmp_path: Path) -> None:
    from orchestrator.authoring.project import Project

    project = Project.open(write_team(tmp_path, count=COUNT))
    with client_of(create_app(desk=open_desk(project, f"sqlite:///{tmp_path}/runs.db"))) as client:
        run_id = start(client, "count", to=3)
        wait_for(client, run_id, "done")
        for tab in TABS:
            assert "Fork from here" in page(client, f"/runs/{run_id}?tab={tab}&at=2").words
        assert "State after entry 2" in page(client, f"/runs/{run_id}?tab=state&at=2").words


def test_the_editor_is_read_only_unless_allowed(tmp_path: Path) -> None:
    with team(tmp_path) as client:
        shown = page(client, "/flows/article/edit")
        assert "Read-only" in shown.words
        assert shown.fields["text"].startswith("flow: article")
        refused = submit(client, "/flows/article/edit", "save", status=403)
        assert "does not save flows" in refused.words


def test_the_editor_checks_compares_and_saves_without_script(tmp_path: Path) -> None:
    with team(tmp_path, allows_edit=True) as client:
        text = page(client, "/flows/article/edit").fields["text"]
        wrong = submit(client, "/flows/article/edit", "check", text=text.replace("Drafted\n    ask", "Draftd\n    ask"))
        assert "has errors" in wrong.words
        better = text.replace("people approve", "persons approve")
        review = submit(client, "/flows/article/edit", "review", text=better)
        assert "+1 −1" in review.words
        sent = {**review.fields, "do": "save"}
        saved = client.post("/flows/article/edit", data=sent, headers={"accept": "text/html"})
        assert "Saved." in Page(saved.text).words
        assert (tmp_path / "article.flow.yaml").read_text() == better


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with team(tmp_path, allows_edit=True) as client:
        fields = page(client, "/flows/article/edit").fields
        file = tmp_path / "article.flow.yaml"
        file.write_text(file.read_text().replace("two", "three"))
        sent = {**fields, "text": fields["text"] + "# mine\n", "do": "save"}
        answer = client.post("/flows/article/edit", data=sent)
        assert answer.status_code == 409
        assert "changed by somebody else" in Page(answer.text).words
        assert "# mine" not in file.read_text()


def test_a_text_in_the_editor_can_end_no_element(tmp_path: Path) -> None:
    with team(tmp_path) as client:
        shown = submit(client, "/flows/article/edit", "check", text=f"flow: x # </textarea>{EVIL}")
        assert shown.fields["text"] == f"flow: x # </textarea>{EVIL}"
        assert_inert(shown)


def test_completion_knows_keys_callables_events_and_fields(client: TestClient) -> None:
    words = client.get("/flows/article/words").json()
    labels = {name: {w["label"] for w in found} for name, found in words.items() if isinstance(found, list)}
    assert {"Drafted", "Stop"} <= labels["events"]
    assert "llm.chat" in labels["callables"]
    assert {"inputs.title", "state.round"} <= labels["roots"]
    assert {"on", "call", "ask"} <= {w["label"] for w in words["keys"]["step"]}
    assert "prompt" in {w["label"] for w in words["fields"]["llm.chat"]}


def test_a_schedule_is_fired_paused_and_resumed(tmp_path: Path) -> None:
    cron = COUNT + "triggers:\n  - cron: 0 9 * * mon\n    inputs: {to: 2}\n"
    with client_of(create_app(desk=team_desk(write_team(tmp_path, count=cron)))) as client:
        shown = page(client, "/schedules")
        assert "0 9 * * mon" in shown.words
        token = {"_csrf": shown.fields["_csrf"]}
        assert "A run was started." in Page(client.post("/schedules/count/0/fire", data=token).text).words
        assert "paused" in Page(client.post("/schedules/count/0/pause", data=token).text).words
        assert (
            "paused" not in Page(client.post("/schedules/count/0/resume", data=token).text).text.split("It goes on.")[1]
        )


def test_plugins_are_listed_with_fields_and_a_step_to_copy(client: TestClient) -> None:
    shown = page(client, "/plugins?text=text.slug")
    assert "call: text.slug" in shown.words
    assert "http.get" not in shown.words


def test_operators_keep_accounts_and_keys(client: TestClient) -> None:
    shown = page(client, "/operate")
    token = {"_csrf": shown.fields["_csrf"]}
    made = client.post(
        "/operate/users", data={**token, "name": "ana", "roles": ["approver", "viewer"], "groups": "editors, legal"}
    )
    assert "ana approver, viewer editors, legal" in Page(made.text).words
    key = Page(client.post("/operate/keys", data={**token, "user": "ana", "label": "ci"}).text)
    assert "shown this once" in key.words
    kept = desk_of(client).accounts.api_keys()[0]
    assert kept.id in key.words
    client.post(f"/operate/keys/{kept.id}/remove", data=token)
    assert desk_of(client).accounts.api_keys() == []
    wrong = client.post("/operate/users", data={**token, "name": "<b>", "roles": ["approver"]})
    assert wrong.status_code == 422


def test_roles_decide_which_pages_there_are(tmp_path: Path) -> None:
    accounts, as_user = people()
    desk = team_desk(write_team(tmp_path))
    desk.gate.accounts = desk.accounts = accounts
    desk.gate.is_open = False
    with client_of(create_app(desk=desk)) as client:
        seen = {
            name: [client.get(path, headers=as_user(name)).status_code for path in ("/inbox", "/flows", "/operate")]
            for name in ("viewer", "approver", "starter", "editor", "operator")
        }
    assert seen == {
        "viewer": [200, 200, 403],
        "approver": [200, 403, 403],
        "starter": [403, 200, 403],
        "editor": [403, 200, 403],
        "operator": [200, 200, 200],
    }


def test_the_style_of_pictures_is_that_of_the_drawing() -> None:
    assert FILE.read_text("utf-8") == graph_css(), "run `python -m orchestrator.server.views.graph_css`"


def test_pages_work_under_a_path_of_another_app(tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    outer = Starlette(routes=[Mount("/flows-app", app=create_app(desk=team_desk(write_team(tmp_path))))])
    with client_of(outer) as client:
        shown = page(client, "/flows-app/flows/article")
        assert all(s["src"].startswith("/flows-app/static/") for s in shown.all("script"))
        assert client.get(shown.all("link", rel="stylesheet")[0]["href"]).status_code == 200
        assert client.get("/flows-app/").url.path == "/flows-app/flows"


FAN = """
flow: fan
inputs: {names: [str]}
events:
  One: {name: str}
  Two: {name: str}
  Seen: {name: str, external: true}
steps:
  spread:
    on: Start
    emit: {event: One, for_each: inputs.names, with: {name: "${{ item }}"}}
  look:
    on: One
    wait: {event: Seen, match: {name: "${{ ev.name }}"}}
    emit: {event: Two, with: {name: "${{ ev.name }}"}}
  gather:
    on: Two
    collect: all
    emit: Stop
"""


def test_a_fan_in_says_how_many_have_come_of_how_many(tmp_path: Path) -> None:
    from orchestrator.authoring.project import Project
    from orchestrator.server.desk import Desk

    project = Project.open(write_team(tmp_path, fan=FAN), fake_llm=True)
    with client_of(create_app(desk=Desk(project=project))) as client:
        run_id = start(client, "fan", names=["a", "b", "c"])
        wait_for(client, run_id, "waiting")
        for name in ("a", "b"):
            client.post(f"/api/runs/{run_id}/events", json={"event": "Seen", "data": {"name": name}})
        for _ in range(500):
            nodes = client.get(f"/runs/{run_id}/overlay").json()["nodes"]
            if nodes.get("gather") == ["waiting", "2/3"]:
                break
        else:
            raise AssertionError(nodes)
        drawn = client.get(f"/runs/{run_id}").text
        assert "waiting, 2 of 3 collected" in drawn and ">2/3</text>" in drawn
        client.post(f"/api/runs/{run_id}/events", json={"event": "Seen", "data": {"name": "c"}})
        wait_for(client, run_id, "done")
        assert client.get(f"/runs/{run_id}/overlay").json()["nodes"]["gather"] == ["done", ""]
