"""`@workflow`: an async function as a workflow that can pause, be kept, and go on; many runs of one definition at a time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Generic, Literal, TypeVar, cast, overload

from orchestrator.errors import RunError, RunFinished
from orchestrator.functional.agent import FunctionalWorkflowAgent
from orchestrator.functional.body import FunctionBody, attach, flow_from_function
from orchestrator.functional.class_calls import call_in_step, step_around
from orchestrator.functional.codec import FunctionCodec
from orchestrator.functional.context import WorkflowRunContext
from orchestrator.functional.errors import RunArgumentError, SignatureError
from orchestrator.functional.events import WorkflowRunResult, WorkflowRunState
from orchestrator.functional.frames import Frame, current_frame, frame_here, path_name
from orchestrator.functional.log_events import inner_result
from orchestrator.functional.opening import OnDivergence, Opening
from orchestrator.functional.passes import Pass
from orchestrator.functional.places import places_of
from orchestrator.functional.record_log import CheckpointStorage, RecordLog
from orchestrator.functional.session import Phase, RunSession
from orchestrator.functional.signature import shape_of_workflow
from orchestrator.functional.sink import RecordSink
from orchestrator.functional.steps import StepDefinition, run_step
from orchestrator.functional.stream import ResponseStream
from orchestrator.functional.values import Value, decode
from orchestrator.ir.model import FlowIR
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import current_cell
from orchestrator.runtime.plan import FlowPlan, plan_flow

R = TypeVar("R")
AnyStorage = CheckpointStorage | RecordLog | None
Store = Any  # a URL, a Journal, an engine, or a checkpoint storage
RESTING_S = 0.001  # the driver of a pass leaves the run before its store may have it


class _Missing:
    """Stands for a message that was not given; None is a message."""

    def __repr__(self) -> str:
        return "<no message>"


MISSING = _Missing()


class FunctionalWorkflow(Generic[R]):
    """A workflow made of a function by `@workflow`.

    Call it for the raw return value, or `run()` it for events, questions, streaming and checkpoints. It holds no state of
    a run that others could see: any number of runs go on at a time.
    """

    def __init__(
        self,
        fn: Callable[..., Coroutine[Any, Any, R]],
        *,
        name: str | None = None,
        description: str | None = None,
        checkpoint_storage: AnyStorage = None,
        store: Store = None,
    ) -> None:
        self.fn = fn
        self.shape = shape_of_workflow(fn, WorkflowRunContext)
        self.name = name or fn.__name__
        self.description = description
        self.storage, self.store = places_of(checkpoint_storage, store)
        self.sessions: dict[str, RunSession] = {}  # runs that go on here, and those that wait in memory
        self.opening: set[str] = set()  # runs that a `run()` call is taking from their store
        self._definition = StepDefinition(fn, self.shape, self.name)
        self._definition.is_workflow = True
        functools.update_wrapper(self, fn, updated=())

    @functools.cached_property
    def ir(self) -> FlowIR:
        """The workflow as FlowIR."""
        return flow_from_function(self)

    @functools.cached_property
    def plan(self) -> FlowPlan:
        """The workflow, ready for an engine."""
        body = FunctionBody(self)
        plan = plan_flow(self.ir, {self.name: body}, codec=FunctionCodec(self.shape))
        plan.answer, plan.questions, plan.attach = body.answer, body.questions, attach
        return plan

    def build(self, *, checkpoint_storage: AnyStorage = None, store: Store = None) -> FunctionalWorkflow[R]:
        """The same workflow over another storage; its runs are apart from this one's."""
        if checkpoint_storage is None and store is None:
            checkpoint_storage, store = self.storage, self.store
        return FunctionalWorkflow(
            self.fn, name=self.name, description=self.description, checkpoint_storage=checkpoint_storage, store=store
        )

    def as_agent(self, name: str | None = None, *, description: str | None = None) -> FunctionalWorkflowAgent:
        """The workflow as an agent: `await agent.run(message)` gives a response with `.text`."""
        return FunctionalWorkflowAgent(self, name=name, description=description)

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, R]:  # Any: the function's input
        """Run and give the raw return value; inside another workflow, or a step of a class, its questions are asked there.

        Raises: RunArgumentError, unless there is one message, by place or by the input's name.
        """
        message = self._message_of(args, kwargs)
        frame = _frame_here()
        if frame is not None:
            return cast("Coroutine[Any, Any, R]", self._run_inside(frame, message))
        opening = self._opening(message)
        call = step_around(self) if current_cell.get() is not None else None
        if call is not None:
            return cast("Coroutine[Any, Any, R]", call_in_step(opening, call))
        return self._call(opening)

    @overload
    def run(
        self,
        message: Any = MISSING,
        *,
        stream: Literal[True],
        responses: dict[str, Any] | None = None,
        checkpoint_id: str | None = None,
        checkpoint_storage: AnyStorage = None,
        include_status_events: bool = False,
        run_id: str | None = None,
        store: Store = None,
        on_divergence: OnDivergence = "abort",
    ) -> ResponseStream: ...

    @overload
    def run(
        self,
        message: Any = MISSING,
        *,
        stream: Literal[False] = False,
        responses: dict[str, Any] | None = None,
        checkpoint_id: str | None = None,
        checkpoint_storage: AnyStorage = None,
        include_status_events: bool = False,
        run_id: str | None = None,
        store: Store = None,
        on_divergence: OnDivergence = "abort",
    ) -> Coroutine[Any, Any, WorkflowRunResult]: ...

    def run(  # the public contract names ten arguments
        self,
        message: Any = MISSING,  # the function's input
        *,
        stream: bool = False,
        responses: dict[str, Any] | None = None,
        checkpoint_id: str | None = None,
        checkpoint_storage: AnyStorage = None,
        include_status_events: bool = False,
        run_id: str | None = None,
        store: Store = None,
        on_divergence: OnDivergence = "abort",
    ) -> ResponseStream | Coroutine[Any, Any, WorkflowRunResult]:
        """Start a run with `message`, or go on with one by `responses` and/or `checkpoint_id`, or by `run_id` alone.

        Without `run_id`, responses go to the one waiting run of this object (and storage) that asked for all of them.
        Nothing runs before the result is awaited or the stream is read; arguments are checked at once.

        Raises: RunArgumentError for arguments that do not go together; when awaited, RequestError and InvalidResponse
        for answers that fit no open question, ReplayDiverged, and whatever the function raises.

        Example: result = await pipeline.run("hello"); print(result.text)
        """
        place = places_of(checkpoint_storage, store)
        opening = self._opening(message, responses, checkpoint_id, place, run_id, on_divergence)
        frame = _frame_here()
        if frame is not None and opening.is_plain:
            if stream:
                raise RunArgumentError(
                    f"`{self.name}.run(stream=True)` inside a workflow: await `{self.name}(...)`; its events are in the "
                    "stream of the run around it"
                )
            return self._run_inside_for_result(frame, message, include_status_events)
        if stream:
            opening.is_streaming = True
            return ResponseStream(opening.begin, opening.follow)
        return self._run(opening, include_status_events)

    def run_sync(self, message: Any = MISSING, **options: Any) -> WorkflowRunResult:  # Any: as for run()
        """`run()` for code without an event loop."""
        result: WorkflowRunResult = asyncio.run(self.run(message, **options))
        return result

    async def cancel(self, run_id: str) -> None:
        """End a run, whether it works here or waits, here or in the storage. Raises: UnknownRun, RunFinished."""
        opening = Opening(self, self.storage, self.store, is_plain=False)
        opening.run_id = run_id
        session = await opening.find()
        if session.actor.is_over:
            raise RunFinished(f"run {run_id!r} has ended ({session.actor.state.status.value})")
        current = session.current
        session.actor.apply(t.Cancel(0, 0.0, -1, "cancelled", "cancelled by its caller"))
        if session.actor.sink is not None:
            await session.actor.sink.flush()
        if current is not None:
            await current.wait_over()

    # Inside.

    def _message_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = self.shape.input
        if len(args) == 1 and not kwargs:
            return args[0]
        if not args and (not kwargs or (name is not None and list(kwargs) == [name])):
            return kwargs.get(name or "", MISSING)
        given = [*(repr(value) for value in args), *(f"{key}=…" for key in kwargs)]
        raise RunArgumentError(
            f"`{self.name}` takes {f'`{name}`' if name else 'no input'}, but was given {', '.join(given)}"
        )

    def _opening(
        self,
        message: Value,
        responses: dict[str, Any] | None = None,
        checkpoint_id: str | None = None,
        place: tuple[RecordLog | None, Any] = (None, None),
        run_id: str | None = None,
        on_divergence: OnDivergence = "abort",
    ) -> Opening:
        is_plain = place == (None, None)
        storage, store = (self.storage, self.store) if is_plain else place
        opening = Opening(self, storage, store, is_plain=is_plain)
        if message is not MISSING:
            opening.has_message, opening.message = True, message
        opening.responses, opening.checkpoint_id = responses, checkpoint_id
        opening.run_id, opening.on_divergence = run_id, on_divergence
        opening.check()
        return opening

    async def _run(self, opening: Opening, with_status: bool) -> WorkflowRunResult:
        session, phase = await opening.begin()
        while True:
            await self._wait(session, phase)
            if phase.error is None:
                return session.result_of(phase, with_status=with_status)
            session, phase = await opening.follow(session, phase)

    async def _wait(self, session: RunSession, phase: Phase) -> None:
        try:
            await asyncio.shield(phase.done)
        except asyncio.CancelledError:
            if session.leave_phase(phase):
                await session.cancel()
            raise

    async def _call(self, opening: Opening) -> R:
        result = await self._run(opening, True)
        if result.get_final_state() is WorkflowRunState.IDLE_WITH_PENDING_REQUESTS:
            names = ", ".join(repr(event.request_id) for event in result.get_request_info_events())
            raise RunError(
                f"`{self.name}` paused for {names}, so the call has no value; use `{self.name}.run(...)` and answer with "
                f"`run(responses=...)`. The run waits under the id {result.run_id}",
                run_id=result.run_id,
                code="run.paused",
            )
        outputs = result.get_outputs()
        return cast(R, outputs[0] if outputs else None)

    async def start_body(self, run: Pass, message: dict[str, Value]) -> R:
        """Call the function, in a pass; `message` holds its input under the input's name."""
        shape = self.shape
        given: dict[str, Any] = {}
        if shape.input is not None:
            given[shape.input] = (
                decode(message[shape.input], shape.input_hint) if shape.input in message else shape.default
            )
        if shape.context is not None:
            given[shape.context] = WorkflowRunContext(run, current_frame.get())
        if not shape.is_positional:
            return await self.fn(**given)
        names = [name for name in (*shape.names, shape.context) if name is not None]
        if shape.context is not None and shape.context_at == 0:
            names = [shape.context, *shape.names]
        return await self.fn(*(given[name] for name in names))

    def _run_inside(self, frame: Frame, message: Value) -> Coroutine[Any, Any, Any]:
        self._opening(message)
        place = frame.calls
        frame.calls = place + 1
        name = path_name(self.name)
        path = f"{frame.path}{name}#{frame.next(name)}"
        args = (message,) if self.shape.input is not None and message is not MISSING else ()
        if self.shape.input is not None and args and not self.shape.is_positional:
            return run_step(self._definition, frame, path, place, (), {self.shape.input: message})
        return run_step(self._definition, frame, path, place, args, {})

    def _run_inside_for_result(
        self, frame: Frame, message: Value, with_status: bool
    ) -> Coroutine[Any, Any, WorkflowRunResult]:
        session, name = frame.run.session, path_name(self.name)
        path = f"{frame.path}{name}#{(frame.counts or {}).get(name, 0)}"
        call = self._run_inside(frame, message)

        async def result() -> WorkflowRunResult:
            actor = session.actor
            start = actor.base + len(actor.entries)
            value = await call
            events = session.events(start, actor.base + len(actor.entries))
            return inner_result(events, path, actor.run_id, self.name, value, with_status)

        return result()

    def keep(self, session: RunSession) -> None:
        """A run waits: in memory it is kept, with a storage it is rows and nothing else."""
        unpin, session.unpin = session.unpin, None
        if unpin is not None:
            self.forget(session)
            asyncio.get_running_loop().call_later(RESTING_S, unpin, session.actor, context=Context())
        elif isinstance(session.actor.sink, RecordSink):
            session.actor.discard()
            self.forget(session)

    def forget(self, session: RunSession) -> None:
        """A run goes no further here."""
        self.sessions.pop(session.actor.run_id, None)
        if isinstance(session.actor.sink, RecordSink):
            session.actor.sink.storage.release(session.actor.run_id)

    def __repr__(self) -> str:
        return f"FunctionalWorkflow({self.name!r})"


def _frame_here() -> Frame | None:
    frame = frame_here()
    return frame if frame is not None and not frame.run.is_released else None


@overload
def workflow(fn: Callable[..., Coroutine[Any, Any, R]], /) -> FunctionalWorkflow[R]: ...


@overload
def workflow(
    *,
    name: str | None = None,
    description: str | None = None,
    checkpoint_storage: AnyStorage = None,
    store: Store = None,
) -> Callable[[Callable[..., Coroutine[Any, Any, R]]], FunctionalWorkflow[R]]: ...


def workflow(
    fn: Any = None,  # the function, in the bare form; the overloads say so
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    checkpoint_storage: AnyStorage = None,
    store: Store = None,
) -> Any:
    """Make a workflow of an async function of at most one input and, if it wants, a `WorkflowRunContext`.

    Raises: SignatureError for a function that cannot be one.

    Example:
        @workflow(name="my_pipeline", checkpoint_storage=InMemoryCheckpointStorage())
        async def text_pipeline(text: str) -> str: ...
    """
    if fn is not None:
        return FunctionalWorkflow(fn)
    if name is not None and not (isinstance(name, str) and name):
        raise SignatureError(f"the name of a workflow is a non-empty text, not {name!r}")
    return functools.partial(
        FunctionalWorkflow, name=name, description=description, checkpoint_storage=checkpoint_storage, store=store
    )
