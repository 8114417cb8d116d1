"""A flow made ready to run: FlowIR with its routes as tables and its steps bound to bodies. Built once per flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.ir.link import routes
from orchestrator.ir.model import FlowIR, JoinIR, RateIR, StepIR
from orchestrator.runtime.limits import DEFAULT_LIMITS, RunLimits

if TYPE_CHECKING:  # bodies work on the actor, which holds a plan
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.state import Activation, EventRef
    from orchestrator.runtime.ticks import Delivered, Started, StepSettled, StepStarted, Wake


class StepBody(Protocol):
    """What a step does, in the shell. `prepare`, `settle` and `fail` are pure; `perform` has effects."""

    is_plain: bool  # nothing to prepare: the attempt starts with an empty StepStarted
    is_pure: bool  # no effect: need not wait for the commit of what came before

    def guard(self, run: Actor, event: EventRef) -> Delivered:
        """The outcome of `when`, `key`, `until`, `within` for an arriving event."""
        ...

    def prepare(self, run: Actor, act: Activation) -> StepStarted | StepSettled:
        """What the attempt starts with: rendered input and `set`; or that it failed already."""
        ...

    def perform(self, run: Actor, act: Activation) -> Any:
        """The call itself: a value or an awaitable of one."""
        ...

    def settle(self, run: Actor, act: Activation, result: Any) -> StepSettled | None:
        """What an attempt that returned leads to; None if the body let go of itself and is run again after a wake."""
        ...

    def fail(self, run: Actor, act: Activation, error: BaseException | dict[str, Any]) -> StepSettled:
        """What an attempt that raised leads to: another attempt, a caught error, or a failed run."""
        ...

    def wake(self, run: Actor, act: Activation, wake: Wake) -> None:
        """A wait, request, child or join time-out of this activation has its answer."""
        ...

    def drop(self, run: Actor, act: Activation) -> None:
        """The activation is no longer part of the run, or its process lets go of it: free what the body holds."""
        ...


class StepPlan:
    """A step with what the reducer looks at on every event laid out flat."""

    __slots__ = (
        "body",
        "gives",
        "ir",
        "join",
        "join_sites",
        "leave",
        "limit",
        "max_visits",
        "name",
        "needs_guard",
        "perform",
        "rate",
        "recovers",
        "tags",
        "timeout_s",
    )

    def __init__(self, ir: StepIR, body: StepBody, join_sites: frozenset[str]) -> None:
        self.name = ir.name
        self.ir = ir
        self.body = body
        self.perform = body.perform
        self.join: JoinIR | None = ir.join
        self.limit: int | None = ir.policy.concurrency if ir.for_each is None else None  # else it bounds the items
        self.rate: RateIR | None = ir.policy.rate
        self.max_visits: int | None = ir.policy.max_visits
        self.recovers = bool(ir.recovers)
        self.join_sites = join_sites
        join = ir.join
        self.needs_guard = ir.guard is not None or (
            join is not None
            and not (join.key is None and join.until is None and join.within is None and join.count_expr is None)
        )
        self.tags = bool(ir.finally_ is not None or ir.undo is not None)  # has an afterlife
        self.timeout_s = ir.policy.timeout_s
        # of a plain body: the name of the event that it gives by the class of what it returns, "" for nothing
        self.gives: Mapping[type[Any], str] | None = getattr(body, "gives", None) if body.is_plain else None
        # of a plain body: lets go of the context of an attempt that has ended
        self.leave: Callable[[Activation], None] | None = getattr(body, "leave", None)

    @property
    def is_direct(self) -> bool:
        """Whether an event for it starts it at once, with nothing to ask or to gather before."""
        return self.join is None and not self.needs_guard


@dataclass(slots=True, repr=False, eq=False)
class FlowPlan:
    """A bound flow."""

    ir: FlowIR
    steps: dict[str, StepPlan]
    routes: dict[str, tuple[StepPlan, ...]]
    kinds: dict[str, str]
    joins_of: dict[str, tuple[StepPlan, ...]]
    direct: dict[str, StepPlan]  # the step of each event that goes to one step only, which it starts at once
    waited: frozenset[str]
    is_reachable: bool
    handlers: dict[str, StepPlan] = field(default_factory=dict)
    codec: Any = None  # the ValueCodec of the front end; None keeps payloads as they are
    keeps_unclaimed: bool = False  # bodies may wait for any event, so one that nobody takes is kept
    is_bounded: bool = False  # a flow file comes from people who are half trusted, so it may not flood its run
    whole: Callable[[], FlowIR] | None = None  # the flow with what is only needed to store or show it
    start: Callable[[Mapping[str, Any], float], Started] | None = None  # of a Python workflow that a flow file calls
    attach: Callable[[Actor], None] | None = None  # gives such a run its live side
    answer: Callable[[Actor, str, Any], None] | None = None  # takes a value for a question of a workflow function
    questions: Callable[[Actor], Mapping[str, Any]] | None = None  # its open questions: what each announced, by id
    plain: Callable[[str, Any], Any] | None = None  # the result of such a run, as its caller sees it
    limits: RunLimits = DEFAULT_LIMITS
    _hash: str | None = None

    @property
    def hash(self) -> str:
        """The content hash of the flow; worked out at first use."""
        if self._hash is None:
            from orchestrator.ir.codec import flow_hash  # a run in memory needs no hash

            self._hash = flow_hash(self.stored_ir)
        return self._hash

    @property
    def stored_ir(self) -> FlowIR:
        """The flow as it is stored and shown."""
        if self.whole is not None:
            self.ir, self.whole = self.whole(), None
        return self.ir


def plan_flow(
    ir: FlowIR,
    bodies: Mapping[str, StepBody],
    *,
    codec: Any = None,  # a ValueCodec; see FlowPlan
    whole: Callable[[], FlowIR] | None = None,
    limits: RunLimits = DEFAULT_LIMITS,
) -> FlowPlan:
    """The flow with its tables; `bodies` has one for every step.

    Cost: linear in the size of the flow.
    """
    sites: dict[str, set[str]] = {}
    for site, names in ir.joins_of.items():
        for name in names:
            sites.setdefault(name, set()).add(site)
    steps = {name: StepPlan(step, bodies[name], frozenset(sites.get(name, ()))) for name, step in ir.steps.items()}
    handlers: dict[str, StepPlan] = {}
    wildcard: StepPlan | None = None
    for plan in steps.values():
        for covered in plan.ir.recovers:
            if covered == "*":
                wildcard = plan
            else:
                handlers[covered] = plan
    if wildcard is not None:
        for name, step in steps.items():
            if not step.recovers:
                handlers.setdefault(name, wildcard)
    kinds = {name: event.kind for name, event in ir.events.items()}
    kinds.update(dict.fromkeys(ir.stop, "stop"))
    reachable = any(
        ir.events[e].external or ir.events[e].kind == "answer"
        for p in steps.values()
        for e in p.ir.accepts
        if e in ir.events
    )
    tables = {event: tuple(steps[name] for name in names) for event, names in routes(ir).items()}
    return FlowPlan(
        ir=ir,
        steps=steps,
        routes=tables,
        direct={
            event: takers[0]
            for event, takers in tables.items()
            if len(takers) == 1 and takers[0].is_direct and kinds.get(event) not in ("stop", "failed")
        },
        kinds=kinds,
        joins_of={site: tuple(steps[n] for n in names) for site, names in ir.joins_of.items()},
        waited=frozenset(
            p.ir.body.wait.event for p in steps.values() if p.ir.body.wait is not None and p.ir.body.wait.event
        ),
        is_reachable=reachable,
        handlers=handlers,
        codec=codec,
        keeps_unclaimed=ir.kind == "class",
        is_bounded=ir.kind == "yaml",
        whole=whole,
        limits=limits,
    )
