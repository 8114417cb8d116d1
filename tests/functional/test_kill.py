"""`kill -9` in the middle of a function: after a restart every finished step is taken from the storage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STORY = Path(__file__).with_name("crash_story.py")
HEAD = [f"s{n}" for n in range(5)]
BRANCHES = [f"{b}{n}" for b in "lr" for n in range(5)]
TAIL = [f"t{n}" for n in range(5)]
OUTPUT = [*HEAD, *BRANCHES, "yes", *TAIL, 1, 20]


def tell(kind: str, path: Path, kill_at: int, *answer: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(STORY), kind, str(path), str(kill_at), *answer]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def until_done(kind: str, path: Path, kills: list[int], *answer: str) -> str:
    """Start the story again until it is not killed any more; gives its last output."""
    while True:
        done = tell(kind, path, kills[0] if kills else 0, *answer)
        if done.returncode != -signal.SIGKILL:
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()
        kills.pop(0)
        if answer and kills == []:
            answer = ()  # the answer was accepted before the kill


@pytest.mark.parametrize("kind", ["file", "sqlite", "store"])
@pytest.mark.parametrize("kill_at", [1, 5, 6, 9, 14])
def test_a_run_survives_kill_9_before_its_question(kind: str, kill_at: int, tmp_path: Path) -> None:
    assert until_done(kind, tmp_path, [kill_at]) == "IDLE_WITH_PENDING_REQUESTS [] ['go']"
    counts = Counter((tmp_path / "calls.txt").read_text().split())
    assert set(counts) == {*HEAD, *BRANCHES}
    assert sum(n - 1 for n in counts.values()) <= (
        2 if kill_at > 5 else 1
    )  # only what was under way when it was killed
    assert until_done(kind, tmp_path, [], "yes") == f"IDLE [{OUTPUT}] []"


@pytest.mark.parametrize("kind", ["file", "sqlite", "store"])
def test_a_run_survives_kill_9_again_and_again_and_after_its_answer(kind: str, tmp_path: Path) -> None:
    assert until_done(kind, tmp_path, [2, 8, 11]) == "IDLE_WITH_PENDING_REQUESTS [] ['go']"
    calls = len((tmp_path / "calls.txt").read_text().split())
    assert until_done(kind, tmp_path, [calls + 3], "yes") == f"IDLE [{OUTPUT}] []"
    counts = Counter((tmp_path / "calls.txt").read_text().split())
    assert [counts[name] for name in TAIL] == [1, 1, 2, 1, 1]
