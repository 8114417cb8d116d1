"""Measures the workloads on every engine and prints one table: `make bench`, or `python bench/run.py --help`.

Each measurement is a process of its own, in the engine's environment. For a size, all engines follow each other
directly, so that a busy neighbour meets them all. Results are kept in bench/results/<date>.json.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from catalogue import WORKLOADS, Workload
from engines import BENCH, OURS, PEERS, RAW, Engine, environment_of, install, python_of, versions
from report import build_report

COLD_STARTS = 5
Results = dict[tuple[str, str, int], dict[str, Any]]


def run_child(command: Sequence[str | Path], engine: Engine, directory: str, timeout: float) -> dict[str, Any]:
    """Run a process to its end or the time limit; gives its last line of JSON and the CPU time it took."""
    child = subprocess.Popen(
        [str(part) for part in command],
        cwd=directory,
        env=environment_of(engine),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return {"status": "timeout", "reason": f"more than {timeout:.0f} s"}
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if not lines:
        return {"status": "error", "reason": (err.strip().splitlines() or ["no output"])[-1][:200]}
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"status": "ok", **json.loads(lines[-1]), "process": {"cpu": spent}}


def cold_start(engine: Engine, timeout: float) -> dict[str, Any]:
    """The cheapest of a few starts of the engine's hello script."""
    best: dict[str, Any] = {}
    if engine == OURS:  # pip compiles what it installs; a checkout may have no byte code, or may not write any
        compileall.compile_dir(BENCH.parent / "orchestrator", quiet=1)
    for _ in range(COLD_STARTS):
        with tempfile.TemporaryDirectory() as directory:
            command = [python_of(engine), BENCH / "hello" / f"{engine.adapter}.py"]
            result = run_child(command, engine, directory, timeout)
        if result["status"] != "ok" or result["greeting"] != "hello world":
            return {"status": "error", "reason": "wrong greeting", **result}
        if not best or result["process"]["cpu"] < best["process"]["cpu"]:
            best = result
    return best


def measure(engine: Engine, workload: Workload, size: int, args: argparse.Namespace) -> dict[str, Any]:
    if workload.id == "W8":
        return cold_start(engine, args.timeout)
    with tempfile.TemporaryDirectory(dir=args.scratch) as directory:
        command: list[str | Path] = [python_of(engine), BENCH / "child.py", engine.adapter, workload.id, str(size)]
        options = ["--directory", directory, "--budget", str(args.budget), "--repetitions", str(args.repetitions)]
        return run_child([*command, *options], engine, directory, args.timeout)


def show_progress(text: str) -> None:
    """One line that is written over, on a terminal only."""
    if sys.stderr.isatty():
        print(f"{text:<40}", end="\r", file=sys.stderr, flush=True)


def measure_all(
    plan: Sequence[tuple[Workload, tuple[int, ...]]], engines: Sequence[Engine], args: argparse.Namespace
) -> Results:
    """Every workload at every size on every engine; an engine that ran out of time is not asked for more of it."""
    results: Results = {}
    for workload, sizes in plan:
        late: set[str] = set()
        for size in sizes:
            for engine in engines:
                if workload.peers_from and engine not in (RAW, OURS):
                    continue
                show_progress(f"{workload.id} n={size:,} {engine.label}")
                if engine.label in late:
                    result = {"status": "timeout", "reason": "a smaller size took too long"}
                else:
                    result = measure(engine, workload, size, args)
                if result["status"] == "timeout":
                    late.add(engine.label)
                results[workload.id, engine.label, size] = result
    show_progress("")
    return results


def chosen_engines(args: argparse.Namespace) -> tuple[list[Engine], dict[str, str]]:
    """The engines to measure, and why the others of the list cannot be."""
    names = {"none": [], "all": list(PEERS)}.get(args.peers, args.peers.split(","))
    unknown = sorted(set(names) - set(PEERS))
    if unknown:
        raise SystemExit(f"no such peer: {', '.join(unknown)}; there are: {', '.join(PEERS)}")
    engines, failed = [RAW, OURS] if not args.without_ours else [RAW], {}
    for name in names:
        reason = install(PEERS[name])
        if reason:
            failed[name] = reason
        else:
            engines.append(PEERS[name])
    return engines, failed


def plan_of(args: argparse.Namespace) -> list[tuple[Workload, tuple[int, ...]]]:
    known = {workload.id: workload for workload in WORKLOADS}
    names = args.only.split(",") if args.only else list(known)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise SystemExit(f"no such workload: {', '.join(unknown)}; there are: {', '.join(known)}")
    return [(known[name], known[name].quick_sizes if args.quick else known[name].sizes) for name in names]


def machine() -> dict[str, Any]:
    return {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count()}


def save(results: Results, engines: Sequence[Engine], report: dict[str, Any]) -> Path:
    path = BENCH / "results" / f"{time.strftime('%Y-%m-%dT%H%M%S')}.json"
    path.parent.mkdir(exist_ok=True)
    rows = [
        {"workload": workload, "engine": label, "n": size, **result}
        for (workload, label, size), result in results.items()
    ]
    found = {engine.label: versions(engine) for engine in engines}
    path.write_text(json.dumps({"machine": machine(), "versions": found, **report, "results": rows}, indent=1) + "\n")
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure orchestrator beside hand-written asyncio and other engines.")
    parser.add_argument("--only", help="workloads, such as W1,W2")
    parser.add_argument("--peers", default="all", help="all, none, or names: " + ", ".join(PEERS))
    parser.add_argument("--quick", action="store_true", help="small sizes, one short sitting")
    parser.add_argument("--without-ours", action="store_true", help="raw and peers only")
    parser.add_argument("--timeout", type=float, help="seconds for one process (60, quick: 20)")
    parser.add_argument("--budget", type=float, help="seconds to go on repeating (3, quick: 0.5)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--scratch", help="where durable stores are written; default is the system's temporary folder")
    args = parser.parse_args()
    args.timeout = args.timeout or (20.0 if args.quick else 60.0)
    args.budget = args.budget or (0.5 if args.quick else 3.0)

    plan = plan_of(args)
    engines, failed = chosen_engines(args)
    results = measure_all(plan, engines, args)
    labels = [engine.label for engine in engines if engine not in (RAW, OURS)]
    report = build_report(results, labels, plan)
    path = save(results, engines, {"missed": report.missed, "growing": report.growing})

    print("CPU time of the whole process, best of the repetitions; read ratios, not absolutes.")
    print("- no such thing in that engine; s items worked on one after another; ! grows faster than allowed.")
    print("\n".join(report.lines))
    for title, entries in (
        ("Not installed", [f"{name}: {reason}" for name, reason in failed.items()]),
        ("No figure", report.reasons),
        ("Grows too fast", report.growing),
        ("Missed targets", report.missed),
    ):
        if entries:
            print(f"\n{title}:", *entries, sep="\n  ")
    print(f"\n{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return int(any(label == "ours" and result["status"] == "error" for (_, label, _), result in results.items()))


if __name__ == "__main__":
    sys.exit(main())
