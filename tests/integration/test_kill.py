"""`kill -9` of a process that runs a workflow class or function over SQLite, and another process that goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def start(story: str, folder: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "tests.integration.crash_stories", story, str(folder), how]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}"}
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def marks(folder: Path) -> list[str]:
    file = folder / "marks"
    return file.read_text("utf-8").split("\n")[:-1] if file.exists() else []


def killed_at(story: str, folder: Path, line: str) -> None:
    """Start a story and kill its process when it has come to a line."""
    process = start(story, folder, "start")
    deadline = time.monotonic() + 30
    while line not in marks(folder):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def resumed(story: str, folder: Path) -> list[str]:
    """The lines that the process prints which goes on."""
    out, err = start(story, folder, "resume").communicate(timeout=60)
    assert err == ""
    return out.splitlines()


def test_a_chain_goes_on_after_its_last_finished_step(tmp_path: Path) -> None:
    killed_at("chain", tmp_path, "hangs")
    assert resumed("chain", tmp_path) == ["['a12', ['a', 'a1']]", "['StopEvent']"]
    assert marks(tmp_path) == ["first", "second", "hangs", "second", "third"]


def test_finished_members_of_a_fan_out_do_not_run_again(tmp_path: Path) -> None:
    killed_at("fan", tmp_path, "hangs")
    assert resumed("fan", tmp_path)[0] == "[0, 10, 20, 30, 40, 50]"
    assert marks(tmp_path) == [
        "split", "work 0", "work 1", "work 2", "work 3", "hangs", "work 3", "work 4", "work 5",
    ]  # fmt: skip


def test_a_waiting_body_runs_from_the_top_with_what_it_did_before_and_asks_once(tmp_path: Path) -> None:
    killed_at("waits", tmp_path, "asked")
    assert resumed("waits", tmp_path) == ["[0, 1, 'yes']", "['Ask', 'StopEvent']"]
    assert [m for m in marks(tmp_path) if m != "asked"] == ["ask", "ask", "answered"]


def test_a_step_that_waits_for_a_child_joins_the_same_child(tmp_path: Path) -> None:
    killed_at("outer", tmp_path, "asked")
    assert resumed("outer", tmp_path) == ["['x', 'yes']", "['Ask', 'StopEvent']"]
    found = [m for m in marks(tmp_path) if m != "asked"]
    assert found.count("before") == 1
    assert found.count("inner") == 2


def test_a_function_goes_on_with_the_flow_that_it_had_started(tmp_path: Path) -> None:
    killed_at("function", tmp_path, "hangs")
    assert resumed("function", tmp_path) == ["[[1, 'a12']]"]
    found = marks(tmp_path)
    assert [found.count(m) for m in ("count", "flow first", "flow second", "around")] == [1, 1, 2, 2]


@pytest.mark.parametrize("story", ["chain", "waits"])
def test_a_run_that_ended_in_another_process_still_gives_its_result(tmp_path: Path, story: str) -> None:
    killed_at(story, tmp_path, "hangs" if story == "chain" else "asked")
    first = resumed(story, tmp_path)
    before = marks(tmp_path)
    assert resumed(story, tmp_path)[0] == first[0]
    assert [m for m in marks(tmp_path) if m != "asked"] == [m for m in before if m != "asked"]
