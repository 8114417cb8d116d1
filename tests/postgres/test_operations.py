"""The commands of docs/operations.md, word for word: a store that moves to PostgreSQL, and one that is dumped and restored.

Both times with a run that waits for a timer and one that waits for a person.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import Server

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operations.md"
ASK = """
flow: ask
outputs: {by: str}
steps:
  review:
    on: %s
    ask:
      title: Good?
      form: {verdict: approve | reject}
      to: {users: [kim]}
    emit:
      approve: fin
      reject: fin
  fin:
    emit: {event: Stop, with: {by: kim}}
"""
LATER = (
    ASK.replace("flow: ask", "flow: later").replace("steps:", "steps:\n  pause:\n    on: Start\n    wait: 9s") % "pause"
)


class Desk:
    """A project's folder, and a shell in it that knows `orchestrator` and the programs of the database."""

    def __init__(self, root: Path, server: Server) -> None:
        self.root = root
        (root / "ask.flow.yaml").write_text(ASK % "Start")
        (root / "later.flow.yaml").write_text(LATER)
        (root / "bin").mkdir()
        (root / "bin" / "orchestrator").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m orchestrator "$@"\n')
        (root / "bin" / "orchestrator").chmod(0o755)
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "plugins"))),
            "PATH": os.pathsep.join((str(root / "bin"), str(server.programs), os.environ["PATH"])),
        }
        self.environment.pop("ORCHESTRATOR_STORE_URL", None)
        self.worker: subprocess.Popen[bytes] | None = None

    def sh(self, script: str, code: int = 0) -> str:
        done = subprocess.run(
            ["sh", "-e", "-c", script], cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code, (script, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def hire(self) -> None:
        self.worker = subprocess.Popen(
            [self.root / "bin" / "orchestrator", "worker"], cwd=self.root, env=self.environment
        )

    def status(self) -> dict[str, str]:
        rows = json.loads(self.sh("orchestrator runs ls --json"))["data"]["runs"]
        return {row["run_id"]: row["status"] for row in rows}

    def answer_all(self) -> None:
        """Be kim, until both runs have ended."""
        deadline = time.monotonic() + 40
        while set(self.status().values()) != {"done"}:
            assert time.monotonic() < deadline, self.status()
            for row in json.loads(self.sh("orchestrator inbox --json"))["data"]:
                self.sh(f"orchestrator decide {row['run_id']} approve --as kim")

    def close(self) -> None:
        if self.worker is not None:
            self.worker.send_signal(signal.SIGTERM)
            assert self.worker.wait(20) == 0


@pytest.fixture
def desk(tmp_path: Path, server: Server) -> Iterator[Desk]:
    desk = Desk(tmp_path, server)
    yield desk
    desk.close()


def block_of(section: str) -> list[str]:
    """The lines of the first code block of a section of the page."""
    text = PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return text.split("```shell\n")[1].split("```")[0].splitlines()


def start_both(desk: Desk) -> None:
    desk.sh("orchestrator run ask.flow.yaml --run-id now", code=4)
    desk.sh("timeout -s INT 2 orchestrator run later.flow.yaml --run-id later", code=124)
    assert desk.status() == {"now": "waiting", "later": "waiting"}


def test_a_project_moves_to_postgresql_with_what_waits(desk: Desk, server: Server) -> None:
    start_both(desk)
    url = server.new_database()
    lines = [
        line.replace("postgresql://orchestrator@db/orchestrator", url) for line in block_of("From SQLite to PostgreSQL")
    ]
    assert lines[-1] == "orchestrator doctor && orchestrator worker"
    desk.sh("\n".join([*lines[:-1], "orchestrator doctor"]))
    desk.environment["ORCHESTRATOR_STORE_URL"] = url
    assert desk.status() == {"now": "waiting", "later": "waiting"}
    desk.hire()
    desk.answer_all()
    assert json.loads(desk.sh("orchestrator runs verify --json"))["data"]["intact"]


def test_a_dump_is_restored_into_another_database_and_goes_on(desk: Desk, server: Server) -> None:
    url = server.new_database()
    desk.environment |= {"ORCHESTRATOR_STORE_URL": url, "NEW_STORE_URL": url.replace("?", "_restored?")}
    name = url.partition("?")[0].rpartition("/")[2]
    start_both(desk)
    lines = [line.replace(" restored", f" {name}_restored") for line in block_of("Backup and restore")]
    assert lines[-1] == "orchestrator worker"
    desk.sh("\n".join(lines[:-1]))
    desk.environment["ORCHESTRATOR_STORE_URL"] = desk.environment["NEW_STORE_URL"]
    assert desk.status() == {"now": "waiting", "later": "waiting"}
    desk.hire()
    desk.answer_all()
