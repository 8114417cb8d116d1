"""From FlowIR to a Graph: who can be reached from whom, by which event, and why. Knows no position and no format.

Steps meet through events. An event with many emitters and many listeners gets a junction node of its own, and so do the
steps that a catch-all handler covers; so the graph stays linear in the size of the flow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from orchestrator.draw.cycles import back_edges, loops
from orchestrator.draw.model import (
    FAILED,
    OUTSIDE,
    START,
    STOP,
    Badge,
    Edge,
    EdgeKind,
    Graph,
    Node,
    NodeGroup,
    NodeKind,
)
from orchestrator.draw.wording import (
    condition_text,
    errors_text,
    is_timeout_condition,
    one_line,
    shorten,
    step_badges,
    value_text,
    wait_text,
)
from orchestrator.ir.link import routes
from orchestrator.ir.model import EmitIR, FlowIR, StepIR, TriggerIR

_CROWD = 3  # this many emitters and as many listeners of one event meet at a junction
_COVERED = 4  # a handler of more steps than this gets one edge from "any step"
_ENDING_KINDS = ("failed", "cancelled")


@dataclass(frozen=True, slots=True)
class _Way:
    """One way out of a node, before it is known where it leads."""

    source: str
    event: str
    kind: EdgeKind = EdgeKind.NORMAL
    condition: str = ""
    for_each: str = ""


def graph_of(flow: FlowIR) -> Graph:
    """The flow as nodes, edges and groups; back edges are found from the start, depth first.

    Cost: linear in the size of the flow.
    """
    wiring = _Wiring(flow)
    edges = wiring.edges()
    ids = [START, *wiring.entrances, *flow.steps, *wiring.junctions]
    ids += [end for end in (FAILED,) if end in wiring.reached]
    ids.append(STOP)
    number = {node: n for n, node in enumerate(ids)}
    pairs = [(number[e.source], number[e.target]) for e in edges]
    edges = [_turned(e) if is_back else e for e, is_back in zip(edges, back_edges(len(ids), pairs), strict=True)]
    cycles = [[ids[n] for n in members] for members in loops(len(ids), pairs)]
    in_loop = {node for members in cycles for node in members}
    nodes = tuple(_node(flow, wiring, node, is_in_loop=node in in_loop) for node in ids)
    return Graph(
        name=flow.name,
        title=flow.title or flow.name,
        description=flow.description,
        nodes=nodes,
        edges=tuple(replace(e, id=f"e{n}") for n, e in enumerate(edges)),
        groups=tuple(_groups(flow, cycles)),
    )


class _Wiring:
    """The edges of one flow and the extra nodes they need. Built once, thrown away."""

    def __init__(self, flow: FlowIR) -> None:
        self.flow = flow
        self.entrances: dict[str, str] = {}  # node id -> event, or "" for the outside world
        self.junctions: dict[str, str] = {}  # node id -> title
        self.reached: set[str] = set()
        self.heard = routes(flow)
        self.waited: dict[str, list[str]] = {}
        self.ends = {name: FAILED for name, event in flow.events.items() if event.kind in _ENDING_KINDS}
        self.ends.update((name, STOP) for name, event in flow.events.items() if event.kind == "stop")
        self.ends.update(dict.fromkeys(flow.stop, STOP))
        for step in flow.steps.values():
            wait = step.body.wait
            if wait is not None and wait.event is not None:
                self.waited.setdefault(wait.event, []).append(step.name)
        self._find_entrances()

    def edges(self) -> list[Edge]:
        """Every edge, in the order of the flow, without ids and back marks."""
        ways = list(self._ways())
        emitters: dict[str, int] = {}
        for way in ways:
            emitters[way.event] = emitters.get(way.event, 0) + 1
        crowds = [event for event, n in emitters.items() if n >= _CROWD and self._listeners(event) >= _CROWD]
        hubs = {event: f"@hub:{event}" for event in crowds}
        self.junctions.update((hub, one_line(event)) for event, hub in hubs.items())
        out = [edge for way in ways for edge in self._follow(way, hubs.get(way.event))]
        for event, hub in hubs.items():
            out.extend(Edge("", hub, step, event=event) for step in self.heard.get(event, ()))
            out.extend(Edge("", hub, step, event=event, kind=EdgeKind.WAIT) for step in self.waited.get(event, ()))
        out.extend(self._recoveries())
        self.reached.update(e.target for e in out)
        return out

    def _listeners(self, event: str) -> int:
        return len(self.heard.get(event, ())) + len(self.waited.get(event, ()))

    def _find_entrances(self) -> None:
        for name, event in self.flow.events.items():
            is_heard = name in self.heard or name in self.waited
            if event.kind == "ask" or (event.kind == "answer" and is_heard):
                self.entrances[OUTSIDE] = ""
            elif event.external and is_heard and name != self.flow.start:
                self.entrances[f"@event:{name}"] = name

    def _ways(self) -> Iterator[_Way]:
        flow = self.flow
        yield _Way(START, flow.start)
        for node, event in self.entrances.items():
            if event:
                yield _Way(node, event)
        for name, ir in flow.events.items():
            if ir.kind == "answer" and (name in self.heard or name in self.waited):
                yield _Way(OUTSIDE, name)
        implied: dict[str, list[_Way]] = {}
        for event in (*self.heard, *self.waited):
            owner, _, what = event.rpartition(".")
            if owner in flow.steps and what in ("failed", "timeout", "done") and event not in flow.steps[owner].emits:
                kind = {"failed": EdgeKind.FAILURE, "timeout": EdgeKind.TIMEOUT}.get(what, EdgeKind.NORMAL)
                implied.setdefault(owner, []).append(_Way(owner, event, kind))
        for step in flow.steps.values():
            yield from _ways_out(step)
            yield from implied.get(step.name, ())
            if flow.kind == "function":  # it may ask, as its code decides
                yield from (_Way(step.name, name) for name, ir in flow.events.items() if ir.kind == "ask")

    def _follow(self, way: _Way, hub: str | None) -> Iterator[Edge]:
        own = Edge("", way.source, "", way.event, self._label(way), way.condition, way.for_each, way.kind)
        end = self.ends.get(way.event)
        if end is not None:
            yield replace(own, target=end)
        if hub is not None:
            yield replace(own, target=hub)
        else:
            for step in self.heard.get(way.event, ()):
                yield replace(own, target=step)
            for step in self.waited.get(way.event, ()):
                yield replace(own, target=step, kind=EdgeKind.WAIT)
        event = self.flow.events.get(way.event)
        if event is not None and event.kind == "ask" and way.source != OUTSIDE:
            yield replace(own, target=OUTSIDE)

    def _label(self, way: _Way) -> str:
        """The event's name, unless the nodes at its ends say it: a start, the only way to stop, a step's own events."""
        event, flow = way.event, self.flow
        if way.source in (START, f"@event:{event}") or event in (*flow.stop[:1], "Failed"):
            return ""
        owner, _, what = event.rpartition(".")
        if owner in flow.steps:
            return {"done": "", "start": "", "failed": "failed", "timeout": "timeout"}.get(what, one_line(event))
        return one_line(event)

    def _recoveries(self) -> Iterator[Edge]:
        named = {s for step in self.flow.steps.values() for s in step.recovers if s != "*"}
        for handler in self.flow.steps.values():
            covered: Iterable[str] = [s for s in handler.recovers if s in self.flow.steps]
            if "*" in handler.recovers:
                covered = [s.name for s in self.flow.steps.values() if s.name not in named and not s.recovers]
            steps = list(covered)
            edge = Edge("", "", handler.name, label="failed", kind=EdgeKind.FAILURE)
            if len(steps) > _COVERED:
                hub = f"@failure:{handler.name}"
                is_all = "*" in handler.recovers
                self.junctions[hub] = "any other step fails" if is_all and named else f"any of {len(steps)} steps fails"
                yield replace(edge, source=hub, label="")
            else:
                yield from (replace(edge, source=s) for s in steps)


def _ways_out(step: StepIR) -> Iterator[_Way]:
    """Everything a step may emit, each with its reason."""
    seen: set[str] = set()
    ways = [*_rule_ways(step.name, step.emit)] if step.emit is not None else []
    for caught in step.catch:
        if caught.event is not None:
            ways.append(_Way(step.name, caught.event, EdgeKind.FAILURE, errors_text(caught)))
    if step.join is not None and step.join.on_timeout is not None:
        within = "" if step.join.within is None else f"after {shorten(value_text(step.join.within), 30)}"
        ways.append(_Way(step.name, step.join.on_timeout, EdgeKind.TIMEOUT, within))
    for way in ways:
        seen.add(way.event)
        yield way
    rest = [event for event in dict.fromkeys(step.emits) if event not in seen]
    plain = EdgeKind.BRANCH if len(rest) > 1 and step.emit is None else EdgeKind.NORMAL
    for event in rest:
        if event == f"{step.name}.failed":
            yield _Way(step.name, event, EdgeKind.FAILURE)
        elif event == f"{step.name}.timeout":
            yield _Way(step.name, event, EdgeKind.TIMEOUT)
        else:
            yield _Way(step.name, event, EdgeKind.FAN_OUT if step.fans and step.emit is None else plain)


def _rule_ways(name: str, rule: EmitIR) -> Iterator[_Way]:
    last = len(rule.entries) - 1
    for n, entry in enumerate(rule.entries):
        if entry.event is None:
            continue
        condition = condition_text(entry.when)
        if rule.takes_all or entry.for_each is not None:
            kind = EdgeKind.FAN_OUT
        elif is_timeout_condition(entry.when):
            kind = EdgeKind.TIMEOUT
        else:
            kind = EdgeKind.BRANCH if last else EdgeKind.NORMAL
        if entry.when is None and last and n == last and not rule.takes_all:
            condition = "otherwise"
        yield _Way(name, entry.event, kind, condition, condition_text(entry.for_each))


def _turned(edge: Edge) -> Edge:
    kind = EdgeKind.LOOP_BACK if edge.kind in (EdgeKind.NORMAL, EdgeKind.BRANCH) else edge.kind
    return replace(edge, kind=kind, is_back=True)


def _node(flow: FlowIR, wiring: _Wiring, node: str, *, is_in_loop: bool) -> Node:
    step = flow.steps.get(node)
    if step is not None:
        return _step_node(step, is_in_loop=is_in_loop)
    if node == START:
        badges = tuple(_trigger_badge(t) for t in flow.triggers)
        return Node(node, NodeKind.START, "Start", badges=badges, emits=(flow.start,))
    if node == STOP:
        return Node(node, NodeKind.STOP, "Stop", accepts=flow.stop)
    if node == FAILED:
        return Node(node, NodeKind.FAILED, "Failed")
    if node == OUTSIDE:
        return Node(node, NodeKind.OUTSIDE, "People or systems outside")
    if node in wiring.entrances:
        event = wiring.entrances[node]
        return Node(node, NodeKind.OUTSIDE, one_line(event), "from outside", emits=(event,))
    return Node(node, NodeKind.EVENT, wiring.junctions[node])


def _step_node(step: StepIR, *, is_in_loop: bool) -> Node:
    kind, detail = _body(step)
    return Node(
        id=step.name,
        kind=kind,
        title=one_line(step.title) or one_line(step.name),
        detail=detail,
        badges=step_badges(step, is_in_loop=is_in_loop),
        step=step.name,
        description=step.description.strip(),
        accepts=step.accepts,
        emits=tuple(dict.fromkeys(step.emits)),
        place=str(step.origin) if step.origin is not None else "",
    )


def _body(step: StepIR) -> tuple[NodeKind, str]:
    body = step.body
    match body.kind:
        case "call" if body.call is not None:
            target = one_line(body.call.target)
            return (NodeKind.SUB_FLOW if target.startswith("flow.") else NodeKind.CALL), target
        case "ask" if body.ask is not None:
            return NodeKind.ASK, value_text(body.ask.title)
        case "wait" if body.wait is not None:
            return NodeKind.WAIT, wait_text(body.wait)
        case "procedure":
            return NodeKind.PROCEDURE, _reference(step)
        case "python":
            return NodeKind.PYTHON, _reference(step)
        case _:
            return NodeKind.NONE, ", ".join(f"set {one_line(k)}" for k in step.set)


def _reference(step: StepIR) -> str:
    """Where a Python body is, unless its name says nothing new."""
    name = one_line(step.body.ref).rpartition(":")[2]
    return "" if name.rpartition(".")[2] == step.name else name


def _trigger_badge(trigger: TriggerIR) -> Badge:
    match trigger.kind:
        case "cron":
            return Badge("cron", one_line(f"{trigger.cron} {trigger.timezone}"))
        case "webhook":
            return Badge("webhook", one_line(f"{trigger.method} {trigger.path}"))
        case _:
            return Badge("event", f"on {one_line(trigger.event)}")


def _groups(flow: FlowIR, cycles: list[list[str]]) -> Iterator[NodeGroup]:
    for n, members in enumerate(cycles):
        yield NodeGroup(f"loop{n}", "loop", f"loop of {len(members)}", tuple(members))
    for n, (site, joins) in enumerate(flow.joins_of.items()):
        opener = site if site in flow.steps else site.rpartition("#")[0]
        if opener in flow.steps:
            yield NodeGroup(f"fan{n}", "fan-out", one_line(site), (opener, *joins))
