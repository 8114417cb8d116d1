"""The life of a run over several commands, each a process of its own: run, inbox, decide, send, cancel, runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FLOW = """\
flow: order
inputs:
  order: str
outputs:
  status: str
events:
  Paid:
    external: true
    fields: {order: str}
steps:
  review:
    on: Start
    ask:
      title: Take order ${{ inputs.order }}?
      form:
        verdict: accept | refuse
        note: str | null
      to:
        users: [kim, lee]
        not: [kim]
    emit:
      accept: pay
      refuse: refuse
  pay:
    wait:
      event: Paid
      match:
        order: ${{ inputs.order }}
      within: 3d
    emit:
      event: Stop
      with:
        status: paid
  give_up:
    on: pay.timeout
    emit:
      event: Stop
      with:
        status: unpaid
  refuse:
    emit:
      event: Stop
      with:
        status: refused
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "orchestrator.toml").write_text("", "utf-8")
    (tmp_path / "order.flow.yaml").write_text(FLOW, "utf-8")
    return tmp_path


def orc(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "orchestrator", *args]
    path = f"{ROOT}:{ROOT / 'plugins'}"
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": path, "HOME": str(project)}
    done = subprocess.run(
        command, cwd=project, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def data_of(done: subprocess.CompletedProcess[str]) -> Any:  # the JSON of a command
    return json.loads(done.stdout)["data"]


def start(project: Path) -> str:
    done = orc(project, "run", "order.flow.yaml", "-i", "order=o1", "--json")
    assert done.returncode == 4, done.stderr
    return str(data_of(done)["run_id"])


def test_a_run_is_decided_and_paid_by_commands_of_their_own(project: Path) -> None:
    run = start(project)
    (waiting,) = data_of(orc(project, "inbox", "--as", "lee", "--json"))
    assert waiting["title"] == "Take order o1?"
    decided = orc(project, "decide", waiting["id"], "accept", "--as", "lee", "-i", "note=fine", "--json")
    assert (decided.returncode, data_of(decided)["waiting"]) == (4, ["pay"])
    paid = orc(project, "send", run, "Paid", "-i", "order=o1", "--json")
    assert (paid.returncode, data_of(paid)["outputs"]) == (0, {"status": "paid"})
    assert data_of(orc(project, "runs", "show", run, "--json"))["path"] == ["review", "pay"]
    assert orc(project, "runs", "verify").returncode == 0


def test_refused_answers_leave_the_request_open(project: Path) -> None:
    run = start(project)
    assert orc(project, "decide", run, "accept", "--as", "kim").returncode == 8
    assert orc(project, "decide", run, "accept", "--as", "mo").returncode == 8
    assert orc(project, "decide", run, "maybe", "--as", "lee").returncode == 2
    assert orc(project, "decide", run, "accept", "--as", "lee", "-i", "size=3").returncode == 2
    assert len(data_of(orc(project, "inbox", "--json"))) == 1
    assert orc(project, "decide", run, "refuse", "--as", "lee").returncode == 0
    assert orc(project, "decide", f"{run}/review-2", "refuse", "--as", "lee").returncode in (6, 7)


def test_an_event_that_nothing_waits_for_is_refused_with_a_suggestion(project: Path) -> None:
    run = start(project)
    done = orc(project, "send", run, "Padi", "-i", "order=o1")
    assert (done.returncode, "did you mean `Paid`?" in done.stderr) == (2, True)
    assert orc(project, "send", run, "Paid", "-i", "order=o1", "--dedup", "k").returncode == 4
    assert orc(project, "send", "nothing", "Paid").returncode == 6


def test_a_waiting_run_can_be_cancelled_and_removed(project: Path) -> None:
    run = start(project)
    assert orc(project, "runs", "rm", run).returncode == 7
    assert data_of(orc(project, "cancel", run, "--reason", "too late", "--json")) == {run: "cancelled"}
    assert orc(project, "cancel", run).returncode == 7
    assert data_of(orc(project, "inbox", "--json")) == []
    assert orc(project, "runs", "rm", run).returncode == 0
    assert orc(project, "runs", "show", run).returncode == 6


def test_a_run_moves_to_another_store_and_goes_on_there(project: Path) -> None:
    run = start(project)
    orc(project, "runs", "export", "-o", "x.jsonl")
    other = "sqlite:///other.db"
    assert orc(project, "runs", "import", "x.jsonl", "--store", other).returncode == 0
    assert orc(project, "runs", "import", "x.jsonl", "--store", other).returncode == 7
    done = orc(project, "decide", run, "refuse", "--as", "lee", "--store", other, "--json")
    assert data_of(done)["outputs"] == {"status": "refused"}


def test_the_difference_of_two_versions_is_told_in_words(project: Path) -> None:
    start(project)
    text = FLOW.replace("within: 3d", "within: 5d")
    (project / "order.flow.yaml").write_text(text, "utf-8")
    done = orc(project, "diff", "order.flow.yaml")
    assert done.returncode == 0
    assert "pay" in done.stdout


def test_a_recorded_run_replays_and_a_changed_flow_is_told_apart(project: Path) -> None:
    run = start(project)
    orc(project, "decide", run, "accept", "--as", "lee")
    same = orc(project, "replay", run, "--json")
    assert (same.returncode, data_of(same)["divergences"]) == (0, [])
    (project / "order.flow.yaml").write_text(
        FLOW.replace("accept: pay\n      refuse: refuse", "accept: refuse\n      refuse: pay"), "utf-8"
    )
    other = orc(project, "replay", run, "--flow", "order.flow.yaml", "--json")
    assert other.returncode == 9
    assert "`review`" in data_of(other)["divergences"][0]


def test_a_fork_asks_again_and_goes_its_own_way(project: Path) -> None:
    run = start(project)
    orc(project, "decide", run, "accept", "--as", "lee")
    forked = orc(project, "replay", run, "--fork-at", "1", "--json")
    assert (forked.returncode, data_of(forked)["waiting"]) == (4, ["review"])
    new = data_of(forked)["run_id"]
    assert data_of(orc(project, "decide", new, "refuse", "--as", "lee", "--json"))["outputs"] == {"status": "refused"}
    assert data_of(orc(project, "runs", "show", run, "--json"))["status"] == "waiting"


def test_a_failed_run_is_repeated_from_the_step_that_failed(project: Path) -> None:
    text = FLOW.replace(
        "    emit:\n      event: Stop\n      with:\n        status: paid", "    emit:\n      event: bill"
    )
    text += "  bill:\n    call: files.read\n    with: {path: bill.txt}\n    emit:\n      event: Stop\n      with:\n        status: ${{ result }}\n"
    (project / "order.flow.yaml").write_text(text, "utf-8")
    run = start(project)
    orc(project, "decide", run, "accept", "--as", "lee")
    assert orc(project, "send", run, "Paid", "-i", "order=o1").returncode == 1
    (project / "bill.txt").write_text("billed", "utf-8")
    again = orc(project, "retry", run, "--json")
    assert (again.returncode, data_of(again)["outputs"]) == (0, {"status": "billed"}), again.stderr


def test_a_waiting_run_moves_to_the_flow_as_it_is_now(project: Path) -> None:
    run = start(project)
    (project / "order.flow.yaml").write_text(FLOW.replace("status: refused", "status: turned down"), "utf-8")
    assert data_of(orc(project, "migrate", "order.flow.yaml", "--json")) == {"moved": [run], "stayed": {}}
    done = orc(project, "decide", run, "refuse", "--as", "lee", "--json")
    assert data_of(done)["outputs"] == {"status": "turned down"}


def test_a_run_that_does_not_fit_the_new_flow_stays_with_the_reason(project: Path) -> None:
    run = start(project)
    (project / "order.flow.yaml").write_text(
        FLOW.replace("  review:\n    on: Start", "  look:\n    on: Start"), "utf-8"
    )
    done = orc(project, "migrate", "order.flow.yaml", "--json")
    assert done.returncode == 7
    assert "step `review`, which it is in, is gone" in data_of(done)["stayed"][run]
