"""What is measured, at which sizes, and what must be reached. Knows no engine.

A measure is one row per size. Its figure is read from the child's result by `key`, divided by the number of units and
multiplied by `scale`. Targets are those of the issues; every one is a bound from above.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from workloads import STEPS_PER_EXPRESSION

US, MS, KB_FROM_BYTES = 1e6, 1e3, 1 / 1024


class Against(Enum):
    """What a target compares our figure with."""

    NOTHING = "absolute"
    RAW = "of raw"
    BEST_PEER = "of the best peer"
    RAW_AND_EXPRESSIONS = "of raw, plus 60 µs per distinct expression"
    ONE_RUN = "of one run's figure (W9S), or raw / 0.6 if that is more"


@dataclass(frozen=True, slots=True)
class Target:
    limit: float
    against: Against = Against.NOTHING


@dataclass(frozen=True, slots=True)
class Measure:
    title: str
    unit: str
    key: str
    scale: float
    targets: tuple[Target, ...] = ()
    is_per_unit: bool = True
    growth: float | None = None  # highest exponent between the two largest sizes


@dataclass(frozen=True, slots=True)
class Workload:
    id: str
    title: str
    sizes: tuple[int, ...]
    quick_sizes: tuple[int, ...]
    measures: tuple[Measure, ...]
    peers_from: str | None = None  # peers have one kind of durability; its figures stand here too


def cpu(unit: str, *targets: Target, growth: float = 1.15) -> Measure:
    return Measure("CPU", f"µs/{unit}", "end.cpu", US, targets, growth=growth)


RAW, BEST = Against.RAW, Against.BEST_PEER
RUN_MEMORY = Measure("peak memory added", "MB", "peak_added_kb", 1 / 1024, is_per_unit=False)
DISK = Measure("disk", "KB/step", "disk_bytes", KB_FROM_BYTES, (Target(0.3),))

WORKLOADS = (
    Workload(
        "W1",
        "chain of n distinct steps",
        (1_000, 10_000),
        (100, 1_000),
        (cpu("step", Target(8.0), Target(0.1, BEST)),),
    ),
    Workload(
        "W2",
        "loop of n steps",
        (1_000, 10_000),
        (100, 1_000),
        (cpu("step", Target(8.0), Target(0.1, BEST)),),
    ),
    Workload(
        "W3",
        "fan-out to n items and typed join",
        (1_000, 10_000),
        (100, 1_000),
        (cpu("item", Target(2.5, RAW)),),
    ),
    Workload(
        "W3C",
        "fan-out and join by send_event and collect_events",
        (1_000, 10_000),
        (100, 1_000),
        (cpu("item", Target(2.5, RAW)),),
    ),
    Workload(
        "W4",
        "n concurrent runs of 5 suspending steps",
        (1_000, 2_000),
        (100, 200),
        (cpu("run", Target(3.0, RAW)), RUN_MEMORY),
    ),
    Workload(
        "W5",
        "n runs that wait, then all are answered",
        (1_000, 5_000),
        (200, 1_000),
        (
            Measure("waiting run", "KB/run", "memory_kb.park", 1.0, (Target(4.0),)),
            Measure("to park", "µs/run", "park.cpu", US, growth=1.15),
            Measure("to answer", "µs/run", "end.cpu", US, growth=1.15),
        ),
    ),
    Workload("W6", "n steps that read and write 10 keys", (1_000, 10_000), (100, 1_000), (cpu("step"),)),
    Workload(
        "W7",
        "n stream events, one reader",
        (10_000, 100_000),
        (1_000, 10_000),
        (cpu("event", Target(1.5, RAW)),),
    ),
    Workload(
        "W8",
        "cold start: process with a hello workflow",
        (1,),
        (1,),
        (
            Measure("process CPU", "ms", "process.cpu", MS, (Target(150.0),)),
            Measure("peak memory", "MB", "peak_kb", 1 / 1024, (Target(28.0),)),
        ),
    ),
    Workload(
        "W9",
        "durable loop of n steps, relaxed (a peer: as it comes)",
        (100, 1_000),
        (100, 500),
        (cpu("step", Target(0.1, BEST), growth=1.05), DISK),
    ),
    Workload(
        "W9S",
        "durable loop of n steps, strict: fsynced step by step",
        (100, 1_000),
        (100, 500),
        (
            Measure("wall", "µs/step", "end.wall", US, (Target(1.3, RAW), Target(1.0, BEST)), growth=1.05),
            cpu("step"),
            DISK,
        ),
        peers_from="W9",
    ),
    Workload(
        "W9C",
        "strict, 100 runs at a time, n steps in all",
        (2_000, 10_000),
        (2_000,),
        (Measure("wall", "µs/step", "end.wall", US, (Target(0.1, Against.ONE_RUN),), growth=1.15),),
    ),
    Workload(
        "W10",
        "read and check a flow file of n steps",
        (10, 100, 1_000, 5_000),
        (10, 100, 1_000),
        (cpu("step", Target(1.7, Against.RAW_AND_EXPRESSIONS)),),
    ),
    Workload("W11", "functional loop of n steps", (1_000, 10_000), (100, 1_000), (cpu("step", Target(30.0)),)),
    Workload(
        "W11D",
        "functional loop of n durable steps, relaxed",
        (1_000, 10_000),
        (100, 500),
        (cpu("step", Target(60.0)),),
    ),
)
EXPRESSION_US_PER_STEP = 60.0 / STEPS_PER_EXPRESSION
