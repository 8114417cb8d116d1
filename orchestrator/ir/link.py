"""What follows from the wiring of a flow: routes, joins of fan-outs, loops, what can be reached and what can end.

Pure functions on FlowIR; knows no rule, no text, no runtime. Every function is linear in the number of steps, events and
emit entries, because steps are connected through events and never pairwise.

Lineage. A fan-out opens a group; its members carry the group on a stack, which every event they cause inherits. A *site* is
the place in the flow that opens groups: `step` (the step's only fanning entry, or a Python body), `step#n` (its n-th
fanning entry, from 1) or `step#all` (an all-list). The stacks of this module are the static picture: tuples of sites.
I1  A join without `key` (all, first, count, until) takes the innermost level off the stack, and closes with its group.
I2  `each` keeps a for_each level and takes an all-list level off.
I3  A join with `key` leaves the fan-out: what it emits has the empty stack.
I4  Coming back to a site that is on the stack already (a loop around a fan-out) cuts the stack back to that site.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.ir.model import FlowIR, JoinIR, StepIR

Stack = tuple[str, ...]
MAX_STACKS = 8  # per step: more different lineages than this are a mistake that the checker reports anyway
MAX_DEPTH = 16

GROUP_MODES = frozenset({"all", "first", "count", "until"})


def routes(flow: FlowIR) -> dict[str, tuple[str, ...]]:
    """The steps that every event goes to, in order of declaration; a join's `until_event` is one of its inputs."""
    heard: dict[str, list[str]] = {}
    takers: dict[str, list[str]] = {}
    for step in flow.steps.values():
        for event in inputs_of(step):
            heard.setdefault(event, []).append(step.name)
            if step.accepts_subclasses:
                takers.setdefault(event, []).append(step.name)
    if takers:
        position = {name: n for n, name in enumerate(flow.steps)}
        for name, event_ir in flow.events.items():
            more = {s for base in event_ir.bases for s in takers.get(base, ())}
            if more:
                heard[name] = sorted(more | set(heard.get(name, ())), key=position.__getitem__)
    return {event: tuple(steps) for event, steps in heard.items()}


def inputs_of(step: StepIR) -> tuple[str, ...]:
    """Every event that is delivered to a step: what it accepts and what closes its collection."""
    closing = step.join.until_event if step.join is not None else None
    if closing is None or closing in step.accepts:
        return step.accepts
    return (*step.accepts, closing)


def emitters(flow: FlowIR) -> dict[str, tuple[str, ...]]:
    """The steps that may emit each event, in order of declaration."""
    out: dict[str, list[str]] = {}
    for step in flow.steps.values():
        for event in dict.fromkeys(step.emits):
            out.setdefault(event, []).append(step.name)
    return {event: tuple(steps) for event, steps in out.items()}


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps and events as one directed graph: `after[step]` are steps reached in one hop, through `heard` events.

    Shape: nodes are ("step", name) folded to `name` in `after`, events in `routes`; `recovers` edges are in `after_step`.
    """

    routes: Mapping[str, tuple[str, ...]]
    emits: Mapping[str, tuple[str, ...]]
    recoverers: Mapping[str, tuple[str, ...]]


def graph(flow: FlowIR) -> Graph:
    """The wiring that the other functions walk; build it once when calling several of them."""
    recoverers: dict[str, tuple[str, ...]] = {}
    wild: list[str] = []
    for step in flow.steps.values():
        for name in step.recovers:
            if name == "*":
                wild.append(step.name)
            else:
                recoverers[name] = (*recoverers.get(name, ()), step.name)
    if wild:
        recoverers["*"] = tuple(wild)
    emits = {step.name: tuple(dict.fromkeys(step.emits)) for step in flow.steps.values()}
    return Graph(routes=routes(flow), emits=emits, recoverers=recoverers)


def _recovering(g: Graph, step: str) -> tuple[str, ...]:
    own = g.recoverers.get(step)
    return own if own is not None else g.recoverers.get("*", ())


def sources(flow: FlowIR) -> tuple[str, ...]:
    """The events that come from outside the steps: the start event, external ones and those of event triggers."""
    names = [flow.start]
    names += [e.name for e in flow.events.values() if e.external or e.kind == "answer"]
    names += [t.event for t in flow.triggers if t.kind == "event" and t.event]
    return tuple(dict.fromkeys(names))


def reachable(flow: FlowIR, g: Graph | None = None) -> frozenset[str]:
    """The steps that some run can start."""
    g = g or graph(flow)
    seen: set[str] = set()
    seen_events: set[str] = set()
    todo: list[str] = []

    def hear(events: Iterable[str]) -> None:
        for event in events:
            if event not in seen_events:
                seen_events.add(event)
                visit(g.routes.get(event, ()))

    def visit(steps: Iterable[str]) -> None:
        for name in steps:
            if name not in seen:
                seen.add(name)
                todo.append(name)

    hear(sources(flow))
    while todo:
        name = todo.pop()
        hear(g.emits.get(name, ()))
        visit(_recovering(g, name))
    return frozenset(seen)


def endings(flow: FlowIR) -> frozenset[str]:
    """The events that end a run."""
    ends = {name for name, event in flow.events.items() if event.kind in ("stop", "failed", "cancelled")}
    return frozenset(ends | set(flow.stop))


def may_finish(flow: FlowIR, g: Graph | None = None) -> frozenset[str]:
    """The steps from which an end of the run (`Stop`, `Failed`) can be reached."""
    g = g or graph(flow)
    ends = endings(flow)
    by_event: dict[str, list[str]] = {}
    for step, events in g.emits.items():
        for event in events:
            by_event.setdefault(event, []).append(step)
    accepted: dict[str, tuple[str, ...]] = {}
    for event, steps in g.routes.items():
        for step in steps:
            accepted[step] = (*accepted.get(step, ()), event)
    recovered: dict[str, list[str]] = {}
    if g.recoverers:
        for step in g.emits:
            for taker in _recovering(g, step):
                recovered.setdefault(taker, []).append(step)
    done: set[str] = set()
    seen_events: set[str] = set(ends)
    todo = [step for event in ends for step in by_event.get(event, ())]
    while todo:
        step = todo.pop()
        if step in done:
            continue
        done.add(step)
        todo += recovered.get(step, ())
        for event in accepted.get(step, ()):
            if event not in seen_events:
                seen_events.add(event)
                todo += by_event.get(event, ())
    return frozenset(done)


def cycles(flow: FlowIR, g: Graph | None = None) -> tuple[tuple[str, ...], ...]:
    """The loops of a flow: groups of steps that can reach each other, each in order of declaration.

    Cost: linear (Tarjan's strongly connected components over steps and events, without recursion).
    """
    g = g or graph(flow)
    if _is_acyclic(g):
        return ()
    found: list[tuple[str, ...]] = []
    position = {name: n for n, name in enumerate(flow.steps)}
    for component in _components(flow, g):
        steps = sorted((n[1:] for n in component if n[0] == "s"), key=position.__getitem__)
        if len(component) > 1 and steps:
            found.append(tuple(steps))
    return tuple(sorted(found, key=lambda c: position[c[0]]))


def _is_acyclic(g: Graph) -> bool:
    """Whether taking away what nothing leads to, again and again, leaves nothing: a third of the cost of the components."""
    if g.recoverers:
        return False
    waiting: dict[str, int] = {}  # for each step, how many of its events may still come; for each event, its emitters
    senders: dict[str, int] = {}
    for events in g.emits.values():
        for event in events:
            senders[event] = senders.get(event, 0) + 1
    for event, steps in g.routes.items():
        if event in senders:
            for name in steps:
                waiting[name] = waiting.get(name, 0) + 1
    todo = [name for name in g.emits if name not in waiting]
    left = len(g.emits)
    while todo:
        left -= 1
        for event in g.emits[todo.pop()]:
            senders[event] -= 1
            if not senders[event]:
                for name in g.routes.get(event, ()):
                    waiting[name] -= 1
                    if not waiting[name]:
                        todo.append(name)
    return left == 0


def _components(flow: FlowIR, g: Graph) -> list[list[str]]:
    def successors(node: str) -> list[str]:
        if node[0] == "e":
            return ["s" + s for s in g.routes.get(node[1:], ())]
        return ["e" + e for e in g.emits.get(node[1:], ())] + ["s" + s for s in _recovering(g, node[1:])]

    index: dict[str, int] = {}
    low: dict[str, int] = {}
    on_stack: set[str] = set()
    stack: list[str] = []
    out: list[list[str]] = []
    for root in ("s" + name for name in flow.steps):
        if root in index:
            continue
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        work = [(root, iter(successors(root)))]
        while work:
            node, rest = work[-1]
            for after in rest:
                if after not in index:
                    index[after] = low[after] = len(index)
                    stack.append(after)
                    on_stack.add(after)
                    work.append((after, iter(successors(after))))
                    break
                if after in on_stack:
                    low[node] = min(low[node], index[after])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component: list[str] = []
                    while True:
                        top = stack.pop()
                        on_stack.discard(top)
                        component.append(top)
                        if top == node:
                            break
                    out.append(component)
    return out


@dataclass(frozen=True, slots=True)
class Lineage:
    """The stacks of sites with which each event can arrive, and with which each step runs (after its join)."""

    of_event: Mapping[str, tuple[Stack, ...]]
    of_step: Mapping[str, tuple[Stack, ...]]
    joins: Mapping[str, tuple[str, ...]]


class Links:
    """What follows from the wiring of a flow, each part worked out once. Policies and bodies may change meanwhile."""

    def __init__(self, flow: FlowIR) -> None:
        self.graph = graph(flow)
        self.cycles = cycles(flow, self.graph)
        self.lineage = lineage(flow, self.graph)


def joins_of(flow: FlowIR) -> dict[str, tuple[str, ...]]:
    """For each fan-out site the steps whose join closes with its groups, in order of declaration."""
    return dict(lineage(flow).joins)


def emissions(step: StepIR) -> list[tuple[str, Stack]]:
    """What a step emits and which sites each emission opens, outermost first."""
    rule = step.emit
    out: list[tuple[str, Stack]] = []
    if rule is not None:
        outer: Stack = (rule.site,) if rule.takes_all and rule.site else ()
        for entry in rule.entries:
            if entry.event is not None:
                out.append((entry.event, (*outer, entry.site) if entry.for_each is not None else outer))
        named = {event for event, _ in out}
        out += [(caught.event, ()) for caught in step.catch if caught.event in named and caught.event is not None]
        return out + [(event, ()) for event in step.emits if event not in named]
    sites = step.fans[:1]
    return [(event, sites) for event in step.emits]


def lineage(flow: FlowIR, g: Graph | None = None) -> Lineage:
    """Follow fan-out groups through the flow. Cost: linear; at most MAX_STACKS stacks are kept per step."""
    g = g or graph(flow)
    ends = endings(flow)
    of_event: dict[str, dict[Stack, None]] = {}
    of_step: dict[str, dict[Stack, None]] = {}
    joins: dict[str, dict[str, None]] = {}
    sent = {name: emissions(step) for name, step in flow.steps.items()}
    todo: list[tuple[str, Stack, str | None]] = [(event, (), None) for event in reversed(sources(flow))]
    while todo:
        event, stack, target = todo.pop()  # a failure goes to its handler only
        known = of_event.setdefault(event, {})
        if target is None:
            if stack in known or len(known) >= MAX_STACKS:
                continue
            known[stack] = None
        for name in g.routes.get(event, ()) if target is None else (target,):
            step = flow.steps[name]
            if step.join is not None and event == step.join.until_event and event not in step.accepts:
                continue
            after, closed = _after_join(step.join, stack)
            if closed is not None:
                joins.setdefault(closed, {})[name] = None
            active = of_step.setdefault(name, {})
            if after in active or len(active) >= MAX_STACKS:
                continue
            active[after] = None
            for out, sites in sent[name]:
                todo.append((out, after if out in ends else _push(after, sites), None))
            for taker in _recovering(g, name):
                todo += [(e, after, taker) for e in flow.steps[taker].accepts]
    position = {name: n for n, name in enumerate(flow.steps)}
    return Lineage(
        of_event={e: tuple(s) for e, s in of_event.items()},
        of_step={n: tuple(s) for n, s in of_step.items()},
        joins={site: tuple(sorted(names, key=position.__getitem__)) for site, names in joins.items()},
    )


def _push(stack: Stack, sites: Stack) -> Stack:
    for site in sites:
        stack = stack[: stack.index(site) + 1] if site in stack else (*stack, site)
    return stack[:MAX_DEPTH]


def _after_join(join: JoinIR | None, stack: Stack) -> tuple[Stack, str | None]:
    """The stack after a join and the site whose group it closes."""
    if join is None:
        return stack, None
    if join.key is not None:
        return (), None
    if not stack:
        return (), None
    if join.mode in GROUP_MODES or (join.mode == "each" and is_all_list(stack[-1])):
        return stack[:-1], stack[-1]
    return stack, None


def is_all_list(site: str) -> bool:
    """Whether a site is an all-list (`{all: [...]}`), not a for_each."""
    return site.endswith("#all")
