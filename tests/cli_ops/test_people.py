"""Every clause of `ask`, by commands over a SQLite file: who may answer, for which text, how often, until when. Fail-closed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Done, cli

PEOPLE = """
[people.groups]
editors = ["kim", "lee", "noa"]
legal = ["noa", "max"]
chiefs = ["zoe"]
"""
FLOW = """
flow: post
inputs: {author: str, editor: str}
outputs: {status: str, by: [str]}
steps:
  review:
    on: Start
    ask:
      title: Publish?
      show: {body: Tea.}
      form: {verdict: approve | reject, notes: str | null}
      edit: body
      to: {groups: [editors, legal], not: ["${{ inputs.author }}"]}
      quorum: {approve: {editors: 1, legal: 1}, reject: 1}
      escalate: {after: 1h, to: {groups: [chiefs, legal], not: [ted]}}
      deadline: 2h
      delegate: true
    emit:
      event: Stop
      with: {status: "${{ outcome }}", by: "${{ voters }}"}
"""
NARROW = """
flow: narrow
inputs: {editor: str}
outputs: {status: str}
steps:
  review:
    on: Start
    ask:
      title: Publish?
      form: {verdict: approve | reject}
      to: {users: ["${{ inputs.editor }}"]}
    emit:
      event: Stop
      with: {status: "${{ outcome }}"}
"""
ROWS = """
flow: rows
outputs: {all: [any]}
steps:
  review:
    on: Start
    for_each: "${{ ['a', 'b'] }}"
    ask:
      title: Keep?
      form: {verdict: keep | drop}
      to: {users: [kim]}
    emit:
      event: Stop
      with: {all: "${{ result }}"}
"""


class Desk:
    """A project in a folder, with one run under way."""

    def __init__(self, folder: Path, people: str = PEOPLE) -> None:
        self.folder = folder
        (folder / "orchestrator.toml").write_text(people, "utf-8")
        for name, text in (("post", FLOW), ("narrow", NARROW), ("rows", ROWS)):
            (folder / f"{name}.flow.yaml").write_text(text, "utf-8")

    def do(self, *args: str) -> Done:
        done = cli(*args, cwd=self.folder)
        assert "Traceback" not in done.err
        return done

    def begin(self, flow: str = "post", run_id: str = "r", *inputs: str) -> None:
        given = inputs or ("author=kim", "editor=lee")
        words = [word for text in given for word in ("-i", text)] if flow != "rows" else []
        done = self.do("run", f"{flow}.flow.yaml", "--run-id", run_id, *words)
        assert done.code == 4, done.err

    def decide(self, *args: str) -> int:
        return self.do("decide", *args).code

    def log(self, run_id: str = "r") -> list[tuple[str, str]]:
        return [(line["actor"], line["action"]) for line in self.lines(run_id)]

    def lines(self, run_id: str = "r") -> list[Any]:
        return [json.loads(line) for line in self.do("runs", "logs", run_id, "--json").out.splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_author_never_decides_whatever_groups_are_claimed(desk: Desk) -> None:
    desk.begin()
    assert desk.decide("r", "approve", "--as", "kim") == 8
    assert desk.decide("r", "approve", "--as", "kim", "--group", "editors") == 8
    assert desk.decide("r", "--as", "lee", "--delegate", "kim") == 8
    assert desk.decide("r", "approve", "--as", "kim") == 8
    assert desk.decide("r", "--as", "kim", "--claim") == 8


def test_groups_that_the_project_does_not_put_somebody_in_do_not_count(desk: Desk) -> None:
    desk.begin()
    done = desk.do("decide", "r", "approve", "--as", "zoe", "--group", "legal")
    assert done.code == 8 and "zoe is not in the group 'legal'" in done.err
    answer = 'review={"as": "zoe", "groups": ["legal"], "verdict": "reject"}'
    begun = desk.do(
        "run", "post.flow.yaml", "--run-id", "r2", "-i", "author=kim", "-i", "editor=lee", "--answer", answer
    )
    assert begun.code == 8
    assert "post" not in desk.do("inbox", "--as", "zoe", "--group", "legal").out
    assert [action for _, action in desk.log()] == ["request.opened"]


def test_without_people_the_groups_that_are_given_count(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "")
    desk.begin()
    assert desk.decide("r", "approve", "--as", "zoe", "--group", "legal") == 4
    assert desk.decide("r", "approve", "--as", "ada", "--group", "sales") == 8
    assert desk.decide("r", "approve", "--as", "ada", "--group", "editors") == 0


def test_one_person_counts_for_one_group_and_votes_once(desk: Desk) -> None:
    desk.begin()
    assert desk.decide("r", "approve", "--as", "noa") == 4
    assert desk.decide("r", "approve", "--as", "noa") == 7
    assert desk.decide("r", "approve", "--as", "max") == 0
    run = desk.do("runs", "show", "r", "--json").json["data"]
    assert run["outputs"] == {"status": "approve", "by": ["noa", "max"]}


def test_a_claim_is_given_back_by_whoever_has_it(desk: Desk) -> None:
    desk.begin()
    assert desk.decide("r", "--as", "lee", "--claim") == 4
    assert "claimed by lee" in desk.do("inbox").out
    assert [desk.decide("r", "--as", "noa", word) for word in ("--claim", "--release")] == [7, 7]
    assert [desk.decide("r", "--as", "lee", "--release"), desk.decide("r", "--as", "noa", "--claim")] == [4, 4]


def test_a_request_is_passed_on_to_somebody_with_a_name(desk: Desk) -> None:
    desk.begin()
    assert [desk.decide("r", "--as", "lee", "--delegate", name) for name in ("", "  ")] == [2, 2]
    assert desk.decide("r", "reject", "--as", "dora") == 8
    assert desk.decide("r", "--as", "lee", "--delegate", "dora") == 4
    assert "Publish?" in desk.do("inbox", "--as", "dora").out
    assert desk.decide("r", "reject", "--as", "dora") == 0


def test_an_answer_is_for_the_text_that_was_seen(desk: Desk) -> None:
    desk.begin()
    assert desk.decide("r", "approve", "--as", "lee") == 4
    (desk.folder / "new.txt").write_text("Coffee.", "utf-8")
    assert desk.decide("r", "--as", "max", "--edit", "new.txt") == 4
    (shown,) = desk.do("inbox", "--run", "r", "--json").json["data"]
    assert (shown["revision"], shown["show"]) == (2, {"body": "Coffee."})
    assert desk.decide("r", "approve", "--as", "noa", "--revision", "1") == 7
    unsaid = desk.do("decide", "r", "approve", "--as", "noa")
    assert unsaid.code == 7 and "answer with --revision 2" in unsaid.err
    assert desk.decide("r", "approve", "--as", "noa", "--revision", "2") == 4, "lee's vote was for another text"
    assert desk.decide("r", "approve", "--as", "lee", "--revision", "2") == 0


def test_the_audit_log_says_which_text_an_answer_was_for(desk: Desk) -> None:
    desk.begin()
    desk.decide("r", "reject", "--as", "lee")
    (line,) = [x for x in desk.lines() if x["action"] == "answer.answer"]
    assert line["data"]["revision"] == 1


def test_a_request_that_names_nobody_opens_for_nobody(desk: Desk) -> None:
    done = desk.do("run", "narrow.flow.yaml", "--run-id", "n", "-i", "editor=")
    assert done.code == 1 and "ask.nobody" in done.err
    assert desk.decide("n", "approve", "--as", "mallory") == 6


def test_an_answer_to_a_row_that_is_not_there_is_refused(desk: Desk) -> None:
    desk.begin("rows", "r")
    done = desk.do("decide", "r", "keep", "--as", "kim", "--item", "2")
    assert done.code == 2 and "no row 2" in done.err
    assert desk.decide("r", "keep", "--as", "kim", "--item", "0") == 4
    assert desk.decide("r", "drop", "--as", "kim", "--item", "1") == 0


def test_late_answers_are_refused_and_logged(desk: Desk) -> None:
    desk.begin()
    assert desk.decide("r", "reject", "--as", "lee") == 0
    assert desk.decide("r", "approve", "--as", "noa") == 7
    assert desk.log()[-1] == ("noa", "refused.answer")
    desk.begin("post", "gone")
    desk.do("cancel", "gone")
    late = desk.do("decide", "gone", "approve", "--as", "noa")
    assert late.code == 7 and "its run went on or ended without it" in late.err
    assert desk.log("gone")[-1] == ("noa", "refused.answer")
    assert desk.do("runs", "verify").code == 0
