"""Workflow classes and functions as what a flow file calls: `imports: score: my_pkg.flows:Score`, `call: flow.score`.

The module is imported when a run needs it, never for a check. A run of it is a run of its own kind; only how it starts, and
what its result is for the caller, is said here.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from orchestrator.errors import UsageError
from orchestrator.runtime import ticks as t
from orchestrator.runtime.plan import FlowPlan

if TYPE_CHECKING:  # loaded with the module that has them
    from orchestrator.authoring.workflow import Workflow
    from orchestrator.functional.workflow import FunctionalWorkflow
    from orchestrator.runtime.actor import Actor

Json = Any  # plain JSON
PREFIX = "python:"


def load_workflow(target: str, root: Path) -> Any:  # a Workflow or a FunctionalWorkflow
    """What `module:Name` is, imported; a class is made into an instance. A module of the project needs no search path.

    Raises: UsageError for what cannot be imported or is no workflow.
    """
    from orchestrator.authoring.workflow import Workflow

    module_name, _, name = target.partition(":")
    try:
        value = getattr(import_module(module_name, root), name)
        if isinstance(value, type) and issubclass(value, Workflow):
            value = value()
    except Exception as error:  # the module's own code: whatever it raises, the flow that calls it cannot go on
        raise UsageError(f"`{target}` cannot be used: {type(error).__name__}: {error}", code="run.unbound") from error
    if isinstance(value, Workflow) or _is_function(value):
        return value
    raise UsageError(f"`{target}` is no workflow", code="run.unbound")


def _is_function(value: Any) -> bool:
    functional = sys.modules.get("orchestrator.functional.workflow")
    return functional is not None and isinstance(value, functional.FunctionalWorkflow)


def import_module(module: str, root: Path) -> Any:
    """A module of the project or of the environment. Raises: what importing it raises."""
    place = str(root.resolve())
    if place in sys.path:
        return importlib.import_module(module)
    sys.path.insert(0, place)
    try:
        return importlib.import_module(module)
    finally:
        sys.path.remove(place)


def callable_plan(workflow: Any) -> FlowPlan:
    """The plan of a Python workflow, with what a flow file needs to call it."""
    from orchestrator.authoring.workflow import Workflow

    if isinstance(workflow, Workflow):
        return _class_plan(workflow)
    return _function_plan(workflow)


def _class_plan(workflow: Workflow) -> FlowPlan:
    from orchestrator.authoring.class_launch import ClassLaunch
    from orchestrator.authoring.context import Outside
    from orchestrator.events import Event, StopEvent

    workflow.validate()
    plan = workflow.plan()

    def start(inputs: Mapping[str, Json], now: float) -> t.Started:
        cls = workflow.start_event_class
        try:
            event = cls(**inputs)
        except ValidationError as error:
            raise UsageError(f"workflow `{plan.ir.name}` cannot start: {_described(error)}", code="inputs") from error
        return ClassLaunch(workflow, Outside(workflow), event).first_tick(now)

    def plain(type_name: str, value: Any) -> Json:
        event = value if isinstance(value, Event) else plan.codec.decode(type_name, value)
        from orchestrator.authoring.streaming import plain_fields

        return to_jsonable_python(event.result) if type(event) is StopEvent else plain_fields(event)

    def attach(run: Actor) -> None:
        workflow.attach(run)
        show_in_parent(run)

    return replace(plan, start=start, attach=attach, plain=_refusing(plan, plain))


def _function_plan(workflow: FunctionalWorkflow[Any]) -> FlowPlan:
    from orchestrator.functional.values import Encoded, untyped

    plan, shape = workflow.plan, workflow.shape

    def start(inputs: Mapping[str, Json], now: float) -> t.Started:
        from orchestrator.plugin.schema_check import compile_schema

        problems = compile_schema({"additionalProperties": False, **workflow.ir.inputs}).problems(dict(inputs))
        if problems:
            shown = "; ".join(f"{p.path}: {p.message}" if p.path else p.message for p in problems[:8])
            raise UsageError(f"workflow `{workflow.name}` cannot start: {shown}", code="inputs")
        message = {}
        if shape.input is not None and shape.input in inputs:
            hint = shape.input_hint
            given = {"$t": "typed", "v": inputs[shape.input]} if hint is not None else inputs[shape.input]
            message = {shape.input: Encoded(given)}
        return t.Started(0, 0.0, -1, "Start", message, dict(inputs), meta={"workflow": workflow.name})

    def plain(type_name: str, value: Any) -> Json:
        kept = value.json if type(value) is Encoded else value
        return to_jsonable_python(untyped(kept))

    return replace(plan, start=start, plain=_refusing(plan, plain))


def show_in_parent(run: Actor) -> None:
    """Show what a child run shows on the stream of its parent, if that is here."""
    from orchestrator.authoring.run_start import show_child

    parent = run.engine.runs.get(run.parent[0]) if run.parent is not None else None
    if parent is not None:
        show_child(parent, run)


def _refusing(plan: FlowPlan, plain: Callable[[str, Any], Json]) -> Callable[[str, Any], Json]:
    def checked(type_name: str, value: Any) -> Json:
        try:
            return plain(type_name, value)
        except ValueError as error:  # pydantic's for what JSON cannot hold
            raise UsageError(
                f"the result of workflow `{plan.ir.name}` cannot be given to a flow file: {error}", code="type.payload"
            ) from error

    return checked


def _described(error: ValidationError) -> str:
    parts = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)[:8]]
    return "; ".join(parts)
