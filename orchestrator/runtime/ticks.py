"""What can happen to a run, and what the reducer asks the shell to do. Plain records; never changed after they are made.

Every tick has `seq` (its place in the run's log, from 0), `at` (epoch seconds) and `cause` (the seq of the tick that led to
it, -1 for outside causes). An emission is `(event type, payload, target step or None)`; a `Fan` opens a group of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orchestrator.runtime.state import Activation, EventRef, Payload, Status, Timer

Emission = tuple[str, Payload, str | None]
StateOp = tuple[str, tuple[str | int, ...], Any]  # ("set" | "append" | "delete", path, value); ("clear", (), None)
ErrorRecord = dict[str, Any]  # {code, message, step, attempt, details}


@dataclass(slots=True, repr=False, eq=False)
class Fan:
    """A fan-out: its members are emitted as one group. `is_list` marks an `{all: [...]}` of different events."""

    site: str
    members: tuple[Emission, ...]
    is_list: bool = False


@dataclass(slots=True, repr=False, eq=False)
class Started:
    """The run began with a start event; `vars` is the initial state."""

    seq: int
    at: float
    cause: int
    type: str
    value: Payload
    inputs: Any = None
    vars: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    deadline: float | None = None


@dataclass(slots=True, repr=False, eq=False)
class EventIn:
    """An event came from outside: a person, another run, a webhook. `dedup` makes a repeated delivery harmless."""

    seq: int
    at: float
    cause: int
    type: str
    value: Payload
    target: str | None = None
    dedup: str | None = None
    sender: str | None = None


@dataclass(slots=True, repr=False, eq=False)
class Delivered:
    """The outcome of a step's `when`, `key`, `until` and `within` for one event."""

    seq: int
    at: float
    cause: int
    event: int
    step: str
    passes: bool
    key: Any = None
    closes: bool = False
    due: float | None = None
    error: ErrorRecord | None = None
    count: int | None = None


@dataclass(slots=True, repr=False, eq=False)
class StepStarted:
    """An attempt begins; `input` is what the call gets, `writes` what `set` changed. `phase` is a Phase's value."""

    seq: int
    at: float
    cause: int
    act: int
    attempt: int
    step: str = ""
    phase: str = "main"
    input: Any = None
    writes: tuple[StateOp, ...] = ()
    parks: bool = False
    child: str | None = None
    wait: Any = None  # WaitOpened-like data of a YAML wait: {"type", "match", "due"}
    request: Any = None  # the rendered request of an `ask`
    deadline: float | None = None
    children: tuple[str, ...] = ()  # of a `for_each` over a flow: the first runs


@dataclass(slots=True, repr=False, eq=False)
class StepSettled:
    """An attempt ended.

    With `again_at` the activation stays: it runs again then, as `phase`. Otherwise it is over: with `error` unless
    `is_handled` the run fails; else `emitted` goes out. `posts` are (run id, type, payload, dedup) for other runs.
    """

    seq: int
    at: float
    cause: int
    act: int
    attempt: int
    emitted: tuple[Emission | Fan, ...] = ()
    result: Any = None
    error: ErrorRecord | None = None
    is_handled: bool = False
    writes: tuple[StateOp, ...] = ()
    posts: tuple[tuple[str, str, Payload, str], ...] = ()
    again_at: float | None = None
    again_as: str | None = None
    is_poll: bool = False
    cancels: bool = False
    drain_s: float | None = None


@dataclass(slots=True, repr=False, eq=False)
class Flushed:
    """Staged sends and writes of a running attempt were committed early, at a wait or `ctx.flush()`.

    `path` is remembered, so that the body does not commit them again when it runs from the top; `calls` are the answers it
    got from its context until then. `act` 0 is a write from outside the steps.
    """

    seq: int
    at: float
    cause: int
    act: int
    attempt: int
    emitted: tuple[Emission | Fan, ...] = ()
    writes: tuple[StateOp, ...] = ()
    posts: tuple[tuple[str, str, Payload, str], ...] = ()
    path: str = ""
    calls: tuple[Any, ...] = ()


@dataclass(slots=True, repr=False, eq=False)
class Progress:
    """A call inside a body has a result; it is found again under `path` when the body runs from the top."""

    seq: int
    at: float
    cause: int
    act: int
    path: str
    value: Any
    writes: tuple[StateOp, ...] = ()
    data: Any = None


@dataclass(slots=True, repr=False, eq=False)
class Collected:
    """A body added its event to a named buffer; `expected` are the types that complete it."""

    seq: int
    at: float
    cause: int
    act: int
    buffer: str
    type: str
    value: Payload
    expected: tuple[str, ...]


@dataclass(slots=True, repr=False, eq=False)
class WaitOpened:
    """A body waits for an event; `announce` is shown to readers, once. `request_id` marks a question of the functional API."""

    seq: int
    at: float
    cause: int
    act: int
    path: str
    type: str
    match: dict[str, Any] | None = None
    due: float | None = None
    announce: Emission | None = None
    request_id: str | None = None


@dataclass(slots=True, repr=False, eq=False)
class WaitClosed:
    """A body no longer waits, for a reason of its own."""

    seq: int
    at: float
    cause: int
    act: int
    path: str


@dataclass(slots=True, repr=False, eq=False)
class ChildOpened:
    """A body started a child run; its end is found under `path`."""

    seq: int
    at: float
    cause: int
    act: int
    path: str
    child: str


@dataclass(slots=True, repr=False, eq=False)
class TimerFired:
    """A timer came due."""

    seq: int
    at: float
    cause: int
    timer: int


@dataclass(slots=True, repr=False, eq=False)
class Answer:
    """Somebody acted on a request: `action` is answer, claim, release, delegate or edit. Eligibility is data in `who`."""

    seq: int
    at: float
    cause: int
    request: str
    action: str
    who: dict[str, Any]  # {"user": name, "groups": [names]}
    form: dict[str, Any] = field(default_factory=dict)
    revision: int | None = None
    item: int | None = None


@dataclass(slots=True, repr=False, eq=False)
class ChildSettled:
    """A child run ended."""

    seq: int
    at: float
    cause: int
    child: str
    status: str
    type: str = ""
    value: Payload = None
    error: ErrorRecord | None = None


@dataclass(slots=True, repr=False, eq=False)
class Cancel:
    """End the run: `status` is cancelled, timeout or failed."""

    seq: int
    at: float
    cause: int
    status: str = "cancelled"
    reason: str = ""
    error: ErrorRecord | None = None


@dataclass(slots=True, repr=False, eq=False)
class Streamed:
    """An event that is only shown to readers. In memory the log holds it bare, as `(payload, act, attempt)`."""

    seq: int
    at: float
    cause: int
    act: int
    attempt: int
    type: str
    value: Payload


@dataclass(slots=True, repr=False, eq=False)
class Migrated:
    """An operator moved the run to another version of its flow, or changed its state in a fork (`writes`)."""

    seq: int
    at: float
    cause: int
    flow_hash: str
    writes: tuple[StateOp, ...] = ()


Tick = (
    Started
    | EventIn
    | Delivered
    | StepStarted
    | StepSettled
    | Flushed
    | Progress
    | Collected
    | WaitOpened
    | WaitClosed
    | ChildOpened
    | TimerFired
    | Answer
    | ChildSettled
    | Cancel
    | Streamed
    | Migrated
)


# Commands.
# An Activation in a command list means: prepare and start its next attempt.


@dataclass(slots=True, repr=False, eq=False)
class Guard:
    """Evaluate `when`, `key`, `until`, `within` of `step` for `event` and answer with Delivered."""

    step: str
    event: EventRef


@dataclass(slots=True, repr=False, eq=False)
class CancelTask:
    """Cancel the body of an activation that is no longer part of the run."""

    act: Activation


@dataclass(slots=True, repr=False, eq=False)
class SetTimer:
    """Arm a timer."""

    timer: Timer


@dataclass(slots=True, repr=False, eq=False)
class ClearTimer:
    """Disarm a timer."""

    timer: int


@dataclass(slots=True, repr=False, eq=False)
class Wake:
    """A wait, request, child or collect of an activation has its answer. kind: event, timeout, answer, child, collect."""

    act: Activation
    path: str
    kind: str
    value: Any


@dataclass(slots=True, repr=False, eq=False)
class Post:
    """Deliver an event to another run."""

    run_id: str
    type: str
    value: Payload
    dedup: str


@dataclass(slots=True, repr=False, eq=False)
class StartChild:
    """Create and start a child run."""

    act: Activation
    child: str


@dataclass(slots=True, repr=False, eq=False)
class CancelChild:
    """Cancel a child run."""

    child: str


@dataclass(slots=True, repr=False, eq=False)
class Notify:
    """Tell people about a request: opened, answered, claimed, reminded, escalated, closed; `closed` is it as it ended.

    `number` is that of the entry of its history, from 1 on; 0 for its opening.
    """

    request: str
    what: str
    closed: Any = None  # a people.Request
    number: int = 0


@dataclass(slots=True, repr=False, eq=False)
class Finish:
    """The run is over."""

    status: Status


Command = (
    Activation | Guard | CancelTask | SetTimer | ClearTimer | Wake | Post | StartChild | CancelChild | Notify | Finish
)
