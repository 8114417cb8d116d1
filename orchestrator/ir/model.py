"""The data that a flow is: events, steps, joins, fan-outs, people, policies. Knows no YAML, no Python object, no clock.

A `Value` is JSON in which expressions are marked: `{"$expr": "source"}` is a whole-value expression, `{"$text": [...]}` is
text with expressions in it, `{"$lit": {...}}` is a mapping that has a key starting with `$`. An `Expr` is source text.
Durations are seconds (float); a `When` is a Value that renders to a duration text or a moment.
`origin` and `description` are left out of the content hash: comments and layout never make a new version.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from orchestrator.ir.record import Record, record

Value = Any  # JSON with marked expressions; see the docstring
Json = Any  # plain JSON
Expr = str


@record
class Origin(Record):
    """Where something was written: a YAML span or a Python `def`. 1-based; not part of the hash."""

    file: str
    line: int
    column: int = 1
    end_line: int = 0
    end_column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@record
class EventIR(Record):
    """An event type. `kind` is plain, start, stop, ask (asks somebody outside), answer, failed, cancelled or step.

    `bases` are the event types it is a kind of; they count only for steps with `accepts_subclasses`.
    """

    name: str
    schema: Json = True
    kind: str = "plain"
    external: bool = False
    bases: tuple[str, ...] = ()
    description: str = ""
    origin: Origin | None = None


@record
class JoinIR(Record):
    """Fan-in in front of a step.

    mode: all (every member of the fan-out group has settled), each (one of every event in `events`), count, first
    (later members are consumed without firing), until (`until` holds, or `until_event` came).
    `key` groups by value. `fires_on_close`: a group that closes with fewer than `count` fires with what is there.
    `count_expr` gives the number instead of `count`; it is asked once per group, with its first event as `ev`.
    """

    mode: str
    events: tuple[str, ...] = ()
    count: int = 0
    key: Expr | None = None
    until: Expr | None = None
    until_event: str | None = None
    within: Value = None
    on_timeout: str | None = None
    cancels_rest: bool = False
    by_arrival: bool = False
    fires_on_close: bool = False
    count_expr: Expr | None = None
    origin: Origin | None = None


@record
class FillIR(Record):
    """A field of an emitted event that was left out, and where it is taken from (`source`).

    source: result (`result[field]`), ev (`ev[field]`, null if it has none), scalar (the result itself), error
    (`error[field]`), or auto, where the type of the result is not known: `result[field]` if the result is a mapping that
    has it, else `ev[field]` if `ev` has it, else the result itself.
    """

    field: str
    source: str


@record
class EmitEntryIR(Record):
    """One way out of a step. `event` None is `none`.

    `starts` names the step that is started: `event` is then that step's own `<step>.start`, which only it accepts, so
    routing by event name is enough. `drain_s` overrides the flow's for this `Stop`.
    """

    event: str | None
    when: Expr | None = None
    with_: dict[str, Value] = field(default_factory=dict)
    fill: tuple[FillIR, ...] = ()
    set: dict[str, Value] = field(default_factory=dict)
    for_each: Expr | None = None
    starts: str | None = None
    cancels: bool = False
    drain_s: float | None = None
    site: str = ""
    origin: Origin | None = None


@record
class EmitIR(Record):
    """What a step emits: the first entry whose `when` holds, or (`takes_all`) every one, as one group."""

    entries: tuple[EmitEntryIR, ...]
    takes_all: bool = False
    site: str = ""


@record
class RetryIR(Record):
    """Attempts in all and the delays between them; `errors` are code patterns, empty means any error."""

    max: int = 1
    delay_s: float = 0.0
    backoff: float = 1.0
    max_delay_s: float | None = None
    jitter: str = "none"
    errors: tuple[str, ...] = ()
    condition: Expr | None = None


@record
class RepeatIR(Record):
    """Polling: run again every `every_s` until `until` holds, at most `max` times and `within`."""

    until: Expr
    every_s: float
    max: int | None = None
    within: Value = None


@record
class RateIR(Record):
    """At most `count` starts in any `per_s` seconds."""

    count: int
    per_s: float


@record
class CacheIR(Record):
    """Reuse a result across runs for `ttl_s` seconds (None: until evicted) under `key`."""

    key: Value
    ttl_s: float | None = None


@record
class PolicyIR(Record):
    """Limits of one step. `concurrency` None is unlimited; `timeout_s` bounds one attempt, `deadline` all of them.

    `max_visits` None is unlimited; `has_default_bound` says that the number is the default, not the author's.
    """

    concurrency: int | None = None
    rate: RateIR | None = None
    timeout_s: float | None = None
    deadline: Value = None
    retry: RetryIR | None = None
    repeat: RepeatIR | None = None
    max_visits: int | None = None
    has_default_bound: bool = False
    effect: str | None = None
    placement: str | None = None


@record
class CatchIR(Record):
    """Turn an error whose code matches `errors` into an event."""

    errors: tuple[str, ...]
    event: str | None
    with_: dict[str, Value] = field(default_factory=dict)
    fill: tuple[FillIR, ...] = ()
    starts: str | None = None
    origin: Origin | None = None


@record
class CallIR(Record):
    """A call of a registered callable or of a flow (`flow.x`)."""

    target: str
    with_: dict[str, Value] = field(default_factory=dict)
    origin: Origin | None = None


@record
class ForEachIR(Record):
    """Run the step's body once per item, `concurrency` at a time; `keeps_errors` makes a failed item `{error}`."""

    items: Expr
    keeps_errors: bool = False


@record
class AudienceIR(Record):
    """Who may answer. Values render to names; `exclude` always wins."""

    users: Value = ()
    groups: Value = ()
    exclude: Value = ()


@record
class EscalateIR(Record):
    """After `after`, the request is open to `to` as well."""

    after: Value
    to: AudienceIR


@record
class AskIR(Record):
    """A request to people.

    Shape: form is a JSON Schema object; verdict_field names its field whose enum gives buttons and outcomes (None: a
    single outcome `answered`); quorum maps verdict -> count or {group: count}; missing verdicts need one answer.
    `undecided_as_timeout`: the step has a branch for `timeout` and none for `undecided`, so that the outcome of a
    request that can reach no quorum any more reads `timeout`.
    """

    title: Value
    show: dict[str, Value] = field(default_factory=dict)
    form: Json = field(default_factory=dict)
    verdict_field: str | None = None
    verdicts: tuple[str, ...] = ()
    edit: str | None = None
    to: AudienceIR | None = None
    quorum: dict[str, Any] = field(default_factory=dict)  # int or {group: int}
    remind: tuple[Value, ...] = ()
    escalate: EscalateIR | None = None
    deadline: Value = None
    may_delegate: bool = False
    undecided_as_timeout: bool = False


@record
class WaitIR(Record):
    """Wait for a time (`until`), or for an event whose fields equal `match`, at most `within`."""

    until: Value = None
    event: str | None = None
    match: dict[str, Value] = field(default_factory=dict)
    within: Value = None


@record
class BodyIR(Record):
    """What a step does. `kind`: none, call, ask, wait, python (a method or function), procedure (a whole function)."""

    kind: str = "none"
    call: CallIR | None = None
    ask: AskIR | None = None
    wait: WaitIR | None = None
    ref: str = ""


@record
class StepIR(Record):
    """A step: what it takes, what it does, what it may emit, and the policy around it.

    `emits` are all events it may emit (for routing, drawing, checks). `emit` is the data-driven rule of a YAML step; for a
    Python body it is None and the body returns events. `fans` are sites (see EmitEntryIR.site) at which it opens groups.
    `recovers` names the steps whose failures a Python catch handler takes (`("*",)`: all), `max_recoveries` per line.
    `optional_fields` are fields of `ev` that some accepted event lacks or may leave out: they read as null then.
    """

    name: str
    accepts: tuple[str, ...] = ()
    emits: tuple[str, ...] = ()
    body: BodyIR = field(default_factory=BodyIR)
    guard: Expr | None = None
    set: dict[str, Value] = field(default_factory=dict)
    join: JoinIR | None = None
    for_each: ForEachIR | None = None
    emit: EmitIR | None = None
    policy: PolicyIR = field(default_factory=PolicyIR)
    key: Value = None
    cache: CacheIR | None = None
    catch: tuple[CatchIR, ...] = ()
    fallback: CallIR | None = None
    finally_: CallIR | None = None
    undo: CallIR | None = None
    fans: tuple[str, ...] = ()
    accepts_subclasses: bool = False
    optional_fields: tuple[str, ...] = ()
    recovers: tuple[str, ...] = ()
    max_recoveries: int = 1
    is_inline: bool = False
    title: str = ""
    description: str = ""
    origin: Origin | None = None


@record
class TriggerIR(Record):
    """What starts runs by itself: kind cron, webhook or event."""

    kind: str
    cron: str = ""
    timezone: str = ""
    path: str = ""
    method: str = "POST"
    verify: dict[str, Any] = field(default_factory=dict)  # {"hmac": secret name, "header": header name}
    event: str = ""
    when: Expr | None = None
    inputs: dict[str, Value] = field(default_factory=dict)
    origin: Origin | None = None


@record
class AdmissionIR(Record):
    """Flow concurrency: mode parallel, queue, restart or single; per `key`; `max` runs at a time."""

    mode: str = "parallel"
    key: Value = None
    max: int | None = None


@record
class FlowIR(Record):
    """A whole flow.

    kind: yaml, class or function. `start` and `stop` are event names. `drain_s`: how long a Stop lets side branches end
    (0: they are cancelled at once). `joins_of` maps a fan-out site to the steps that join its groups; see ir.link.
    """

    name: str
    kind: str = "yaml"
    version: int = 0
    events: dict[str, EventIR] = field(default_factory=dict)
    steps: dict[str, StepIR] = field(default_factory=dict)
    start: str = "Start"
    stop: tuple[str, ...] = ("Stop",)
    inputs: Json = field(default_factory=dict)
    outputs: Json = field(default_factory=dict)
    state: dict[str, Value] = field(default_factory=dict)
    state_schema: Json = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    imports: dict[str, str] = field(default_factory=dict)
    triggers: tuple[TriggerIR, ...] = ()
    admission: AdmissionIR = field(default_factory=AdmissionIR)
    timezone: str = "UTC"
    timeout: Value = None
    drain_s: float = 30.0
    joins_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    title: str = ""
    description: str = ""
    origin: Origin | None = None
