"""The benchmark's own rules: a wrong result is refused, growth and missed targets are seen, the table is printed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"


@pytest.fixture(autouse=True)
def bench_on_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCH))
    yield
    for name in set(sys.modules) - before:
        if str(BENCH) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def report_of(per_unit: dict[tuple[str, int], float]) -> Any:  # Any: the module is found only with the path above
    from catalogue import WORKLOADS
    from report import build_report

    chain = next(workload for workload in WORKLOADS if workload.id == "W1")
    results = {("W1", label, n): {"status": "ok", "end.cpu": value * n / 1e6} for (label, n), value in per_unit.items()}
    return build_report(results, ["burr"], [(chain, (1_000, 10_000))])


def test_growth_above_linear_is_flagged_for_ours() -> None:
    report = report_of({("ours", 1_000): 2.0, ("ours", 10_000): 4.0, ("raw", 1_000): 1.0, ("raw", 10_000): 1.0})
    assert report.growing == ["W1 CPU: exponent 1.30 > 1.15"]


def test_linear_cost_within_every_target_is_not_flagged() -> None:
    report = report_of({("ours", 1_000): 2.0, ("ours", 10_000): 2.1, ("burr", 1_000): 40.0})
    assert (report.growing, report.missed) == ([], [])


def test_a_target_against_the_best_peer_names_the_figure_and_the_bound() -> None:
    report = report_of({("ours", 1_000): 5.0, ("burr", 1_000): 40.0})
    assert report.missed == ["W1 n=1,000 CPU: 5.00 µs/step > 4.00 (0.1 of the best peer)"]


def test_an_absolute_target_is_checked_without_peers() -> None:
    assert report_of({("ours", 1_000): 8.5}).missed == ["W1 n=1,000 CPU: 8.50 µs/step > 8.00"]


@pytest.mark.parametrize("result", [0, 1])
def test_a_run_that_skips_its_steps_is_refused(result: int) -> None:
    from child import once

    async def lazy(mark: Callable[[str], None]) -> int:
        return result

    with pytest.raises(SystemExit, match="wrong result"):
        asyncio.run(once(lazy, "W2", 10))


def test_the_right_value_from_too_few_steps_is_refused() -> None:
    from child import once
    from workloads import chain

    async def remembered(mark: Callable[[str], None]) -> int:
        return chain(10).value

    with pytest.raises(SystemExit, match="0 calls"):
        asyncio.run(once(remembered, "W2", 10))


def test_a_quick_run_prints_the_table_and_keeps_the_results() -> None:
    options = ["--peers", "none", "--without-ours", "--quick", "--only", "W2", "--repetitions", "1"]
    done = subprocess.run([sys.executable, BENCH / "run.py", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "W2 loop of n steps: CPU, µs/step" in done.stdout
    saved = Path(done.stdout.splitlines()[-1])
    assert '"engine": "raw"' in saved.read_text()
    saved.unlink()


def test_an_unknown_workload_is_named_with_those_there_are() -> None:
    done = subprocess.run(
        [sys.executable, BENCH / "run.py", "--only", "W99"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no such workload: W99; there are: W1, W2" in done.stderr
