"""A flow file as values: one dataclass per construct of LANGUAGE.md, every part with its place. Decides nothing.

Text that may hold expressions is a `Value`; a bare expression is an `ExprSource`; what a finding may point to is a
`Located`. Nothing here is resolved: names of events, steps and callables are as written, and the linker looks them up.
Defaults (`defaults:`) are already applied to the steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Generic, TypeVar

from orchestrator.diagnostics import Span
from orchestrator.ir.durations import DateMoment, Duration, WeeklyMoment
from orchestrator.ir.record import record
from orchestrator.language.nodes import MapNode, Node, PlainData, ScalarNode
from orchestrator.language.template_text import ExprSource, MapValue, Value
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


@record
class StateSpec:
    """A key of the state: its first value, and its type where the long form gives one."""

    name: Name
    value: PlainData
    type: TypeIR | None
    node: Node
    description: str = ""


@record
class EventSpec:
    """A declared event. `type` is set instead of `fields` for an imported model or a JSON Schema."""

    name: Name
    fields: Mapping[str, FieldSpec]
    node: Node
    type: TypeIR | None = None
    is_external: bool = False
    description: str = ""


@record
class ImportSpec:
    """`kind` is `flow` (target a path in the project) or `python` (target `module:Name`)."""

    name: Name
    kind: str
    target: Name


@record
class CallSpec:
    """A callable's name and its arguments."""

    target: Name
    with_: MapValue | None = None


@record
class RetrySpec:
    """`max` counts all attempts."""

    node: MapNode
    max: Located[int] | None = None
    delay: Located[Duration] | None = None
    backoff: Located[float] | None = None
    max_delay: Located[Duration] | None = None
    jitter: Name | None = None
    errors: tuple[Name, ...] = ()
    condition: ExprSource | None = None


@record
class RepeatSpec:
    """Polling."""

    node: MapNode
    until: ExprSource
    every: Located[Duration] | None = None
    max: Located[int] | None = None
    within: TimeSpec | None = None


@record
class CacheSpec:
    """Reuse of results across runs."""

    node: MapNode
    key: ExprSource
    ttl: Located[Duration] | None = None


@record
class RateSpec:
    """`count` starts per `per_s` seconds."""

    count: int
    per_s: float
    node: ScalarNode

    @property
    def span(self) -> Span:
        return self.node.span


@record
class CatchSpec:
    """One entry of `catch`. `event` is an event, a step or `none`."""

    node: MapNode
    errors: tuple[Name, ...]
    event: Name
    with_: MapValue | None = None


@record
class EmitEntry:
    """One way out: `event` is an event, a step, `Stop`, `Failed` or `none`; `outcome` is set in the short form."""

    node: Node
    event: Name
    when: ExprSource | None = None
    outcome: Name | None = None
    with_: MapValue | None = None
    set: MapValue | None = None
    for_each: ExprSource | None = None
    cancels: bool = False
    drain: Located[Duration] | None = None

    @property
    def span(self) -> Span:
        return self.event.span


@record
class EmitSpec:
    """`mode`: `first` (first match wins), `all` (every match, as one group), `outcomes` (the short form of an ask)."""

    node: Node
    mode: str
    entries: tuple[EmitEntry, ...]

    @property
    def span(self) -> Span:
        return self.node.span


@record
class CollectSpec:
    """`mode`: `all each count first until`. `each` is empty where the list of `on` counts."""

    node: Node
    mode: str
    each: tuple[Name, ...] = ()
    count: Located[int] | ExprSource | None = None
    until: ExprSource | None = None
    until_event: Name | None = None
    key: ExprSource | None = None
    within: TimeSpec | None = None
    on_timeout: Name | None = None
    cancels_rest: bool = False
    by_arrival: bool = False

    @property
    def span(self) -> Span:
        return self.node.span


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


@record
class WaitSpec:
    """`until` for a time, else `event` with what it must match."""

    node: Node
    until: TimeSpec | None = None
    event: Name | None = None
    match: MapValue | None = None
    within: TimeSpec | None = None


@record
class StepSpec:
    """A step. At most one of `call`, `ask`, `wait` is set; `keys` gives the node of each key, defaults included."""

    name: Name
    node: MapNode
    keys: Mapping[str, ScalarNode]
    title: Value | None = None
    description: str = ""
    on: tuple[Name, ...] | None = None
    when: ExprSource | None = None
    collect: CollectSpec | None = None
    for_each: ExprSource | None = None
    set: MapValue | None = None
    call: CallSpec | None = None
    ask: AskSpec | None = None
    wait: WaitSpec | None = None
    id: Value | None = None
    cache: CacheSpec | None = None
    concurrency: Located[int] | None = None
    rate: RateSpec | None = None
    timeout: Located[Duration] | None = None
    deadline: TimeSpec | None = None
    effect: Name | None = None
    placement: Name | None = None
    retry: RetrySpec | None = None
    repeat: RepeatSpec | None = None
    fallback: CallSpec | None = None
    catch: tuple[CatchSpec, ...] = ()
    catches_items: bool = False
    finally_: CallSpec | None = None
    undo: CallSpec | None = None
    emit: EmitSpec | None = None
    max_visits: Located[int] | None = None
    has_unlimited_visits: bool = False

    @property
    def verb(self) -> str | None:
        return "call" if self.call else "ask" if self.ask else "wait" if self.wait else None

    def key_span(self, key: str) -> Span:
        """The span of a key of this step, or of its name where the key is not written."""
        node = self.keys.get(key)
        return self.name.span if node is None else node.span


@record
class VerifySpec:
    node: MapNode
    hmac: Name
    header: Name


@record
class TriggerSpec:
    """What starts runs by itself; `kind` is `cron`, `webhook` or `event`."""

    node: MapNode
    kind: str
    cron: Name | None = None
    timezone: Name | None = None
    path: Name | None = None
    method: str = "POST"
    verify: VerifySpec | None = None
    event: Name | None = None
    when: ExprSource | None = None
    inputs: MapValue | None = None


@record
class ConcurrencySpec:
    node: MapNode
    mode: Name | None = None
    key: ExprSource | None = None
    max: Located[int] | None = None


@record
class TestEvent:
    """An event that comes from outside in a test, `after` the start of the run."""

    __test__ = False  # pytest: no test class

    node: MapNode
    event: Name
    after: Located[Duration] | None = None
    with_: PlainData = None


@record
class ExpectSpec:
    """What a test demands; a part that is None is not looked at."""

    node: MapNode
    path: tuple[Name, ...] | None = None
    outputs: PlainData = None
    failed: Name | None = None
    events: tuple[Name, ...] | None = None
    waiting: tuple[Name, ...] | None = None


@record
class TestSpec:
    """One entry of `tests`. `mocks` and `answers` are keyed by step (`step.fallback` and so on) and hold plain data."""

    __test__ = False  # pytest: no test class

    name: Name
    node: MapNode
    inputs: MapNode | None = None
    mocks: Mapping[str, Located[PlainData]] = field(default_factory=dict)
    answers: Mapping[str, tuple[Located[PlainData], ...]] = field(default_factory=dict)
    events: tuple[TestEvent, ...] = ()
    expect: ExpectSpec | None = None
    mock_keys: Mapping[str, ScalarNode] = field(default_factory=dict)
    answer_keys: Mapping[str, ScalarNode] = field(default_factory=dict)


@record
class FlowSpec:
    """A whole flow file."""

    name: Name
    node: MapNode
    steps: Mapping[str, StepSpec]
    format: int = 1
    version: Located[int | str] | None = None
    title: str = ""
    description: str = ""
    timezone: Name | None = None
    imports: Mapping[str, ImportSpec] = field(default_factory=dict)
    inputs: Mapping[str, FieldSpec] = field(default_factory=dict)
    outputs: Mapping[str, FieldSpec] = field(default_factory=dict)
    state: Mapping[str, StateSpec] = field(default_factory=dict)
    secrets: tuple[Name, ...] = ()
    events: Mapping[str, EventSpec] = field(default_factory=dict)
    defaults: MapNode | None = None
    triggers: tuple[TriggerSpec, ...] = ()
    concurrency: ConcurrencySpec | None = None
    timeout: Located[Duration] | None = None
    tests: tuple[TestSpec, ...] = ()
    extensions: Mapping[str, PlainData] = field(default_factory=dict)
