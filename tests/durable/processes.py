"""Commands of one project over one SQLite file as real processes: started, watched, killed; and what they wrote down."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLUGIN = '''
import asyncio
import os
from pathlib import Path

from orchestrator.plugin import Plugin

plugin = Plugin("door")


@plugin.step(examples=[])
async def hold(key: str) -> str:
    """Write down that it begins, and wait until the door of this key is open."""
    with open("calls", "a") as log:
        print(key, os.getpid(), file=log)
    while not Path(f"open-{key}").exists():
        await asyncio.sleep(0.01)
    return key
'''
FLOW = """
flow: {mode}
inputs: {{key: str}}
concurrency: {{mode: {mode}}}
steps:
  hold:
    on: Start
    call: door.hold
    with: {{key: "${{{{ inputs.key }}}}"}}
    emit: Stop
"""


class Office:
    """A project with flows `single`, `queue`, `restart` that hold until a door is opened, and processes that work in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / ".orchestrator" / "runs.db"
        self.environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
        self.processes: list[subprocess.Popen[str]] = []
        (root / "plugins").mkdir()
        (root / "plugins" / "door.py").write_text(PLUGIN, "utf-8")
        (root / "orchestrator.toml").write_text('[plugins]\nfolder = "plugins"\n', "utf-8")
        for mode in ("single", "queue", "restart"):
            self.write(mode, FLOW.format(mode=mode))

    def write(self, name: str, text: str) -> None:
        (self.root / f"{name}.flow.yaml").write_text(text, "utf-8")

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "orchestrator", *words]
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def serve(self, *options: str) -> tuple[subprocess.Popen[str], str]:
        """A server that takes runs, and its address; returns when it is up."""
        process = self.start("serve", "--port", "0", *options)
        assert process.stderr is not None
        for line in process.stderr:
            found = re.search(r"http://\S+", line)
            if found is not None:
                return process, found[0].rstrip("/")
        raise AssertionError(f"the server ended with {process.wait()}")

    def run(self, *words: str) -> tuple[int, str]:
        """A command that ends by itself: its exit code and what it said."""
        process = self.start(*words)
        out, err = process.communicate(timeout=30)
        assert "Traceback" not in err, err
        return process.returncode, out + err

    def kill(self, pid: int) -> None:
        """As kill -9 does."""
        (process,) = [p for p in self.processes if p.pid == pid]
        process.send_signal(signal.SIGKILL)
        process.wait()

    def calls(self) -> list[tuple[str, int]]:
        """(key, process) of every call of the step, in order."""
        log = self.root / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(key, int(pid)) for key, pid in (line.split() for line in lines)]

    def open_door(self, key: str) -> None:
        (self.root / f"open-{key}").touch()

    def statuses(self) -> dict[str, str]:
        if not self.file.exists():
            return {}
        with sqlite3.connect(f"file:{self.file}?mode=ro", uri=True) as db:
            found = dict(db.execute("SELECT id, status FROM runs ORDER BY rk").fetchall())
        db.close()
        return found

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


def until(check: Callable[[], object], timeout_s: float = 45.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
