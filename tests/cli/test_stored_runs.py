"""Runs over several commands and processes: resume, sub-flows with questions, one store for many, admission."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.support import ASK, ENV, HELLO, cli, command, process, write

REST = """\
flow: rest
outputs:
  text: str
events:
  Slept: {}
steps:
  first:
    on: Start
    call: text.slug
    with: {text: First Step}
    emit: sleep
  sleep:
    wait: 1500ms
    emit: Slept
  last:
    on: Slept
    emit:
      event: Stop
      with: {text: rested}
"""
OUTER = """\
flow: outer
imports:
  inner: ./inner.flow.yaml
inputs:
  title: str
outputs:
  verdict: str
steps:
  ask:
    on: Start
    call: flow.inner
    with:
      title: ${{ inputs.title }}
    emit:
      event: Stop
      with:
        verdict: ${{ result.verdict }}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, "orchestrator.toml", "")
    write(tmp_path, "rest.flow.yaml", REST)
    write(tmp_path, "inner.flow.yaml", ASK.replace("ask-first", "inner"))
    write(tmp_path, "outer.flow.yaml", OUTER)
    return tmp_path


def started(project: Path, *args: str) -> subprocess.Popen[str]:
    """A run in a process of its own that has come to its wait."""
    child = subprocess.Popen(command("run", *args), cwd=project, stderr=subprocess.PIPE, env=ENV, text=True)
    assert child.stderr is not None
    while "sleep" not in child.stderr.readline():
        assert child.poll() is None
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_stopped_goes_on_where_it_was(number: signal.Signals, project: Path) -> None:
    child = started(project, "rest.flow.yaml", "--run-id", "r1")
    child.send_signal(number)
    child.communicate(timeout=10)
    done = cli("resume", "r1", "--json", cwd=project)
    assert done.code == 0, done.err
    assert (done.json["data"]["outputs"], done.json["data"]["path"]) == ({"text": "rested"}, ["first", "sleep", "last"])


def test_resume_without_names_takes_every_unfinished_run(project: Path) -> None:
    for name in ("r1", "r2"):
        child = started(project, "rest.flow.yaml", "--run-id", name)
        child.kill()
        child.communicate(timeout=10)
    done = cli("resume", "--json", cwd=project)
    ended = [json.loads(line)["data"] for line in done.out.splitlines()]
    assert (done.code, [(d["run_id"], d["status"]) for d in ended]) == (0, [("r1", "done"), ("r2", "done")])
    assert cli("resume", cwd=project).err == "no run is left to go on with\n"


def test_doctor_tells_of_a_run_whose_process_is_gone(project: Path) -> None:
    child = started(project, "rest.flow.yaml", "--run-id", "r1")
    child.kill()
    child.communicate(timeout=10)
    found = {look["name"]: look for look in cli("doctor", "--json", cwd=project).json["data"]}
    assert found["runs"]["message"] == "1 run of a process that is gone"
    assert "orchestrator resume" in found["runs"]["advice"]


def test_a_run_that_another_process_holds_is_left_to_it(project: Path) -> None:
    write(project, "rest.flow.yaml", REST.replace("1500ms", "1h"))
    child = started(project, "rest.flow.yaml", "--run-id", "r1")
    done = cli("resume", "r1", cwd=project)
    assert (done.code, "goes on in the process that holds it" in done.err) == (0, True)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=20)
    assert child.returncode == 130


def test_the_same_run_id_twice_is_a_conflict(project: Path) -> None:
    write(project, "hello.flow.yaml", HELLO)
    words = ("run", "hello.flow.yaml", "-i", "name=Ada", "--run-id", "r1", "-q")
    assert cli(*words, cwd=project).code == 0
    done = cli(*words, cwd=project)
    assert (done.code, done.out) == (7, "")


def test_a_question_of_a_sub_flow_is_answered_from_the_shell(project: Path) -> None:
    done = cli("run", "outer.flow.yaml", "-i", "title=T", "--json", cwd=project)
    assert (done.code, done.json["data"]["waiting"]) == (4, ["ask"])
    (request,) = cli("inbox", "--json", cwd=project).json["data"]
    decided = cli("decide", request["id"], "approve", "--as", "kim", "--json", cwd=project)
    assert decided.code == 0, decided.err
    data = decided.json["data"]  # of the run that called it, which went on here
    assert (data["run_id"], data["outputs"]) == (done.json["data"]["run_id"], {"verdict": "approve"})
    assert cli("resume", data["run_id"], cwd=project).code == 7


def test_an_older_version_of_a_sub_flow_is_found_in_the_store(project: Path) -> None:
    run = cli("run", "outer.flow.yaml", "-i", "title=T", "--json", cwd=project).json["data"]["run_id"]
    write(project, "inner.flow.yaml", ASK.replace("ask-first", "inner").replace("Publish", "Really publish"))
    (request,) = cli("inbox", "--json", cwd=project).json["data"]
    done = cli("decide", request["id"], "reject", "--as", "kim", "--json", cwd=project)
    assert (done.code, done.json["data"]["run_id"]) == (0, run), done.err
    assert done.json["data"]["outputs"] == {"verdict": "reject"}


def test_a_run_whose_callable_is_gone_is_set_aside_with_the_reason(project: Path) -> None:
    write(project, "orchestrator.toml", '[plugins]\nfolder = "plugins"\n')
    step = "from orchestrator.plugin import Plugin\nmine = Plugin('mine')\n\n\n@mine.step\ndef work() -> int:\n    return 1\n"
    plugin = write(project, "plugins/mine.py", step)
    write(project, "rest.flow.yaml", REST.replace("text.slug\n    with: {text: First Step}", "mine.work"))
    started(project, "rest.flow.yaml", "--run-id", "r1").communicate(timeout=20)
    child = started(project, "rest.flow.yaml", "--run-id", "r2")
    child.kill()
    child.communicate()
    plugin.unlink()
    done = cli("resume", "r2", cwd=project)
    assert (done.code, "mine.work" in done.err) == (10, True)
    plugin.write_text(step, "utf-8")
    assert cli("resume", "r2", cwd=project).code == 0


def test_a_question_of_a_sub_flow_is_answered_beforehand(project: Path) -> None:
    answer = 'ask={"as": "kim", "verdict": "reject"}'
    done = cli("run", "outer.flow.yaml", "-i", "title=T", "--answer", answer, "-q", cwd=project)
    assert (done.code, json.loads(done.out)) == (0, {"verdict": "reject"})


def test_many_processes_share_one_store(project: Path) -> None:
    write(project, "hello.flow.yaml", HELLO)
    words = [command("run", "hello.flow.yaml", "-i", f"name=n{i}", "-q") for i in range(6)]
    children = [subprocess.Popen(w, cwd=project, stdout=subprocess.PIPE, env=ENV, text=True) for w in words]
    outs = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0] * 6
    assert sorted(json.loads(out)["text"] for out in outs) == [f"hello-n{i}" for i in range(6)]
    runs = cli("runs", "ls", "--json", cwd=project)
    assert [run["status"] for run in runs.json["data"]["runs"]] == ["done"] * 6


def test_a_second_start_under_single_is_refused(project: Path) -> None:
    text = REST.replace("outputs:", "concurrency:\n  mode: single\noutputs:", 1).replace("1500ms", "1h")
    write(project, "rest.flow.yaml", text)
    child = started(project, "rest.flow.yaml", "--run-id", "r1")
    done = cli("run", "rest.flow.yaml", cwd=project)
    assert (done.code, done.out) == (7, "")
    child.kill()
    child.communicate(timeout=20)
    assert cli("cancel", "r1", cwd=project).code == 0
    assert cli("run", "rest.flow.yaml", "--until", "first", "-q", cwd=project).code == 0


def test_a_queued_start_waits_for_its_turn(project: Path) -> None:
    write(project, "rest.flow.yaml", REST.replace("outputs:", "concurrency:\n  mode: queue\noutputs:", 1))
    child = started(project, "rest.flow.yaml")
    done = process("run", "rest.flow.yaml", "-q", cwd=project)
    assert (done.code, json.loads(done.out or "{}")) == (0, {"text": "rested"})
    child.communicate(timeout=20)
    assert child.returncode == 0


def test_a_relative_store_of_the_config_is_beside_the_config(project: Path) -> None:
    write(project, "orchestrator.toml", '[store]\nurl = "sqlite:///mine.db"\n')
    write(project, "flows/hello.flow.yaml", HELLO)
    assert cli("run", "hello.flow.yaml", "-i", "name=Ada", "-q", cwd=project / "flows").code == 0
    assert (project / "mine.db").exists()


def test_a_status_that_no_run_can_have_is_refused(project: Path) -> None:
    done = cli("runs", "ls", "--status", "finished", cwd=project)
    assert (done.code, "'done'" in done.err) == (2, True)
