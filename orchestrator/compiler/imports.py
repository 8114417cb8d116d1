"""Brings in what `imports:` and schema files name: child flows with their types, models, JSON Schemas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from orchestrator.analysis.report import Report
from orchestrator.compiler.project import ImportedFlow, ImportedModel, ImportProblem, ProjectContext, ResolveImport
from orchestrator.ir.model import Json
from orchestrator.ir.schemas import inline_refs
from orchestrator.language.spec import FlowSpec
from orchestrator.language.spec_parts import Located
from orchestrator.language.types import FieldType, ListType, ObjectType, SchemaType, TypeIR, UnionType


@dataclass(slots=True)
class Imports:
    """What was found: flows by local name, schemas by model name or path, and the pinned references for the IR."""

    flows: dict[str, ImportedFlow] = field(default_factory=dict)
    schemas: dict[str, Json] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)


def load_imports(spec: FlowSpec, project: ProjectContext, resolve: ResolveImport, report: Report) -> Imports:
    """Everything that the flow takes from other files; what cannot be had is a finding at its target."""
    found = Imports()
    for name, item in spec.imports.items():
        result = resolve(item.kind, item.target.value, spec.name.span.file)
        match result:
            case ImportedFlow():
                if result.compiled is None:  # its schemas are pydantic's
                    result = replace(result, inputs=inline_refs(result.inputs), outputs=inline_refs(result.outputs))
                found.flows[name] = result
                found.refs[name] = result.ref
            case ImportedModel():
                found.schemas[name] = inline_refs(result.schema)
                found.refs[name] = result.ref
            case ImportProblem():
                report.add(result.code, result.message, item.target.span, help=result.help)
                # an unknown shape: what uses it is not to blame
                if name[:1].isupper():
                    found.schemas[name] = {}
                else:
                    found.flows[name] = ImportedFlow(name, {"type": "object"}, {}, "")
    if project.read_schema is not None:
        for path, at in _schema_files(spec):
            if path in found.schemas:
                continue
            try:
                found.schemas[path] = inline_refs(project.read_schema(path))
            except ValueError as problem:
                report.add("FLW511", f"the schema file `{path}` cannot be used: {problem}", at.span)
                found.schemas[path] = {}
    return found


def _schema_files(spec: FlowSpec) -> Iterator[tuple[str, Located[str]]]:
    for fields in (spec.inputs, spec.outputs, *(event.fields for event in spec.events.values())):
        for item in fields.values():
            for path in _paths(item.type):
                yield path, item.name
    for event in spec.events.values():
        if event.type is not None:
            for path in _paths(event.type):
                yield path, event.name
    for state in spec.state.values():
        if state.type is not None:
            for path in _paths(state.type):
                yield path, state.name


def _paths(type_: TypeIR) -> Iterator[str]:
    match type_:
        case SchemaType(path=str() as path):
            yield path
        case ListType(item=item):
            yield from _paths(item)
        case UnionType(members=members):
            for member in members:
                yield from _paths(member)
        case ObjectType(fields=fields):
            for inner in fields.values():
                assert isinstance(inner, FieldType)
                yield from _paths(inner.type)
        case _:
            return
