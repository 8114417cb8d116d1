"""What every construct of a flow file is made of: located values, times, typed fields."""

from __future__ import annotations

from typing import Generic, TypeVar

from orchestrator.diagnostics import Span
from orchestrator.ir.durations import DateMoment, Duration, WeeklyMoment
from orchestrator.ir.record import record
from orchestrator.language.nodes import Node, PlainData
from orchestrator.language.template_text import ExprSource
from orchestrator.language.types import FieldType, TypeIR

T = TypeVar("T")


@record
class Located(Generic[T]):
    """A value and the node it was read from."""

    value: T
    node: Node

    @property
    def span(self) -> Span:
        return self.node.span


Name = Located[str]


TimeSpec = Located[Duration] | Located[WeeklyMoment] | Located[DateMoment] | ExprSource


@record
class FieldSpec:
    """A named, typed field of inputs, outputs, an event or a form."""

    name: Name
    type: TypeIR
    node: Node
    has_default: bool = False
    default: PlainData = None
    description: str = ""

    @property
    def field_type(self) -> FieldType:
        return FieldType(self.type, self.has_default, self.default, self.description)
