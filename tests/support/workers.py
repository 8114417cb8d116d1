"""Worker processes for tests: a real process with steps of its own over a real store, that can be killed and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAIN = """
import asyncio, json, os, signal, sys
from pathlib import Path
from orchestrator.authoring.project import Project
from orchestrator.dispatch.capability import lack_of
from orchestrator.dispatch.worker import Worker
from orchestrator.journal.open import open_when_up, parse_store_url
from tests.support.worker_steps import steps

async def main(options):
    project = Project.open(Path(options["root"]), steps=steps(Path(options["calls"]), options["steps"], options["pause_s"]))
    url, dispatcher = options["url"], None
    if options["dispatcher"] == "dbos":
        from orchestrator.dispatch.dbos import DbosDispatcher
        dispatcher = DbosDispatcher(parse_store_url(url).dsn, schema=options["dbos_schema"])
    worker = Worker(open_when_up(url, wait_s=30, say=print), project.plan, can_run=lambda flow: lack_of(flow, project.catalog, lambda name: True),
        learn=project.know, dispatcher=dispatcher, pools=frozenset(options["pools"]), worker=options["name"],
        lease_s=options["lease_s"], stranded_s=options["stranded_s"],
        concurrency=options["concurrency"])
    if options["is_remote"]:
        worker.journal._host = options["name"]  # as on a host of its own: whether its process lives cannot be seen
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    worker.serve()
    print("up", flush=True)
    await ended.wait()
    await worker.aclose(grace_s=5)
    await worker.journal.aclose()
    await project.hub.aclose()

asyncio.run(main(json.loads(sys.argv[1])))
"""


class WorkerProcess:
    """One worker; `calls` is a file to which every call of a step adds a line."""

    def __init__(
        self,
        url: str,
        root: Path,
        name: str,
        *,
        steps: tuple[str, ...] = ("work", "flaky", "fail", "total", "slow"),
        pools: tuple[str, ...] = (),
        dispatcher: str = "local",
        dbos_schema: str = "dbos",
        lease_s: float = 2.0,
        stranded_s: float = 1.0,
        concurrency: int = 100,
        is_remote: bool = False,
        pause_s: float = 0.01,
    ) -> None:

        options = {
            "url": url,
            "root": str(root),
            "name": name,
            "calls": str(root / "calls.jsonl"),
            "steps": steps,
            "pools": pools,
            "dispatcher": dispatcher,
            "dbos_schema": dbos_schema,
            "lease_s": lease_s,
            "stranded_s": stranded_s,
            "concurrency": concurrency,
            "is_remote": is_remote,
            "pause_s": pause_s,
        }
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "plugins")))}
        self.name = name
        self.log = (root / f"{name}-{time.monotonic_ns()}.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAIN, json.dumps(options)],
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            cwd=ROOT,
        )

    def wait_up(self) -> None:
        assert self.process.stdout is not None
        lines = iter(self.process.stdout.readline, b"")
        assert b"up\n" in lines, self.output()

    def output(self) -> str:
        self.log.flush()
        return Path(self.log.name).read_text()[-4000:]

    def kill(self) -> None:
        """As kill -9 does."""
        self.process.kill()
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, timeout_s: float = 20.0) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(timeout_s)
        self.close()
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.log.close()
