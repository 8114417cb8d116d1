"""Takes the pictures of `docs/pictures` anew, in a real browser: `python -m tests.pages.pictures`. Needs a Chromium."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from orchestrator.authoring.project import Project
from orchestrator.server.desk import Desk, ServerSettings
from tests.pages.browser import ROOT, LiveServer, Visitor, chromium
from tests.pages.kit import write_team

PICTURES = ROOT / "docs" / "pictures"
TEXT = (
    "# Leaves\n\nIn autumn the **leaves** fall.\n\n- first the red ones\n- then the yellow ones\n\n"
    "> Nobody has counted them yet.\n"
)
FAN = """
flow: summaries
title: Summaries
description: One summary for each part of an article, joined in order.
inputs: {parts: [str]}
events:
  Part: {name: str}
  Summary: {name: str}
  Written: {name: str, external: true}
steps:
  split:
    title: One for each part
    on: Start
    emit: {event: Part, for_each: inputs.parts, with: {name: "${{ item }}"}}
  write:
    title: Wait for the writer
    on: Part
    wait: {event: Written, match: {name: "${{ ev.name }}"}}
    emit: {event: Summary, with: {name: "${{ ev.name }}"}}
  gather:
    title: Put them in order
    on: Summary
    collect: all
    emit: Stop
"""


class Site:
    """A content team's server with runs in every state."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False)

    def start(self, flow: str, **inputs: Any) -> str:
        run_id = str(
            self.http.post(f"/api/flows/{flow}/runs", json={"inputs": inputs}).raise_for_status().json()["run_id"]
        )
        self.until(run_id)
        return run_id

    def until(self, run_id: str, *statuses: str) -> None:
        for _ in range(200):
            if self.http.get(f"/api/runs/{run_id}").json()["status"] in (statuses or ("waiting", "done")):
                return
            time.sleep(0.05)
        raise AssertionError(run_id)

    def request(self, run_id: str) -> str:
        rows = self.http.get("/api/requests").json()["requests"]
        return str(next(row["id"] for row in rows if row["run_id"] == run_id))

    def answer(self, run_id: str, who: str, verdict: str, **form: Any) -> None:
        body = {"verdict": verdict, "form": form, "as": who, "revision": 1}
        answer = self.http.post(f"/api/requests/{self.request(run_id)}", json=body)
        assert answer.is_success, answer.text
        time.sleep(0.3)


def shoot(
    browser: Any, url: str, name: str, size: tuple[int, int], work: Callable[[Visitor], None], **options: Any
) -> None:
    visitor = Visitor(browser, url, "lee", viewport={"width": size[0], "height": size[1]}, **options)
    work(visitor)
    visitor.page.wait_for_timeout(600)
    visitor.page.screenshot(path=str(PICTURES / f"{name}.png"))
    visitor.close()


def type_a_mistake(visitor: Visitor) -> None:
    page = visitor.go("/flows/article/edit")
    page.wait_for_selector(".cm-content")
    page.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("  tell:\n    on: Aproved\n    emit: Stop\n")
    page.wait_for_timeout(1_500)


def tick_two(visitor: Visitor) -> None:
    page = visitor.go("/inbox?scope=groups")
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)


def main() -> None:
    """Take all of them."""
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = write_team(Path(name), summaries=FAN)
        desk = Desk(project=Project.open(folder, fake_llm=True), settings=ServerSettings(allows_edit=True))
        with LiveServer(desk) as server:
            site = Site(server.url)
            for title, author in (("Winter", "kim"), ("Spring", "noa"), ("Autumn", "kim")):
                asked = site.start("article", title=title, author=author, text=TEXT)
            site.answer(asked, "noa", "approve")
            fan = site.start("summaries", parts=["what", "why", "how", "who", "when"])
            for part in ("what", "how"):
                site.http.post(f"/api/runs/{fan}/events", json={"event": "Written", "data": {"name": part}})
            shoot(browser, server.url, "inbox", (1200, 640), tick_two)
            shoot(browser, server.url, "decision", (1200, 900), lambda v: v.go(f"/inbox/{site.request(asked)}"))
            shoot(browser, server.url, "run", (1200, 900), lambda v: v.go(f"/runs/{fan}"))
            shoot(browser, server.url, "editor", (1280, 820), type_a_mistake)
            shoot(
                browser,
                server.url,
                "inbox-phone",
                (390, 780),
                lambda v: v.go("/inbox?scope=groups"),
                device_scale_factor=2,
            )
    print(f"taken anew: {', '.join(sorted(p.name for p in PICTURES.glob('*.png')))}")


if __name__ == "__main__":
    main()
