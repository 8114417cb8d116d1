"""`@step`: a function whose calls inside a run are found again by their path, with retry and time limit.

A call is known by its path (frames.py) and compared with what was recorded under it. The recorded failure of a call is raised
again too: a body that caught it goes the same way, and the call that succeeded afterwards keeps its ordinal.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from orchestrator.errors import StepTimedOut
from orchestrator.functional.calls import read_call, write_call
from orchestrator.functional.codec import failure_of
from orchestrator.functional.context import WorkflowRunContext
from orchestrator.functional.errors import SignatureError
from orchestrator.functional.events import WorkflowEvent, framework_event
from orchestrator.functional.failures import Failure, rebuild_error
from orchestrator.functional.frames import Frame, current_frame, frame_here, path_name
from orchestrator.functional.log_events import show_call
from orchestrator.functional.passes import BREATH_S, STEP_CODES, Note, Pass
from orchestrator.functional.questions import QUESTION_CODE
from orchestrator.functional.signature import FunctionShape, shape_of_step
from orchestrator.functional.state import close_stage, drop_stage
from orchestrator.functional.values import ATOMS, Encoded, copy_value, decode, encode

P = ParamSpec("P")
R = TypeVar("R")


class RetryPolicy(Protocol):
    """Decides about another attempt; `orchestrator.retry` has ready-made ones."""

    def next(self, elapsed_time: float, attempts: int, error: Exception, *, seed: int | None = None) -> float | None:
        """Seconds until the next attempt, or None; `attempts` counts the failures so far, from 1."""
        ...


class _Times:
    """So many attempts in all, at once one after another."""

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts

    def next(self, elapsed_time: float, attempts: int, error: Exception, *, seed: int | None = None) -> float | None:
        return 0.0 if attempts < self.attempts else None


class StepDefinition:
    """What `@step` knows of its function."""

    __slots__ = ("fn", "is_workflow", "name", "path_name", "retry", "shape", "timeout_s")

    def __init__(self, fn: Callable[..., Any], shape: FunctionShape, name: str) -> None:
        self.fn = fn
        self.shape = shape
        self.name = name
        self.path_name = path_name(name)
        self.is_workflow = False
        self.retry: RetryPolicy | None = None
        self.timeout_s: float | None = None


@overload
def step(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...


@overload
def step(
    *, name: str | None = None, retry: int | RetryPolicy | None = None, timeout: float | timedelta | None = None
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]: ...


def step(
    fn: Any = None,  # the function, in the bare form; the overloads say so
    /,
    *,
    name: str | None = None,
    retry: int | RetryPolicy | None = None,
    timeout: float | timedelta | None = None,
) -> Any:
    """A step: inside a run its result is kept and never computed twice; outside it is the plain function.

    `retry` is the number of attempts in all, or a policy; `timeout` bounds one attempt: seconds, or a
    `timedelta`. A parameter annotated
    with `WorkflowRunContext`, or named `ctx`, gets the run's context.

    Raises: SignatureError for a function that is not async.

    Example:
        @step(name="fetch", retry=3, timeout=10)
        async def fetch_data(url: str) -> dict: ...
    """
    if fn is not None:
        return _make_step(fn, None, None, None)
    if name is not None and not (isinstance(name, str) and name):
        raise SignatureError(f"the name of a step is a non-empty text, not {name!r}")
    return lambda function: _make_step(function, name, retry, timeout)


def _make_step(fn: Any, name: str | None, retry: int | RetryPolicy | None, timeout: float | timedelta | None) -> Any:
    shape = shape_of_step(fn, WorkflowRunContext)
    definition = StepDefinition(fn, shape, name or fn.__name__)
    definition.retry = _policy_of(retry, definition)
    if isinstance(timeout, timedelta):
        timeout = timeout.total_seconds()
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0):
        raise SignatureError(f"step `{definition.name}`: timeout is {timeout!r}, but must be more than 0 seconds")
    definition.timeout_s = timeout
    plain = _plain_call(definition)

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        frame = frame_here()
        if frame is None:
            return plain(*args, **kwargs)
        place = frame.calls
        frame.calls = place + 1
        number = frame.next(definition.path_name)
        return run_step(definition, frame, f"{frame.path}{definition.path_name}#{number}", place, args, kwargs)

    marked = cast(Any, call)
    marked.name = definition.name
    marked.step = definition
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(marked)
    else:
        marked._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)
    return marked


def _policy_of(retry: int | RetryPolicy | None, definition: StepDefinition) -> RetryPolicy | None:
    if retry is None or callable(getattr(retry, "next", None)):
        return cast("RetryPolicy | None", retry)
    if isinstance(retry, bool) or not isinstance(retry, int) or retry < 1:
        raise SignatureError(
            f"step `{definition.name}`: retry is {retry!r}, but must be a number of attempts from 1 or a retry policy"
        )
    return _Times(retry)


def _plain_call(definition: StepDefinition) -> Callable[..., Awaitable[Any]]:
    """The call outside of a run: the function itself, with its context left empty if nobody gives one."""
    fn, name = definition.fn, definition.shape.context
    if name is None or inspect.signature(fn).parameters[name].default is not inspect.Parameter.empty:
        return fn

    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = _with_context(definition.shape, None, args, kwargs)
        return fn(*args, **kwargs)

    return call


async def run_step(
    definition: StepDefinition, frame: Frame, path: str, place: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    run = frame.run
    now = run.loop.time()
    if now - run.breath_at > BREATH_S:  # not after the body: results would reach code in another order than recorded
        run.breath_at = now
        await asyncio.sleep(0)
        run.breath_at = run.loop.time()
    if run.is_released:
        await run.refuse()
    items = tuple(kwargs.items()) if kwargs else ()
    note = write_call(args, items, definition.shape.names)
    record = run.act.record
    if record and (run.is_replaying or path in record):
        known, path = await _recorded(definition, frame, path, place, note)
        if known is not None:
            return await _give_again(definition, run, known, record[known])
    actor = run.actor
    began = show_call(run, definition.name, path, args, items)
    inner = Frame(run, path + "/", None, f"{path}:" if definition.is_workflow else frame.namespace)
    inner.step = inner
    inner.outer_step = frame.step
    if definition.shape.context is not None:
        args, kwargs = _with_context(definition.shape, WorkflowRunContext(run), args, kwargs)
    token = current_frame.set(inner)
    try:
        if definition.retry is not None or definition.timeout_s is not None or run.traces:
            value = await _attempts(definition, inner, path, args, kwargs)
        else:
            value = await definition.fn(*args, **kwargs)
        kept: Any = value if type(value) in ATOMS else copy_value(value, _what(definition, run))
        if run.is_durable:
            kept = Encoded(_encode(definition, run, value), kept)
    except Exception as error:
        await _failed(definition, inner, path, place, note, began, error)
        raise
    finally:
        _leave(token)
    if run.is_released:
        await run.refuse()
    run.record(path, kept, note_of(run, definition, note, place, began, None), close_stage(inner))
    if actor.sink is not None:
        await run.commit()
    return value


STEP_CODES.update((run_step.__code__, QUESTION_CODE))


def _leave(token: Any) -> None:
    try:
        current_frame.reset(token)
    except ValueError:  # the coroutine was closed from another context, which never saw the frame
        pass


def note_of(
    run: Pass, definition: StepDefinition, call: Any, place: int, began: float, failure: Failure | None
) -> Note:
    """What is kept beside a result; plain JSON if the run is kept in a storage."""
    if run.is_durable:
        return [definition.name, read_call(call), place, began, None if failure is None else failure.to_json()]
    return (definition.name, call, place, began, failure)


def _encode(definition: StepDefinition, run: Pass, value: Any) -> Any:
    return encode(value, definition.shape.return_hint, _what(definition, run))


def _what(definition: StepDefinition, run: Pass) -> str:
    return f"workflow `{run.session.workflow.name}`: the result of step `{definition.name}`"


def _with_context(
    shape: FunctionShape, context: WorkflowRunContext | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with the context in its place, unless the caller gave one."""
    name, at = shape.context, shape.context_at
    assert name is not None
    if name in kwargs:
        return args, kwargs
    if 0 <= at < len(args):
        given = args[at]
        if isinstance(given, WorkflowRunContext) or (given is None and len(args) > len(shape.names)):
            return args, kwargs
        return (*args[:at], context, *args[at:]), kwargs
    if shape.is_positional and at == len(args):
        return (*args, context), kwargs
    return args, {**kwargs, name: context}


async def _failed(
    definition: StepDefinition, inner: Frame, path: str, place: int, note: Any, began: float, error: Exception
) -> None:
    run = inner.run
    drop_stage(inner)
    if run.is_released:
        return
    run.record(path, None, note_of(run, definition, note, place, began, Failure.of(error, definition.name)))
    await run.commit()


async def _attempts(
    definition: StepDefinition, inner: Frame, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Try until an attempt succeeds or the policy gives up; failures are recorded, so a restart goes on counting."""
    run = inner.run
    failures = 0
    first_at = run.actor.now()
    record = run.act.record or {}
    while (entry := record.get(f"{path}!{failures + 1}")) is not None:
        failures += 1
        first_at = min(first_at, entry[2][3])
    if failures:
        _forget_failures(inner, until=f"{path}!{failures}")
    while True:
        try:
            attempt = _attempt(definition, args, kwargs)
            if run.traces:
                from orchestrator.functional.tracing import traced_step

                return await traced_step(run, definition.name, path, attempt)
            return await attempt
        except Exception as error:
            failures += 1
            now = run.actor.now()
            policy = definition.retry
            delay_s = policy.next(now - first_at, failures, error, seed=None) if policy is not None else None
            if delay_s is None or run.is_released:
                raise
            drop_stage(inner)
            _forget_failures(inner)
            failure = Failure.of(error, definition.name, failures)
            run.record(f"{path}!{failures}", None, note_of(run, definition, "", -1, now, failure))
            await run.commit()
            if delay_s > 0:
                await _sleep_until(run, now + delay_s)
            show_call(run, definition.name, path, args, tuple(kwargs.items()))


def _forget_failures(step: Frame, until: str | None = None) -> None:
    """Calls that failed inside an attempt are made again by the next one; `until` is the record of the attempt's failure.

    Cost: O(record), once per failed attempt.
    """
    for path, entry in (step.run.act.record or {}).items():
        if path == until:
            return
        if path.startswith(step.path) and len(entry) > 2 and entry[2] is not None and entry[2][4] is not None:
            step.run.stale.add(path)


async def _attempt(definition: StepDefinition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if definition.timeout_s is None:
        return await definition.fn(*args, **kwargs)
    scope = asyncio.timeout(definition.timeout_s)
    try:
        async with scope:
            return await definition.fn(*args, **kwargs)
    except TimeoutError as error:
        if not scope.expired():
            raise
        message = f"step `{definition.name}` took longer than {definition.timeout_s:g} s"
        raise StepTimedOut(message, step=definition.name) from error


async def _sleep_until(run: Pass, due: float) -> None:
    future: asyncio.Future[None] = run.loop.create_future()
    handle = run.actor.engine.clock.call_at(due, lambda: None if future.done() else future.set_result(None))
    try:
        await future
    finally:
        handle.cancel()


async def _recorded(
    definition: StepDefinition, frame: Frame, path: str, place: int, note: Any
) -> tuple[str | None, str]:
    """The path under which this call was recorded (None: it is a new one), and the path to record it under."""
    run = frame.run
    record = run.act.record or {}
    found = record.get(path)
    text = read_call(note)
    if path in run.stale:
        run.stale.discard(path)
        return None, path
    if found is None:
        other = run.recorded_at(frame, place)
        if other is not None:
            entry = record[other]
            recorded = f"{entry[2][0]}({read_call(entry[2][1])})"
            await run.diverge(entry[2][0], other, recorded, f"{definition.name}({text})")
        return None, path
    if path not in run.visited and read_call(found[2][1]) == text:
        return path, path
    same = run.find_same_call(frame, definition.path_name, text)
    if same is not None:
        return same, path
    if path not in run.visited:
        recorded = f"{definition.name}({read_call(found[2][1])})"
        await run.diverge(definition.name, path, recorded, f"{definition.name}({text})")
        return None, path
    number = 0  # the place was taken by a call that came in another order: a free one
    while f"{frame.path}{definition.path_name}#{number}" in record:
        number += 1
    return None, f"{frame.path}{definition.path_name}#{number}"


async def _give_again(definition: StepDefinition, run: Pass, path: str, entry: Any) -> Any:
    """The recorded result of a call, or its recorded failure."""
    run.visited.add(path)
    if len(run.tasks) > 1:
        await run.take_turn(path)
    failure = failure_of(entry[2][4])
    event: WorkflowEvent
    if failure is not None:
        event = framework_event("executor_bypassed", details=failure.details)
    else:
        value = decode(entry[1], definition.shape.return_hint)
        event = framework_event("executor_bypassed", value)
    event.executor_id, event.call_path = definition.name, path
    run.announce(event)
    now = run.loop.time()
    if now - run.breath_at > BREATH_S:
        run.breath_at = now
        await asyncio.sleep(0)
    if failure is not None:
        raise rebuild_error(failure, definition.fn)
    return value
