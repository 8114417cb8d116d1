"""What compiling costs: linear in the steps, in CPU time."""

from __future__ import annotations

import gc
import time

import pytest

from orchestrator.compiler.compile import compile_text
from orchestrator.language.flow_reader import parse_flow
from orchestrator.plugin.catalog import Catalog
from tests.compiler.support import catalog


def chain(steps: int) -> bytes:
    """A chain with two expressions in each step, of which one is like no other."""
    lines = ["flow: big", "inputs:", "  topic: str", "events:"]
    lines += [f"  E{n}: {{n: int}}" for n in range(1, steps + 1)]
    lines.append("steps:")
    for n in range(steps):
        source, number = ("Start", "0") if n == 0 else (f"E{n}", "ev.n")
        lines += [
            f"  s{n}:",
            f"    on: {source}",
            "    emit:",
            f"      event: E{n + 1}",
            f"      with: {{n: '${{{{ {number} + {n} }}}}'}}",
        ]
    lines += ["  last:", f"    on: E{steps}", "    emit: Stop"]
    return ("\n".join(lines) + "\n").encode()


def cpu_s(data: bytes, known: Catalog, *, only_reading: bool = False) -> float:
    gc.collect()
    before = time.process_time()
    if only_reading:
        parse_flow(data, "big.flow.yaml")
    else:
        assert compile_text(data, "big.flow.yaml", catalog=known).is_ok
    return time.process_time() - before


@pytest.fixture(scope="module")
def known() -> Catalog:
    return catalog()


def test_compiling_is_linear_up_to_five_thousand_steps(known: Catalog) -> None:
    small = min(cpu_s(chain(500), known) for _ in range(3))
    assert cpu_s(chain(5_000), known) < 10 * small * 2 + 0.1


def test_a_small_flow_costs_little_beyond_reading_it(known: Catalog) -> None:
    data = chain(200)
    reading = min(cpu_s(data, known, only_reading=True) for _ in range(5))
    whole = min(cpu_s(data, known) for _ in range(5))
    assert (whole - reading) / 200 < 500e-6  # about 100 µs a step on the machine it was written on
