"""All live runs of one process and store: starts them, carries events between them, and owns clock and journal.

The default engine of an event loop keeps everything in memory. A run stays here until it ends, whether or not somebody holds
its handle; a run that has ended is known only to those who hold it.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.errors import JournalConflict, OrchestratorError, RunFinished, UnknownRun
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.clock import Clock, RealClock
from orchestrator.runtime.limits import check_depth
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.state import Activation, RunState

if TYPE_CHECKING:  # loaded for flows that limit their runs, or keep results
    from orchestrator.runtime.admission import Gate
    from orchestrator.runtime.flow_bind import CallMemory

_engines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Engine] = weakref.WeakKeyDictionary()


def current_engine() -> Engine:
    """The in-memory engine of the running event loop, made at first use."""
    loop = asyncio.get_running_loop()
    engine = _engines.get(loop)
    if engine is None:
        engine = _engines[loop] = Engine()
    return engine


def adopt_engine(engine: Engine) -> None:
    """Make an engine that of the running event loop, for all that start runs without naming one."""
    _engines[asyncio.get_running_loop()] = engine


def new_run_id() -> str:
    """A run id nobody can guess."""
    return os.urandom(10).hex()


class Engine:
    """The runs of one process over one journal."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or RealClock()
        self.runs: dict[str, Actor] = {}
        self.listeners: list[Callable[[Actor, str, str], None]] = []
        self.on_actor: list[Callable[[Actor], None]] = []  # told of every actor before it has a tick
        self._gate: Gate | None = None
        self.resolve_child: Callable[[str], FlowPlan] | None = None

    @property
    def call_memory(self) -> CallMemory | None:
        """Where results under `id` and `cache` keys are kept beyond this process; None: in the binding of a flow."""
        return None

    @property
    def gate(self) -> Gate:
        """What admits runs of flows with a concurrency mode; made at first use."""
        if self._gate is None:
            from orchestrator.runtime.admission import Gate

            self._gate = Gate()
        return self._gate

    def set_aside_soon(self, actor: Actor, error: OrchestratorError, then: Callable[[], None] | None = None) -> bool:
        """Park a run that cannot go on with the code that is here, and call `then`; False where runs cannot be parked."""
        return False

    def create(self, plan: FlowPlan, *, run_id: str | None = None, state: RunState | None = None) -> Actor:
        """A new actor, known under its id but not started; with a `state` it goes on where that ends.

        Raises: JournalConflict if a new run would take the id of one that goes on here.
        """
        name = run_id or new_run_id()
        if run_id is not None and state is None and run_id in self.runs and not self.runs[run_id].is_over:
            raise JournalConflict(f"there is a run {run_id!r} already", code="run.exists")
        actor = Actor(self, plan, name, state)
        self.runs[name] = actor
        for listener in self.on_actor:
            listener(actor)
        return actor

    def find(self, run_id: str) -> Actor:
        """The live run of this id.

        Raises: UnknownRun, also for one that has ended.
        """
        actor = self.runs.get(run_id)
        if actor is None:
            raise UnknownRun(f"no run {run_id!r} is running here; it may have ended, or its id is misspelt")
        return actor

    def post(self, run_id: str, type: str, value: Any, *, target: str | None = None, dedup: str | None = None) -> None:
        """Deliver an event to a live run.

        Raises: UnknownRun, RunFinished.
        """
        actor = self.find(run_id)
        if actor.is_over:
            raise RunFinished(f"run {run_id!r} has ended ({actor.state.status.value}) and takes no more events")
        actor.apply(t.EventIn(0, 0.0, -1, type, value, target, dedup))

    def post_from(self, sender: Actor, command: t.Post) -> None:
        """Deliver what a step of one run sent to another; a target that has ended since drops it, and says so."""
        target = self.runs.get(command.run_id)
        if target is None or target.is_over:
            sender.stream(undelivered(command.run_id, command.type), 0, 0)
            return
        name_of = getattr(target.plan.codec, "event_type", None)  # a class may have another name there
        type_name = command.type if name_of is None or isinstance(command.value, dict) else name_of(command.value)
        target.apply(t.EventIn(0, 0.0, -1, type_name, command.value, None, command.dedup, sender.run_id))

    def expect(self, run_id: str) -> None:
        """Refuse an event for a run that cannot take one, where that is known at once.

        Raises: UnknownRun.
        """
        self.find(run_id)

    def start_child(self, parent: Actor, act: Activation, child: str) -> None:
        """Start the child run of a `call: flow.x` step."""
        body: Any = act.step.body
        try:
            plan, tick = body.child_start(parent, act, child)
            deepen(parent, tick)
        except OrchestratorError as error:
            record = {"code": error.code, "message": str(error), "step": None, "attempt": 0, "details": None}
            parent.apply(t.ChildSettled(0, 0.0, -1, child, "failed", error=record))
            return
        actor = self.create(plan, run_id=child)
        actor.parent = (parent.run_id, act.id)
        adopt = getattr(body, "adopt_child", None)
        if adopt is None:
            actor.data = parent.data
        else:
            adopt(parent, act, actor)
        self.adopt(parent, actor)
        actor.apply(tick)

    def adopt(self, parent: Actor, child: Actor) -> None:
        """Have the end of a child run told to its parent."""
        before = child.on_finish

        def settled(ended: Actor) -> None:
            if before is not None:
                before(ended)
            if not parent.is_over:
                self._child_finished(parent, ended)

        child.on_finish = settled

    def _child_finished(self, parent: Actor, child: Actor) -> None:
        state = child.state
        result = state.result
        parent.apply(
            t.ChildSettled(
                0,
                0.0,
                -1,
                child.run_id,
                state.status.value,
                result.type if result is not None else "",
                result.value if result is not None else None,
                state.error,
            )
        )

    def cancel_child(self, child: str) -> None:
        """Cancel a child run, if it still runs."""
        actor = self.runs.get(child)
        if actor is not None and not actor.is_over:
            actor.apply(t.Cancel(0, 0.0, -1, "cancelled", "its parent run ended or cancelled it"))

    def notify(self, actor: Actor, request: str, what: str) -> None:
        """Tell listeners that something happened to a request to people."""
        for listener in self.listeners:
            listener(actor, request, what)

    def finished(self, actor: Actor) -> None:
        """A run has ended."""
        self.runs.pop(actor.run_id, None)

    def forget(self, actor: Actor) -> None:
        """A run will not go on here."""
        self.runs.pop(actor.run_id, None)


UNDELIVERED = "undelivered"


def undelivered(run_id: str, event: str) -> dict[str, str]:
    """What a run's stream shows when an event that it sent to another run found nobody."""
    return {"type": UNDELIVERED, "event": event, "run_id": run_id}


def deepen(parent: Actor, start: t.Started) -> None:
    """Note in the first tick of a child run how many runs stand above it. Raises: LimitExceeded `limit.subflow_depth`."""
    depth = parent.state.meta.get("depth", 0 if parent.parent is None else 1) + 1
    check_depth(depth, parent.plan.limits, parent.run_id)
    if depth > 1:
        start.meta["depth"] = depth
