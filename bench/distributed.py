"""Durable steps and runs per second over PostgreSQL with 1, 2 and 4 worker processes, beside DBOS used directly on the same
database, in one sitting: `python bench/distributed.py [--quick] [--repeat 3]`.

A run is a loop of STEPS steps; every step is one call of a counted function and one durable result (strict: on the disk before
the next call). All runs are put into the store first; the time is from starting the work to the end of the last run, with the
workers up and idle before. Both sides use what they ship: ours the local dispatcher, DBOS a queue with its default notification
settings and a polling interval of 50 ms. Each result is checked: a step that was skipped or repeated gives another number.

Both take turns on one database, `--repeat` times; the ratios are of the medians. `cpu` is what the workers and the database
used for a step together, in ms; `load` what the machine had to do when the measurement began, its own part included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "bench")]

from workloads import digest, mix  # noqa: E402 - the checkout is on the path now

STEPS = 20
FLOW = """
flow: loop
inputs: {n: int}
outputs: {acc: int}
state: {i: 0, acc: 0}
events:
  Again: {}
steps:
  body:
    on: [Start, Again]
    max_visits: 100000
    call: b.mix
    with: {acc: "${{ state.acc }}", i: "${{ state.i }}"}
    emit:
      - when: state.i + 1 < inputs.n
        event: Again
        set: {acc: "${{ result }}", i: "${{ state.i + 1 }}"}
      - event: Stop
        with: {acc: "${{ result }}"}
"""


async def call(acc: int, i: int) -> int:
    """The work of a step."""
    return mix(acc, i)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    engine: str
    workers: int
    runs: int
    steps: int
    seconds: float
    cpu_s: float
    load: float

    @property
    def per_s(self) -> float:
        """Steps per second."""
        return self.runs * self.steps / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Processor time of a step."""
        return self.cpu_s / (self.runs * self.steps) * 1000

    def show(self) -> str:
        """As a line."""
        head = f"{self.engine:6} {self.workers:7} {self.runs:6} {self.steps:6} {self.per_s:10.0f}"
        return f"{head} {self.runs / self.seconds:9.1f} {self.cpu_ms:8.2f} {self.load:6.1f}"


class Stopwatch:
    """Time that passes, and processor time that the workers and the database use meanwhile."""

    def __init__(self, processes: list[subprocess.Popen[bytes]]) -> None:
        self._pids = {process.pid for process in processes}
        self._load = os.getloadavg()[0]
        self._cpu_s = self._used_s()
        self._began = time.perf_counter()

    def stop(self, engine: str, runs: int, steps: int) -> Figure:
        """The figure of what was done since."""
        seconds = time.perf_counter() - self._began
        return Figure(engine, len(self._pids), runs, steps, seconds, self._used_s() - self._cpu_s, self._load)

    def _used_s(self) -> float:
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = path.read_text().partition("(")[2].rpartition(")")
            except OSError:  # it has ended
                continue
            if int(path.parent.name) in self._pids or name.startswith("postgres"):
                ticks += sum(map(int, rest.split()[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")


# Ours.


async def worker_of_ours(url: str, root: str) -> None:
    """A worker process, until its standard input is closed."""
    from orchestrator.authoring.project import Project
    from orchestrator.dispatch.worker import Worker
    from orchestrator.journal.open import open_journal

    project = Project.open(Path(root), steps={"b.mix": call})
    worker = Worker(open_journal(url), project.plan, learn=project.know)
    worker.serve()
    print("up", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await worker.aclose()
    await worker.journal.aclose()


async def measure_ours(url: str, workers: int, runs: int, steps: int) -> Figure:
    """Put all runs into the store, then make them due at once and wait for the last."""
    from orchestrator.authoring.project import Project
    from orchestrator.ir.codec import flow_to_json
    from orchestrator.journal.open import open_journal
    from orchestrator.journal.store import RunFilter
    from orchestrator.runtime.codec import PLAIN, encode_tick
    from orchestrator.runtime.flow_bind import start_tick
    from orchestrator.runtime.journal import Batch, NewRun

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loop.flow.yaml"
        path.write_text(FLOW)
        project = Project.open(Path(folder), steps={"b.mix": call})
        plan = project.plan(project.compile(path).checked())
        journal: Any = open_journal(url)
        await journal.renew("bench", now=time.time(), lease_s=600)
        await journal.put_flow(plan.hash, flow_to_json(plan.stored_ir), now=time.time())
        processes = start_workers("ours", url, folder, workers)

        async def add(prefix: str, count: int) -> list[str]:
            names = [f"{prefix}{n}" for n in range(count)]
            now = time.time()
            row = encode_tick(start_tick(plan, {"n": steps}, now), PLAIN, lambda _: "?")
            new = [NewRun(n, "loop", plan.hash, "yaml", now, start=row, root=n, is_claimed=False) for n in names]
            await asyncio.gather(*(journal.commit(Batch(x.run_id, 0, 0, now, "bench", create=x)) for x in new))
            return names

        async def all_done() -> None:
            open_runs = RunFilter(statuses=("new", "running", "waiting"))  # what the other side is asked, too
            while (await journal.runs(open_runs, limit=1)).rows:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

        await add(f"warm{time.monotonic_ns()}-", workers)
        await all_done()
        watch = Stopwatch(processes)
        names = await add(f"run{time.monotonic_ns()}-", runs)
        await all_done()
        figure = watch.stop("ours", runs, steps)
        expected = digest(range(steps))
        for name in names:
            found = (await journal.run(name)).outcome["result"]
            assert found == {"acc": expected}, f"run {name} gave {found}"
        stop_workers(processes)
        await journal.aclose()
    return figure


# DBOS.


def launch_dbos(url: str, name: str) -> Any:
    """DBOS with a workflow of steps, in this process."""
    from dbos import DBOS

    DBOS(
        config={
            "name": "bench",
            "system_database_url": url,
            "application_version": "1",
            "executor_id": name,
            "log_level": "WARNING",
        }
    )

    @DBOS.step(name="mix")
    async def step(acc: int, i: int) -> int:
        return mix(acc, i)

    @DBOS.workflow(name="loop")
    async def loop(n: int) -> int:
        acc = 0
        for i in range(n):
            acc = await step(acc, i)
        return acc

    return DBOS, loop


def worker_of_dbos(url: str, name: str) -> None:
    """A worker process, until its standard input is closed."""
    dbos, _ = launch_dbos(url, name)
    dbos.launch()
    dbos.register_queue("bench", polling_interval_sec=0.05)
    print("up", flush=True)
    sys.stdin.read()
    dbos.destroy()


def measure_dbos(url: str, workers: int, runs: int, steps: int) -> Figure:
    """Queue all workflows and wait for the last."""
    from concurrent.futures import ThreadPoolExecutor

    from dbos import DBOSClient

    processes = start_workers("dbos", url, "", workers)
    client = DBOSClient(system_database_url=url)
    options: Any = {"workflow_name": "loop", "queue_name": "bench", "app_version": "1"}
    warm: list[Any] = [client.enqueue(options, steps) for _ in range(workers)]
    for handle in warm:
        handle.get_result()
    watch = Stopwatch(processes)
    with ThreadPoolExecutor(8) as pool:
        handles: list[Any] = list(pool.map(lambda _: client.enqueue(options, steps), range(runs)))
    while True:
        left = client.list_workflows(status=["ENQUEUED", "PENDING"], limit=1, load_input=False, load_output=False)
        if not left:
            break
        time.sleep(0.02)
    figure = watch.stop("dbos", runs, steps)
    expected = digest(range(steps))
    assert all(handle.get_result() == expected for handle in handles)
    stop_workers(processes)
    client.destroy()
    return figure


# Processes.


def start_workers(kind: str, url: str, root: str, count: int) -> list[subprocess.Popen[bytes]]:
    """Worker processes that are up."""
    command = [sys.executable, __file__, "--worker", kind, url, root]
    environment = {**os.environ, "DBOS__VMID": ""}
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([*command, f"{kind}{n}"], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment)
        for n in range(count)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == b"up\n", f"a worker of {kind} did not start"
    return processes


def stop_workers(processes: list[subprocess.Popen[bytes]]) -> None:
    """Close their standard input and wait."""
    for process in processes:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
    for process in processes:
        process.wait(60)
        process.stdout.close()  # type: ignore[union-attr]  # it is a pipe


def measure_all(url: str, scale: int, only: str, repeat: int) -> Iterator[tuple[list[Figure], list[Figure]]]:
    """Each pair of measurements, the two sides in turn."""
    print("engine workers   runs  steps    steps/s    runs/s cpu ms/st   load", flush=True)
    wanted = only.split(",") if only else ["many", "short", "alone"]
    shapes = {"many": (8 * scale, STEPS, 10, 1), "short": (40 * scale, 1, 10, 1), "alone": (1, 40 * scale, 1, 10)}
    for workers in (1, 2, 4):
        for name in wanted:
            runs, steps, more_runs, more_steps = shapes[name]
            if name == "alone" and workers > 1:
                continue
            theirs: list[Figure] = []
            mine: list[Figure] = []
            for _ in range(repeat):
                theirs.append(measure_dbos(url, workers, runs, steps))
                print(theirs[-1].show(), flush=True)
                mine.append(asyncio.run(measure_ours(url, workers, more_runs * runs, more_steps * steps)))
                print(mine[-1].show(), flush=True)
            yield theirs, mine


def main() -> None:
    """Measure, print the table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--repeat", type=int, default=1, help="how often each pair is measured")
    parser.add_argument(
        "--only", default="", help="measurements to make, of many, short and alone, by commas; all by default"
    )
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--worker", nargs=4, metavar=("KIND", "URL", "ROOT", "NAME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        kind, url, root, name = options.worker
        if kind == "ours":
            asyncio.run(worker_of_ours(url, root))
        else:
            worker_of_dbos(url, name)
        return
    from tests.support.postgres import Server

    server = Server()
    figures: list[Figure] = []
    try:
        for theirs, mine in measure_all(server.new_database(), 1 if options.quick else 5, options.only, options.repeat):
            figures += [*theirs, *mine]
            ratio = median(f.per_s for f in mine) / median(f.per_s for f in theirs)
            spread = sorted(m.per_s / t.per_s for t, m in zip(theirs, mine, strict=True))
            cpu = median(f.cpu_ms for f in theirs) / median(f.cpu_ms for f in mine)
            print(
                f"  {mine[0].workers} workers, {theirs[0].steps} steps a run: {ratio:.1f} times the steps per second of DBOS"
                f" ({spread[0]:.1f} to {spread[-1]:.1f}), {cpu:.1f} times for the same processor time",
                flush=True,
            )
    finally:
        server.close()
    if options.json is not None:
        rows = [{name: getattr(figure, name) for name in Figure.__slots__} for figure in figures]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
