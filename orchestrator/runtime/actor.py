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
from contextvars import ContextVar, copy_context
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from orchestrator.errors import NotSerializable, StepTimedOut
from orchestrator.runtime import ticks as t
from orchestrator.runtime.log import TICKS
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.reduce import is_plain, reduce_tick, settle_plain, start_plain
from orchestrator.runtime.state import Activation, RunState, Status
from orchestrator.runtime.watched import Watched, current_task_or_none

if TYPE_CHECKING:  # the engine holds actors; a run in memory has no sink
    from orchestrator.runtime.clock import Handle
    from orchestrator.runtime.engine import Engine

FAIR_STEPS = 256
FAIR_TICKS = 1024


class Cell:
    """What the current driver works on; seen by everything that runs inside a step, through `current_cell`."""

    __slots__ = ("act", "run")

    def __init__(self, run: Actor) -> None:
        self.run = run
        self.act: Activation | None = None


current_cell: ContextVar[Cell | None] = ContextVar("orchestrator_cell", default=None)


class Actor(Watched):
    """A live run: what its ticks are reduced on, and the shell around it."""

    __slots__ = (
        "__weakref__",
        "_commands",
        "_context",
        "_drives",
        "_is_working",
        "_ready",
        "_spare",
        "data",
        "engine",
        "on_finish",
        "run_id",
        "timeout_s",
    )
    # What few runs need stands here until a run has its own.
    parent: tuple[str, int] | None = None
    exception: BaseException | None = None  # the live exception behind state.error, if there is one
    relay: Callable[[Any], None] | None = None  # gets every entry of the log: a parent that shows its child
    is_passive = False  # only takes what comes; its bodies run in another process
    _active_s = 0.0
    _busy_since: float | None = None
    _handles: dict[int, Handle] | None = None
    _is_gone = False
    _timeout_handle: Handle | None = None

    def __init__(self, engine: Engine, plan: FlowPlan, run_id: str, state: RunState | None = None) -> None:
        super().__init__(plan, state or RunState())
        self.engine = engine
        self.run_id = run_id
        self.data: Any = None  # what the front end keeps with the run (workflow instance, store, …)
        self.on_finish: Callable[[Actor], None] | None = None
        self.timeout_s: float | None = None
        self._commands = self.out
        self._ready: Activation | deque[Activation] | None = None  # one alone needs no queue
        self._is_working = False
        self._spare = False
        self._drives = False  # a driver is between two bodies and will look at what is ready
        self._context = copy_context()

    # What may be asked.

    def now(self) -> float:
        """The engine's time, epoch seconds."""
        return self.engine.clock.now()

    # Ticks.

    def apply(self, tick: t.Tick) -> None:
        """Append a tick (its seq and time are set here), reduce it, and work off what follows.

        Nothing happens once the process has let go of the run. Raises: NotSerializable over a journal, before it is applied.
        """
        if self.sink is None:
            entries = self.entries
            tick.seq = self.base + len(entries)
            tick.at = self.engine.clock.now()
            entries.append(tick)
        elif self._is_gone:
            return
        else:
            tick.seq = self.state.seq
            tick.at = round(self.engine.clock.now(), 6)  # as it is written
            self.sink.add(tick)
        commands = reduce_tick(self, tick)
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
        if type(value) is tuple or type(value) in TICKS:  # looks like what the log is made of
            self.apply(t.Streamed(0, 0.0, -1, act, attempt, type(value).__name__, value))
            return
        marks = self.marks
        if marks is None:
            self.marks = [(len(self.entries), act, attempt)]
        elif marks[-1][1] != act or marks[-1][2] != attempt:
            marks.append((len(self.entries), act, attempt))
        self.entries.append(value)
        if self.relay is not None:
            self.relay((value, act, attempt))
        if self._waiters:
            self.wake_readers()

    def _settle_plain(self, act: Activation, name: str, value: Any) -> None:
        """Apply the StepSettled of a plain step that gave one event (or nothing, without a name), in its short form."""
        entries = self.entries
        self.at = self.engine.clock.now()
        self.cause = self.base + len(entries)
        entries.append((act.id, act.attempt, self.at, act.cause, name, value))
        commands = self.out = self._commands
        settle_plain(self, act, name, value)
        if len(commands) == 1:
            following = commands[0]
            if type(following) is Activation and following.step.gives is not None and not following.is_doomed:
                commands.clear()
                self._start_plain(following)
            else:
                self._work()
        else:
            self._work()
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
        if self._may_start_plain(act):
            self._start_plain(act)
        elif act.is_doomed:
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

    def _may_start_plain(self, act: Activation) -> bool:
        return (
            act.step.gives is not None
            and self.sink is None
            and self.relay is None
            and not act.is_doomed
            and self.state.status is Status.RUNNING
        )

    def _start_plain(self, act: Activation) -> None:
        """Apply the StepStarted of a plain step in its short form."""
        entries = self.entries
        self.cause = self.base + len(entries)
        entries.append((act.id, act.attempt, self.at, act.cause, act.step.name))
        start_plain(self, act)
        if self._ready is None:
            self._ready = act
        else:
            self._make_ready(act)

    def _make_ready(self, act: Activation) -> None:
        ready = self._ready
        if ready is None:
            self._ready = act
        elif type(ready) is Activation:
            self._ready = deque((ready, act))
        else:
            ready.append(act)  # type: ignore[union-attr]  # a deque: hot path

    def _put_back(self, act: Activation) -> None:
        ready = self._ready
        self._ready = act if ready is None else deque((act, *(ready if isinstance(ready, deque) else (ready,))))

    def _is_ready(self, act: Activation) -> bool:
        ready = self._ready
        return ready is act or (isinstance(ready, deque) and act in ready)

    def run_again(self, act: Activation) -> None:
        """Run the body of an activation from the top: the process that waited in it is gone."""
        if not self._is_ready(act):
            self.at = self.now()
            self._start(act)
            if not self._is_working:
                self._work()

    # Drivers.

    def spawn(self) -> None:
        """Schedule one more driver for what is ready."""
        self._spare = True
        self._join(asyncio.get_running_loop().create_task(self._drive(), context=self._context.copy()))

    async def _drive(self) -> None:
        task = asyncio.current_task()
        self._spare = False
        cell = Cell(self)
        current_cell.set(cell)
        base = copy_context()
        try:
            acts = self.state.acts
            done = shown = 0
            while not self.is_passive:
                ready = self._ready
                if not ready:
                    break
                self._drives = False
                if type(ready) is Activation:
                    act, self._ready = ready, None
                else:
                    act = ready.popleft()  # type: ignore[union-attr]  # a deque: hot path
                if act.id not in acts:
                    continue
                step = act.step
                if self.sink is not None:
                    if not self.sink.must_flush(step.body.is_pure):
                        self.sink.flush_soon()
                    elif not await self.sink.barrier():
                        return
                    elif self.is_passive:
                        self._put_back(act)
                        break
                    elif act.id not in acts:
                        continue
                if self._ready and not self._spare:
                    self.spawn()
                cell.act = act
                act.task = task
                try:
                    result = step.perform(self, act)
                    if type(result) is CoroutineType or inspect.isawaitable(result):
                        timeout_s = step.timeout_s
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
                    if act.context is not None and step.leave is not None:
                        step.leave(act)
                    if act.id in acts:
                        name = None if step.gives is None else step.gives.get(type(result))
                        if name is None or self.sink is not None or self.relay is not None or not is_plain(self, act):
                            self._settle(act, result)
                        else:
                            self._settle_plain(act, name, result)
                if act.is_cancelled and task is not None and task.cancelling():
                    task.uncancel()  # the body swallowed our cancellation
                if copy_context() != base:
                    break
                done += 1
                if done % FAIR_STEPS == 0 or len(self.entries) - shown > FAIR_TICKS:
                    shown = len(self.entries)
                    self._drives = False
                    if self.sink is not None:
                        self.sink.flush_soon()
                    await asyncio.sleep(0)  # let readers and other runs have their turn
            self._drives = False
            if self.sink is not None:
                self.sink.flush_soon()
            if not self._ready:
                self._ready = None
            elif not (self._spare or self.is_passive):
                self.spawn()
        except (KeyboardInterrupt, SystemExit):
            if task is not None:
                task.add_done_callback(_look_at)
            raise
        finally:
            self._leave(task)

    def _settle(self, act: Activation, result: Any) -> None:
        body = act.step.body
        try:
            settled = body.settle(self, act, result)
        except Exception as error:  # what it returned cannot be taken: the step failed
            settled = body.fail(self, act, error)
        if settled is None:
            return
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
    def has_ready(self) -> bool:
        """Whether a body is about to run."""
        return bool(self._ready)

    def adopt(self, state: RunState) -> None:
        """Go on with a state that was rebuilt from a journal."""
        self.state = state

    def perform(self, command: t.Command) -> None:
        """Do what a committed tick asked for outside of the run."""
        _PERFORM[type(command)](self, command)

    def resume(self) -> None:
        """Go on where a journal ended: arm timers, run what had started and not ended, start what was queued."""
        for timer in list(self.state.timers.values()):
            self._set_timer(t.SetTimer(timer))
        self.at = self.now()
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
        if not self._is_working:
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
        self._ready = None
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
        if act.task is not None and act.task is not current_task_or_none():
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
        self.engine.notify(self, command)

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


def _look_at(task: asyncio.Task[None]) -> None:
    """The loop has raised what ended a driver: nobody needs to be told that it was never looked at."""
    if not task.cancelled():
        task.exception()


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
