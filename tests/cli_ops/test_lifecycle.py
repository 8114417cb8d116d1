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
