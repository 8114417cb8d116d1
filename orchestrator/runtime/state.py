"""What a run is at one moment: plain mutable records with one writer, the reducer. Knows no clock, task or journal.

Theory. A run is a set of *activations* (one step with the events that fired it), the *joins* that collect events before a
step, the *groups* that fan-outs opened, the *waits* and *requests* through which the outside can act, and *timers*.
Every event carries its *scope*: the member of the fan-out group it descends from (None at the run's level).

Invariants
 I1  scope.live = undelivered events + activations + open inner groups + timed join buffers that descend from the member.
 I2  group.open = members whose live count is not zero; a group closes exactly once, when it reaches zero.
 I3  state.busy = activations that are not parked + deliveries whose guard is being evaluated.
 I4  after the terminal tick no tick changes the state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the plan holds bodies, which know activations
    from orchestrator.runtime.plan import StepPlan

Payload = Any  # a live event object of a Python workflow, or a plain mapping of a YAML flow
Line = dict[str, int]  # visits per bounded step and recoveries per handler along one causal line


class Status(StrEnum):
    """Where a run is in its life."""

    NEW = "new"
    RUNNING = "running"
    STOPPING = "stopping"
    CLEANING = "cleaning"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    PARKED = "parked"


TERMINAL = frozenset({Status.DONE, Status.FAILED, Status.CANCELLED, Status.TIMEOUT})


class Scope:
    """A member of a fan-out group."""

    __slots__ = ("group", "index", "live")

    def __init__(self, group: Group, index: int) -> None:
        self.group = group
        self.index = index
        self.live = 0


class Group:
    """An open fan-out. `collected` maps a joining step to what came, in order of arrival."""

    __slots__ = ("collected", "fired", "id", "is_list", "open", "parent", "site", "size")

    def __init__(self, id: int, site: str, parent: Scope | None, size: int, is_list: bool) -> None:
        self.id = id
        self.site = site
        self.parent = parent
        self.size = size
        self.is_list = is_list
        self.open = size
        self.collected: dict[str, list[Any]] = {}  # (path, event) or (path, event, key), see joins
        self.fired: set[str] = set()


class EventRef:
    """An event on its way: type name and payload, with the scope and line it descends from."""

    __slots__ = ("id", "line", "scope", "type", "value")

    def __init__(self, id: int, type: str, value: Payload, scope: Scope | None, line: Line | None) -> None:
        self.id = id
        self.type = type
        self.value = value
        self.scope = scope
        self.line = line


class Phase(StrEnum):
    """Which of a step's calls an activation makes."""

    MAIN = "main"
    FALLBACK = "fallback"
    FINALLY = "finally"
    UNDO = "undo"


class Activation:
    """One firing of a step, over all its attempts. The fields under `shell` belong to the actor, not to the state."""

    __slots__ = (
        "__dict__",
        "cause",
        "context",
        "events",
        "first_at",
        "has_slot",
        "id",
        "is_running",
        "line",
        "scope",
        "stage",
        "started_at",
        "step",
        "task",
    )
    # What few activations need stands here until one has its own.
    phase = Phase.MAIN
    attempt = 1
    failures = 0
    polls = 0
    waits = 0
    input: Any = None  # rendered `with` of a YAML step; None for Python
    error: dict[str, Any] | None = None  # the last failure, or the reason it must fail at once
    outcome: Any = None  # result kept for undo and finally
    pending: Any = None  # the settled tick whose events wait for `finally`
    record: dict[str, Any] | None = None  # call path -> recorded value
    owned: list[tuple[str, Any]] | None = None  # timers, requests and children that end with it
    is_doomed = False  # the next attempt fails with `error` instead of running
    closing: EventRef | None = None  # the event that closed an `until` join
    collects: list[Any] | None = None  # moves on named buffers, to take back if the attempt fails
    collected: list[Any] | None = None  # what the last `collect_events` gave
    resume: list[Any] | None = None  # wakes that wait for a slot of the step
    # shell
    limit: Any = None  # the asyncio.Timeout of the attempt
    exception: BaseException | None = None  # the live exception behind `error`
    is_cancelled = False

    def __init__(
        self, id: int, step: StepPlan, events: tuple[EventRef, ...], scope: Scope | None, line: Line | None, cause: int
    ) -> None:
        self.id = id
        self.step = step
        self.events = events
        self.scope = scope
        self.line = line
        self.cause = cause
        self.has_slot = False
        self.is_running = False
        self.started_at = self.first_at = 0.0
        # shell
        self.task: Any = None
        self.stage: Any = None
        self.context: Any = None


@dataclass(slots=True, repr=False, eq=False)
class JoinBuffer:
    """Events in front of a join that has not released. `queues` (per type) serve `each`, `events` the other modes."""

    step: str
    key: Any
    scope: Scope | None
    events: list[EventRef] = field(default_factory=list)
    queues: dict[str, deque[EventRef]] = field(default_factory=dict)
    fired: bool = False
    timer: int | None = None
    held: Scope | None = None
    count: int = 0


@dataclass(slots=True, repr=False, eq=False)
class Wait:
    """An open wait of a body: the next event of `type` whose fields equal `match` answers it."""

    id: int
    act: int
    path: str
    type: str
    match: dict[str, Any] | None
    timer: int | None = None
    request_id: str | None = None
    asked: Any = None  # what a question of a function shows


@dataclass(slots=True, repr=False, eq=False)
class Timer:
    """A due time and what it is for."""

    id: int
    due: float
    kind: str
    ref: Any
    data: Any = None


@dataclass(slots=True, repr=False, eq=False)
class Undo:
    """A finished step that knows how to be undone."""

    step: str
    events: tuple[EventRef, ...]
    input: Any
    result: Any
    status: str = "done"
    phase: Phase = Phase.UNDO
    error: dict[str, Any] | None = None


class RunState:
    """All of a run. What a run never needs is never made: an idle run of a small flow is a few hundred bytes.

    A collection that is not there yet is made when it is first asked for (`_MAKE`); `drop_work` forgets those of the work.
    """

    __slots__ = (
        "acts",
        "buffers",
        "busy",
        "children",
        "cleanup",
        "ended_at",
        "error",
        "final",
        "groups",
        "inputs",
        "joins",
        "made",
        "meta",
        "next_id",
        "open_waits",
        "pending",
        "queues",
        "rates",
        "requests",
        "result",
        "running",
        "seen",
        "seq",
        "started_at",
        "status",
        "timers",
        "unclaimed",
        "undo",
        "vars",
        "waits",
    )
    acts: dict[int, Activation]
    buffers: dict[tuple[str, str], dict[str, deque[Any]]]
    children: dict[str, int]
    cleanup: list[Undo]
    groups: dict[int, Group]
    joins: dict[tuple[str, Any], JoinBuffer]
    meta: dict[str, Any]
    open_waits: dict[int, dict[str, Wait]]
    pending: dict[tuple[int, str], EventRef]
    queues: dict[str, deque[Activation]]
    rates: dict[str, deque[float]]
    requests: dict[str, Any]
    running: dict[str, int]
    seen: set[str]
    timers: dict[int, Timer]
    unclaimed: dict[str, deque[EventRef]]
    undo: list[Undo]
    vars: dict[str, Any]
    waits: dict[str, Any]  # the index of runtime.waiting

    def __init__(self) -> None:
        self.status = Status.NEW
        self.seq = 0
        self.next_id = 1
        self.started_at = 0.0
        self.ended_at = 0.0
        self.inputs: Any = None
        self.acts = {}
        self.vars = {}
        self.busy = 0
        self.result: EventRef | None = None
        self.error: dict[str, Any] | None = None
        self.final = Status.DONE
        self.made: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:  # the collection of that name
        make = _MAKE.get(name)
        if make is None:
            raise AttributeError(name)
        value = make()
        setattr(self, name, value)
        self.made += (name,)
        return value

    def drop_work(self) -> None:
        """Forget everything that is under way; drivers that hold `acts` see it empty."""
        self.acts.clear()
        made = self.made
        self.made = tuple(name for name in made if name not in WORK)
        for name in made:
            if name in WORK:
                delattr(self, name)
        self.busy = 0

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.status in TERMINAL


WORK = frozenset({"buffers", "children", "groups", "joins", "open_waits", "pending", "queues", "running", "waits"})
_MAKE: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(
        ("buffers", "children", "groups", "joins", "meta", "open_waits", "pending", "queues", "rates"), dict
    ),
    **dict.fromkeys(("requests", "running", "timers", "unclaimed", "waits"), dict),
    **dict.fromkeys(("cleanup", "undo"), list),
    "seen": set,
}
ALL = frozenset(_MAKE)
