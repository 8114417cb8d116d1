"""The page for operators: how long runs are kept, how people are told, how the last day went."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.authoring.project import Project
from orchestrator.runtime.clock import VirtualClock
from orchestrator.server.app import create_app
from orchestrator.server.opening import open_desk
from tests.pages.kit import COUNT, Page, page, write_team
from tests.server.kit import client_of, desk_of, in_loop, start, wait_for

TELL = """
from orchestrator.plugin import Notice, Plugin

plugin = Plugin("post")


@plugin.step
def tell(notice: Notice) -> None:
    \"\"\"Tells people <b>here</b>.\"\"\"
    if notice["to"][0]["name"] == "eve":
        raise ValueError("no <i>such</i> person")
"""
DAY = 86_400.0


@contextmanager
def operated(folder: Path, config: str = "", clock: Any = None, **files: str) -> Iterator[TestClient]:
    write_team(folder, count=COUNT)
    text = (folder / "orchestrator.toml").read_text("utf-8")
    (folder / "orchestrator.toml").write_text(f"{config}\n{text}", "utf-8")
    for name, content in files.items():
        (folder / "steps").mkdir(exist_ok=True)
        (folder / "steps" / f"{name}.py").write_text(content, "utf-8")
    desk = open_desk(Project.open(folder), f"sqlite:///{folder}/runs.db", clock=clock)
    with client_of(create_app(desk=desk)) as client:
        yield client


def press(client: TestClient, path: str, status: int = 200, **fields: str) -> Page:
    token = page(client, "/operate").fields["_csrf"]
    answer = client.post(path, data={"_csrf": token, **fields}, headers={"accept": "text/html"})
    assert answer.status_code == status, answer.text[:2000]
    return Page(answer.text)


def runs_of(client: TestClient) -> int:
    return len(client.get("/api/runs").json()["runs"])


def test_runs_that_ended_long_ago_are_removed_by_hand_and_open_ones_stay(tmp_path: Path) -> None:
    clock = VirtualClock(time.time())
    with operated(tmp_path, clock=clock) as client:
        wait_for(client, start(client, "count", to=2), "done")
        in_loop(client, clock.advance, 1.5 * DAY)
        wait_for(client, start(client, "count", to=2), "done")
        wait_for(client, start(client, "article", title="A", author="kim", text="x"), "waiting")
        assert "kept for good" in page(client, "/operate").words
        assert "1 run removed." in press(client, "/operate/prune", days="1").words
        assert runs_of(client) == 2
        book = desk_of(client).store
        assert book is not None
        lines = [line.row.action for line in in_loop(client, book.store.audit)]
        assert "store.prune" in lines


@pytest.mark.parametrize("days", ["", "0", "-1", "nan", "1e9", "<b>", "0.5"])
def test_days_that_are_none_remove_nothing(tmp_path: Path, days: str) -> None:
    clock = VirtualClock(time.time())
    with operated(tmp_path, clock=clock) as client:
        wait_for(client, start(client, "count", to=2), "done")
        in_loop(client, clock.advance, 9 * DAY)
        assert "give days" in press(client, "/operate/prune", 422, days=days).words
        assert runs_of(client) == 1


def test_the_config_says_when_runs_are_removed_by_themselves(tmp_path: Path) -> None:
    clock = VirtualClock(time.time())
    with operated(tmp_path, "[store]\nkeep_days = 30", clock) as client:
        wait_for(client, start(client, "count", to=2), "done")
        in_loop(client, clock.advance, 29 * DAY)
        in_loop(client, _a_moment)
        assert runs_of(client) == 1 and "removed 30 days after" in page(client, "/operate").words
        in_loop(client, clock.advance, 2 * DAY)
        in_loop(client, _a_moment)
        assert runs_of(client) == 0


async def _a_moment() -> None:
    import asyncio

    await asyncio.sleep(0.2)


def test_how_people_are_told_is_shown_and_tried(tmp_path: Path) -> None:
    config = '[plugins]\nfolder = "steps"\n'
    with operated(tmp_path, config, post=TELL) as client:
        text = (tmp_path / "orchestrator.toml").read_text("utf-8")
        assert "Nobody is told" in page(client, "/operate").words
    (tmp_path / "orchestrator.toml").write_text(
        text.replace("[people.groups]", '[people]\nnotify = ["post.tell"]\n[people.groups]')
    )
    with client_of(create_app(desk=open_desk(Project.open(tmp_path), f"sqlite:///{tmp_path}/runs.db"))) as client:
        client.cookies.set("orchestrator_as", "kim")
        shown = page(client, "/operate")
        assert "post.tell" in shown.words and "no address of ada, kim, lee and noa" in shown.words
        assert "Tells people <b>here</b>." in shown.text
        assert re.search(r"post.tell\s*sent", press(client, "/operate/notices").words)
        client.cookies.set("orchestrator_as", "eve")
        assert "no <i>such</i> person" in press(client, "/operate/notices").text


def test_operators_see_how_the_last_day_went(tmp_path: Path) -> None:
    with operated(tmp_path) as client:
        wait_for(client, start(client, "count", to=2), "done")
        wait_for(client, start(client, "article", title="A", author="kim", text="x"), "waiting")
        words = page(client, "/operate").words
        assert re.search(r"Runs begun and ended in a day\s*1\b", words) and re.search(r"Of them failed\s*0 %", words)
        assert "Longest waiting request" in words
