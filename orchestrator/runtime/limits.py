"""What one run may hold: the limits of `[limits]`, with their errors. Knows nothing of runs."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.errors import LimitExceeded


@dataclass(frozen=True, slots=True)
class RunLimits:
    """The limits of a run. Sizes in bytes of the JSON that is stored; `subflow_depth` in runs above one."""

    event_bytes: int = 1024 * 1024
    state_bytes: int = 16 * 1024 * 1024
    undelivered_events: int = 50_000
    fan_out: int = 10_000
    subflow_depth: int = 16


DEFAULT_LIMITS = RunLimits()


def check_fan_out(size: int, limits: RunLimits, where: str) -> None:
    """Raises: LimitExceeded `limit.fan_out` for more members than a group may have."""
    if size > limits.fan_out:
        raise LimitExceeded(
            f"{where} has {size} items, more than the {limits.fan_out} of one fan-out; "
            "go over parts of it, or raise [limits] fan_out",
            code="limit.fan_out",
        )


def check_depth(depth: int, limits: RunLimits, parent: str) -> None:
    """Raises: LimitExceeded `limit.subflow_depth` for a run that would have too many above it."""
    if depth > limits.subflow_depth:
        raise LimitExceeded(
            f"run {parent} has {depth - 1} runs above it and starts another; a workflow that starts itself needs a "
            "condition that ends it, or raise [limits] subflow_depth",
            code="limit.subflow_depth",
        )


def shown_bytes(size: int) -> str:
    """A size in words, as `1.5 MiB`."""
    for unit, factor in (("MiB", 1024 * 1024), ("KiB", 1024)):
        if size >= factor:
            return f"{size / factor:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size} bytes"
