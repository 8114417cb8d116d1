"""Flows that between them use everything that must survive a crash, and callables that remember being called.

Used at every commit boundary, by the simulator and by the kill -9 harness. Every case ends, gives a known result, and its
calls are known by key, so that a call after its result was committed is seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.errors import StepError
from orchestrator.plugin.services import StepContext


@dataclass(frozen=True)
class Case:
    """A flow with its inputs, what people answer (step, user, verdict), and how it ends."""

    name: str
    text: str
    status: str
    outputs: Any = None
    inputs: dict[str, Any] = field(default_factory=dict)
    answers: tuple[tuple[str, str, str], ...] = ()
    events: tuple[tuple[str, dict[str, Any]], ...] = ()
    others: dict[str, str] = field(default_factory=dict)


@dataclass
class Calls:
    """What was called: (idempotency key, attempt), in order. `pause_s` makes calls take time."""

    made: list[tuple[str, int]] = field(default_factory=list)
    pause_s: Callable[[], float] = lambda: 0.0
    sleep: Callable[[float], Any] = asyncio.sleep

    async def _note(self, ctx: StepContext) -> None:
        self.made.append((ctx.idempotency_key, ctx.attempt))
        pause = self.pause_s()
        if pause >= 0:
            await self.sleep(pause)

    def steps(self) -> dict[str, Callable[..., object]]:
        async def work(ctx: StepContext, n: int) -> int:
            await self._note(ctx)
            return n + 1

        async def flaky(ctx: StepContext, n: int, fails: int = 2) -> int:
            await self._note(ctx)
            if ctx.attempt <= fails:
                raise StepError("t.busy", "not yet")
            return n + 1

        async def fail(ctx: StepContext, n: int) -> int:
            await self._note(ctx)
            raise StepError("t.broken", "for good")

        async def total(ctx: StepContext, numbers: list[int]) -> int:
            await self._note(ctx)
            return sum(numbers)

        return {"work": work, "flaky": flaky, "fail": fail, "total": total}


CHAIN = Case(
    "chain",
    """
    flow: chain
    inputs: {n: int}
    outputs: {n: int}
    state: {seen: 0}
    steps:
      a:
        on: Start
        set: {seen: "${{ state.seen + 1 }}"}
        call: t.work
        with: {n: "${{ inputs.n }}"}
      b:
        on: a
        set: {seen: "${{ state.seen + 1 }}"}
        call: t.work
        with: {n: "${{ ev.result }}"}
      c:
        on: b
        call: t.work
        with: {n: "${{ ev.result + state.seen }}"}
        emit: {event: Stop, with: {n: "${{ result }}"}}
    """,
    "done",
    {"n": 6},
    {"n": 1},
)
LOOP = Case(
    "loop",
    """
    flow: loop
    outputs: {n: int}
    state: {n: 0}
    events:
      Again: {n: int}
    steps:
      body:
        on: [Start, Again]
        max_visits: 20
        call: t.work
        with: {n: "${{ state.n }}"}
        emit:
          - when: result < 6
            event: Again
            set: {n: "${{ result }}"}
            with: {n: "${{ result }}"}
          - event: Stop
            with: {n: "${{ result }}"}
    """,
    "done",
    {"n": 6},
)
FAN = Case(
    "fan",
    """
    flow: fan
    outputs: {n: int}
    events:
      Item: {n: int}
      Done: {n: int}
    steps:
      split:
        on: Start
        emit: {event: Item, for_each: "${{ [1, 2, 3, 4] }}", with: {n: "${{ item }}"}}
      each:
        on: Item
        concurrency: 2
        call: t.work
        with: {n: "${{ ev.n }}"}
        emit: {event: Done, with: {n: "${{ result }}"}}
      sum:
        on: Done
        collect: all
        call: t.total
        with: {numbers: "${{ events | map(attribute='n') | list }}"}
        emit: {event: Stop, with: {n: "${{ result }}"}}
    """,
    "done",
    {"n": 14},
)
RETRY = Case(
    "retry",
    """
    flow: retry
    outputs: {n: int, by: str}
    steps:
      a:
        on: Start
        call: t.flaky
        with: {n: 1}
        retry: {max: 3, delay: 20ms}
      b:
        on: a
        call: t.fail
        with: {n: "${{ ev.result }}"}
        retry: {max: 2, delay: 10ms, backoff: 2}
        fallback: {call: t.work, with: {n: 40}}
        emit: {event: Stop, with: {n: "${{ result }}", by: "${{ meta.by }}"}}
    """,
    "done",
    {"n": 41, "by": "fallback"},
)
ASK = Case(
    "ask",
    """
    flow: ask
    outputs: {n: int, by: [str]}
    steps:
      a:
        on: Start
        call: t.work
        with: {n: 1}
      review:
        on: a
        ask:
          title: Good?
          form: {verdict: approve | reject}
          to: {users: [kim, lee, noa]}
          quorum: {approve: 2}
          deadline: 2d
        emit:
          approve: fin
          reject: bad
          timeout: bad
      bad:
        emit: {event: Failed, with: {code: no, message: rejected}}
      fin:
        call: t.work
        with: {n: 5}
        emit: {event: Stop, with: {n: "${{ result }}", by: [kim]}}
    """,
    "done",
    {"n": 6, "by": ["kim"]},
    answers=(("review", "kim", "approve"), ("review", "lee", "approve")),
)
WAITS = Case(
    "waits",
    """
    flow: waits
    outputs: {n: int}
    events:
      Paid: {external: true, order: int, n: int}
    steps:
      pause:
        on: Start
        wait: 30ms
      paid:
        on: pause
        wait: {event: Paid, match: {order: 7}, within: 1h}
      late:
        on: paid.timeout
        emit: {event: Stop, with: {n: 0}}
      a:
        on: paid
        call: t.work
        with: {n: "${{ ev.result.n }}"}
        emit: {event: Stop, with: {n: "${{ result }}"}}
    """,
    "done",
    {"n": 4},
    events=(("Paid", {"order": 6, "n": 9}), ("Paid", {"order": 7, "n": 3})),
)
CHILD = Case(
    "parent",
    """
    flow: parent
    imports: {sub: ./sub.flow.yaml}
    outputs: {n: int}
    steps:
      a:
        on: Start
        call: t.work
        with: {n: 1}
      sub:
        on: a
        call: flow.sub
        with: {n: "${{ ev.result }}"}
      c:
        on: sub
        call: t.work
        with: {n: "${{ ev.result.m }}"}
        emit: {event: Stop, with: {n: "${{ result }}"}}
    """,
    "done",
    {"n": 5},
    others={
        "sub": """
    flow: sub
    inputs: {n: int}
    outputs: {m: int}
    steps:
      x:
        on: Start
        call: t.work
        with: {n: "${{ inputs.n }}"}
      y:
        on: x
        call: t.work
        with: {n: "${{ ev.result }}"}
        emit: {event: Stop, with: {m: "${{ result }}"}}
    """
    },
)
SAGA = Case(
    "saga",
    """
    flow: saga
    steps:
      book:
        on: Start
        call: t.work
        with: {n: 1}
        undo: {call: t.work, with: {n: "${{ result + 10 }}"}}
      pay:
        on: book
        call: t.work
        with: {n: 2}
        undo: {call: t.work, with: {n: "${{ result + 20 }}"}}
        finally: {call: t.work, with: {n: 50}}
      ship:
        on: pay
        call: t.fail
        with: {n: 3}
        emit: Stop
    """,
    "failed",
)
ITEMS = Case(
    "items",
    """
    flow: items
    outputs: {n: int}
    steps:
      all:
        on: Start
        for_each: "${{ [1, 2, 3] }}"
        concurrency: 2
        call: t.work
        with: {n: "${{ item }}"}
      sum:
        on: all
        call: t.total
        with: {numbers: "${{ ev.result }}"}
        emit: {event: Stop, with: {n: "${{ result }}"}}
    """,
    "done",
    {"n": 9},
)
BATTERY = (CHAIN, LOOP, FAN, RETRY, ASK, WAITS, CHILD, SAGA, ITEMS)
