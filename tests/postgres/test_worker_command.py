"""The commands themselves: a worker with its metrics, and a project that moves from SQLite to PostgreSQL in the middle of a run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.authoring.project import Project
from orchestrator.dispatch.local import close_engine
from orchestrator.dispatch.submit import submit_run
from orchestrator.journal.open import open_journal
from orchestrator.runtime.durable import DurableEngine

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

    def wait_for(self, run_id: str, status: str) -> dict[str, Any]:
        """A run, once it has a status."""
        deadline = time.monotonic() + 30
        while True:
            found: dict[str, Any] = json.loads(self.run("runs", "show", run_id, "--json"))["data"]
            if found["status"] == status:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.2)


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


PLUGIN = """
from orchestrator.plugin import Plugin, Secret

plugin = Plugin("vault")


@plugin.step(secrets=["VAULT_KEY"], effect="none")
def open(vault_key: Secret, n: int) -> str:
    \"\"\"Whether the key is there.\"\"\"
    return "open" if vault_key.reveal() else "shut"
"""
VAULT = """
flow: vault
outputs: {text: str}
steps:
  open:
    on: Start
    call: vault.open
    with: {n: 1}
    emit: {event: Stop, with: {text: "${{ result }}"}}
"""


async def submit(root: Path, name: str, url: str) -> None:
    project = Project.open(root)
    engine = DurableEngine(open_journal(url), project.plan)
    await submit_run(engine, project.plan(project.compile(root / name).checked()), {}, run_id="r")
    await close_engine(engine)


def test_a_run_goes_to_the_worker_that_has_its_secret(shell: Shell, url: str) -> None:
    (shell.root / "orchestrator.toml").write_text('[plugins]\nfolder = "plugins"\n')
    (shell.root / "plugins").mkdir()
    (shell.root / "plugins" / "vault.py").write_text(PLUGIN)
    (shell.root / "vault.flow.yaml").write_text(VAULT)
    shell.environment["ORCHESTRATOR_STORE_URL"] = url
    shell.start("worker", "--name", "without")
    asyncio.run(submit(shell.root, "vault.flow.yaml", url))
    parked = shell.wait_for("r", "parked")["parked"]["message"]
    assert "the secret VAULT_KEY is not set here" in parked
    shell.environment["VAULT_KEY"] = "k"
    shell.start("worker", "--name", "with")
    assert shell.wait_for("r", "done")["outputs"] == {"text": "open"}


ASK = """
flow: ask
outputs: {text: str}
steps:
  review:
    on: Start
    ask:
      title: Good?
      form: {verdict: approve | reject}
      to: {users: [kim]}
    emit:
      approve: fin
      reject: fin
  fin:
    call: text.slug
    with: {text: "By Kim"}
    emit: {event: Stop, with: {text: "${{ result }}"}}
"""


def ask_api(port: int, path: str, body: dict[str, Any] | None = None) -> Any:
    """What the server's REST says, once it is up."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/{path}", data, headers={"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.URLError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_server_without_workers_of_its_own_takes_runs_and_answers_for_others(shell: Shell, url: str) -> None:
    (shell.root / "ask.flow.yaml").write_text(ASK)
    shell.environment["ORCHESTRATOR_STORE_URL"] = url
    port = free_port()
    shell.start("serve", "--no-workers", "--port", str(port))
    run_id = ask_api(port, "flows/ask/runs", {"inputs": {}})["run_id"]
    time.sleep(1.5)
    assert ask_api(port, f"runs/{run_id}")["status"] == "new"  # nobody has begun it
    shell.start("worker")
    shell.wait_for(run_id, "waiting")
    (asked,) = ask_api(port, "requests")["requests"]
    answered_at = time.monotonic()
    ask_api(port, f"requests/{asked['id']}", {"verdict": "approve", "revision": 1, "as": "kim"})
    while ask_api(port, f"runs/{run_id}")["status"] != "done":
        assert time.monotonic() - answered_at < 10
    assert ask_api(port, f"runs/{run_id}")["outputs"] == {"text": "by-kim"}
    print(f"from the answer to the end: {time.monotonic() - answered_at:.2f} s")
