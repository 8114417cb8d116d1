"""A flow as a picture sees it: nodes, edges and what is written on them. Plain data; says nothing about where they stand.

Names are as the author wrote them: whoever renders them escapes them for its own format.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

START = "@start"
STOP = "@stop"
FAILED = "@failed"
OUTSIDE = "@outside"


class NodeKind(StrEnum):
    """What a node stands for; `event` is a junction of many emitters and many listeners, or of many failing steps."""

    START = "start"
    STOP = "stop"
    FAILED = "failed"
    OUTSIDE = "outside"
    EVENT = "event"
    CALL = "call"
    ASK = "ask"
    WAIT = "wait"
    PYTHON = "python"
    NONE = "none"
    PROCEDURE = "procedure"
    SUB_FLOW = "sub-flow"


class EdgeKind(StrEnum):
    """Why an edge is taken. A back edge of kind normal or branch becomes `loop-back`; others keep their kind."""

    NORMAL = "normal"
    BRANCH = "branch"
    FAN_OUT = "fan-out"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    WAIT = "wait"
    LOOP_BACK = "loop-back"


@dataclass(frozen=True, slots=True)
class Badge:
    """A short remark on a step: `kind` says which policy it is about (retry, timeout, join, people, ...)."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Node:
    """A step, or an end or entrance of the flow (`step` is empty then). A step's id is its name."""

    id: str
    kind: NodeKind
    title: str
    detail: str = ""
    badges: tuple[Badge, ...] = ()
    step: str = ""
    description: str = ""
    accepts: tuple[str, ...] = ()
    emits: tuple[str, ...] = ()
    place: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from one node to another. `label` is what to write for the event (empty where the picture says it already)."""

    id: str
    source: str
    target: str
    event: str = ""
    label: str = ""
    condition: str = ""
    for_each: str = ""
    kind: EdgeKind = EdgeKind.NORMAL
    is_back: bool = False

    @property
    def note(self) -> str:
        """What is written under the event: what the flow fans out over, or when the edge is taken."""
        each = f"each {self.for_each}" if self.for_each else ""
        return " · ".join(part for part in (each, self.condition) if part)


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes that belong together. kind: loop (they can reach each other), fan-out (the opener, then those that join)."""

    id: str
    kind: str
    title: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """A drawn flow. Nodes and edges stand in the order of the flow, so the same flow gives the same picture."""

    name: str
    title: str
    description: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    groups: tuple[NodeGroup, ...] = ()
