"""The steps of worker processes: each call adds a line to a file, so that a call after its result was committed is seen."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from orchestrator.errors import StepError
from orchestrator.plugin.services import StepContext


def steps(calls: Path, names: Iterable[str], pause_s: float = 0.01) -> dict[str, Callable[..., object]]:
    async def note(ctx: StepContext, seconds: float = pause_s) -> None:
        call = {
            "key": ctx.idempotency_key,
            "attempt": ctx.attempt,
            "pid": os.getpid(),
            "run": ctx.run_id,
            "at": time.time(),
        }
        line = json.dumps(call)
        descriptor = os.open(calls, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, line.encode() + b"\n")
        os.close(descriptor)
        await asyncio.sleep(seconds)

    async def work(ctx: StepContext, n: int) -> int:
        await note(ctx)
        return n + 1

    async def flaky(ctx: StepContext, n: int, fails: int = 2) -> int:
        await note(ctx)
        if ctx.attempt <= fails:
            raise StepError("t.busy", "not yet")
        return n + 1

    async def fail(ctx: StepContext, n: int) -> int:
        await note(ctx)
        raise StepError("t.broken", "for good")

    async def total(ctx: StepContext, numbers: list[int]) -> int:
        await note(ctx)
        return sum(numbers)

    async def slow(ctx: StepContext, n: int) -> int:
        await note(ctx, 0.5)
        return n + 1

    async def counted(ctx: StepContext, count: int) -> int:
        await note(ctx)
        return count + 1

    known: dict[str, Callable[..., object]] = {
        "work": work,
        "flaky": flaky,
        "fail": fail,
        "total": total,
        "slow": slow,
        "work/count": counted,  # `work` of another release
    }
    return {f"t.{name.partition('/')[0]}": known.get(name, work) for name in names}


def calls_of(path: Path) -> list[dict[str, Any]]:
    """The calls that were made."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line]
