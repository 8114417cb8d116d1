"""Measures one workload of one adapter in this process and prints one line of JSON. Standard library only.

Usage: python bench/child.py ADAPTER WORKLOAD SIZE --directory D [--budget SECONDS] [--repetitions N]

CPU time is that of the whole process, all threads, because wall time on a shared machine measures the neighbours. The
best of the repetitions counts: noise only adds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import os
import sqlite3
import sys
import time
import traceback
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workloads import EXPECTED, TALLY

PAGE_KB = 4
Run = Callable[[Callable[[str], None]], Awaitable[int]]


def resident_kb() -> int:
    """Memory that the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KB


def peak_kb() -> int:
    """The most memory that the process has held (VmHWM; ru_maxrss would start from the parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def disk_bytes(directory: Path) -> int:
    """Size of what lies in the directory, SQLite's write-ahead logs folded into their databases first."""
    for database in directory.rglob("*.db"):
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.close()
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file() and path.suffix != ".yaml")


@dataclass(slots=True)
class Phases:
    """Splits a run at its marks; the last phase is `end`. Reading memory is left out of the times."""

    spent: dict[str, dict[str, float]] = field(default_factory=dict)
    memory_kb: dict[str, int] = field(default_factory=dict)
    cpu: float = 0.0
    wall: float = 0.0

    def start(self) -> None:
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def mark(self, name: str) -> None:
        self.spent[name] = {"cpu": time.process_time() - self.cpu, "wall": time.perf_counter() - self.wall}
        if name != "end":
            gc.collect()
            self.memory_kb[name] = resident_kb()
        self.start()


async def once(run: Run, workload: str, n: int) -> Phases:
    """Run once and check the result."""
    gc.collect()
    TALLY.reset()
    phases = Phases()
    phases.start()
    value = await run(phases.mark)
    phases.mark("end")
    expected = EXPECTED[workload](n)
    if (value, TALLY.calls) != (expected.value, expected.calls):
        raise SystemExit(f"wrong result: value {value}, {TALLY.calls} calls; expected {expected}")
    return phases


SHORT_S = 0.25  # a workload of a millisecond is repeated for so long: five times would measure cold code


def goes_on(done: int, spent_s: float, args: argparse.Namespace) -> bool:
    """Whether to repeat. A first time that is not too long is no figure: it pays for what is made at first use."""
    if done >= args.repetitions:
        return spent_s < min(SHORT_S, args.budget)
    return done == 0 or spent_s < args.budget or (done == 1 and spent_s < 3 * args.budget)


async def measure(build: Callable[[int, Path], Run], args: argparse.Namespace) -> dict[str, Any]:
    """Warm up on a small size, then repeat within the budget and keep the best of every figure."""
    directory = Path(args.directory)
    warm = 300 if args.workload == "W9C" else 3  # three steps a run, too
    TALLY.pause_s = 0.02
    await once(build(warm, directory), args.workload, warm)
    TALLY.pause_s, overlap = 0.0, TALLY.peak_in_flight
    run = build(args.size, directory)
    gc.collect()
    memory, disk = resident_kb(), disk_bytes(directory)
    best: dict[str, Any] = {"repetitions": 0, "is_serial": overlap == 1}
    began = time.perf_counter()
    while goes_on(best["repetitions"], time.perf_counter() - began, args):
        phases = await once(run, args.workload, args.size)
        if not best["repetitions"]:
            best["peak_added_kb"] = peak_kb() - memory
            best["disk_bytes"] = disk_bytes(directory) - disk
            best["memory_kb"] = {name: held - memory for name, held in phases.memory_kb.items()}
        best["repetitions"] += 1
        for name, spent in phases.spent.items():
            for clock, seconds in spent.items():
                key = f"{name}.{clock}"
                best[key] = min(best.get(key, seconds), seconds)
    return best


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("adapter")
    parser.add_argument("workload")
    parser.add_argument("size", type=int)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--budget", type=float, default=3.0)
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # peers warn of experimental features; ours has tests for that
    out = sys.stdout
    sys.stdout = sys.stderr  # an engine that prints must not end up in the result
    try:
        adapter = importlib.import_module(f"adapters.{args.adapter}")
        build = adapter.WORKLOADS.get(args.workload)
        if build is None:
            result: dict[str, Any] = {"status": "none"}
        else:
            result = {"status": "ok", **asyncio.run(measure(build, args))}
    except BaseException as error:  # the process exists to report what happened
        traceback.print_exc()
        text = str(error).strip().splitlines() or [type(error).__name__]
        result = {"status": "error", "reason": f"{type(error).__name__}: {text[0][:200]}"}
    print(json.dumps(result), file=out, flush=True)
    out.flush()
    os._exit(0)  # engines with threads of their own must not keep the process


if __name__ == "__main__":
    main()
