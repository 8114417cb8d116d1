"""The commands themselves: a worker with its metrics, and a project that moves from SQLite to PostgreSQL in the middle of a run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOW = """
flow: publish
outputs: {text: str}
steps:
  draft:
    on: Start
    call: text.slug
    with: {text: "Hello World"}
  publish:
    on: draft
    call: text.slug
    with: {text: "It is ${{ ev.result }}"}
    emit: {event: Stop, with: {text: "${{ result }}"}}
"""


class Shell:
    """Commands in a project's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "plugins")))}
        self.environment.pop("ORCHESTRATOR_STORE_URL", None)
        self.started: list[subprocess.Popen[str]] = []

    def run(self, *words: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "orchestrator", *words]
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "orchestrator", *words]
        self.started.append(
            subprocess.Popen(command, cwd=self.root, env=self.environment, stderr=subprocess.PIPE, text=True)
        )
        return self.started[-1]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "publish.flow.yaml").write_text(FLOW)
    found = Shell(tmp_path)
    yield found
    for process in found.started:
        process.kill()
        process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def metrics_of(port: int) -> dict[str, float]:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
            return {line.split("{")[0]: float(line.split()[-1]) for line in lines if not line.startswith("#")}
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_project_moves_to_postgres_while_a_run_waits_and_a_worker_ends_it(shell: Shell, url: str) -> None:
    shell.run("run", "publish.flow.yaml", "--run-id", "r1", "--until", "draft", "--json")
    shell.run("runs", "export", "-o", "runs.jsonl")
    shell.run("runs", "import", "runs.jsonl", "--store", url)
    port = free_port()
    worker = shell.start("worker", "--store", url, "--metrics", f"127.0.0.1:{port}")
    deadline = time.monotonic() + 20
    while (found := metrics_of(port))["orchestrator_worker_runs_ended_total"] < 1:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    assert found["orchestrator_worker_runs_held"] == 0 and found["orchestrator_worker_ticks_total"] > 0
    shown = json.loads(shell.run("runs", "show", "r1", "--store", url, "--json"))["data"]
    assert shown["status"] == "done" and "it-is-hello-world" in json.dumps(shown)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0


def test_a_worker_refuses_what_it_cannot_do(shell: Shell) -> None:
    shell.run("worker", "--store", "memory:", code=2)
    shell.run("worker", "--store", "sqlite:///x.db", "--pool", "gpu", code=2)
    shell.run("worker", "--store", "sqlite:///x.db", "--dispatcher", "dbos", code=2)
