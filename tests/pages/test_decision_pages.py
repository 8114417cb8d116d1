"""Inbox and decision without script: what they show, what they take, what they refuse, and that they lock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.functional import WorkflowRunContext, workflow
from orchestrator.runtime.clock import VirtualClock
from orchestrator.server.app import create_app
from orchestrator.server.desk import ServerSettings
from tests.pages.kit import Page, ask, be, page, request_path, submit, team, team_desk, write_team
from tests.server.kit import client_of, desk_of, in_loop, people, start, wait_for


@workflow
async def quiz(topic: str, ctx: WorkflowRunContext) -> str:
    """Ask somebody."""
    kind = await ctx.request_info({"which": "Which one?"}, response_type=str, request_id="q1")
    return f"{topic}: {kind}"


EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


@pytest.fixture
def client(tmp_path: Path) -> Any:
    with team(tmp_path) as client:
        be(client, "lee")
        yield client


def buttons(shown: Page) -> set[str]:
    return {b["value"] for b in shown.all("button", name="do") if "disabled" not in b}


def test_the_inbox_lists_what_a_persons_groups_may_answer(client: TestClient) -> None:
    ask(client)
    shown = page(client, "/inbox")
    assert 'Publish "Autumn"?' in shown.words
    assert "due in 2 days" in shown.words
    assert "Mine 0 My groups 1 All open 1 Done" in shown.words


def test_an_inbox_without_requests_says_when_there_will_be_some(client: TestClient) -> None:
    assert "Nothing waits for you" in page(client, "/inbox?scope=me").words


def test_the_inbox_is_filtered_by_its_address(client: TestClient) -> None:
    ask(client)
    ask(client, "posts", posts=["a"])
    assert "Check these posts" not in page(client, "/inbox?scope=all&flow=article").words
    assert "Nothing matches" in page(client, "/inbox?scope=all&text=zebra").words


def test_a_long_inbox_comes_in_pages(client: TestClient) -> None:
    for _ in range(60):
        start(client, "posts", posts=["a"])
    wait_for(client, start(client, "posts", posts=["a"]), "waiting")
    shown = page(client, "/inbox?scope=all")
    assert "1–50 of 61" in shown.words
    assert len(page(client, "/inbox?scope=all&page=2").all("li", **{"class": "card item"})) == 11


def test_a_decision_shows_content_votes_and_buttons(client: TestClient) -> None:
    shown = page(client, ask(client))
    assert "Leaves fall." in shown.words
    assert "Round 1" in shown.words
    assert {"verdict:approve", "verdict:rework", "claim", "delegate", "edit"} == buttons(shown)
    assert "Approve needs 2 people" in shown.words
    assert "never kim" in shown.words


def test_an_answer_is_taken_and_the_page_waits_for_others(client: TestClient) -> None:
    path = ask(client)
    done = submit(client, path, "verdict:approve", f__notes="fine", f__score="4")
    assert "Your answer is recorded." in done.words
    assert "You have answered." in done.words
    assert "lee answered approve" in done.words
    assert not any(value.startswith("verdict:") for value in buttons(done))


def test_a_decided_request_is_locked_with_who_and_when(client: TestClient) -> None:
    path = ask(client)
    for name in ("lee", "noa"):
        be(client, name)
        done = submit(client, path, "verdict:approve")
    assert "Approve by lee and noa, just now" in done.words
    assert "This request is closed" in done.words
    assert buttons(done) == set()
    assert "Approve" in page(client, "/inbox?scope=done").words


def test_a_late_answer_is_refused_and_the_outcome_shown(client: TestClient) -> None:
    path = ask(client)
    old = page(client, path).fields
    for name in ("lee", "noa"):
        be(client, name)
        submit(client, path, "verdict:approve")
    be(client, "lee")
    late = client.post(path, data={**old, "do": "verdict:rework"}, headers={"accept": "text/html"})
    shown = Page(late.text)
    assert late.status_code == 409
    assert "Approve by lee and noa" in shown.words
    assert "nothing was recorded" not in shown.words.lower()


def test_the_author_cannot_approve_their_own_text(client: TestClient) -> None:
    path = ask(client)
    be(client, "kim")
    shown = page(client, path)
    assert "kim can never answer this request" in shown.words
    assert buttons(shown) == set()
    refused = client.post(path, data={**shown.fields, "do": "verdict:approve"})
    assert refused.status_code == 403
    assert "kim can never answer this request" in Page(refused.text).words


def test_an_answer_that_does_not_fit_keeps_what_was_entered(client: TestClient) -> None:
    path = ask(client)
    shown = submit(client, path, "verdict:approve", status=422, f__notes=EVIL, f__score="many")
    assert shown.fields["f.notes"] == EVIL
    assert shown.fields["f.score"] == "many"
    assert "this is not a whole number" in shown.words
    assert "lee answered" not in shown.words


def test_a_correction_is_a_new_revision_and_clears_answers(client: TestClient) -> None:
    path = ask(client)
    submit(client, path, "verdict:approve")
    be(client, "noa")
    done = submit(client, path, "edit", text="Leaves *rise*.")
    assert "revision 2" in done.words
    assert "Leaves rise." in done.words
    assert "0 of 2" in done.words
    assert "Corrected since it was asked" in done.words


def test_answering_with_a_changed_text_saves_the_correction_first(client: TestClient) -> None:
    path = ask(client)
    done = submit(client, path, "verdict:approve", text="Better.\r\nTwo lines.")
    assert "Better. Two lines." in done.words
    assert "1 of 2" in done.words


def test_an_unchanged_text_is_no_correction(client: TestClient) -> None:
    path = ask(client, title="A", author="kim", text="One.\nTwo.")
    done = submit(client, path, "verdict:approve", text="One.\r\nTwo.")
    assert "corrected the text" not in done.words
    assert "The text is as it was" in submit(client, path, "edit", status=422, text="One.\r\nTwo.").words


def test_an_answer_to_an_older_text_is_refused(client: TestClient) -> None:
    path = ask(client)
    old = page(client, path).fields
    be(client, "noa")
    submit(client, path, "edit", text="Changed meanwhile.")
    be(client, "lee")
    sent = {"_csrf": page(client, path).fields["_csrf"], "revision": old["revision"], "do": "verdict:approve"}
    answer = client.post(path, data=sent)
    assert answer.status_code == 409
    assert "look at it again" in Page(answer.text).words


def test_an_approval_never_takes_back_a_colleagues_correction(client: TestClient) -> None:
    path = ask(client)
    seen = page(client, path).fields
    be(client, "noa")
    submit(client, path, "edit", text="Noa's text.")
    be(client, "lee")
    sent = {**seen, "do": "verdict:approve"}
    refused = Page(client.post(path, data=sent).text)
    assert refused.fields["text"] == "Noa's text."
    done = Page(client.post(path, data={**refused.fields, "do": "verdict:approve"}).text)
    assert "1 of 2" in done.words and "revision 2" in done.words and "lee corrected" not in done.words


def test_a_second_round_compares_with_the_first(client: TestClient) -> None:
    path = ask(client)
    run_id = path.removeprefix("/inbox/").partition("~")[0]
    submit(client, path, "verdict:rework", f__notes="say more")
    wait_for(client, run_id, "waiting")
    shown = page(client, request_path(client, run_id))
    assert "Changes since round 1" in shown.words
    assert "(rewritten)" in shown.words
    assert "Round 1: Rework by lee" in shown.words
    assert "say more" in shown.words


def test_the_last_approved_version_is_what_changes_are_shown_against(client: TestClient) -> None:
    path = ask(client)
    assert "No version has been approved yet" in page(client, path).words
    for name in ("lee", "noa"):
        be(client, name)
        submit(client, path, "verdict:approve")
    shown = page(client, ask(client, title="Autumn", author="kim", text="Leaves *rise*."))
    assert "Changes since the last approved version +1 −1" in shown.words


def test_claiming_tells_others_and_can_be_given_back(client: TestClient) -> None:
    path = ask(client)
    assert "claimed by you" in submit(client, path, "claim").words
    be(client, "noa")
    assert "claimed by lee" in page(client, path).words
    be(client, "lee")
    assert "claimed by you" not in submit(client, path, "release").words


def test_a_request_can_be_passed_on_but_not_to_the_author(client: TestClient) -> None:
    path = ask(client)
    assert "kim can never answer" in submit(client, path, "delegate", status=403, to="kim").words
    assert "Say to whom" in submit(client, path, "delegate", status=422, to=" ").words
    assert "passed on to ravi" in submit(client, path, "delegate", to="ravi").words
    be(client, "ravi")
    assert "Your answer is recorded." in submit(client, path, "verdict:approve").words


def test_items_are_answered_one_by_one(client: TestClient) -> None:
    path = ask(client, "posts", posts=["first", EVIL, "third"])
    shown = page(client, path)
    assert shown.all("script", type="module") == shown.all("script")
    done = submit(client, path, "items", i0__verdict="keep", i2__verdict="remove", i2__why="rude")
    assert "2 of 3 decided" in done.words
    done = submit(client, path, "items", i1__verdict="keep")
    assert "This request is closed" in done.words


def test_one_verdict_for_all_leaves_decided_items_alone(client: TestClient) -> None:
    path = ask(client, "posts", posts=["first", "second", "third"])
    run_id = path.removeprefix("/inbox/").partition("~")[0]
    submit(client, path, "items", i1__verdict="keep")
    submit(client, path, "all:remove", f__why="spam")
    assert wait_for(client, run_id, "done")["outputs"] == {"kept": ["second"]}


def test_items_without_an_answer_are_not_sent(client: TestClient) -> None:
    path = ask(client, "posts", posts=["first", "second"])
    assert "Choose an answer for at least one item." in submit(client, path, "items", status=422).words


def test_many_items_come_in_pages(client: TestClient) -> None:
    path = ask(client, "posts", posts=[f"post {n}" for n in range(100)])
    shown = page(client, f"{path}?page=3")
    assert "page 3 of 3" in shown.words
    assert "post 99" in shown.words
    assert "post 10 " not in shown.words


def test_script_in_every_field_is_shown_as_text(client: TestClient) -> None:
    path = ask(client, title=EVIL, author="kim", text=EVIL)
    be(client, "noa")
    submit(client, path, "verdict:approve", f__notes=EVIL)
    for place in ("/inbox?scope=all", path, "/runs", f"/runs/{path.removeprefix('/inbox/').partition('~')[0]}"):
        shown = page(client, place)
        assert all(s.get("src", "").startswith("/static/") for s in shown.all("script"))
        assert not any("onerror" in given for _, given in shown.elements)
        assert not shown.all("img")


def test_enter_in_a_field_decides_nothing(client: TestClient) -> None:
    """A browser presses the first button of a form on Enter, and a disabled one not at all."""
    shown = page(client, ask(client))
    start_of_form = next(n for n, (tag, given) in enumerate(shown.elements) if "data-decide" in given)
    first = next(given for tag, given in shown.elements[start_of_form:] if tag == "button")
    assert "disabled" in first


def test_a_form_from_elsewhere_is_refused(client: TestClient) -> None:
    path = ask(client)
    assert client.post(path, data={"do": "verdict:approve", "_csrf": "0" * 64}).status_code == 403
    sent = {"do": "verdict:approve", "_csrf": page(client, path).fields["_csrf"]}
    assert client.post(path, data=sent, headers={"origin": "https://evil.example"}).status_code == 403


def test_reminder_escalation_and_deadline_are_told(tmp_path: Path) -> None:
    clock = VirtualClock()
    with team(tmp_path, clock) as client:
        be(client, "lee")
        path = ask(client)
        in_loop(client, clock.advance, 5 * 3600.0)
        assert "A reminder went out" in page(client, path).words
        in_loop(client, clock.advance, 20 * 3600.0)
        assert "Escalated" in page(client, path).words
        be(client, "ada")
        assert "verdict:approve" in buttons(page(client, path))
        in_loop(client, clock.advance, 24 * 3600.0)
        assert "Expired" in page(client, path).words
        assert buttons(page(client, path)) == set()


def link_to(client: TestClient, path: str, **more: Any) -> str:
    answer = client.post(f"/api/requests/{path.removeprefix('/inbox/')}/links", json={"person": "lee", **more})
    return f"/d/{answer.json()['token']}"


def test_a_link_shows_and_decides_once_without_signing_in(client: TestClient) -> None:
    path = ask(client)
    link = link_to(client, path)
    client.cookies.clear()
    shown = page(client, link)
    assert "This link is for lee" in shown.words
    assert not shown.all("nav", **{"aria-label": "Main"})
    assert "Your answer is recorded." in submit(client, link, "verdict:approve", f__notes="ok").words
    again = client.post(link, data={"do": "verdict:rework"})
    assert again.status_code == 409
    assert "This link has been used" in Page(again.text).words


def test_looking_at_a_link_decides_nothing(client: TestClient) -> None:
    path = ask(client)
    link = link_to(client, path)
    for _ in range(3):
        client.get(link)
        client.head(link)
    assert "0 of 2" in page(client, path).words


def test_a_link_offers_only_its_verdicts(client: TestClient) -> None:
    link = link_to(client, ask(client), verdicts=["rework"])
    assert buttons(page(client, link)) == {"verdict:rework"}
    assert "this link is for rework only" in submit(client, link, "verdict:approve", status=403).words.lower()


def test_a_link_to_an_older_text_does_not_decide(client: TestClient) -> None:
    path = ask(client)
    link = link_to(client, path)
    be(client, "noa")
    submit(client, path, "edit", text="New.")
    assert "The text was corrected after this link was sent" in page(client, link).words
    assert client.post(link, data={"do": "verdict:approve"}).status_code == 409


def test_a_forged_link_is_nothing(client: TestClient) -> None:
    assert "this link is not valid" in page(client, "/d/forged.token", 404).words.lower()


def test_only_approvers_may_answer_and_only_those_concerned_see(tmp_path: Path) -> None:
    accounts, as_user = people()
    accounts.change_user("kim", groups=["editors"])
    desk = team_desk(write_team(tmp_path))
    desk.gate.accounts = desk.accounts = accounts
    desk.gate.is_open, desk.settings = False, ServerSettings(is_open=False)
    with client_of(create_app(desk=desk)) as client:
        run = client.post("/api/flows/posts/runs", json={"inputs": {"posts": ["a"]}}, headers=as_user("starter"))
        assert run.status_code == 201
        path = request_path_as(client, as_user("viewer"))
        assert "needs the role approver" in Page(client.get(path, headers=as_user("viewer")).text).words
        assert client.get(path, headers=as_user("approver")).status_code == 404
        assert client.get(path).status_code == 401
        assert "Keep" in Page(client.get(path, headers=as_user("lee")).text).words


def request_path_as(client: TestClient, headers: dict[str, str]) -> str:
    for _ in range(100):
        rows = client.get("/api/requests", headers=headers).json()["requests"]
        if rows:
            return f"/inbox/{rows[0]['id']}"
    raise AssertionError("nothing was asked")


def test_a_browser_without_session_is_sent_to_sign_in_and_back(tmp_path: Path) -> None:
    accounts, _ = people()
    accounts.change_user("lee", password="correct horse")
    desk = team_desk(write_team(tmp_path))
    desk.gate.accounts = desk.accounts = accounts
    desk.gate.is_open = False
    with client_of(create_app(desk=desk)) as client:
        shown = page(client, "/inbox")
        assert shown.fields["next"] == "/inbox"
        untold = client.post("/sign-in", data={**shown.fields, "name": "lee", "password": "correct horse"})
        assert untold.status_code == 403  # anybody can fetch this token; no browser said where the form is from
        client.headers["origin"] = "http://127.0.0.1"
        wrong = client.post("/sign-in", data={**shown.fields, "name": "lee", "password": "no"})
        assert (wrong.status_code, "wrong" in wrong.text) == (401, True)
        home = client.post("/sign-in", data={**shown.fields, "name": "lee", "password": "correct horse"})
        assert home.url.path == "/inbox"
        assert "Sign out" in Page(home.text).words
        assert client.get("/api/me").json()["user"] == "lee"


@pytest.mark.parametrize("place", ["//evil.example", "https://evil.example", "/\\evil", "/a\nb", "javascript:1"])
def test_signing_in_leads_nowhere_else(place: str) -> None:
    from orchestrator.server.views.session_pages import safe_next

    assert safe_next(place) == ""


def test_an_unknown_request_is_told_as_a_page(client: TestClient) -> None:
    assert "There is no such request" in page(client, "/inbox/none~such", 404).words
    assert "there is no run" in page(client, "/runs/none", 404).words.lower()


def test_a_question_of_a_python_workflow_is_in_the_inbox(tmp_path: Path) -> None:
    with team(tmp_path) as client:
        desk_of(client).shelf.add("quiz", quiz)
        run_id = start(client, "quiz", topic="tea")
        wait_for(client, run_id, "waiting", "running")
        path = request_path(client, run_id)
        assert "Which one?" in page(client, path).words
        submit(client, path, "answer", f__answer="green")
        assert wait_for(client, run_id, "done")["outputs"] == "tea: green"
