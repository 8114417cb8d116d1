"""What every step gets and gives, as JSON Schema: the fields of `ev`, the result, the events of its own.

Worked out on demand, each step once. A step that is started by steps around it in a circle has an `ev` of unknown shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from orchestrator.analysis.results import call_result
from orchestrator.compiler.linking import Names, emit_entries
from orchestrator.compiler.project import FlowCatalog
from orchestrator.compiler.schemas import (
    EMPTY_SCHEMA,
    ERROR_SCHEMA,
    FAILED_SCHEMA,
    merge_objects,
    object_schema,
    properties_of,
    required_of,
    union_of,
)
from orchestrator.compiler.values import map_to_ir
from orchestrator.ir.model import CallIR, Json
from orchestrator.language.spec import CallSpec, FlowSpec, StepSpec
from orchestrator.language.spec_parts import FieldSpec
from orchestrator.language.spec_people import AskSpec
from orchestrator.language.template_text import MapValue
from orchestrator.language.types import ANY, EnumType, UnionType, fields_to_schema, type_to_schema

NULL: Json = {"type": "null"}
ANY_OBJECT: Json = {"type": "object"}


class Shapes:
    """Schemas of one flow."""

    def __init__(self, spec: FlowSpec, names: Names, catalog: FlowCatalog, models: Mapping[str, Json]) -> None:
        self._spec = spec
        self._names = names
        self._catalog = catalog
        self._models = dict(models)
        self._events: dict[str, Json] = {}
        self._results: dict[str, Json] = {}
        self._busy: set[str] = set()
        self._starters: dict[str, list[tuple[StepSpec, MapValue | None]]] | None = None

    @cached_property
    def inputs(self) -> Json:
        """The schema of the flow's inputs, which are the fields of `Start`."""
        return self.fields(self._spec.inputs)

    @cached_property
    def outputs(self) -> Json:
        """The schema of the flow's outputs, which are the fields of `Stop`."""
        return self.fields(self._spec.outputs)

    @cached_property
    def state(self) -> Json:
        """The schema of the state."""
        properties: dict[str, Json] = {}
        for name, state in self._spec.state.items():
            schema = _type_of_value(state.value) if state.type is None else type_to_schema(state.type, self._models)
            if state.description:
                schema = {**schema, "description": state.description}
            properties[name] = schema
        return object_schema(properties)

    def fields(self, fields: Mapping[str, FieldSpec]) -> Json:
        """The schema of an object with these fields."""
        return fields_to_schema({name: field.field_type for name, field in fields.items()}, self._models)

    def event(self, name: str) -> Json:
        """The fields of an event."""
        found = self._events.get(name)
        if found is None:
            if name in self._busy:
                return ANY_OBJECT
            self._busy.add(name)
            found = self._event(name)
            self._busy.discard(name)
            self._events[name] = found
        return found

    def _event(self, name: str) -> Json:
        declared = self._spec.events.get(name)
        if declared is not None:
            if declared.type is not None:
                return type_to_schema(declared.type, self._models)
            return self.fields(declared.fields)
        match name:
            case "Start":
                return self.inputs
            case "Stop":
                return self.outputs
            case "Failed":
                return FAILED_SCHEMA
            case "Cancelled":
                return EMPTY_SCHEMA
        prefix, _, kind = name.rpartition(".")
        step = self._spec.steps.get(prefix)
        if step is None:
            return True
        match kind:
            case "done":
                return object_schema({"result": self.result(step)})
            case "failed":
                return object_schema({"error": ERROR_SCHEMA})
            case "start":
                return self._started_with(prefix)
            case "timeout" if step.wait is not None:
                return merge_objects(self.ev_members(step)) if step.collect is None else ANY_OBJECT
            case "timeout" if step.ask is not None:
                return object_schema({"outcome": {"enum": ["timeout", "undecided"]}})
            case _:
                return EMPTY_SCHEMA

    def _started_with(self, name: str) -> Json:
        if self._starters is None:
            self._starters = {}
            for step in self._spec.steps.values():
                ways = [(entry.event, entry.with_) for entry in emit_entries(step)]
                ways += [(caught.event, caught.with_) for caught in step.catch]
                for event, given in ways:
                    target = self._names.target(event.value)
                    if target.step is not None:
                        self._starters.setdefault(target.step, []).append((step, given))
        shapes = [self._passed_on(step, given) for step, given in self._starters.get(name, ())]
        return shapes[0] if len(shapes) == 1 else merge_objects(shapes) if shapes else EMPTY_SCHEMA

    def _passed_on(self, step: StepSpec, given: MapValue | None) -> Json:
        """What `emit: <step>` sends: the fields of `ev`, the result, and what `with` adds."""
        before = self.ev(step)
        properties = dict(properties_of(before))
        if step.verb is None and given is None and properties and len(before.get("required", ())) == len(properties):
            return before  # passed on as it came
        required = set(required_of(before))
        if step.verb is not None:
            properties["result"] = self.result(step)
            required.add("result")
        for name in given.entries if given is not None else ():
            properties[name] = {}
            required.add(name)
        passed = object_schema(properties, [name for name in properties if name in required])
        if not isinstance(before, dict) or before.get("additionalProperties") is not False:
            passed.pop("additionalProperties")
        return passed

    def ev(self, step: StepSpec) -> Json:
        """What `ev` may be; an empty object where the step collects a whole group."""
        if step.collect is not None and step.collect.mode == "all":
            return EMPTY_SCHEMA
        accepted = self.ev_members(step)
        return union_of(accepted) if accepted else EMPTY_SCHEMA

    def ev_members(self, step: StepSpec) -> list[Json]:
        """The fields of each event that the step takes."""
        return [self.event(name) for name in self._names.accepts(step)]

    def result(self, step: StepSpec) -> Json:
        """The result of a step's verb."""
        name = step.name.value
        found = self._results.get(name)
        if found is None:
            found = self._result(step)
            self._results[name] = found
        return found

    def _result(self, step: StepSpec) -> Json:
        if step.ask is not None:
            one = self.ask_result(step.ask)
            if step.for_each is None:
                return one
            kept = {name: schema for name, schema in properties_of(one).items() if name in ("outcome", "answers")}
            return {"type": "array", "items": object_schema({"item": {}, **kept})}
        if step.wait is not None:
            return NULL if step.wait.event is None else self.event(self._names.heard_event(step.wait.event.value))
        if step.call is None:
            return NULL
        results = [self.call_result(call) for call in (step.call, step.fallback) if call is not None]
        result = union_of(results)
        if step.for_each is None:
            return result
        if step.catches_items:
            result = union_of([result, object_schema({"error": ERROR_SCHEMA})])
        return {"type": "array", "items": result}

    def call_result(self, call: CallSpec) -> Json:
        """The result of a call; unknown for a callable that the catalog does not have."""
        return call_result(CallIR(call.target.value, map_to_ir(call.with_)), self._catalog)

    def ask_result(self, ask: AskSpec) -> Json:
        """The result of a request: outcome, answers and voters, and the shown text where it may be edited."""
        properties: dict[str, Json] = {
            "outcome": {"enum": list(ask_outcomes(ask))},
            "answers": answers_schema(self, ask),
            "voters": {"type": "array", "items": {"type": "string"}},
        }
        if ask.edit is not None:
            properties[ask.edit.value] = {"type": "string"}
        return object_schema(properties)

    def type_schema(self, field: FieldSpec) -> Json:
        """The schema of one field's type."""
        return type_to_schema(field.type, self._models)


def answers_schema(shapes: Shapes, ask: AskSpec) -> Json:
    """The list of answers: the form's fields, and `as`, who gave it."""
    form = shapes.fields(ask.form)
    properties = {**properties_of(form), "as": {"type": "string"}, "at": {"type": "string", "format": "date-time"}}
    return {"type": "array", "items": object_schema(properties, [*required_of(form), "as", "at"])}


def verdict_field(ask: AskSpec) -> FieldSpec | None:
    """The field whose fixed values are the outcomes: the one named `verdict`, or the only one with fixed values."""
    named = ask.form.get("verdict")
    if named is not None and _values(named):
        return named
    enums = [field for field in ask.form.values() if _values(field)]
    return enums[0] if len(enums) == 1 else None


def _values(field: FieldSpec) -> tuple[str, ...]:
    kind = field.type
    if isinstance(kind, UnionType):
        kind = next((member for member in kind.members if isinstance(member, EnumType)), ANY)
    return tuple(str(value) for value in kind.values if value is not None) if isinstance(kind, EnumType) else ()


def verdicts_of(ask: AskSpec) -> tuple[str, ...]:
    """The verdicts that the form offers."""
    field = verdict_field(ask)
    return () if field is None else _values(field)


def ask_outcomes(ask: AskSpec) -> tuple[str, ...]:
    """Everything that `outcome` can be."""
    outcomes = verdicts_of(ask) or ("answered",)
    if ask.deadline is not None:
        outcomes = (*outcomes, "timeout")
    return (*outcomes, "undecided") if len(verdicts_of(ask)) > 1 else outcomes


def _type_of_value(value: object) -> dict[str, Json]:
    """The type that a first value of the state stands for; null and empty lists say nothing."""
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case float():
            return {"type": "number"}
        case str():
            return {"type": "string"}
        case list():
            return {"type": "array"}
        case dict():
            return {"type": "object"}
        case _:
            return {}
