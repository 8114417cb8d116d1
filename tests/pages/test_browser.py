"""The pages in a real browser: a content team's day, the editor, a server that dies, no script, no request to anybody else."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.authoring.project import Project
from orchestrator.runtime.clock import VirtualClock
from orchestrator.server.desk import Desk, ServerSettings
from orchestrator.server.opening import open_desk
from tests.pages.browser import AXE, CHECKS, LiveServer, ServerProcess, Visitor, chromium
from tests.pages.kit import COUNT, write_team

PHONE = {"viewport": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def live(tmp_path: Path, browser: Any) -> Iterator[LiveServer]:
    clock = VirtualClock(time.time())
    project = Project.open(write_team(tmp_path), fake_llm=True)
    settings = ServerSettings(allows_edit=True)
    with LiveServer(Desk(project=project, settings=settings, clock=clock)) as server:
        yield server


def begin(visitor: Visitor, title: str = "Autumn") -> str:
    """Start the team's flow from its form; gives the path of the run."""
    page = visitor.go("/flows/article")
    page.locator("#f-title").fill(title)
    page.locator("#f-author").fill("kim")
    page.locator("#f-text").fill("Leaves *fall*.")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/runs/*")
    return str(page.url).removeprefix(visitor.url)


def open_from_inbox(visitor: Visitor, title: str = "Autumn") -> Any:
    page = visitor.go("/inbox")
    page.get_by_role("link", name=re.compile(title)).click()
    page.wait_for_url("**/inbox/*")
    return page


def test_a_content_teams_day(live: LiveServer, browser: Any) -> None:
    kim, lee, noa, ada = (Visitor(browser, live.url, name) for name in ("kim", "lee", "noa", "ada"))
    run = begin(kim)
    own = kim.go("/inbox?scope=all")
    own.get_by_role("link", name=re.compile("Autumn")).click()
    own.get_by_text("kim can never answer this request").wait_for()
    assert own.get_by_role("button", name="Approve").count() == 0

    page = open_from_inbox(lee)
    page.get_by_label("Notes").fill("Say more.")
    page.get_by_role("button", name="Rework").click()
    page.get_by_text("Rework by lee").wait_for()

    second = open_from_inbox(noa)
    second.get_by_text("Changes since round 1").wait_for()
    second.get_by_role("button", name="Approve").click()
    second.get_by_text("You have answered.").wait_for()

    clock: Any = live.desk.clock
    live.call(clock.advance, 5 * 3600.0)
    second.get_by_text("A reminder went out").wait_for()
    live.call(clock.advance, 20 * 3600.0)
    second.get_by_text("Escalated").last.wait_for()

    chief = open_from_inbox(ada)
    chief.get_by_role("button", name="Approve").click()
    chief.get_by_text(re.compile("Approve by noa and ada")).wait_for()
    done = kim.go(run)
    done.get_by_text("published", exact=True).wait_for()
    for visitor in (kim, lee, noa, ada):
        visitor.close()


def test_an_open_inbox_and_run_follow_what_others_do(live: LiveServer, browser: Any) -> None:
    lee, kim = Visitor(browser, live.url, "lee"), Visitor(browser, live.url, "kim")
    inbox = lee.go("/inbox")
    inbox.locator("[data-live-state]:not(.is-off)").wait_for()
    run = begin(kim, "Winter")
    inbox.get_by_role("link", name=re.compile("Winter")).wait_for()
    inbox.locator("[data-inbox-count]", has_text="1").wait_for()
    seen = kim.go(run)
    seen.locator("[data-step=review].is-waiting").wait_for()
    page = open_from_inbox(lee, "Winter")
    page.get_by_role("button", name="Rework").click()
    seen.locator("[data-step=write] .mark-text", has_text="×2").wait_for()
    seen.locator(".live-mark", has_text="×2").first.wait_for()
    lee.close()
    kim.close()


def test_a_text_that_changed_meanwhile_is_told_not_swapped(live: LiveServer, browser: Any) -> None:
    lee, noa = Visitor(browser, live.url, "lee"), Visitor(browser, live.url, "noa")
    begin(lee)
    page = open_from_inbox(lee)
    page.get_by_label("Notes").fill("half written")
    other = open_from_inbox(noa)
    other.get_by_text("Correct the text").click()
    other.locator("#edit").fill("Leaves *rise*.")
    other.get_by_role("button", name="Save the correction").click()
    page.get_by_text("This request has changed.").wait_for()
    assert page.get_by_label("Notes").input_value() == "half written"
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Show it as it is now").click()
    page.get_by_text("Leaves rise.").wait_for()
    lee.close()
    noa.close()


def test_a_decision_needs_no_script(live: LiveServer, browser: Any) -> None:
    noa = Visitor(browser, live.url, "noa", java_script_enabled=False, **PHONE)
    begin(noa)
    page = open_from_inbox(noa)
    page.get_by_label("Score").fill("many")
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("this is not a whole number").wait_for()
    page.get_by_label("Score").fill("4")
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("Your answer is recorded.").wait_for()
    noa.close()


def test_the_inbox_is_worked_by_keyboard(live: LiveServer, browser: Any) -> None:
    lee = Visitor(browser, live.url, "lee")
    begin(lee, "One")
    begin(lee, "Two")
    page = lee.go("/inbox")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/inbox/*")
    notes = page.get_by_label("Score")
    notes.fill("3")
    notes.press("Enter")  # Enter in a field decides nothing
    page.get_by_role("button", name="Approve").wait_for()
    page.get_by_role("button", name="Approve").press("Enter")
    page.get_by_text("Your answer is recorded.").wait_for()
    lee.close()


def test_several_requests_are_ticked_by_key_and_approved_at_once(live: LiveServer, browser: Any) -> None:
    visitor = Visitor(browser, live.url, "lee")
    for title in ("One", "Two", "Three"):
        begin(visitor, title)
    page = visitor.go("/inbox")
    page.on("dialog", lambda dialog: dialog.accept())
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    page.get_by_text("2 ticked:").wait_for()
    begin(other := Visitor(browser, live.url, "kim"), "Four")
    page.get_by_role("link", name=re.compile("Four")).wait_for()
    assert page.locator("[name=pick]:checked").count() == 2  # what others do unticks nothing
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("Your answers are recorded").wait_for()
    assert page.get_by_text("approve 1 of 2").count() == 2
    visitor.close()
    other.close()


def test_the_editor_finds_a_typo_and_its_fix_mends_it(live: LiveServer, browser: Any, tmp_path: Path) -> None:
    visitor = Visitor(browser, live.url)
    page = visitor.go("/flows/article/edit")
    text = page.locator(".cm-content")
    page.get_by_role("status").get_by_text("no errors").wait_for()
    text.click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("  extra:\n    on: Aproved\n    emit: Stop\n")
    finding = page.locator(".editor-findings .findings li", has_text="Aproved")
    finding.wait_for()
    assert page.locator(".editor-findings").get_by_text("Approved").first.is_visible()
    picture = page.locator("[data-picture] svg [data-step=review]")
    picture.wait_for()
    page.keyboard.insert_text("  : : [")
    page.locator("[data-stale]").wait_for()
    picture.wait_for()
    for _ in range(7):
        page.keyboard.press("Backspace")
    finding.wait_for()
    finding.get_by_role("button").last.click()
    finding.wait_for(state="detached")
    page.get_by_role("button", name="Save…").click()
    page.get_by_role("heading", name=re.compile("article.flow.yaml")).wait_for()
    page.locator("tr.add", has_text="extra").wait_for()
    page.get_by_role("button", name=re.compile("^Save")).click()
    page.get_by_text("Saved. New runs take this version").wait_for()
    assert "on: Approved" in (tmp_path / "article.flow.yaml").read_text().rpartition("extra:")[2]
    visitor.close()


def test_completion_offers_what_fits_the_place(live: LiveServer, browser: Any) -> None:
    visitor = Visitor(browser, live.url)
    page = visitor.go("/flows/article/edit")
    page.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("  more:\n    call: ")
    page.keyboard.type("llm.c")
    page.locator(".cm-tooltip-autocomplete li", has_text="llm.chat").click()  # Enter counts only after a moment
    page.keyboard.insert_text("\n    with:\n      ")
    page.keyboard.type("pro")
    page.locator(".cm-tooltip-autocomplete li", has_text="prompt").first.wait_for()
    page.on("dialog", lambda dialog: dialog.accept())
    visitor.close()


def test_the_scrubber_moves_the_picture_and_every_tab(live: LiveServer, browser: Any) -> None:
    visitor = Visitor(browser, live.url)
    begin(visitor)
    page = visitor.page
    page.locator("[data-step=review].is-waiting").wait_for()
    page.get_by_role("button", name="First entry").click()
    page.locator("[data-step=write]:not(.is-done)").wait_for()
    page.get_by_role("button", name="One entry on").click()
    page.locator("[data-step=write].is-running").wait_for()
    page.get_by_role("link", name="State").click()
    page.get_by_text("State after entry 1").wait_for()
    page.get_by_role("button", name="One entry on").click()
    page.get_by_text("State after entry 2").wait_for()
    assert page.url.endswith("at=2")
    page.get_by_role("link", name="Live").click()
    page.wait_for_function("!location.search.includes('at=')")
    visitor.close()


def test_a_stored_run_is_forked_from_an_earlier_point(tmp_path: Path, browser: Any) -> None:
    project = Project.open(write_team(tmp_path, count=COUNT))
    with LiveServer(open_desk(project, f"sqlite:///{tmp_path}/runs.db")) as server:
        visitor = Visitor(browser, server.url)
        page = visitor.go("/flows/count")
        page.locator("#f-to").fill("3")
        page.get_by_role("button", name="Start", exact=True).click()
        page.locator(".status.is-done").first.wait_for()
        first = page.url
        page.get_by_role("button", name="First entry").click()
        page.get_by_role("button", name="One entry on").click()
        page.get_by_text("Fork, retry, replay").click()
        page.get_by_label("State to change first").fill('{"n": oops}')
        page.get_by_role("button", name="Fork from here").click()
        page.get_by_text("is not JSON").wait_for()
        page.get_by_label("State to change first").fill('{"n": 2}')
        page.get_by_role("button", name="Fork from here").click()
        page.wait_for_url(lambda url: "/runs/" in url and url.partition("?")[0] != first.partition("?")[0])
        page.locator(".status.is-done").first.wait_for()
        page.get_by_text("Fork, retry, replay").click()
        page.get_by_role("button", name="Check the record").click()
        page.get_by_text("The record holds").wait_for()
        visitor.close()


def test_an_open_page_outlives_a_killed_server(tmp_path: Path, browser: Any) -> None:
    server = ServerProcess(write_team(tmp_path))
    server.start()
    lee, noa = Visitor(browser, server.url, "lee"), Visitor(browser, server.url, "noa")
    try:
        begin(lee)
        page = open_from_inbox(lee)
        page.get_by_label("Notes").fill("kept over the restart")
        page.locator("[data-live-state]:not(.is-off)").wait_for()
        server.kill()
        page.locator("[data-live-state].is-off").wait_for()
        server.start()
        page.locator("[data-live-state]:not(.is-off)").wait_for(timeout=20_000)
        other = open_from_inbox(noa)
        other.get_by_role("button", name="Approve").click()
        page.get_by_text("noa answered approve").wait_for()
        assert page.get_by_label("Notes").input_value() == "kept over the restart"
    finally:
        server.kill()
        noa.context.close()
        lee.context.close()
    assert lee.outside == noa.outside == []


def test_the_page_of_an_old_process_can_still_answer(tmp_path: Path, browser: Any) -> None:
    server = ServerProcess(write_team(tmp_path))
    server.start()
    lee = Visitor(browser, server.url, "lee")
    try:
        begin(lee)
        page = open_from_inbox(lee)
        page.get_by_label("Notes").fill("written before the crash")
        server.kill()
        server.start()
        page.get_by_role("button", name="Approve").click()
        page.wait_for_load_state()
        page.get_by_text("lee answered approve").wait_for()
        page.get_by_text("written before the crash").wait_for()
    finally:
        server.kill()
        lee.context.close()


def test_a_hidden_tab_lets_its_stream_go(live: LiveServer, browser: Any) -> None:
    visitor = Visitor(browser, live.url)
    page = visitor.go("/inbox")
    page.locator("[data-live-state]:not(.is-off)").wait_for()
    streams = [url for url in visitor.requests if "/api/stream" in url]
    assert len(streams) == 1
    page.evaluate(
        """() => { const real = setTimeout; window.setTimeout = (run) => real(run, 1);
        Object.defineProperty(document, 'hidden', { get: () => window.away, configurable: true });
        window.away = true; document.dispatchEvent(new Event('visibilitychange')); }"""
    )
    wait_for_streams(live, 0)
    page.evaluate("() => { window.away = false; document.dispatchEvent(new Event('visibilitychange')); }")
    wait_for_streams(live, 1)
    visitor.close()


def wait_for_streams(live: LiveServer, count: int) -> None:
    for _ in range(100):
        if live.desk.streams == count:
            return
        time.sleep(0.05)
    raise AssertionError(f"{live.desk.streams} streams are open, not {count}")


def test_ten_thousand_events_arrive_in_an_open_page_without_a_flood(tmp_path: Path, browser: Any) -> None:
    project = Project.open(write_team(tmp_path, count=COUNT))
    with LiveServer(Desk(project=project)) as server:
        visitor = Visitor(browser, server.url)
        page = visitor.go("/flows/count")
        page.locator("#f-to").fill("5000")
        page.get_by_role("button", name="Start", exact=True).click()
        page.locator(".status.is-done").first.wait_for(timeout=20_000)
        page.locator("[data-step=add] .mark-text", has_text="×5000").wait_for()
        assert len(visitor.requests) < 60
        visitor.close()


FLOWS = [
    "/flows",
    "/flows/article",
    "/flows/article/edit",
    "/runs",
    "/schedules",
    "/plugins",
    "/operate",
    "/compare",
    "/sign-in",
    "/nowhere",
]
TABS = ["graph", "timeline", "events", "state", "logs", "llm"]


@pytest.mark.parametrize(
    ("scheme", "width", "paths", "tabs"),
    [
        ("light", 1280, FLOWS, TABS),
        ("dark", 1280, FLOWS, TABS),
        ("light", 390, [*FLOWS[:2], "/runs", "/operate", "/compare"], TABS[:3]),
        ("dark", 390, [], []),
    ],
)
def test_every_page_holds_for_everybody(
    live: LiveServer, browser: Any, scheme: str, width: int, paths: list[str], tabs: list[str]
) -> None:
    visitor = Visitor(browser, live.url, "lee", color_scheme=scheme, viewport={"width": width, "height": 844})
    run = begin(visitor)
    decision = open_from_inbox(visitor).url.removeprefix(live.url)
    wrong: dict[str, Any] = {}
    for path in ["/inbox", decision, *paths, *(f"{run}?tab={tab}" for tab in tabs)]:
        page = visitor.go(path)
        found = page.evaluate(CHECKS.read_text("utf-8"))
        if AXE.is_file() and (scheme, width) == ("light", 1280):
            page.evaluate(AXE.read_text("utf-8"))
            rules = {"rules": {"color-contrast": {"enabled": False}}}  # the own check knows color-mix and shadow trees
            report = page.evaluate("(rules) => axe.run({exclude: [['.cm-host']]}, rules)", rules)
            found += [f"axe {v['id']}: {v['nodes'][0]['html'][:160]}" for v in report["violations"]]
        if found:
            wrong[path] = found
    visitor.close()
    assert wrong == {}
