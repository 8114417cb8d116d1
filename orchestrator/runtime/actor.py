"""The actor of one run: the single writer of its state. Applies ticks, performs commands, drives bodies in-line.

Theory. `apply` appends a tick to the log, reduces it, and works off the commands; it never awaits, so whoever runs may call it
(a driver, a timer, an answer from outside) and the order of calls is the order of the log. Bodies run in *drivers*: a driver
is a task that takes ready activations one after another and awaits each in-line. When more than one activation is ready a
spare driver is scheduled; it finds work only if the first one suspends. So a chain uses one task, a fan-out of suspending
bodies one task each, and a body always stays in the task it began in (`asyncio.timeout` and cancel scopes work).

Invariants
 A1  a tick is reduced exactly once, in log order; nothing else changes the state.
 A2  an effect of a durable run starts only after everything before it is committed (`_barrier`).
 A3  a body that leaks a context variable ends its driver; the next body starts from the run's own context.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.errors import NotSerializable, StepTimedOut
from orchestrator.runtime import ticks as t
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.reduce import reduce_tick
from orchestrator.runtime.reduction import Reduction
from orchestrator.runtime.state import Activation, RunState, Status

if TYPE_CHECKING:  # the engine holds actors
    from orchestrator.runtime.clock import Handle
    from orchestrator.runtime.engine import Engine

FAIR_STEPS = 256
FAIR_TICKS = 1024


class Sink(Protocol):
    """Where a durable run puts its ticks, and what must wait for their commit."""

    @property
    def is_settled(self) -> bool:
        """Whether the end of the run is committed."""
        ...

    @property
    def is_releasing(self) -> bool:
        """Whether the claim is being given up."""
        ...

    def add(self, tick: t.Tick) -> None:
        """A tick is about to be applied; it comes into the run's log when readers may know it.

        Raises: NotSerializable; then it must not be applied.
        """
        ...

    def hold(self, command: t.Command) -> None:
        """A command that reaches outside of the run waits for the commit."""
        ...

    def must_flush(self, is_pure: bool) -> bool:
        """Whether the next body has to wait for a commit."""
        ...

    async def flush(self) -> None:
        """Commit everything applied so far. Raises: what the journal raises."""
        ...

    async def barrier(self) -> bool:
        """The same; False if the run does not go on here."""
        ...

    def flush_soon(self) -> None:
        """Have everything applied so far committed before long."""
        ...

    def type_of(self, value: Any) -> str:
        """The event type of a streamed payload."""
        ...


class Cell:
    """What the current driver works on; seen by everything that runs inside a step, through `current_cell`."""

    __slots__ = ("act", "run")

    def __init__(self, run: Actor) -> None:
        self.run = run
        self.act: Activation | None = None


current_cell: ContextVar[Cell | None] = ContextVar("orchestrator_cell", default=None)


class Actor:
    """A live run."""

    __slots__ = (
        "__weakref__",
        "_active_s",
        "_busy_since",
        "_commands",
        "_context",
        "_drives",
        "_end_waiters",
        "_handles",
        "_is_gone",
        "_is_working",
        "_ready",
        "_spare",
        "_tasks",
        "_timeout_handle",
        "_waiters",
        "base",
        "data",
        "engine",
        "exception",
        "is_passive",
        "log",
        "lost",
        "on_finish",
        "parent",
        "plan",
        "reduction",
        "relay",
        "run_id",
        "sink",
        "state",
        "timeout_s",
    )

    def __init__(self, engine: Engine, plan: FlowPlan, run_id: str, state: RunState | None = None) -> None:
        self.engine = engine
        self.plan = plan
        self.run_id = run_id
        self.state = state or RunState()
        self.reduction = Reduction(plan, self.state)
        self.log: list[Any] = []  # ticks, and streamed events as (payload, act, attempt); seq = base + index
        self.base = 0
        self.sink: Sink | None = None  # where a durable run's ticks go
        self.data: Any = None  # what the front end keeps with the run (workflow instance, store, …)
        self.parent: tuple[str, int] | None = None
        self.exception: BaseException | None = None  # the live exception behind state.error, if there is one
        self.lost: BaseException | None = None  # why the run does not go on here, though it has not ended
        self.on_finish: Callable[[Actor], None] | None = None
        self.relay: Callable[[Any], None] | None = None  # gets every entry of the log: a parent that shows its child
        self.timeout_s: float | None = None
        self._active_s = 0.0
        self._busy_since: float | None = None
        self._timeout_handle: Handle | None = None
        self._commands: list[t.Command] = []
        self._ready: deque[Activation] | tuple[()] = ()  # () while nothing is: an idle run holds no queue
        self._handles: dict[int, Handle] | None = None
        self._waiters: list[asyncio.Future[None]] | None = None
        self._end_waiters: list[asyncio.Future[None]] | None = None
        self._tasks: set[asyncio.Task[None]] | None = None
        self._is_working = False
        self._is_gone = False
        self.is_passive = False  # only takes what comes; its bodies run in another process
        self._spare = False
        self._drives = False  # a driver is between two bodies and will look at what is ready
        self._context: Context = copy_context()

    # What may be asked.

    @property
    def is_over(self) -> bool:
        """Whether the run has ended (and readers may know it)."""
        return self.state.is_over and (self.sink is None or self.sink.is_settled)

    @property
    def is_leaving(self) -> bool:
        """Whether its process has let go of it, or is about to: what is applied now would be lost."""
        return self.sink is not None and (self.lost is not None or self.sink.is_releasing)

    @property
    def next_seq(self) -> int:
        """The number of the next tick."""
        return self.base + len(self.log) if self.sink is None else self.state.seq

    def now(self) -> float:
        """The engine's time, epoch seconds."""
        return self.engine.clock.now()

    # Ticks.

    def apply(self, tick: t.Tick) -> None:
        """Append a tick (its seq and time are set here), reduce it, and work off what follows.

        Nothing happens once the process has let go of the run. Raises: NotSerializable over a journal, before it is applied.
        """
        if self.sink is None:
            log = self.log
            tick.seq = self.base + len(log)
            tick.at = self.engine.clock.now()
            log.append(tick)
        elif self._is_gone:
            return
        else:
            tick.seq = self.state.seq
            tick.at = round(self.engine.clock.now(), 6)  # as it is written
            self.sink.add(tick)
        commands = reduce_tick(self.reduction, tick)
        if commands:
            self._commands.extend(commands)
        if self.relay is not None:
            self.relay(tick)
        if not self._is_working:
            self._work()
        if self._waiters and self.sink is None:
            self.wake_readers()

    def stream(self, value: Any, act: int, attempt: int) -> None:
        """Show an event to readers at once; it changes nothing else."""
        if self.sink is not None:
            self.apply(t.Streamed(0, 0.0, -1, act, attempt, self.sink.type_of(value), value))
            return
        entry = (value, act, attempt)
        self.log.append(entry)
        if self.relay is not None:
            self.relay(entry)
        if self._waiters:
            self.wake_readers()

    def _work(self) -> None:
        commands = self._commands
        self._is_working = True
        done = 0
        try:
            while done < len(commands):
                command = commands[done]
                done += 1
                if type(command) is Activation:
                    self._start(command)
                elif self.sink is not None and type(command) in OUTSIDE:
                    self.sink.hold(command)
                else:
                    _PERFORM[type(command)](self, command)
        finally:
            del commands[:done]
            self._is_working = False
        if self.timeout_s is not None:
            self._account_time()
        if self.sink is not None and not self._drives:  # a driver flushes before its next body, or when it ends
            self.sink.flush_soon()
        if self._ready and not (self._spare or self._drives or self.is_passive):
            self.spawn()

    def _start(self, act: Activation) -> None:
        if act.id not in self.state.acts:
            return
        body = act.step.body
        if act.is_doomed:
            act.is_doomed = False
            self.apply(body.fail(self, act, act.error or {}))
        elif body.is_plain:
            self.apply(t.StepStarted(0, 0.0, act.cause, act.id, act.attempt, act.step.name))
            self._make_ready(act)
        else:
            started = body.prepare(self, act)
            try:
                self.apply(started)
            except NotSerializable as error:
                started = body.fail(self, act, error)
                self.apply(started)
            if isinstance(started, t.StepStarted) and not started.parks:
                self._make_ready(act)

    def _make_ready(self, act: Activation) -> None:
        if isinstance(self._ready, deque):
            self._ready.append(act)
        else:
            self._ready = deque((act,))

    def run_again(self, act: Activation) -> None:
        """Run the body of an activation from the top: the process that waited in it is gone."""
        if act not in self._ready:
            self._start(act)
            if not self._is_working:
                self._work()

    # Drivers.

    def spawn(self) -> None:
        """Schedule one more driver for what is ready."""
        self._spare = True
        task = asyncio.get_running_loop().create_task(self._drive(), context=self._context.copy())
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if self._tasks is not None:
            self._tasks.discard(task)
            if not self._tasks:
                self._tasks = None
        if not task.cancelled() and isinstance(task.exception(), KeyboardInterrupt | SystemExit):
            return  # looked at: the loop has raised it already, and the run has failed with it

    async def _drive(self) -> None:
        self._spare = False
        cell = Cell(self)
        current_cell.set(cell)
        base = copy_context()
        task = asyncio.current_task()
        acts = self.state.acts
        done = shown = 0
        while not self.is_passive:
            ready = self._ready
            if not ready or not isinstance(ready, deque):
                break
            self._drives = False
            act = ready.popleft()
            if act.id not in acts:
                continue
            step = act.step
            if self.sink is not None:
                if not self.sink.must_flush(step.body.is_pure):
                    self.sink.flush_soon()
                elif not await self.sink.barrier():
                    return
                elif self.is_passive:
                    ready.appendleft(act)
                    break
                elif act.id not in acts:
                    continue
            if ready and not self._spare:
                self.spawn()
            cell.act = act
            act.task = task
            try:
                result = step.body.perform(self, act)
                if type(result) is CoroutineType or inspect.isawaitable(result):
                    timeout_s = step.ir.policy.timeout_s
                    result = await (result if timeout_s is None else _bounded(result, timeout_s, act))
            except asyncio.CancelledError as error:
                self._drives = True
                act.task = None
                if not act.is_cancelled:
                    if task is not None and task.cancelling():
                        self._drives = False
                        self._interrupted(error)
                        raise
                    self.apply(step.body.fail(self, act, error))
            except Exception as error:
                self._drives = True
                act.task = None
                if act.id in acts:
                    self.apply(step.body.fail(self, act, error))
            except BaseException as error:
                act.task = None
                if act.id in acts:
                    self.apply(step.body.fail(self, act, error))
                if isinstance(error, KeyboardInterrupt | SystemExit):
                    raise
            else:
                self._drives = True
                act.task = None
                if act.id in acts:
                    try:
                        settled = step.body.settle(self, act, result)
                    except Exception as error:  # what it returned cannot be taken: the step failed
                        settled = step.body.fail(self, act, error)
                    if settled is not None:
                        self._settle(act, settled)
            if act.is_cancelled and task is not None and task.cancelling():
                task.uncancel()  # the body swallowed our cancellation
            if copy_context() != base:
                break
            done += 1
            if done % FAIR_STEPS == 0 or len(self.log) - shown > FAIR_TICKS:
                shown = len(self.log)
                self._drives = False
                if self.sink is not None:
                    self.sink.flush_soon()
                await asyncio.sleep(0)  # let readers and other runs have their turn
        self._drives = False
        if self.sink is not None:
            self.sink.flush_soon()
        if not self._ready:
            self._ready = ()
        elif not (self._spare or self.is_passive):
            self.spawn()

    def _settle(self, act: Activation, settled: t.StepSettled) -> None:
        try:
            self.apply(settled)
        except NotSerializable as error:  # the store cannot keep what it returned: the step failed
            if act.id in self.state.acts:
                self.apply(act.step.body.fail(self, act, error))

    @property
    def is_quiet(self) -> bool:
        """Whether no body runs or is about to."""
        return not self._tasks and not self._ready and not self._commands

    @property
    def rests(self) -> bool:
        """Whether nothing is under way but waits: bodies that run here are all suspended in one."""
        if self._commands or (self._ready and not self.is_passive):
            return False
        return not self._tasks or self.state.busy <= 0

    @property
    def has_drivers(self) -> bool:
        """Whether a task of this run is alive: it runs a body, waits in one, or is about to."""
        return bool(self._tasks)

    @property
    def has_ready(self) -> bool:
        """Whether a body is about to run."""
        return bool(self._ready)

    def adopt(self, state: RunState) -> None:
        """Go on with a state that was rebuilt from a journal."""
        self.state = state
        self.reduction = Reduction(self.plan, state)

    def perform(self, command: t.Command) -> None:
        """Do what a committed tick asked for outside of the run."""
        _PERFORM[type(command)](self, command)

    def resume(self) -> None:
        """Go on where a journal ended: arm timers, run what had started and not ended, start what was queued."""
        for timer in list(self.state.timers.values()):
            self._set_timer(t.SetTimer(timer))
        queued = {act.id for queue in self.state.queues.values() for act in queue}
        queued.update(timer.ref for timer in self.state.timers.values() if timer.kind == "again")
        for act in list(self.state.acts.values()):
            if act.is_running and act.waits == 0 and act.id not in queued:
                if act.step.body.is_plain:
                    self._start(act)
                else:
                    self._make_ready(act)
            elif not act.is_running and act.waits == 0 and act.id not in queued:
                self._start(act)  # a fork cut the log between its making and its start
        if self._commands and not self._is_working:
            self._work()
        if self._ready and not (self._spare or self.is_passive):
            self.spawn()

    def rerun(self, act: Activation) -> None:
        """Run the body of a waiting activation again, from the top."""
        self._make_ready(act)
        if not self._is_working and not self._spare:
            self.spawn()

    def discard(self) -> None:
        """Let go of the run without changing it: bodies are cancelled, timers disarmed, nothing more is applied."""
        self._is_gone = self.sink is not None
        for act in list(self.state.acts.values()):
            self._cancel_task(t.CancelTask(act))
        if self._is_gone:  # what a body still returns belongs to nobody; the state stays as it was committed
            acts, self.state.acts = self.state.acts, dict(self.state.acts)
            acts.clear()
        for handle in (self._handles or {}).values():
            handle.cancel()
        self._handles = None
        self._ready = ()
        self._commands.clear()
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
            self._timeout_handle = None
        self._wake_ended()
        self.engine.forget(self)

    def _interrupted(self, error: BaseException) -> None:
        """The loop is going down: nobody will finish this run here."""
        if not self.is_over:
            self.exception = self.lost = error
            self.wake_readers()
            self._wake_ended()
            self.engine.forget(self)

    # Commands.

    def _guard(self, command: t.Guard) -> None:
        self.apply(self.plan.steps[command.step].body.guard(self, command.event))

    def _cancel_task(self, command: t.CancelTask) -> None:
        act = command.act
        act.is_cancelled = True
        act.step.body.drop(self, act)
        if act.task is not None and act.task is not _current_task_or_none():
            act.task.cancel()

    def _set_timer(self, command: t.SetTimer) -> None:
        timer = command.timer
        if timer.id not in self.state.timers:
            return
        if self._handles is None:
            self._handles = {}
        self._handles[timer.id] = self.engine.clock.call_at(timer.due, lambda: self._fire(timer.id))

    def _fire(self, timer: int) -> None:
        if self._handles is not None:
            self._handles.pop(timer, None)
        if timer in self.state.timers:
            self.apply(t.TimerFired(0, 0.0, -1, timer))

    def _clear_timer(self, command: t.ClearTimer) -> None:
        handle = self._handles.pop(command.timer, None) if self._handles else None
        if handle is not None:
            handle.cancel()

    def _wake(self, command: t.Wake) -> None:
        command.act.step.body.wake(self, command.act, command)

    def _post(self, command: t.Post) -> None:
        self.engine.post_from(self, command)

    def _start_child(self, command: t.StartChild) -> None:
        self.engine.start_child(self, command.act, command.child)

    def _cancel_child(self, command: t.CancelChild) -> None:
        self.engine.cancel_child(command.child)

    def _notify(self, command: t.Notify) -> None:
        self.engine.notify(self, command.request, command.what)

    def _finish(self, command: t.Finish) -> None:
        if self._handles:
            for handle in self._handles.values():
                handle.cancel()
            self._handles = None
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
            self._timeout_handle = None
        self.wake_readers()
        self._wake_ended()
        self.engine.finished(self)
        if self.on_finish is not None:
            self.on_finish(self)

    # Time in which work runs.

    def _account_time(self) -> None:
        is_busy = self.state.busy > 0 and not self.is_over
        if is_busy == (self._busy_since is not None):
            return
        now = self.now()
        if is_busy:
            self._busy_since = now
            if self._timeout_handle is None and self.timeout_s is not None:
                due = now + self.timeout_s - self._active_s
                self._timeout_handle = self.engine.clock.call_at(due, self._check_timeout)
        elif self._busy_since is not None:
            self._active_s += now - self._busy_since
            self._busy_since = None

    @property
    def active_s(self) -> float:
        """The seconds in which the run has worked so far."""
        return self._active_s + (self.now() - self._busy_since if self._busy_since is not None else 0.0)

    def restore_clock(self, active_s: float) -> None:
        """The run has worked this long before."""
        self._active_s = active_s

    def _check_timeout(self) -> None:
        self._timeout_handle = None
        if self.timeout_s is None or self.is_over or self._busy_since is None:
            return
        now = self.now()
        left = self.timeout_s - self._active_s - (now - self._busy_since)
        if left <= 1e-6:
            self.apply(t.Cancel(0, 0.0, -1, "timeout", f"Operation timed out after {self.timeout_s} seconds."))
        else:
            self._timeout_handle = self.engine.clock.call_at(now + left, self._check_timeout)

    # Readers.

    def wait_for_more(self) -> asyncio.Future[None]:
        """A future that is done when the log has grown or the run has ended."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(future)
        return future

    def wake_readers(self) -> None:
        """Tell those who wait that the log has grown or the run has ended."""
        waiters, self._waiters = self._waiters, None
        for future in waiters or ():
            if not future.done():
                future.set_result(None)

    async def wait_finished(self) -> Status:
        """Wait until the run has ended; raises what interrupted it, if it will never end here."""
        while not self.is_over:
            if self.lost is not None:
                raise self.lost
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._end_waiters is None:
                self._end_waiters = []
            self._end_waiters.append(future)
            await future
        return self.state.status

    def _wake_ended(self) -> None:
        waiters, self._end_waiters = self._end_waiters, None
        for future in waiters or ():
            if not future.done():
                future.set_result(None)

    async def wait_closed(self, timeout_s: float | None = None) -> bool:
        """Wait until every body of an ended run has left; tells whether all did in that time."""
        here = _current_task_or_none()
        left = [task for task in self._tasks or () if not task.done() and task is not here]
        if not left:
            return True
        _, late = await asyncio.wait(left, timeout=timeout_s)
        return not late


async def _bounded(awaitable: Any, timeout_s: float, act: Activation) -> Any:
    """Await within the step's timeout. While the body waits for an event, the clock stands still (see `act.limit`)."""
    scope = act.limit = asyncio.timeout(timeout_s)
    try:
        async with scope:
            return await awaitable
    except TimeoutError as error:
        if not scope.expired():
            raise
        name = act.step.name
        raise StepTimedOut(f"step `{name}` took longer than {timeout_s:g} s", step=name) from error
    finally:
        act.limit = None


def _current_task_or_none() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


_PERFORM: dict[type[Any], Callable[[Actor, Any], None]] = {
    t.Guard: Actor._guard,
    t.CancelTask: Actor._cancel_task,
    t.SetTimer: Actor._set_timer,
    t.ClearTimer: Actor._clear_timer,
    t.Wake: Actor._wake,
    t.Post: Actor._post,
    t.StartChild: Actor._start_child,
    t.CancelChild: Actor._cancel_child,
    t.Notify: Actor._notify,
    t.Finish: Actor._finish,
}
OUTSIDE = frozenset({t.Post, t.StartChild, t.CancelChild, t.Notify, t.Finish})
