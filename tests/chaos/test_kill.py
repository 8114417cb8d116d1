"""kill -9 of real processes on one SQLite file: before and after every commit, and at random instants. Nothing is lost.

Every commit boundary and 50 random instants here; `make chaos` (CHAOS_ROUNDS, 100) makes it 1,000.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.durable.battery import BATTERY, Case

ROUNDS = max(50, 10 * int(os.environ.get("CHAOS_ROUNDS", "0")))
ROOT = Path(__file__).parents[2]


class Zygote:
    """Forks a process per round."""

    def __init__(self) -> None:
        env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.zygote"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def run(self, folder: Path, case: Case, kill: Any) -> dict[str, int]:
        order = {"db": str(folder / "runs.db"), "log": str(folder / "calls"), "case": case.name, "kill": kill}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, int]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the zygote died"
        found: dict[str, int] = json.loads(line)
        return found

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    made = Zygote()
    yield made
    made.close()


def calls(folder: Path) -> list[str]:
    log = folder / "calls"
    return log.read_text().splitlines() if log.exists() else []


def kept(folder: Path) -> tuple[set[str], dict[str, Any]]:
    """The calls whose results are in the file, and (status, outcome) of its runs."""
    found: set[str] = set()
    with sqlite3.connect(folder / "runs.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            return set(), {}  # it died while it made the file
        runs = {row[1]: row for row in db.execute("SELECT rk, id, status, outcome FROM runs")}
        for run_id, row in runs.items():
            started: dict[int, tuple[str, str]] = {}
            bodies = db.execute("SELECT body FROM ticks WHERE rk = ? ORDER BY seq", (row[0],))
            for tick in (tick for (body,) in bodies for tick in json.loads(body)):
                if tick[0] == "step":
                    started[tick[3]] = (tick[5], tick[6] or "main" if len(tick) > 6 else "main")
                elif tick[0] == "settled" and tick[3] in started:
                    step, phase = started[tick[3]]
                    found.add(f"{run_id}/{step}/{tick[3]}/{phase}\t{tick[4]}")
    db.close()
    return found, {run_id: (row[2], row[3]) for run_id, row in runs.items()}


def check_end(folder: Path, case: Case) -> None:
    _, runs = kept(folder)
    status, outcome = runs["r"]
    assert status == case.status, (status, outcome)
    if case.outputs is not None:
        assert json.loads(outcome)["result"] == case.outputs
    assert all(s in ("done", "failed", "cancelled") for s, _ in runs.values())


def die_and_recover(zygote: Zygote, folder: Path, case: Case, kill: Any) -> bool:
    """One round; False if the run had ended before the process was to die."""
    folder.mkdir()
    ended = zygote.run(folder, case, kill)
    assert ended in ({"signal": 9}, {"exit": 0})
    if (folder / "runs.db").exists():
        settled, _ = kept(folder)
        before = len(calls(folder))
    else:
        settled, before = set(), 0
    assert zygote.run(folder, case, None) == {"exit": 0}
    again = [call for call in calls(folder)[before:] if call in settled]
    assert again == [], "a step whose result was kept ran again"
    check_end(folder, case)
    return ended == {"signal": 9}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("case", BATTERY, ids=lambda case: case.name)
@pytest.mark.timeout(300)
def test_a_process_killed_at_any_commit_loses_nothing(zygote: Zygote, case: Case, when: str, tmp_path: Path) -> None:
    n = 1
    while die_and_recover(zygote, tmp_path / str(n), case, [when, n]):
        n += 1
    assert n > 3


@pytest.mark.timeout(3600)
def test_a_process_killed_at_any_instant_loses_nothing(zygote: Zygote, tmp_path: Path) -> None:
    dice = random.Random(4)
    killed = 0
    for number in range(ROUNDS):
        kill = ["time", dice.uniform(0.0, 0.12)]
        killed += die_and_recover(zygote, tmp_path / str(number), dice.choice(BATTERY), kill)
    assert killed > ROUNDS / 4


@pytest.mark.parametrize("case", BATTERY, ids=lambda case: case.name)
def test_a_process_that_is_asked_to_end_drains(zygote: Zygote, case: Case, tmp_path: Path) -> None:
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert zygote.run(folder, case, ["term", 0.01 + number * 0.02]) in ({"exit": 0}, {"signal": 15})
        before, (settled, _) = calls(folder), kept(folder) if (folder / "runs.db").exists() else (set(), {})
        assert zygote.run(folder, case, None) == {"exit": 0}
        assert all(call in settled or "/item" in call for call in before if "\t" in call) or case.name == "items"
        check_end(folder, case)
