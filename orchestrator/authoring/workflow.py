"""`Workflow`: the base class of event-driven workflows, and how their runs begin."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from orchestrator.authoring.class_flow import FREE_STEPS, ClassFlow, class_flow
from orchestrator.authoring.class_launch import ClassLaunch
from orchestrator.authoring.context import Outside, running_loop
from orchestrator.authoring.definition import GRAPH_CHECKS, MARK, StepDef
from orchestrator.authoring.engines import engine_of
from orchestrator.authoring.handler import WorkflowHandler
from orchestrator.authoring.run_start import Start, ambient_call, is_durable, start_run
from orchestrator.errors import ContextStateError, UsageError, WorkflowRuntimeError, WorkflowValidationError
from orchestrator.events import Event, StartEvent
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.engine import current_engine

if TYPE_CHECKING:  # only named, or loaded when they are used
    from orchestrator.authoring.context import Context
    from orchestrator.authoring.observing import Observer
    from orchestrator.authoring.resources import ResourceManager
    from orchestrator.authoring.serializer import JsonSerializer
    from orchestrator.ir.model import FlowIR
    from orchestrator.runtime.engine import Engine
    from orchestrator.runtime.plan import FlowPlan


class Workflow:
    """Steps that take and return events.

    Example:
        >>> from orchestrator import StartEvent, StopEvent, Workflow, step
        >>> class Hello(Workflow):
        ...     @step
        ...     async def greet(self, ev: StartEvent) -> StopEvent:
        ...         return StopEvent(result=f"Hello, {ev.name}!")
        >>> Hello().run_sync(name="Ada")
        'Hello, Ada!'
    """

    _free_steps: ClassVar[dict[str, StepDef]] = {}
    _class_flow: ClassVar[tuple[int, ClassFlow] | None] = None
    _checked: ClassVar[tuple[int, ...] | None] = None

    def __init__(
        self,
        timeout: float | None = 45.0,
        disable_validation: bool = False,
        verbose: bool = False,
        resource_manager: ResourceManager | None = None,
        num_concurrent_runs: int | None = None,
        *,
        external: Iterable[type[Event]] = (),
        store: Any = None,  # a URL, a Journal or an engine
        workflow_name: str | None = None,
        skip_graph_checks: Iterable[str] | None = None,
        serializer: JsonSerializer | None = None,
    ) -> None:
        """`timeout` is in seconds of work (None: no bound); waiting for people or outside events does not count.

        `num_concurrent_runs` bounds the runs of this instance at a time, later ones wait; `external` are events that come
        from outside, beside those that steps wait for; `store` (a URL, a journal or an engine) makes runs durable;
        `workflow_name` is the name of its runs in a store, the module and class by default; `serializer` says which models
        and dataclasses may stand in events; `skip_graph_checks` leaves checks out by name, `disable_validation` all of them;
        `verbose` prints what happens.

        Raises: WorkflowConfigurationError if the class has not exactly one start and one stop event;
        WorkflowValidationError for an argument that cannot be meant.
        """
        self._flow = class_flow(type(self))
        _check_arguments(self._flow.name, timeout, num_concurrent_runs)
        self._timeout = timeout
        self._disable_validation = bool(disable_validation)
        self._verbose = bool(verbose)
        self._resource_manager = resource_manager
        self._limit = num_concurrent_runs
        self._external = tuple(external)
        self._store = store
        self._workflow_name = workflow_name
        self._skips = frozenset(skip_graph_checks or ())
        if unknown := self._skips - GRAPH_CHECKS:
            raise WorkflowValidationError(f"skip_graph_checks knows {sorted(GRAPH_CHECKS)}, not {sorted(unknown)}")
        self._serializer = serializer
        self._children: dict[str, Workflow] = {}
        self._active = 0
        self._plan: tuple[ClassFlow, Observer | None, FlowPlan] | None = None
        self._latest: weakref.ref[Actor] | None = None
        self._queue: deque[Start] = deque()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._free_steps = {}
        cls._class_flow = None
        cls._checked = None

    # What it is.

    @classmethod
    def add_step(cls, func: Any) -> None:  # a function that @step has marked
        """Add a free function that `@step` has marked to this class.

        Raises: WorkflowValidationError if it is not marked, or the name is taken.
        """
        definition = getattr(func, MARK, None)
        if not isinstance(definition, StepDef):
            raise WorkflowValidationError(
                f"{getattr(func, '__name__', func)!r} is no step; mark it with @step(workflow=…)"
            )
        for base in cls.__mro__:
            taken: dict[str, StepDef] = base.__dict__.get("_free_steps", {})
            if definition.name in taken or hasattr(base.__dict__.get(definition.name), MARK):
                raise WorkflowValidationError(
                    f"{definition.where}: {cls.__name__} already has a step of this name, "
                    "and a second one would never run; give it another name"
                )
        definition.is_method = False
        cls._free_steps = {**cls._free_steps, definition.name: definition}
        FREE_STEPS.count += 1

    @property
    def flow(self) -> ClassFlow:
        """The lowered class; lowered again if free steps were added since."""
        known: tuple[int, ClassFlow] | None = type(self).__dict__.get("_class_flow")
        return known[1] if known is not None and known[0] == FREE_STEPS.count else class_flow(type(self))

    @property
    def external(self) -> tuple[type[Event], ...]:
        """The events that may come from outside."""
        external: tuple[type[Event], ...] = self._attribute("_external")
        return external

    @property
    def start_event_class(self) -> type[StartEvent]:
        """The class of the event that starts a run."""
        return self.flow.start_class

    @property
    def stop_event_class(self) -> type[Event]:
        """The class of the event that ends a run."""
        return self.flow.stop_class

    @property
    def events(self) -> list[type[Event]]:
        """The classes of all events that its steps take and return."""
        return list(self.flow.names.classes.values())

    @property
    def workflow_name(self) -> str:
        """Its name: the one it was given, or that of its class with the module."""
        return self._attribute("_workflow_name") or f"{type(self).__module__}.{type(self).__qualname__}"

    @property
    def resources(self) -> ResourceManager:
        """What makes and keeps its resources."""
        if self._resource_manager is None:
            from orchestrator.authoring.resources import ResourceManager

            self._resource_manager = ResourceManager()
        return self._resource_manager

    @property
    def latest_run(self) -> Actor | None:
        """The run that this instance started last, as long as somebody holds its handler or it goes on."""
        return self._latest() if self._latest is not None else None

    def _attribute(self, name: str) -> Any:
        """An attribute that the constructor sets."""
        try:
            return self.__dict__[name]
        except KeyError:
            raise WorkflowRuntimeError(
                f"{type(self).__name__}.__init__ does not call super().__init__(); a workflow needs it"
            ) from None

    def validate(self, validate_resource_configs: bool = True, validate_resources: bool = False) -> bool:
        """Check the whole workflow; tells whether it asks somebody outside.

        Raises: WorkflowValidationError with all that is wrong, each with its place.
        """
        from orchestrator.authoring.validate import asks_outside, check_workflow

        check_workflow(self, checks_configs=validate_resource_configs, checks_resources=validate_resources)
        return asks_outside(self.flow)

    # Workflows inside.

    def add_workflows(self, **workflows: Workflow) -> None:
        """Give workflows to the steps that take them, by the name of their parameter or by their type."""
        for name, workflow in workflows.items():
            if not isinstance(workflow, Workflow):
                raise WorkflowValidationError(f"add_workflows({name}=…) takes an instance of a Workflow")
        self._attribute("_children").update(workflows)

    def child_workflow(self, name: str, cls: type[Workflow]) -> Workflow:
        """The workflow for a step's parameter.

        Raises: WorkflowRuntimeError if none was added.
        """
        children: dict[str, Workflow] = self._attribute("_children")
        named = children.get(name)
        if isinstance(named, cls):
            return named
        for workflow in children.values():
            if isinstance(workflow, cls):
                return workflow
        raise WorkflowRuntimeError(
            f"a step takes `{name}: {cls.__name__}`, but none was added; "
            f"call add_workflows({name}={cls.__name__}()) on the {type(self).__name__}"
        )

    # Runs.

    def run(
        self,
        ctx: Context[Any] | None = None,
        start_event: StartEvent | None = None,
        *,
        store: Any = None,  # a URL, a Journal or an engine
        run_id: str | None = None,
        **kwargs: Any,
    ) -> WorkflowHandler:
        """Start a run; the keyword arguments make its start event. Inside a step it is a child of that step's run.

        A context that is under way is resumed, without a new start event; one that has ended starts again with its state.

        Raises: WorkflowValidationError at the first run of a class that is wrong; WorkflowRuntimeError for arguments that
        do not make a start event; ContextStateError for a context that is running or of another workflow.
        """
        if running_loop() is None:
            raise UsageError("run() needs a running event loop; call it from async code, or use run_sync()")
        if not self._attribute("_disable_validation"):
            self._check_once()
        self._check_context(ctx)
        resumes = ctx is not None and ctx.is_running
        event = None if resumes else self._start_event(start_event, kwargs)
        outside = ctx._outside if ctx is not None else Outside(self)
        chosen = store if store is not None else self._store
        engine = engine_of(chosen) if chosen is not None else None
        parent = ambient_call(engine) if event is not None else None
        if engine is None:
            engine = parent.run.engine if parent is not None else current_engine()
        start = Start(ClassLaunch(self, outside, event, counts=True), engine, run_id, outside, parent, context=ctx)
        if is_durable(engine):
            self._go_durable(engine)
        if self._limit is not None and self._active >= self._limit:
            self._queue.append(start)
            return WorkflowHandler(start)
        self._begin(start)
        return WorkflowHandler(start)

    def run_sync(self, **kwargs: Any) -> Any:
        """Run to the end from code that is not async; the arguments and the result of `run`."""
        if running_loop() is not None:
            raise UsageError("run_sync() cannot be used while an event loop runs; write `await workflow.run(…)`")

        async def main() -> Any:
            return await self.run(**kwargs)

        return asyncio.run(main())

    def resume(self, run_id: str, *, store: Any = None) -> WorkflowHandler:
        """Take up a run from its store: one that waits there, or whose process is gone. Finished steps do not run again.

        Awaiting the handler of a run that has ended meanwhile gives its result.

        Raises: UsageError without a store; when awaited, UnknownRun, and StoreBusy while another process holds the run.
        """
        from orchestrator.authoring.taking_up import take_up

        if running_loop() is None:
            raise UsageError("resume() needs a running event loop; call it from async code")
        engine = engine_of(store if store is not None else self._store)
        if not is_durable(engine):
            raise UsageError(
                "resume() takes a run up from a store; give one: resume(run_id, store='sqlite:///runs.db')"
            )
        self._go_durable(engine)
        outside = Outside(self)
        return WorkflowHandler(take_up(ClassLaunch(self, outside, None), engine, run_id, outside))

    def attach(self, run: Actor) -> None:
        """Give a run that came back from its store its live side."""
        ClassLaunch(self, Outside(self), None).attach(run)

    def _go_durable(self, engine: Engine) -> None:
        from orchestrator.authoring.engines import host_of
        from orchestrator.authoring.instance_state import warn_of_instance_state

        host_of(engine).classes[self.flow.name] = self
        warn_of_instance_state(type(self), self.flow.steps.values())

    def _begin(self, start: Start) -> None:
        self._active += 1
        try:
            start_run(start)
        except BaseException:
            self._active -= 1
            raise

    def _ended(self, run: Actor | None) -> None:
        """A run has ended, or could not begin: the next one that waits may start."""
        self._active -= 1
        while self._queue and (self._limit is None or self._active < self._limit):
            start = self._queue.popleft()
            if not start.is_withdrawn:
                self._begin(start)

    def _check_once(self) -> None:
        cls, flow = type(self), self.flow
        if self.__dict__.get("_passed") is flow:
            return
        key = (id(flow), hash((self._external, self._skips)))
        if cls.__dict__.get("_checked") != key:
            from orchestrator.authoring.validate import check_quickly

            check_quickly(self)
            cls._checked = key
        self._passed = flow

    def _check_context(self, ctx: Context[Any] | None) -> None:
        if ctx is None:
            return
        from orchestrator.authoring.validate import check_shared_context

        check_shared_context(self, ctx)
        run = ctx._outside.run
        if run is not None and not run.is_over:
            raise ContextStateError(
                f"this context's run {run.run_id!r} is under way; wait for its handler, or use a new context"
            )

    def _start_event(self, event: StartEvent | None, fields: dict[str, Any]) -> StartEvent:
        cls = self.start_event_class
        if event is not None:
            if not isinstance(event, StartEvent):
                raise ValueError(f"start_event must be an instance of StartEvent, not {type(event).__name__}")
            if not isinstance(event, cls):
                raise WorkflowRuntimeError(
                    f"{self.flow.name} starts with a {cls.__name__}, not a {type(event).__name__}"
                )
            if fields:
                import warnings

                warnings.warn("run(start_event=…) ignores the other arguments", UserWarning, stacklevel=3)
            return event
        try:
            return cls(**fields)
        except ValidationError as error:
            raise WorkflowRuntimeError(f"the arguments of run() do not make a {cls.__name__}: {error}") from error

    def plan(self) -> FlowPlan:
        """The workflow ready to run, observed as this process and instance want it."""
        from orchestrator.authoring.observing import observer_for

        flow, observer = self.flow, observer_for(self._verbose)
        known = self._plan
        if known is None or known[0] is not flow or known[1] is not observer:
            known = self._plan = (flow, observer, flow.plan(self._external, observer, self._serializer))
        return known[2]

    def plan_of(self, stored: FlowIR) -> FlowPlan:
        """A stored version of the workflow, ready to run. Raises: PluginError if it needs what is gone."""
        from orchestrator.authoring.observing import observer_for
        from orchestrator.ir.codec import flow_hash

        plan = self.plan()
        if plan.hash == flow_hash(stored):
            return plan
        return self.flow.plan_of(stored, observer_for(self._verbose), self._serializer)


def _check_arguments(name: str, timeout: float | None, num_concurrent_runs: int | None) -> None:
    if num_concurrent_runs is not None and (
        isinstance(num_concurrent_runs, bool) or not isinstance(num_concurrent_runs, int) or num_concurrent_runs < 1
    ):
        raise WorkflowValidationError(
            f"{name}: num_concurrent_runs is a whole number of at least 1, not {num_concurrent_runs!r}"
        )
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout < 0):
        raise WorkflowValidationError(f"{name}: timeout is a number of seconds or None, not {timeout!r}")
