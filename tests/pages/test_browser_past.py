"""Going back in a run, in a real browser: an event is edited where it was sent, and the fork goes on with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.authoring.project import Project
from orchestrator.server.opening import open_desk
from tests.pages.browser import LiveServer, Visitor, chromium
from tests.pages.kit import write_team


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def run(tmp_path: Path, browser: Any) -> Iterator[Visitor]:
    project = Project.open(write_team(tmp_path))
    with LiveServer(open_desk(project, f"sqlite:///{tmp_path}/runs.db")) as server:
        visitor = Visitor(browser, server.url, "lee")
        inputs = {"title": "Autumn", "author": "kim", "text": "Leaves fall."}
        made = visitor.context.request.post(f"{server.url}/api/flows/article/runs", data={"inputs": inputs}).json()
        visitor.go(f"/runs/{made['run_id']}").locator(".status.is-waiting").first.wait_for()
        yield visitor
        visitor.close()


def test_a_run_is_forked_with_an_edited_event(run: Visitor) -> None:
    page, first = run.page, run.page.url
    page.get_by_role("button", name="First entry").click()
    page.get_by_text("Fork, retry, replay").click()
    box = page.get_by_label("Events that entry")
    for _ in range(4):
        if box.is_visible() and "Drafted" in box.input_value():
            break
        page.get_by_role("button", name="One entry on").click()
        page.wait_for_timeout(150)
    box.fill(box.input_value().replace("Leaves fall.", "Leaves rise."))
    page.get_by_role("button", name="One entry on").click()  # the edit stays, and is of the entry that it was made at
    page.get_by_role("button", name="Fork from here").click()
    page.wait_for_url(lambda url: "/runs/" in url and url.partition("?")[0] != first.partition("?")[0])
    page.locator(".status.is-waiting").first.wait_for()
    fork = page.url.rpartition("/")[2]
    request = next(r for r in page.request.get(f"{run.url}/api/requests").json()["requests"] if r["run_id"] == fork)
    run.go(f"/inbox/{request['id']}").get_by_text("Leaves rise.").first.wait_for()


def test_an_edit_that_is_no_json_or_does_not_fit_is_told(run: Visitor) -> None:
    page = run.page
    page.get_by_role("button", name="First entry").click()
    page.get_by_text("Fork, retry, replay").click()
    box = page.get_by_label("Events that entry")
    for _ in range(4):
        if box.is_visible():
            break
        page.get_by_role("button", name="One entry on").click()
        page.wait_for_timeout(150)
    box.fill("{oops}")
    page.get_by_role("button", name="Fork from here").click()
    page.get_by_text("is not JSON").wait_for()
    box.fill('{"Drafted": {"text": 5}}')
    page.get_by_role("button", name="Fork from here").click()
    page.get_by_text("event `Drafted`").wait_for()
