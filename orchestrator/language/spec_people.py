"""What a flow file says of requests to people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from orchestrator.ir.record import record
from orchestrator.language.nodes import MapNode
from orchestrator.language.spec_parts import FieldSpec, Located, Name, TimeSpec
from orchestrator.language.template_text import Value


@record
class AudienceSpec:
    """Who may answer; each part is a list of texts, or one expression that gives the list."""

    node: MapNode
    users: Value | None = None
    groups: Value | None = None
    exclude: Value | None = None


@record
class EscalateSpec:
    node: MapNode
    after: TimeSpec
    to: AudienceSpec


@record
class QuorumSpec:
    """How many answers a verdict needs: a number, or one per group."""

    verdict: Name
    count: Located[int] | None = None
    groups: Mapping[str, Located[int]] = field(default_factory=dict)


@record
class ShowSpec:
    node: MapNode
    body: Value | None = None
    content: Value | None = None
    diff: Name | None = None


@record
class AskSpec:
    """A request to people."""

    node: MapNode
    title: Value | None = None
    description: Value | None = None
    show: ShowSpec | None = None
    form: Mapping[str, FieldSpec] = field(default_factory=dict)
    edit: Name | None = None
    to: AudienceSpec | None = None
    quorum: Mapping[str, QuorumSpec] = field(default_factory=dict)
    remind: tuple[TimeSpec, ...] = ()
    escalate: EscalateSpec | None = None
    deadline: TimeSpec | None = None
    delegate: bool = False
