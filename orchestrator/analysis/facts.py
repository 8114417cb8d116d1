"""What the rules share about one flow: its graph and what follows from it, each worked out once and only when asked."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from orchestrator.ir import link
from orchestrator.ir.model import EmitEntryIR, FlowIR, StepIR


class Facts:
    """A flow with its derived facts. `assumed_heard` and `assumed_ending` are steps that a reported mistake hides."""

    def __init__(
        self,
        flow: FlowIR,
        *,
        assumed_heard: frozenset[str] = frozenset(),
        assumed_ending: frozenset[str] = frozenset(),
        links: link.Links | None = None,
    ) -> None:
        self.flow = flow
        self.assumed_heard = assumed_heard
        self.assumed_ending = assumed_ending
        if links is not None:
            self.graph, self.cycles, self.lineage = links.graph, links.cycles, links.lineage

    @cached_property
    def graph(self) -> link.Graph:
        """The wiring."""
        return link.graph(self.flow)

    @cached_property
    def emitters(self) -> dict[str, tuple[str, ...]]:
        """The steps that may emit each event."""
        return link.emitters(self.flow)

    @cached_property
    def endings(self) -> frozenset[str]:
        """The events that end a run."""
        return link.endings(self.flow)

    @cached_property
    def sources(self) -> frozenset[str]:
        """The events that come from outside the steps."""
        return frozenset(link.sources(self.flow))

    @cached_property
    def reachable(self) -> frozenset[str]:
        """The steps that some run can start."""
        if not self.assumed_heard:
            return link.reachable(self.flow, self.graph)
        seen = set(link.reachable(self.flow, self.graph)) | self.assumed_heard
        todo = list(self.assumed_heard)
        while todo:
            for event in self.graph.emits.get(todo.pop(), ()):
                new = [s for s in self.graph.routes.get(event, ()) if s not in seen]
                seen.update(new)
                todo += new
        return frozenset(seen)

    @cached_property
    def may_finish(self) -> frozenset[str]:
        """The steps from which the end of the run can be reached."""
        return self.leads_to(self.endings)

    def leads_to(self, goals: frozenset[str], *, stop_at_joins: bool = False) -> frozenset[str]:
        """The steps from which one of the events can be reached; with `stop_at_joins` only ways through no join count."""
        done: set[str] = set()
        seen_events = set(goals)
        todo = [s for event in goals for s in self.emitters.get(event, ())]
        todo += self.assumed_ending
        while todo:
            name = todo.pop()
            if name in done:
                continue
            done.add(name)
            step = self.flow.steps[name]
            todo += self.recovered_by.get(name, ())
            if stop_at_joins and step.join is not None:
                continue
            for event in step.accepts:
                if event not in seen_events:
                    seen_events.add(event)
                    todo += self.emitters.get(event, ())
        return frozenset(done)

    @cached_property
    def recovered_by(self) -> dict[str, tuple[str, ...]]:
        """For each Python catch handler the steps whose failures it takes."""
        if not self.graph.recoverers:
            return {}
        own = {s for name, takers in self.graph.recoverers.items() if name != "*" for s in (name,)}
        out: dict[str, list[str]] = {}
        for name in self.flow.steps:
            takers = self.graph.recoverers.get(name) if name in own else self.graph.recoverers.get("*")
            for taker in takers or ():
                if taker != name:
                    out.setdefault(taker, []).append(name)
        return {taker: tuple(names) for taker, names in out.items()}

    @cached_property
    def cycles(self) -> tuple[tuple[str, ...], ...]:
        """The loops."""
        return link.cycles(self.flow, self.graph)

    @cached_property
    def cycle_of(self) -> dict[str, int]:
        """The loop (its index in `cycles`) that each looping step is in."""
        return {name: n for n, cycle in enumerate(self.cycles) for name in cycle}

    @cached_property
    def lineage(self) -> link.Lineage:
        """The fan-out groups that events and steps are in."""
        return link.lineage(self.flow, self.graph)

    @cached_property
    def awaited(self) -> frozenset[str]:
        """Events that a `wait` takes from the run."""
        waits = (step.body.wait for step in self.flow.steps.values())
        return frozenset(w.event for w in waits if w is not None and w.event is not None)

    @cached_property
    def is_python(self) -> bool:
        """Whether the flow was written as a class or a function; decides the words of messages."""
        return self.flow.kind != "yaml"

    def step_of_event(self, event: str) -> tuple[StepIR, str] | None:
        """The step and kind (`done`, `failed`, `timeout`, `start`) of a step's own event."""
        name, dot, kind = event.rpartition(".")
        if not dot or name not in self.flow.steps:
            return None
        return self.flow.steps[name], kind


def entries_of(step: StepIR) -> tuple[EmitEntryIR, ...]:
    """The ways out of a step that are data."""
    return () if step.emit is None else step.emit.entries


def with_steps(flow: FlowIR, changed: dict[str, StepIR]) -> FlowIR:
    """The flow with some steps replaced."""
    if not changed:
        return flow
    return replace(flow, steps={name: changed.get(name, step) for name, step in flow.steps.items()})


def names(items: tuple[str, ...] | list[str], *, limit: int = 4) -> str:
    """`a`, `b` and `c` for a message."""
    shown = [f"`{item}`" for item in items[:limit]]
    if len(items) > limit:
        shown.append(f"{len(items) - limit} more")
    if len(shown) < 2:
        return "".join(shown)
    return ", ".join(shown[:-1]) + " and " + shown[-1]
