"""Stops a step that sends or streams without end and lets nobody else have a turn. Knows no other limit.

Events that are only streamed have no limit of their own. But a body that never awaits cannot be timed out, cancelled or read,
so what it may stream in one go is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import LimitExceeded

if TYPE_CHECKING:  # a context asks this file
    from orchestrator.events import Event
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.state import Activation

BURST_LOOK = 0xFFF  # how often a look is taken: every 4,096 entries of the log
MAX_BURST = 250_000


def watch_burst(run: Actor, act: Activation, event: Event) -> None:
    """Count what is streamed while nothing else runs. Raises: LimitExceeded."""
    data, seq = run.data, run.next_seq
    if data.burst is None:
        data.burst = seq
        data.loop.call_soon(data.end_burst)  # runs as soon as the body awaits
    elif seq - data.burst > MAX_BURST:
        raise flooded(run, act, event, f"streamed {MAX_BURST} events in one go")


def flooded(run: Actor, act: Activation, event: Event, what: str) -> LimitExceeded:
    """The error of a step that floods, with its place."""
    step = run.data.flow.steps[act.step.name]
    return LimitExceeded(
        f"{step.where} {what}, the last one a `{type(event).__name__}`; "
        "await between them, such as `await ctx.flush()` or `await asyncio.sleep(0)`, and let the loop end",
        run_id=run.run_id,
        step=act.step.name,
        code="limit.undelivered",
    )
