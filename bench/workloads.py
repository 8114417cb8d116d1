"""The work itself, the same for every engine: what a step computes, and what the result must be.

Runs in every environment, so it imports only the standard library. A step's whole work is one call of `mix`, which is
order-sensitive and counted; an engine that skips, repeats or swaps steps gives another value or another count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

MODULUS = 1_000_003
CHAIN = 5  # steps of a run in W4
KEYS = tuple(f"key{i}" for i in range(10))  # shared state in W6
CONCURRENT = 100  # runs at a time in W9C
STEPS_PER_EXPRESSION = 10  # in the flow files of W10


@dataclass(slots=True)
class Tally:
    """What the steps of this process have done since `reset`."""

    calls: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    pause_s: float = 0.0  # how long `work_on` waits; above 0 only while warming up, to see whether items overlap

    def reset(self) -> None:
        self.calls = self.in_flight = self.peak_in_flight = 0


TALLY = Tally()


def mix(accumulated: int, item: int) -> int:
    """The work of one step."""
    TALLY.calls += 1
    return (accumulated * 31 + item) % MODULUS


async def work_on(item: int) -> int:
    """The work of one item of a fan-out: suspends once, counted from start to end."""
    TALLY.in_flight += 1
    TALLY.peak_in_flight = max(TALLY.peak_in_flight, TALLY.in_flight)
    await asyncio.sleep(TALLY.pause_s)
    TALLY.in_flight -= 1
    return mix(1, item)


def digest(values: Iterable[int], start: int = 0) -> int:
    """One number for a sequence; another order gives another number."""
    for value in values:
        start = (start * 31 + value) % MODULUS
    return start


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run of a workload must give: its value and how often `mix` was called."""

    value: int
    calls: int


def chain(n: int) -> Expected:
    """n steps one after another; also the loop and the durable steps."""
    return Expected(digest(range(n)), n)


def fan_out(n: int) -> Expected:
    """n items worked on at the same time and gathered in the order of emission."""
    return Expected(digest((31 + i) % MODULUS for i in range(n)), n)


def many_runs(n: int) -> Expected:
    """n runs of CHAIN steps at the same time, run r starting from r."""
    return Expected(digest(digest(range(CHAIN), start=r) for r in range(n)), n * CHAIN)


def waiting(n: int) -> Expected:
    """n runs that each ask and are answered with 7."""
    return Expected(digest((r * 31 + 7) % MODULUS for r in range(n)), n)


def shared_state(n: int) -> Expected:
    """n steps that each read and write ten keys."""
    values = [digest(i + k for i in range(n)) for k in range(len(KEYS))]
    return Expected(digest(values), n * len(KEYS))


def stream(n: int) -> Expected:
    """n events written by a step and read by one reader while it runs."""
    return Expected(digest(range(n)), n)


def concurrent_durable(n: int) -> Expected:
    """CONCURRENT runs at the same time, n durable steps in all."""
    per_run = digest(range(n // CONCURRENT))
    return Expected(digest([per_run] * CONCURRENT), n // CONCURRENT * CONCURRENT)


def compiled(n: int) -> Expected:
    """A flow file of n steps, read and checked; the value is the number of steps found."""
    return Expected(n, 0)


EXPECTED: dict[str, Callable[[int], Expected]] = {
    "W1": chain,
    "W2": chain,
    "W3": fan_out,
    "W3C": fan_out,
    "W4": many_runs,
    "W5": waiting,
    "W6": shared_state,
    "W7": stream,
    "W9": chain,
    "W9S": chain,
    "W9C": concurrent_durable,
    "W10": compiled,
    "W11": chain,
    "W11D": chain,
}


def flow_file(n: int) -> str:
    """A flow of n steps in a row, one in ten with a condition of its own, about 110 bytes a step."""
    lines = ["flow: long-chain", "inputs:", "  score: float", "state:", "  total: 0", "steps:"]
    for i in range(n):
        lines.append(f"  step_{i}:")
        if i == 0:  # the others are started by name
            lines.append("    on: Start")
        lines.append(f"    title: Step number {i} of a long chain")
        if i % STEPS_PER_EXPRESSION == 0:
            lines.append("    set:")
            lines.append(f"      total: ${{{{ state.total + {i} }}}}")
        lines.append(f"    emit: {'Stop' if i == n - 1 else f'step_{i + 1}'}")
    return "\n".join(lines) + "\n"
