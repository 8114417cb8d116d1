"""The path that a run took, to be drawn over the flow: what was visited how often, how it stands, which edges were taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.draw.model import FAILED, START, STOP, Edge, EdgeKind, Graph, Node, NodeKind


class StepState(StrEnum):
    """How a step of a run stands."""

    DONE = "done"
    FAILED = "failed"
    RUNNING = "running"
    WAITING = "waiting"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Visit:
    """How often a step was started, and how it stands now; `joined`: what it has collected, of how many (0: not known)."""

    state: StepState
    count: int = 1
    joined: tuple[int, int] | None = None

    @property
    def remark(self) -> str:
        """What is written on the step: `3/5` while it collects, else `×3` where it ran more than once."""
        if self.joined is not None:
            have, of = self.joined
            return f"{have}/{of}" if of else f"{have}/…"
        return f"×{self.count}" if self.count > 1 else ""

    @property
    def words(self) -> str:
        """The same for those who listen."""
        times = "" if self.count < 2 else f", {self.count} times"
        if self.joined is None:
            return f"{self.state}{times}"
        have, of = self.joined
        return f"{self.state}{times}, {have}{f' of {of}' if of else ''} collected"


@dataclass(frozen=True, slots=True)
class RunPath:
    """What a run did. Steps that it never reached are left out of `steps`.

    Shape: edges maps (step that emitted, event, step that took it) to a count; the emitter of the start event is START,
    the taker of a stop event STOP, of a failure FAILED (the constants of model.py); a failed step that a handler
    recovers counts under the event "".
    """

    steps: Mapping[str, Visit]
    edges: Mapping[tuple[str, str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Overlay:
    """A RunPath matched with the nodes and edges of a graph, by id. What was not reached or taken is left out."""

    nodes: Mapping[str, Visit]
    edges: Mapping[str, int]


def overlay_of(graph: Graph, path: RunPath) -> Overlay:
    """The path on the graph; a junction of events counts what passed it.

    Several edges with the same event between the same steps cannot be told apart by a path: the first one takes the count.
    Cost: linear in the graph and the path.
    """
    hubs = {node.id for node in graph.nodes if node.kind is NodeKind.EVENT}
    hub_of = {e.event: e.target for e in graph.edges if e.target in hubs}
    into: dict[tuple[str, str, str], int] = {}
    for (source, event, target), count in path.edges.items():
        hub = hub_of.get(event)
        if hub is None or target in (STOP, FAILED):
            into[source, event, target] = count
            continue
        # One emission reaches every listener, so what entered the junction is the most that any one of them got.
        into[source, event, hub] = max(count, into.get((source, event, hub), 0))
        into[hub, event, target] = into.get((hub, event, target), 0) + count
    edges: dict[str, int] = {}
    seen: set[tuple[str, str, str]] = set()
    for edge in graph.edges:
        key = (edge.source, edge.event, edge.target)
        if key in into and key not in seen:
            seen.add(key)
            edges[edge.id] = into[key]
    edges.update(_failures(graph, path, edges))
    nodes = {node.id: path.steps[node.step] for node in graph.nodes if node.step in path.steps}
    nodes.update(_passed(graph, edges, nodes))
    return Overlay(nodes, edges)


def _failures(graph: Graph, path: RunPath, taken: Mapping[str, int]) -> dict[str, int]:
    """Edges to a handler that covers many steps: taken as often as the handler ran."""
    out: dict[str, int] = {}
    for edge in graph.edges:
        visit = path.steps.get(edge.target)
        is_cover = edge.kind is EdgeKind.FAILURE and edge.source.startswith("@failure:")
        if is_cover and visit is not None and visit.state is not StepState.SKIPPED and edge.id not in taken:
            out[edge.id] = visit.count
    return out


def _passed(graph: Graph, edges: Mapping[str, int], nodes: Mapping[str, Visit]) -> dict[str, Visit]:
    """Ends, entrances and junctions that a taken edge touches."""
    out: dict[str, int] = {}
    for edge in graph.edges:
        count = edges.get(edge.id)
        if count is not None:
            for end in (edge.source, edge.target):
                out[end] = max(count, out.get(end, 0))
    if nodes:
        out.setdefault(START, 1)
    others = {node.id: node for node in graph.nodes if not node.step}
    return {n: Visit(_end_state(others[n]), count) for n, count in out.items() if n in others}


def _end_state(node: Node) -> StepState:
    is_failure = node.kind is NodeKind.FAILED or node.id.startswith("@failure:")
    return StepState.FAILED if is_failure else StepState.DONE


def edge_words(edge: Edge) -> str:
    """The edge's words on one line."""
    return " · ".join(part for part in (edge.label, edge.note) if part)
