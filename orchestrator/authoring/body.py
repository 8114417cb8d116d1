"""The body of a Python step: calls the method or function, and decides what its outcome leads to.

How a step is called is worked out once, when the workflow is first used; an attempt then costs one call of a closure. Only
`perform` has effects. A failed attempt drops its stage; the retry decision, its jitter included, is in the tick.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.definition import StepDef
from orchestrator.authoring.names import EventNames
from orchestrator.authoring.outcome import as_run_error
from orchestrator.authoring.resources import Opened
from orchestrator.authoring.run_data import RunData, StepFailure
from orchestrator.authoring.signature import EventParam, Injection
from orchestrator.authoring.step_context import StepContext
from orchestrator.errors import LimitExceeded, OrchestratorError, StepError, StepTimedOut, WorkflowRuntimeError
from orchestrator.events import Event, StepFailedEvent
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.state import Activation, EventRef

if TYPE_CHECKING:  # the tracer wraps bodies
    from orchestrator.authoring.observing import Observer

Call = Callable[[Actor, Activation], Any]  # Any: a step's value, or an awaitable of it
Read = Callable[[Actor, Activation], Any]  # one argument of a step, of any type
FAILED = "StepFailedEvent"


class PythonBody:
    """A step of a workflow class."""

    is_plain = True

    def __init__(self, step: StepDef, names: EventNames, observer: Observer | None = None) -> None:
        self.step = step
        self.names = names
        signature = step.signature
        self.is_pure = step.effect == "none"
        self.emits = {cls: names.name_of(cls) for cls in signature.emits}
        self.fans = {cls: names.name_of(cls) for cls in signature.fans}
        self.observer = observer
        call = _caller(step)
        self.perform: Call = call if observer is None else observer.wrap(step.name, call, signature.is_async)

    # After an attempt.

    def settle(self, run: Actor, act: Activation, result: Any) -> t.StepSettled:
        """What an attempt that returned leads to."""
        if act.stage is None:
            if result is None:
                return t.StepSettled(0, 0.0, act.cause, act.id, act.attempt)
            name = self.emits.get(type(result))
            if name is not None:
                return t.StepSettled(0, 0.0, act.cause, act.id, act.attempt, ((name, result, None),))
        return self._settle_all(run, act, result)

    def _settle_all(self, run: Actor, act: Activation, result: Any) -> t.StepSettled:
        try:
            emitted = self._emissions(result)
        except OrchestratorError as error:
            return self.fail(run, act, error)
        out = t.StepSettled(0, 0.0, act.cause, act.id, act.attempt)
        stage, act.stage = act.stage, None
        if stage is None:
            out.emitted = emitted
            return out
        out.emitted = (*stage.emitted, *emitted)
        out.posts = tuple(stage.posts)
        if stage.changes:
            out.writes = stage.take_writes(run.state.vars)
            run.data.gate.committed(act.id)
        return out

    def _emissions(self, result: Any) -> tuple[t.Emission | t.Fan, ...]:
        if result is None:
            return ()
        if isinstance(result, Event):
            return ((self._name(result, self.emits), result, None),)
        if self.fans and isinstance(result, list | tuple):
            members = []
            for place, event in enumerate(result):
                if not isinstance(event, Event):
                    raise WorkflowRuntimeError(
                        f"{self.step.where} returned a list with a {type(event).__name__} at [{place}]; "
                        "a list that a step returns holds events"
                    )
                members.append((self._name(event, self.fans), event, None))
            return (t.Fan(self.step.name, tuple(members)),)
        kind = f"the class {result.__name__}" if isinstance(result, type) else f"a {type(result).__name__}"
        raise WorkflowRuntimeError(f"{self.step.where} returned {kind}; a step returns {self._declared()}")

    def _name(self, event: Event, declared: dict[type[Event], str]) -> str:
        """The name of a returned event: of a declared class, or of a subclass of one."""
        cls = type(event)
        name = declared.get(cls)
        if name is not None:
            return name
        if not any(issubclass(cls, known) for known in declared):
            raise WorkflowRuntimeError(
                f"{self.step.where} returned a {cls.__name__}, but declares that it returns {self._declared()}; "
                f"add {cls.__name__} to its return annotation"
            )
        return self.names.name_of(cls)

    def _declared(self) -> str:
        parts = [cls.__name__ for cls in self.emits]
        if self.fans:
            parts.append(f"list[{' | '.join(cls.__name__ for cls in self.fans)}]")
        return " or ".join([*parts, "None"]) if parts else "None"

    def fail(self, run: Actor, act: Activation, error: BaseException | dict[str, Any]) -> t.StepSettled:
        """What an attempt that raised leads to: another attempt, an event for a handler, or a failed run."""
        self._forget(run, act)
        name, now = self.step.name, run.now()
        if isinstance(error, dict):
            record = dict(error)
            kind = LimitExceeded if record["code"].startswith("limit.") else WorkflowRuntimeError
            cause: BaseException = kind(record["message"], run_id=run.run_id, step=name, code=record["code"])
        else:
            cause = as_run_error(error, name, run.run_id)
            record = error_record(cause, name, act.attempt)
        if isinstance(cause, OrchestratorError) and str(self.step.origin) not in str(cause):
            cause.add_note(self.step.where)
        record["at"] = now
        act.exception = cause
        elapsed_s = max(0.0, now - act.first_at) if act.first_at else 0.0
        failures = act.failures + 1
        out = t.StepSettled(0, 0.0, act.cause, act.id, act.attempt, error=record)
        if not isinstance(error, dict):
            delay = self._delay(run, act, cause, failures, elapsed_s)
            if delay is not None:
                out.again_at = now + delay
                return out
        handler = run.plan.handlers.get(name)
        if handler is not None and isinstance(cause, Exception):
            spent = (act.line or {}).get(f"!{handler.name}", 0)
            if spent < handler.ir.max_recoveries:
                out.is_handled = True
                out.emitted = ((FAILED, _failed_event(act, cause, failures, elapsed_s, now), handler.name),)
                return out
        run.data.failure = StepFailure(name, cause, failures, elapsed_s)
        run.exception = cause
        return out

    def _delay(
        self, run: Actor, act: Activation, error: BaseException, failures: int, elapsed_s: float
    ) -> float | None:
        policy = self.step.retry_policy
        if policy is None or not isinstance(error, Exception):
            return None
        try:
            if self.step.passes_seed:
                delay = policy.next(elapsed_s, failures, error, seed=_seed(run.run_id, self.step.name, failures))
            else:
                delay = policy.next(elapsed_s, failures, error)
            return None if delay is None else max(0.0, float(delay))
        except Exception as mistake:  # a policy is the user's code: it must not take the run's loop down
            mistake.__cause__ = mistake.__cause__ or error.__cause__
            error.__cause__ = mistake
            return None

    def _forget(self, run: Actor, act: Activation) -> None:
        if act.stage is not None:
            act.stage = None
            run.data.gate.committed(act.id)
        act.context = None

    # While it waits.

    def wake(self, run: Actor, act: Activation, wake: t.Wake) -> None:
        """Give the answer to the body that waits here; without one, run it from the top."""
        context = act.context
        if isinstance(context, StepContext) and context.woken(wake):
            return
        if act.task is None:
            run.run_again(act)

    def drop(self, run: Actor, act: Activation) -> None:
        """The activation left the run; its body is being cancelled."""
        self._forget(run, act)

    # Child runs.

    def child_start(self, run: Actor, act: Activation, child: str) -> tuple[Any, t.Started]:
        """The plan and first tick of the child run that the body is starting."""
        data: RunData = run.data
        assert data.starting is not None
        return data.starting[0], data.starting[1]

    def adopt_child(self, run: Actor, act: Activation, child: Actor) -> None:
        """Give a child run its live side before its first tick."""
        data: RunData = run.data
        assert data.starting is not None
        data.starting[2](child)
        data.starting = None

    # Only steps with a join need a guard, and the joins of classes have no expressions.

    def guard(self, run: Actor, event: EventRef) -> t.Delivered:
        """Every event passes."""
        return t.Delivered(0, 0.0, -1, event.id, self.step.name, True)

    def prepare(self, run: Actor, act: Activation) -> t.StepStarted:
        """Nothing to prepare."""
        return t.StepStarted(0, 0.0, act.cause, act.id, act.attempt, self.step.name)


def error_record(error: BaseException, step: str, attempt: int) -> dict[str, Any]:
    """An error as it stands in the log: {code, message, step, attempt, details}."""
    details: Any = {"type": type(error).__name__}
    code, message = "call.failed", f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, StepError):
        code, message, details = error.code, error.message, error.details
    elif isinstance(error, StepTimedOut):
        code, message = "timeout", error.message
    elif isinstance(error, OrchestratorError):
        code, message = error.code, error.message
    return {"code": code, "message": message, "step": step, "attempt": attempt, "details": details}


def _failed_event(
    act: Activation, error: BaseException, failures: int, elapsed_s: float, now: float
) -> StepFailedEvent:
    return StepFailedEvent(
        step_name=act.step.name,
        input_event=act.events[0].value if act.events else None,
        exception=error,
        attempts=failures,
        elapsed_seconds=elapsed_s,
        failed_at=datetime.fromtimestamp(now, UTC),
    )


def _seed(run_id: str, step: str, failures: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{run_id}:{step}:{failures}".encode()).digest()[:8], "big")


# How a step is called.


def _caller(step: StepDef) -> Call:
    """The closure that makes one call of a step."""
    signature = step.signature
    if signature.is_async or step.is_inline:
        if signature.injections:
            return _call_with_injections(step, step.func)
        return _fast_call(step) or _call_with_names(step, step.func)
    from orchestrator.authoring.threads import run_in_thread  # only for those who have sync steps

    if signature.injections:
        return _call_with_injections(step, run_in_thread(step))
    return _call_with_names(step, run_in_thread(step))


def _fast_call(step: StepDef) -> Call | None:
    """Calls of the common shapes without building a dict of arguments."""
    signature, func = step.signature, step.func
    param = signature.params[0]
    if len(signature.params) > 1 or param.is_list:
        return None
    if signature.order == (param.name,):
        if step.is_method:
            return lambda run, act: func(run.data.workflow, act.events[0].value)
        return lambda run, act: func(act.events[0].value)
    if signature.order == (signature.context, param.name) and step.is_method:

        def with_context(run: Actor, act: Activation) -> Any:
            context = act.context = StepContext(run, act)
            return func(run.data.workflow, context, act.events[0].value)

        return with_context
    return None


def _call_with_names(step: StepDef, func: Callable[..., Any]) -> Call:
    readers = _readers(step)
    if step.is_method:
        return lambda run, act: func(run.data.workflow, **{name: read(run, act) for name, read in readers})
    return lambda run, act: func(**{name: read(run, act) for name, read in readers})


def _call_with_injections(step: StepDef, func: Callable[..., Any]) -> Call:
    readers = _readers(step)
    injections = step.signature.injections
    owns_resources = any(i.source is not None for i in injections)

    async def call(run: Actor, act: Activation) -> Any:
        data: RunData = run.data
        if owns_resources and not data.uses_resources:
            data.uses_resources = True
            data.workflow.resources.enter()
        opened = Opened()
        try:
            arguments = {name: read(run, act) for name, read in readers}
            for injection in injections:
                arguments[injection.name] = await _inject(data, injection, opened)
            result = func(data.workflow, **arguments) if step.is_method else func(**arguments)
            return await result if inspect.isawaitable(result) else result
        finally:
            if opened.order:
                await opened.close()

    return call


async def _inject(data: RunData, injection: Injection, opened: Opened) -> Any:
    if injection.source is None:
        return data.workflow.child_workflow(injection.name, injection.type)
    return await data.workflow.resources.get(injection.source, injection.type, opened)


def _readers(step: StepDef) -> list[tuple[str, Read]]:
    signature = step.signature
    readers: list[tuple[str, Read]] = []
    if signature.context is not None:
        readers.append((signature.context, _make_context))
    for place, param in enumerate(signature.params):
        readers.append((param.name, _event_reader(param, place)))
    return readers


def _event_reader(param: EventParam, place: int) -> Read:
    if param.is_list:
        return lambda run, act: [event.value for event in act.events]
    return lambda run, act: act.events[place].value


def _make_context(run: Actor, act: Activation) -> StepContext:
    context = act.context = StepContext(run, act)
    return context
