"""Random workflow classes, and a naive interpreter of them to compare the runtime with.

A flow is built from blocks that lead from one event to another: a step, a branch, a loop, a fan-out with its join, events that
are sent and collected, a step that fails at first, one whose failure a handler takes. The interpreter knows no runtime: it has
one list of what is to be done, and finds out that a fan-out is exhausted by looking through all of it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator import Context, Event, StartEvent, StepFailedEvent, StopEvent, Workflow, catch_error, step
from orchestrator.retry import retry_policy, stop_after_attempt, wait_none

MAX_DEPTH = 3


class Value(Event):
    """What flows: a number that decides everything, and how often loops may still go round."""

    v: int
    fuel: int


Scope = tuple[tuple[int, int], ...]  # (group, member) from the outermost fan-out to the innermost
Emitted = list[tuple[str, int, int]]  # (event, v, fuel)


@dataclass
class Node:
    """A step: what it takes, and what it does to (v, fuel) of each of its events, at an attempt from 1.

    `kind`: plain, fan (its events are one group), join (takes a group), collect (waits for `count`), handler (of `covers`).
    """

    name: str
    takes: str
    gives: tuple[str, ...]
    act: Callable[[list[tuple[int, int]], int], Emitted]
    kind: str = "plain"
    count: int = 0
    tries: int = 1
    covers: str = ""
    site: str = ""


class Fail(Exception):
    """What a step of a random flow raises."""


@dataclass
class RandomFlow:
    """A flow as a list of nodes; `events` are names beside the start and the stop event."""

    rng: random.Random
    nodes: list[Node] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def event(self) -> str:
        name = f"E{len(self.events)}"
        self.events.append(name)
        return name

    def add(self, word: str, takes: str, gives: tuple[str, ...], act: Any, **more: Any) -> Node:
        node = Node(f"s{len(self.nodes):02d}_{word}", takes, gives, act, **more)
        self.nodes.append(node)
        return node

    def block(self, takes: str, gives: str, depth: int = 0) -> None:
        """Something that leads from one event to another."""
        simple = [self._step, self._flaky, self._caught]
        deep = [self._sequence, self._branch, self._loop, self._fan, self._fan, self._scatter]
        self.rng.choice(simple if depth >= MAX_DEPTH else simple + deep)(takes, gives, depth)

    def _step(self, takes: str, gives: str, depth: int) -> None:
        salt = self.rng.randrange(1000)
        self.add("step", takes, (gives,), lambda got, attempt: [(gives, mix(got[0][0], salt), got[0][1])])

    def _flaky(self, takes: str, gives: str, depth: int) -> None:
        salt, failures = self.rng.randrange(1000), self.rng.randrange(1, 3)

        def act(got: list[tuple[int, int]], attempt: int) -> Emitted:
            if attempt <= failures:
                raise Fail
            return [(gives, mix(got[0][0], salt), got[0][1])]

        self.add("flaky", takes, (gives,), act, tries=failures + 1)

    def _caught(self, takes: str, gives: str, depth: int) -> None:
        salt = self.rng.randrange(1000)

        def act(got: list[tuple[int, int]], attempt: int) -> Emitted:
            if got[0][0] % 3 == 0:
                raise Fail
            return [(gives, mix(got[0][0], salt), got[0][1])]

        node = self.add("risky", takes, (gives,), act)
        rescue = lambda got, attempt: [(gives, mix(got[0][0], salt + 1), got[0][1])]  # noqa: E731
        self.add("handler", "", (gives,), rescue, kind="handler", covers=node.name)

    def _sequence(self, takes: str, gives: str, depth: int) -> None:
        middle = self.event()
        self.block(takes, middle, depth + 1)
        self.block(middle, gives, depth + 1)

    def _branch(self, takes: str, gives: str, depth: int) -> None:
        left, right = self.event(), self.event()
        self.add("branch", takes, (left, right), lambda got, attempt: [(left if got[0][0] % 2 else right, *got[0])])
        self.block(left, gives, depth + 1)
        self.block(right, gives, depth + 1)

    def _loop(self, takes: str, gives: str, depth: int) -> None:
        inside, after = self.event(), self.event()
        self.add("enter", takes, (inside,), lambda got, attempt: [(inside, *got[0])])
        self.block(inside, after, depth + 1)

        def act(got: list[tuple[int, int]], attempt: int) -> Emitted:
            v, fuel = got[0]
            return [(inside, v, fuel - 1)] if fuel > 0 and v % 3 else [(gives, v, fuel)]

        self.add("again", after, (inside, gives), act)

    def _fan(self, takes: str, gives: str, depth: int) -> None:
        member, done = self.event(), self.event()
        most = self.rng.randrange(1, 4)
        fan = self.add(
            "fan",
            takes,
            (member,),
            lambda got, attempt: [(member, mix(got[0][0], n), got[0][1]) for n in range(got[0][0] % (most + 1))],
            kind="fan",
        )
        if self.rng.random() < 0.3:  # some members end without a trace
            kept = self.event()
            self.add("drop", member, (kept,), lambda got, attempt: [] if got[0][0] % 4 == 0 else [(kept, *got[0])])
            self.block(kept, done, depth + 1)
        else:
            self.block(member, done, depth + 1)
        self.add(
            "join",
            done,
            (gives,),
            lambda got, attempt: [(gives, digest(got), min((f for _, f in got), default=0))],
            kind="join",
            site=fan.name,
        )

    def _scatter(self, takes: str, gives: str, depth: int) -> None:
        part, done = self.event(), self.event()
        count = self.rng.randrange(1, 4)
        self.add(
            "send", takes, (part,), lambda got, attempt: [(part, mix(got[0][0], n), got[0][1]) for n in range(count)]
        )
        self._step(part, done, depth)
        self.add(
            "collect",
            done,
            (gives,),
            lambda got, attempt: [(gives, digest(got), min(f for _, f in got))],
            kind="collect",
            count=count,
        )


def mix(v: int, salt: int) -> int:
    """Another number."""
    return (v * 31 + salt * 17 + 7) % 997


def digest(got: list[tuple[int, int]]) -> int:
    """A number that depends on the order."""
    total = len(got)
    for v, _ in got:
        total = mix(total, v)
    return total


def random_flow(seed: int) -> RandomFlow:
    """A flow from start to stop."""
    flow = RandomFlow(random.Random(seed))
    first, last = flow.event(), flow.event()
    flow.add("start", "Start", (first,), lambda got, attempt: [(first, *got[0])])
    flow.block(first, last)
    flow.add("stop", last, ("Stop",), lambda got, attempt: [("Stop", *got[0])])
    return flow


# As a workflow class.


def as_workflow(flow: RandomFlow, trace: list[Any]) -> type[Workflow]:
    """The flow as a class; `trace` gets (step, numbers that it took) at every attempt."""
    classes: dict[str, type[Any]] = {name: type(name, (Value,), {"__module__": __name__}) for name in flow.events}
    classes["Start"], classes["Stop"] = StartEvent, StopEvent
    return type("Random", (Workflow,), {n.name: _method(n, classes, trace) for n in flow.nodes})


def _method(node: Node, classes: dict[str, type[Any]], trace: list[Any]) -> Any:
    def emit(ctx: Context[Any], got: list[tuple[int, int]]) -> Any:
        trace.append((node.name, tuple(v for v, _ in got)))
        made = [_event(classes[e], v, fuel) for e, v, fuel in node.act(got, ctx.attempt)]
        if node.kind == "fan":
            return made
        for event in made[:-1]:
            ctx.send_event(event)
        return made[-1] if made else None

    async def one(self: Workflow, ctx: Context[Any], ev: Any) -> Any:
        return emit(ctx, [(ev.v, ev.fuel)])

    async def join(self: Workflow, ctx: Context[Any], ev: list[Any]) -> Any:
        return emit(ctx, [(e.v, e.fuel) for e in ev])

    async def collect(self: Workflow, ctx: Context[Any], ev: Any) -> Any:
        found = ctx.collect_events(ev, [type(ev)] * node.count)
        return None if found is None else emit(ctx, [(e.v, e.fuel) for e in found])

    async def handle(self: Workflow, ctx: Context[Any], ev: Any) -> Any:
        return emit(ctx, [(ev.input_event.v, ev.input_event.fuel)])

    body: Any = {"join": join, "collect": collect, "handler": handle}.get(node.kind, one)
    body.__name__ = node.name
    body.__qualname__ = f"Random.{node.name}"
    taken: Any = StepFailedEvent if node.kind == "handler" else classes[node.takes]
    gives: Any = classes[node.gives[0]]
    for name in node.gives[1:]:
        gives = gives | classes[name]
    body.__annotations__ = {
        "ctx": Context,
        "ev": list[taken] if node.kind == "join" else taken,
        "return": list[gives] if node.kind == "fan" else gives | None,
    }
    if node.kind == "handler":
        return catch_error(for_steps=[node.covers], max_recoveries=10_000)(body)
    policy = retry_policy(wait=wait_none(), stop=stop_after_attempt(node.tries)) if node.tries > 1 else None
    return step(num_workers=None, retry_policy=policy)(body)


def _event(cls: type[Any], v: int, fuel: int) -> Any:
    return cls(result=v) if cls is StopEvent else cls(v=v, fuel=fuel)


# Naively.


@dataclass
class Work:
    """One activation that waits for its turn."""

    node: Node
    got: list[tuple[int, int]]
    scope: Scope
    attempt: int = 1


def interpret(flow: RandomFlow, v: int, fuel: int) -> tuple[list[Any], int | None]:
    """The trace and result of a flow."""
    todo: list[Work] = []
    trace: list[Any] = []
    buffers: dict[str, list[tuple[int, int]]] = {}
    groups: dict[int, tuple[str, Scope, list[tuple[int, tuple[int, int]]]]] = {}
    ids = Counter[str]()

    def deliver(event: str, value: tuple[int, int], scope: Scope) -> None:
        for node in flow.nodes:
            if node.kind != "handler" and node.takes == event:
                if node.kind == "join":
                    group, member = next((g, m) for g, m in reversed(scope) if groups[g][0] == node.site)
                    groups[group][2].append((member, value))
                else:
                    todo.append(Work(node, [value], scope))

    def close(scope: Scope) -> None:
        """End every group of a scope, from the inside out, of which nothing is left to do."""
        for depth in range(len(scope), 0, -1):
            group = scope[depth - 1][0]
            if group not in groups or any(group in [g for g, _ in w.scope] for w in todo):
                return
            if any(group in [g for g, _ in other[1]] for other in groups.values()):
                return
            site, outer, collected = groups.pop(group)
            for node in flow.nodes:
                if node.site == site:
                    todo.append(Work(node, [v for _, v in sorted(collected, key=lambda c: c[0])], outer))

    deliver("Start", (v, fuel), ())
    while todo:
        work = todo.pop(0)
        node = work.node
        if node.kind == "collect":
            buffer = buffers.setdefault(node.name, [])
            buffer += work.got
            if len(buffer) < node.count:
                close(work.scope)
                continue
            work.got, buffers[node.name] = buffer[: node.count], buffer[node.count :]
        trace.append((node.name, tuple(number for number, _ in work.got)))
        try:
            emitted = node.act(work.got, work.attempt)
        except Fail:
            if work.attempt < node.tries:
                todo.append(Work(node, work.got, work.scope, work.attempt + 1))
            else:
                handler = next(n for n in flow.nodes if n.covers == node.name)
                todo.append(Work(handler, work.got, work.scope))
            continue
        if node.kind == "fan":
            ids["group"] += 1
            group = ids["group"]
            groups[group] = (node.name, work.scope, [])
            for member, (event, number, left) in enumerate(emitted):
                deliver(event, (number, left), (*work.scope, (group, member)))
            close((*work.scope, (group, 0)))
        else:
            for event, number, left in emitted:
                if event == "Stop":
                    return trace, number
                deliver(event, (number, left), work.scope)
        close(work.scope)
    return trace, None
