"""Lowers a Workflow class to FlowIR, and makes it ready to run. Knows no run.

A class is lowered once; adding a free step lowers it again. For running, events carry no schema and steps no place: what is only
needed to store, check or draw a flow is worked out when somebody asks (`ClassFlow.ir`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from orchestrator.authoring.body import PythonBody
from orchestrator.authoring.definition import MARK, StepDef
from orchestrator.authoring.names import ClassCodec, EventNames, kind_of, visible_event
from orchestrator.authoring.signature import Signature
from orchestrator.errors import PluginError, WorkflowConfigurationError, WorkflowValidationError
from orchestrator.events import Event, StartEvent, StopEvent
from orchestrator.ir.link import joins_of
from orchestrator.ir.model import (
    BodyIR,
    EventIR,
    FlowIR,
    JoinIR,
    Json,
    Origin,
    PolicyIR,
    StepIR,
)
from orchestrator.runtime.plan import FlowPlan, StepPlan, plan_flow

if TYPE_CHECKING:  # a workflow holds its flow
    from orchestrator.authoring.observing import Observer
    from orchestrator.authoring.serializer import JsonSerializer
    from orchestrator.authoring.workflow import Workflow

PlanKey = tuple[tuple[type[Event], ...], Any]


class ClassFlow:
    """A Workflow class, lowered."""

    def __init__(self, cls: type[Workflow], steps: dict[str, StepDef]) -> None:
        self.cls = cls
        self.name = cls.__name__
        self.steps = steps
        signatures = [step.signature for step in steps.values()]
        self.names = EventNames(_events_of(signatures))
        self.names.resolve = lambda name: visible_event(name, (step.func for step in steps.values()))
        self.start_class = _only_class(cls, signatures, StartEvent, is_start=True)
        self.stop_class = _only_class(cls, signatures, StopEvent, is_start=False)
        self.state_model = _state_model(cls, steps)
        self.codec = ClassCodec(self.names, None, self.state_model)
        self._plans: dict[PlanKey, FlowPlan] = {}
        self._ir: FlowIR | None = None

    @property
    def ir(self) -> FlowIR:
        """The whole flow, with schemas and places."""
        if self._ir is None:
            self._ir = with_details(self, lower(self))
        return self._ir

    def plan(
        self, external: tuple[type[Event], ...], observer: Observer | None, serializer: JsonSerializer | None
    ) -> FlowPlan:
        """The flow ready to run; `external` are events that may come from outside, `observer` is told of every attempt."""
        key = (external, observer if serializer is None else (observer, serializer))
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._make_plan(external, observer, serializer)
        return plan

    def _make_plan(
        self, external: tuple[type[Event], ...], observer: Observer | None, serializer: JsonSerializer | None
    ) -> FlowPlan:
        return self._bind(lower(self, external), observer, serializer)

    def plan_of(self, stored: FlowIR, observer: Observer | None, serializer: JsonSerializer | None) -> FlowPlan:
        """A stored version of the flow, bound by name to the steps and events of today.

        Raises: PluginError `binding` for one that needs a step or event that is gone.
        """
        gone = [f"step `{name}`" for name in stored.steps if name not in self.steps]
        gone += [f"event `{name}`" for name in stored.events if self.names.find(name) is None]
        if gone:
            raise PluginError(
                f"the run was begun by another version of workflow {self.name}, which had {', '.join(gone)}; "
                "put it back, or cancel the run",
                plugin=self.name,
                code="binding",
            )
        return self._bind(stored, observer, serializer, is_stored=True)

    def _bind(
        self,
        flow: FlowIR,
        observer: Observer | None,
        serializer: JsonSerializer | None,
        *,
        is_stored: bool = False,
    ) -> FlowPlan:
        bodies = {name: PythonBody(step, self.names, observer) for name, step in self.steps.items()}
        whole = None if is_stored else lambda: with_details(self, flow)
        codec = self.codec if serializer is None else ClassCodec(self.names, serializer, self.state_model)
        plan = plan_flow(flow, bodies, codec=codec, whole=whole)
        for name, cls in self.names.classes.items():
            plan.kinds.setdefault(name, kind_of(cls))
        self.names.on_new(lambda name, cls: _extend(plan, self, name, cls))
        return plan


def flow_from_class(workflow: type[Workflow] | Workflow) -> FlowIR:
    """The FlowIR of a workflow class or instance.

    Raises: WorkflowConfigurationError, WorkflowValidationError.
    """
    if isinstance(workflow, type):
        return class_flow(workflow).ir
    flow = workflow.flow
    if not workflow.external:
        return flow.ir
    return with_details(flow, lower(flow, workflow.external))


class _FreeSteps:
    """How many free steps have been added to any class: a lowered class that saw fewer is looked at again."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


FREE_STEPS = _FreeSteps()


def class_flow(cls: type[Workflow]) -> ClassFlow:
    """The lowered form of a class; made at first use and again when steps were added to any class. Cost: O(1) when known.

    Raises: WorkflowConfigurationError if there is not exactly one start class and one stop class.
    """
    version = FREE_STEPS.count
    known: tuple[int, ClassFlow] | None = cls.__dict__.get("_class_flow")
    if known is None or known[0] != version:
        known = (version, ClassFlow(cls, steps_of(cls)))
        cls._class_flow = known
    return known[1]


def steps_of(cls: type[Workflow]) -> dict[str, StepDef]:
    """The steps of a class in order of declaration, those of its bases first; an overridden step keeps its place."""
    found: dict[str, StepDef] = {}
    for base in reversed(cls.__mro__):
        for name, value in base.__dict__.items():
            func = inspect.unwrap(value) if callable(value) else value
            definition = getattr(value, MARK, None) or getattr(func, MARK, None)
            if isinstance(definition, StepDef):
                found[name] = definition
            elif name in found:
                del found[name]  # overridden by something that is no step
        free: dict[str, StepDef] = base.__dict__.get("_free_steps", {})
        found.update(free)
    return found


def _events_of(signatures: Iterable[Signature]) -> list[type[Event]]:
    found: dict[type[Event], None] = {}
    for signature in signatures:
        found.update(dict.fromkeys(signature.accepts))
        found.update(dict.fromkeys((*signature.emits, *signature.fans)))
    return list(found)


def _only_class(
    cls: type[Workflow], signatures: list[Signature], base: type[Event], *, is_start: bool
) -> type[Any]:  # a subclass of `base`
    found: dict[type[Event], None] = {}
    for signature in signatures:
        for event in signature.accepts if is_start else (*signature.emits, *signature.fans):
            if issubclass(event, base):
                found[event] = None
    verb, kind = ("takes", "start") if is_start else ("returns", "stop")
    if not found:
        raise WorkflowConfigurationError(
            f"{place_of(cls)}: workflow {cls.__name__} cannot {'begin' if is_start else 'end'}: "
            f"no step {verb} a {base.__name__}; at least one step must {'take' if is_start else 'return'} it"
            + (_send_hint(signatures) if is_start else "")
        )
    if len(found) > 1:
        names = ", ".join(sorted(event.__name__ for event in found))
        raise WorkflowConfigurationError(
            f"{place_of(cls)}: workflow {cls.__name__} has {len(found)} {kind} events ({names}); "
            "it can have only one class of them"
        )
    return next(iter(found))


def _send_hint(signatures: list[Signature]) -> str:
    """How another workflow reaches one that takes only events of its own."""
    event = next((cls.__name__ for s in signatures for cls in s.accepts), None)
    if event is None:
        return ""
    return (
        f". To have another workflow send it `{event}`, start a run of this one, and there write "
        f"`ctx.send_event({event}(...), run_id=handler.run_id)`"
    )


def _state_model(cls: type[Workflow], steps: dict[str, StepDef]) -> type[BaseModel] | None:
    chosen: type[BaseModel] | None = None
    by = ""
    for step in steps.values():
        model = step.signature.state
        if model is None or model is chosen:
            continue
        if chosen is None or issubclass(model, chosen):
            chosen, by = model, step.name
        elif not issubclass(chosen, model):
            raise WorkflowValidationError(
                f"{step.where}: its state is {model.__name__}, but that of step `{by}` is {chosen.__name__}; "
                "one must be a subclass of the other"
            )
    if chosen is not None:
        try:
            chosen()
        except ValueError as error:
            raise WorkflowValidationError(
                f"{place_of(cls)}: the state {chosen.__name__} cannot be made without arguments; give every field a default"
            ) from error
    return chosen


def place_of(cls: type[Any]) -> Origin:
    """Where a class is defined: exact where the source can be read, else its first line of code."""
    import sys

    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None) or f"<{cls.__module__}>"
    try:
        _, line = inspect.getsourcelines(cls)
    except (OSError, TypeError):
        line = 1
    return Origin(file, line)


# FlowIR.


def lower(flow: ClassFlow, external: tuple[type[Event], ...] = ()) -> FlowIR:
    """The flow without schemas and places."""
    events: dict[str, EventIR] = {}
    for name, cls in list(flow.names.classes.items()):
        events[name] = EventIR(name, kind=kind_of(cls), external=cls in external, bases=_bases(cls, flow.names))
    for cls in external:
        name = flow.names.name_of(cls)
        events.setdefault(name, EventIR(name, kind=kind_of(cls), external=True))
    ir = FlowIR(
        flow.name,
        kind="class",
        events=events,
        steps={name: _lower_step(name, step, flow.names) for name, step in flow.steps.items()},
        start=flow.names.name_of(flow.start_class),
        stop=(flow.names.name_of(flow.stop_class),),
        drain_s=0.0,
    )
    return replace(ir, joins_of=joins_of(ir))


def _lower_step(name: str, step: StepDef, names: EventNames) -> StepIR:
    signature = step.signature
    emits = tuple(names.name_of(cls) for cls in dict.fromkeys((*signature.emits, *signature.fans)))
    return StepIR(
        name,
        accepts=tuple(names.name_of(cls) for cls in signature.accepts),
        emits=emits,
        body=BodyIR("python", ref=f"{step.func.__module__}:{step.func.__qualname__}"),
        join=_lower_join(signature, names),
        policy=PolicyIR(concurrency=step.num_workers, rate=step.rate, timeout_s=step.timeout_s, effect=step.effect),
        fans=(name,) if signature.fans else (),
        accepts_subclasses=step.accepts_subclasses,
        recovers=step.catches or (),
        max_recoveries=step.max_recoveries,
        is_inline=step.is_inline,
    )


def _lower_join(signature: Signature, names: EventNames) -> JoinIR | None:
    first = signature.params[0]
    if len(signature.params) > 1:
        return JoinIR("each", events=tuple(names.name_of(param.events[0]) for param in signature.params))
    if not first.is_list:
        return None
    events = tuple(names.name_of(cls) for cls in first.events)
    if first.take is None:
        return JoinIR("all", events=events)
    return JoinIR("first", events=events, count=first.take, fires_on_close=True)


def _bases(cls: type[Event], names: EventNames) -> tuple[str, ...]:
    return tuple(names.names[base] for base in cls.__mro__[1:] if base in names.names)


def with_details(flow: ClassFlow, ir: FlowIR) -> FlowIR:
    """The flow with what is needed to store, check and draw it: schemas, texts and places."""
    events = {}
    for name, event in ir.events.items():
        cls = flow.names.classes[name]
        events[name] = replace(
            event, schema=schema_of(cls), description=inspect.cleandoc(cls.__doc__ or ""), origin=place_of(cls)
        )
    steps = {}
    for name, step in ir.steps.items():
        definition = flow.steps[name]
        text = inspect.cleandoc(definition.func.__doc__ or "")
        steps[name] = replace(step, description=text, origin=definition.origin)
    state = flow.state_model
    return replace(
        ir,
        events=events,
        steps=steps,
        inputs=schema_of(flow.start_class),
        outputs=schema_of(flow.stop_class),
        state_schema={} if state is None else schema_of(state),
        description=inspect.cleandoc(flow.cls.__doc__ or "") if flow.cls.__doc__ else "",
        origin=place_of(flow.cls),
    )


def schema_of(cls: type[BaseModel]) -> Json:
    """The JSON Schema of a model; what JSON cannot express is left open."""
    try:
        return cls.model_json_schema()
    except (PydanticInvalidForJsonSchema, ValueError):
        return {"title": cls.__name__, "type": "object", "additionalProperties": True}


def _extend(plan: FlowPlan, flow: ClassFlow, name: str, cls: type[Event]) -> None:
    """A class came up that no signature names: steps that accept subclasses of it may take it."""
    plan.kinds[name] = kind_of(cls)
    takers: list[StepPlan] = [
        plan.steps[step.name]
        for step in flow.steps.values()
        if step.accepts_subclasses and any(issubclass(cls, known) for known in step.signature.accepts)
    ]
    if takers:
        plan.routes[name] = tuple(takers)
