"""Deciding by keyboard in a real browser: keys lead to what they would decide, and never decide by themselves."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.authoring.project import Project
from orchestrator.server.desk import Desk
from tests.pages.browser import LiveServer, Visitor, chromium
from tests.pages.kit import write_team


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def lee(tmp_path: Path, browser: Any) -> Iterator[Visitor]:
    with LiveServer(Desk(project=Project.open(write_team(tmp_path)))) as live:
        visitor = Visitor(browser, live.url, "lee")
        for title in ("One", "Two"):
            inputs = {"title": title, "author": "kim", "text": "x\n\n" * 80}
            visitor.context.request.post(f"{live.url}/api/flows/article/runs", data={"inputs": inputs})
        yield visitor
        visitor.close()


@pytest.mark.parametrize(("key", "button"), [("a", "Approve"), ("r", "Rework")])
def test_a_key_in_the_inbox_opens_the_content_at_the_button_and_decides_nothing(
    lee: Visitor, key: str, button: str
) -> None:
    page = lee.go("/inbox")
    page.keyboard.press("j")
    page.keyboard.press(key)
    page.wait_for_url(re.compile("/inbox/[^?#]+$"))
    page.locator(":focus", has_text=button).wait_for()
    assert page.evaluate("scrollY") == 0 and page.locator(".content").is_visible()
    for _ in range(3):
        page.keyboard.press(key)  # held or pressed again, it still decides nothing
    time.sleep(0.1)
    assert page.get_by_role("button", name=button).is_visible()
    page.keyboard.press("Enter")
    page.get_by_text(re.compile("Your answer is recorded|Rework by lee")).first.wait_for()


def test_u_leads_back_to_the_inbox_and_keys_in_fields_are_text(lee: Visitor) -> None:
    page = lee.go("/inbox")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/inbox/*")
    page.get_by_label("Notes").press_sequentially("aru")
    assert page.get_by_label("Notes").input_value() == "aru"
    page.get_by_label("Notes").fill("")
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("h1").click()
    page.keyboard.press("u")
    page.wait_for_url(re.compile("/inbox$"))


def test_keys_do_nothing_for_somebody_who_may_not_answer(lee: Visitor) -> None:
    lee.context.add_cookies([{"name": "orchestrator_as", "value": "zoe", "url": lee.url}])
    page = lee.go("/inbox?scope=all")
    page.keyboard.press("j")
    page.keyboard.press("a")
    time.sleep(0.2)
    assert page.url.endswith("/inbox?scope=all")
