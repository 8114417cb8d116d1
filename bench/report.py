"""Turns results into the table, the growth exponents and the list of missed targets. Measures nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from catalogue import EXPRESSION_US_PER_STEP, Against, Measure, Target, Workload

Result = Mapping[str, Any]
Results = Mapping[tuple[str, str, int], Result]  # (workload, engine label, size)


@dataclass(slots=True)
class Report:
    """The text of the table and what is wrong with our figures."""

    lines: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    growing: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def figure(result: Result | None, measure: Measure, size: int) -> float | None:
    """One number of the table, or None where the engine has none."""
    if result is None or result["status"] != "ok":
        return None
    value: Any = result.get(measure.key)
    if value is None and "." in measure.key:
        group, name = measure.key.split(".")
        value = result.get(group, {}).get(name)
    return None if value is None else float(value) * measure.scale / (size if measure.is_per_unit else 1)


def exponent(first: float | None, second: float | None, sizes: tuple[int, int]) -> float | None:
    """How the whole cost grows with the size: 1 is linear. Takes figures per unit."""
    if not first or not second or sizes[0] == sizes[1]:
        return None
    return 1 + math.log(second / first) / math.log(sizes[1] / sizes[0])


def cell(result: Result | None, value: float | None) -> str:
    if result is None or result["status"] == "none":
        return "-"
    if value is None:
        return "-" if result["status"] == "ok" else str(result["status"])
    text = f"{value:,.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    return text + ("s" if result.get("is_serial") else "")


def bound(target: Target, raw: float | None, best: float | None, one_run: float | None) -> float | None:
    """The number our figure must not exceed, or None where there is nothing to compare with."""
    match target.against:
        case Against.NOTHING:
            return target.limit
        case Against.RAW:
            return None if raw is None else raw * target.limit
        case Against.BEST_PEER:
            return None if best is None else best * target.limit
        case Against.RAW_AND_EXPRESSIONS:
            return None if raw is None else raw * target.limit + EXPRESSION_US_PER_STEP
        case Against.ONE_RUN:
            return None if raw is None or one_run is None else max(one_run * target.limit, raw / 0.6)


class Table:
    """Builds the report of one run of the benchmark."""

    def __init__(self, results: Results, peers: Iterable[str]) -> None:
        self.results, self.peers = results, tuple(peers)
        self.columns = ("raw", "ours", *self.peers)
        self.report = Report()

    def result(self, workload: Workload, label: str, size: int) -> Result | None:
        found = self.results.get((workload.id, label, size))
        if workload.peers_from and label in self.peers:
            return self.results.get((workload.peers_from, label, size))
        return found

    def row(self, name: str, cells: Iterable[str]) -> None:
        self.report.lines.append(f"  {name:>8}" + "".join(f"{text:>12}" for text in cells))

    def add(self, workload: Workload, sizes: tuple[int, ...]) -> None:
        for measure in workload.measures:
            self.report.lines += ["", f"{workload.id} {workload.title}: {measure.title}, {measure.unit}"]
            self.row("n", [*self.columns, "ours/raw", "ours/best"])
            for size in sizes:
                self.add_size(workload, measure, size)
            if measure.growth is not None and len(sizes) > 1:
                self.add_growth(workload, measure, sizes[-2:], measure.growth)

    def add_size(self, workload: Workload, measure: Measure, size: int) -> None:
        results = {label: self.result(workload, label, size) for label in self.columns}
        values = {label: figure(result, measure, size) for label, result in results.items()}
        ours, raw = values["ours"], values["raw"]
        others = [value for label in self.peers if (value := values[label]) is not None and value > 0]
        best = min(others, default=None)
        ratios = [f"{ours / other:.2f}" if ours is not None and other else "-" for other in (raw, best)]
        self.row(f"{size:,}", [*(cell(results[label], values[label]) for label in self.columns), *ratios])
        if ours is not None:
            one_run = figure(self.results.get(("W9S", "ours", 1_000)), measure, 1_000)
            for target in measure.targets:
                limit = bound(target, raw, best, one_run)
                if limit is not None and ours > limit:
                    how = "" if target.against is Against.NOTHING else f" ({target.limit:g} {target.against.value})"
                    where = f"{workload.id} n={size:,} {measure.title}"
                    self.report.missed.append(f"{where}: {ours:.2f} {measure.unit} > {limit:.2f}{how}")

    def add_growth(self, workload: Workload, measure: Measure, sizes: tuple[int, ...], limit: float) -> None:
        small, large = sizes
        cells = []
        for label in self.columns:
            pair = [figure(self.result(workload, label, size), measure, size) for size in (small, large)]
            grows = exponent(pair[0], pair[1], (small, large))
            cells.append("-" if grows is None else f"{grows:.2f}" + ("!" if grows > limit else ""))
            if grows is not None and grows > limit and label == "ours":
                self.report.growing.append(f"{workload.id} {measure.title}: exponent {grows:.2f} > {limit}")
        self.row("growth", cells)

    def reasons(self) -> None:
        for (workload, label, size), result in self.results.items():
            if result["status"] not in ("ok", "none"):
                reason = result.get("reason", "")
                self.report.reasons.append(f"{workload} {label} n={size:,}: {result['status']} {reason}".rstrip())


def build_report(
    results: Results, peers: Iterable[str], measured: Iterable[tuple[Workload, tuple[int, ...]]]
) -> Report:
    """The whole table; `measured` says which workloads were run at which sizes."""
    table = Table(results, peers)
    for workload, sizes in measured:
        table.add(workload, sizes)
    table.reasons()
    return table.report
