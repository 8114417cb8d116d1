"""Starts runs of every kind: new ones, resumed ones, and those that a step starts (child runs).

What kind of run it is, is said by its `Launch`. In memory a run has begun when `start_run` returns; over a store it begins
when it is committed, and `Start.began` tells when.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.authoring.run_data import RunData
from orchestrator.authoring.streaming import custom_event, shown_by, shown_value, stream_into
from orchestrator.errors import JournalConflict, UsageError
from orchestrator.events import RequestEvent
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor, current_cell
from orchestrator.runtime.engine import Engine, new_run_id
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.state import Activation

if TYPE_CHECKING:  # only named, or loaded when a store is used
    from orchestrator.authoring.context import Context, Outside
    from orchestrator.authoring.saving import Saved
    from orchestrator.runtime.durable import DurableEngine


class Launch(Protocol):
    """What is to be run."""

    def plan(self) -> FlowPlan:
        """The flow, ready to run."""
        ...

    def first_tick(self, now: float) -> t.Started:
        """What the run starts with. Raises: UsageError for wrong inputs."""
        ...

    def saved(self, plan: FlowPlan) -> Saved | None:
        """A run that is to go on, None for a new one. Raises: ContextSerdeError if it does not fit."""
        ...

    def earlier(self) -> Actor | None:
        """The cancelled run of a store that is to go on, None for another one."""
        ...

    def attach(self, run: Actor) -> None:
        """Give a run its live side, before its first tick."""
        ...

    def failed(self) -> None:
        """The run could not begin."""
        ...


@dataclass(slots=True, repr=False, eq=False)
class Start:
    """A run that was asked for; `run` is set once it began, and is another actor when the run came back from its store."""

    launch: Launch
    engine: Engine
    run_id: str | None
    outside: Outside | None = None  # what the run's context holds; a flow of a file has none
    parent: Call | None = None  # the call of a step that this run is a child of
    call: FunctionCall | None = None  # the call in a workflow function that this run is
    run: Actor | None = None
    recorded: Any = None  # how a child ended, if that is all that is left of it
    is_withdrawn: bool = False
    is_beginning: bool = False  # its store is making it
    began: asyncio.Future[None] | None = None
    context: Context[Any] | None = None  # made when somebody asks for it


class FunctionCall(Protocol):
    """A call in a workflow function, which awaits it as it awaits its steps."""

    async def result(self) -> Any:
        """The result of the run. Raises: what failed it."""
        ...


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Call:
    """A step's call of `run()`: the step's run and activation, and the place of the call among its others."""

    run: Actor
    act: Activation
    path: str


def ambient_call(engine: Engine | None) -> Call | None:
    """The call that `run()` is, if it is made inside a step of a workflow class; None of an engine means any."""
    cell = current_cell.get()
    if cell is None or cell.act is None or (engine is not None and cell.run.engine is not engine):
        return None
    run, act = cell.run, cell.act
    if not isinstance(run.data, RunData) or act.id not in run.state.acts:
        return None
    from orchestrator.authoring.step_context import context_of

    return Call(run, act, context_of(run, act).next_child())


def start_run(start: Start) -> None:
    """Begin a run: inside a step of the same engine as its child, else by itself."""
    call = start.parent
    if call is not None and call.act.id in call.run.state.acts:
        from orchestrator.authoring.child_runs import start_child

        start_child(start, call)
        return
    plan = start.launch.plan()
    if is_durable(start.engine):
        _start_in_store(start, plan)
        return
    saved = start.launch.saved(plan)
    if saved is not None:
        run = start.engine.create(plan, run_id=start.run_id or saved.run_id, state=saved.state)
        take(start, run)
        run.base = saved.state.seq
        run.data.saved_children = saved.children
        resume(run, saved.active_s)
    else:
        tick = start.launch.first_tick(start.engine.clock.now())
        run = start.engine.create(plan, run_id=start.run_id)
        take(start, run)
        run.apply(tick)
    mark_begun(start)


def is_durable(engine: Engine) -> bool:
    """Whether an engine keeps its runs in a journal. Asked so, because a run in memory need not load one."""
    return hasattr(engine, "journal")


def _start_in_store(start: Start, plan: FlowPlan) -> None:
    """Begin a run over a store, beside; refusals are told to those who wait for the run."""
    if start.began is None:
        start.began = asyncio.get_running_loop().create_future()
    start.is_beginning = True
    earlier = start.launch.earlier()
    if earlier is not None and earlier.engine is start.engine:
        from orchestrator.authoring.taking_up import go_on_with

        begin(start, go_on_with(start, earlier))
        return
    if start.outside is not None and start.outside.is_running:
        start.launch.failed()
        raise UsageError(
            "a context that is under way goes on where its run is kept: `workflow.resume(run_id)` takes a run up from "
            "its store, and `run(ctx=…)` of a workflow without a store goes on in memory"
        )
    tick = start.launch.first_tick(start.engine.clock.now())
    start.run_id = start.run_id or new_run_id()
    begin(start, _commit_start(start, plan, tick))


async def _commit_start(start: Start, plan: FlowPlan, tick: t.Started) -> None:
    engine: Any = start.engine
    durable: DurableEngine = engine
    try:
        await durable.start(plan, tick, run_id=start.run_id, attach=lambda run: take(start, run))
    except JournalConflict as error:
        if error.code != "run.exists":
            raise
        raise JournalConflict(f"{error}; `resume({start.run_id!r})` goes on with it", code=error.code) from None


def begin(start: Start, work: Any) -> None:  # a coroutine of what begins the run
    """Let a run begin beside; `start.began` is done when it has."""
    task = asyncio.get_running_loop().create_task(_begin(start, work))
    _beginning.add(task)
    task.add_done_callback(_beginning.discard)


_beginning: set[asyncio.Task[None]] = set()


async def _begin(start: Start, work: Any) -> None:
    began = start.began
    assert began is not None
    try:
        await work
    except asyncio.CancelledError:
        began.cancel()
        raise
    except Exception as error:  # whatever refuses it is raised by whoever awaits the handler
        start.run = None
        start.launch.failed()
        if not began.done():
            began.set_exception(error)
            began.exception()
    else:
        mark_begun(start)


def mark_begun(start: Start) -> None:
    """Tell those who wait for it that a run has begun."""
    if start.began is not None and not start.began.done():
        start.began.set_result(None)


def take(start: Start, run: Actor) -> None:
    """Make an actor that of a start, with its live side."""
    start.launch.attach(run)
    start.run = run
    if start.outside is not None:
        start.outside.run = run
        start.outside.saved = None


def resume(run: Actor, active_s: float) -> None:
    """Let a restored run go on. Steps that wait for child runs begin again at once: their calls bring the children back."""
    run.restore_clock(active_s)
    run.resume()
    rerun_callers(run)


def rerun_callers(run: Actor) -> None:
    """Begin the steps again that wait for child runs which they started themselves."""
    for act_id in dict.fromkeys(run.state.children.values()):
        act = run.state.acts[act_id]
        if act.step.body.is_plain:
            run.run_again(act)


def show_child(parent: Actor, child: Actor, *, only_questions: bool = False) -> None:
    """Show a child run's events on the stream of its parent, beside whoever else looks at it."""
    before = child.relay
    is_shown = _is_question if only_questions else None

    def relay(entry: Any) -> None:
        if before is not None:
            before(entry)
        if type(entry) is not tuple:
            shown = shown_by(entry, child, is_child=True)
        elif child.plan.ir.kind == "function":
            shown = filter(None, (custom_event(entry[0]),))
        else:
            shown = shown_value(entry[0])
        for event in shown:
            if is_shown is None or is_shown(event):
                stream_into(parent, event)

    child.relay = relay


def _is_question(event: object) -> bool:
    return isinstance(event, RequestEvent)
