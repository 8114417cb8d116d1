"""`dev`, `serve`, `users` and `keys`, as processes: unsafe addresses, reload, draining on SIGTERM, accounts."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.server.kit import ECHO, WAITS, write_flows

ROOT = Path(__file__).resolve().parents[2]
SLOW = """
flow: slow
outputs: {ok: bool}
steps:
  rest:
    on: Start
    wait: 1s
    emit: {event: Stop, with: {ok: true}}
"""


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])}


def orc(folder: Path, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator", *args]
    return subprocess.run(
        command, cwd=folder, env=environment(), input=stdin, capture_output=True, text=True, timeout=60
    )


class Running:
    """A server process: its address, and what it says on stderr, line by line."""

    def __init__(self, folder: Path, *args: str) -> None:
        command = [sys.executable, "-m", "orchestrator", *args, "--port", "0"]
        self.process = subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True)
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self.line("serving on").split()[-1]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)

    def stop(self, number: int) -> int:
        """Send a signal and wait for the end; gives the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def line(self, part: str) -> str:
        """The next line that holds a text."""
        while True:
            line = self._lines.get(timeout=30)
            if part in line:
                return line.strip()


@contextmanager
def running(folder: Path, *args: str) -> Iterator[Running]:
    server = Running(folder, *args)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop(signal.SIGTERM)


def test_an_address_that_others_reach_needs_an_account(tmp_path: Path) -> None:
    write_flows(tmp_path)
    for command in ("serve", "dev"):
        refused = orc(tmp_path, command, "--host", "0.0.0.0", "--port", "0")
        assert refused.returncode == 8 and "users add" in refused.stderr and "Traceback" not in refused.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with running(write_flows(tmp_path), "serve") as server:
        refused = orc(tmp_path, "serve", "--port", server.url.rpartition(":")[2])
        assert refused.returncode == 10 and "--port" in refused.stderr


def test_flows_that_name_groups_are_not_served_where_nobody_is_known(tmp_path: Path) -> None:
    from tests.server.test_requests_api import QUORUM

    refused = orc(write_flows(tmp_path, quorum=QUORUM), "serve", "--port", "0")
    assert refused.returncode == 8 and "'editors'" in refused.stderr and "quorum" in refused.stderr


def test_with_an_account_everybody_signs_in(tmp_path: Path) -> None:
    write_flows(tmp_path)
    assert (
        orc(
            tmp_path, "users", "add", "kim", "--role", "operator", "--password-stdin", stdin="a long password\n"
        ).returncode
        == 0
    )
    key = orc(tmp_path, "keys", "create", "kim", "--for", "1d").stdout.strip()
    with (
        running(tmp_path, "serve", "--host", "0.0.0.0") as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        assert client.get("/api/flows").status_code == 401
        assert client.get("/api/flows", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert client.post("/api/session", json={"name": "kim", "password": "a long password"}).status_code == 200
        assert client.get("/api/me").json()["roles"] == ["operator"]
        assert "uvicorn" not in client.get("/api/health").headers.get("server", "")


def test_users_and_keys_are_managed_from_the_command_line(tmp_path: Path) -> None:
    write_flows(tmp_path)
    added = orc(tmp_path, "users", "add", "kim", "--group", "editors", "--no-password", "--json")
    assert json.loads(added.stdout)["data"]["groups"] == ["editors"]
    assert orc(tmp_path, "users", "add", "kim", "--no-password").returncode == 7
    assert orc(tmp_path, "users", "set", "kim", "--role", "viewer", "--disable").returncode == 0
    assert "kim  viewer  groups: editors  (disabled, no password)" in orc(tmp_path, "users", "list").stdout
    assert orc(tmp_path, "users", "set", "nobody", "--disable").returncode == 6
    made = json.loads(orc(tmp_path, "keys", "create", "kim", "--json").stdout)["data"]
    assert (
        made["key"] not in orc(tmp_path, "keys", "list").stdout and made["id"] in orc(tmp_path, "keys", "list").stdout
    )
    assert orc(tmp_path, "keys", "revoke", made["id"]).returncode == 0
    assert orc(tmp_path, "keys", "revoke", made["id"]).returncode == 6
    assert orc(tmp_path, "users", "remove", "kim").returncode == 0
    assert orc(tmp_path, "users", "add", "short", "--password-stdin", stdin="short\n").returncode == 2
    held = (tmp_path / ".orchestrator" / "accounts.db").read_bytes()
    assert made["key"].encode() not in held


def test_dev_takes_in_changed_flows_and_plugins(tmp_path: Path) -> None:
    write_flows(tmp_path, echo=ECHO)
    (tmp_path / "plugins").mkdir()
    plugin = tmp_path / "plugins" / "house.py"
    text = 'from orchestrator.plugin import Plugin\n\nhouse = Plugin("house")\n\n\n@house.step\ndef style(text: str) -> str:\n    """Style."""\n    return text + "1"\n'
    plugin.write_text(text, "utf-8")
    (tmp_path / "orchestrator.toml").write_text('[plugins]\nfolder = "plugins"\n', "utf-8")
    with running(tmp_path, "dev") as server, httpx.Client(base_url=server.url, trust_env=False, timeout=20) as client:
        assert client.get("/api/ready").status_code == 200
        flow = ECHO.replace("    emit:", '    call: house.style\n    with: {text: "${{ inputs.text }}"}\n    emit:', 1)
        flow = flow.replace("${{ inputs.text | upper }}", "${{ result }}")
        (tmp_path / "echo.flow.yaml").write_text(flow.lstrip(), "utf-8")
        assert "echo" in server.line("reloaded")
        assert outputs(client) == {"text": "a1"}
        plugin.write_text(text.replace('"1"', '"two"'), "utf-8")
        server.line("reloaded the project")
        assert outputs(client) == {"text": "atwo"}
        (tmp_path / "echo.flow.yaml").write_text(flow.replace("on: Start", "on: Strat"), "utf-8")
        assert "with errors: echo" in server.line("reloaded")
        assert client.post("/api/flows/echo/runs", json={"inputs": {"text": "a"}}).status_code == 422


def test_dev_says_which_runs_keep_the_version_before(tmp_path: Path) -> None:
    write_flows(tmp_path, slow=SLOW.replace("1s", "1h"))
    with running(tmp_path, "dev") as server, httpx.Client(base_url=server.url, trust_env=False, timeout=20) as client:
        client.post("/api/flows/slow/runs", json={"inputs": {}}).raise_for_status()
        (tmp_path / "slow.flow.yaml").write_text(SLOW.replace("1s", "2h").lstrip(), "utf-8")
        server.line("reloaded slow")
        said = server.line("unfinished run")
    assert "`slow`: 1 unfinished run keeps version" in said and "orchestrator migrate" in said


def outputs(client: httpx.Client) -> object:
    run_id = client.post("/api/flows/echo/runs", json={"inputs": {"text": "a"}}).json()["run_id"]
    with client.stream("GET", f"/api/runs/{run_id}/events", headers={"Accept": "text/event-stream"}) as log:
        *_, last = [line for line in log.iter_lines() if line.startswith("data: ")]
    return json.loads(last[6:])["outputs"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_drains_and_the_next_one_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    write_flows(tmp_path, slow=SLOW, waits=WAITS)
    with running(tmp_path, "serve") as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        run_id = client.post("/api/flows/slow/runs", json={}).json()["run_id"]
        with client.stream("GET", "/api/stream") as stream:
            lines = stream.iter_lines()
            assert next(lines)
            ended = threading.Thread(target=lambda: list(lines))
            ended.start()
            server.stop(number)
            ended.join(1)
            assert not ended.is_alive()  # the stream ended, and was not cut
    with running(tmp_path, "serve") as server, httpx.Client(base_url=server.url, trust_env=False, timeout=20) as client:
        with client.stream("GET", f"/api/runs/{run_id}/events", headers={"Accept": "text/event-stream"}) as log:
            *_, last = [line for line in log.iter_lines() if line.startswith("data: ")]
        assert json.loads(last[6:])["status"] == "done"


def test_runs_outlive_a_server_that_is_killed(tmp_path: Path) -> None:
    write_flows(tmp_path, waits=WAITS)
    server = Running(tmp_path, "serve")
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        run_id = client.post("/api/flows/waits/runs", json={"inputs": {"order": "o1"}}).json()["run_id"]
    server.stop(signal.SIGKILL)
    with running(tmp_path, "serve") as again, httpx.Client(base_url=again.url, trust_env=False) as client:
        sent = client.post(f"/api/runs/{run_id}/events", json={"event": "Paid", "data": {"order": "o1", "by": "card"}})
        assert sent.status_code == 202
        with client.stream(
            "GET", f"/api/runs/{run_id}/events", headers={"Accept": "text/event-stream"}, timeout=40
        ) as log:
            *_, last = [line for line in log.iter_lines() if line.startswith("data: ")]
        assert json.loads(last[6:])["outputs"] == {"by": "card"}
