"""What a workflow class or function of a project's file takes and gives, from the syntax tree; no line of it is run.

A class takes the fields of its start event and gives those of its stop event, or anything where these are the plain
`StartEvent` and `StopEvent`. A function takes its one input by its name and gives what its annotation says.
"""

from __future__ import annotations

import ast
import typing
from collections.abc import Iterator

import pydantic

from orchestrator.compiler.project import ImportedFlow
from orchestrator.events import Event, StartEvent, StopEvent
from orchestrator.ir.model import Json
from orchestrator.plugin.annotations import TypeReader
from orchestrator.plugin.signature import MISSING, TypeForm
from orchestrator.plugin.syntax import MAX_DEPTH, Module, dotted, follow

WORKFLOWS = frozenset({"orchestrator.Workflow", "orchestrator.authoring.workflow.Workflow"})
STEPS = frozenset({"orchestrator.step", "orchestrator.authoring.definition.step"})
FUNCTIONS = frozenset({"orchestrator.functional.workflow", "orchestrator.functional.workflow.workflow"})
CONTEXTS = frozenset(
    f"orchestrator.functional.{name}"
    for name in ("RunContext", "WorkflowRunContext", "context.RunContext", "context.WorkflowRunContext")
)
ANYTHING: Json = {"type": "object"}
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def read_flow(module: Module, name: str, ref: str) -> ImportedFlow | None:
    """The workflow of a name in a module, None if it is none."""
    value = module.values.get(name)
    if isinstance(value, ast.Call):
        made_of = dotted(value.func, module)
        if made_of in FUNCTIONS:
            return ImportedFlow(name, ANYTHING, {}, ref)
        if isinstance(value.func, ast.Name) and value.func.id in module.classes:
            return read_flow(module, value.func.id, ref)
        return None
    if name in module.classes:
        steps = _steps_of(module, name, 0)
        if steps is None:
            return None
        takes, gives = _start_and_stop(steps)
        return ImportedFlow(name, takes, gives, ref)
    for node in module.tree.body:
        if isinstance(node, FunctionNode) and node.name == name and _is_marked(module, node, FUNCTIONS):
            return _read_function(module, node, ref)
    return None


def _steps_of(module: Module, name: str, depth: int) -> list[tuple[Module, FunctionNode]] | None:
    """The steps of a workflow class and its bases; None for a class that is no workflow."""
    node = module.classes.get(name)
    if node is None or depth > MAX_DEPTH:
        return None
    found: list[tuple[Module, FunctionNode]] | None = None
    for base in node.bases:
        full = dotted(base, module)
        inherited: list[tuple[Module, FunctionNode]] | None = None
        if full in WORKFLOWS:
            inherited = []
        elif isinstance(base, ast.Name) and base.id in module.classes:
            inherited = _steps_of(module, base.id, depth + 1)
        elif full is not None and (other := follow(module, full)) is not None:
            inherited = _steps_of(*other, depth + 1)
        if inherited is not None:
            found = [*(found or []), *inherited]
    if found is None:
        return None
    own = [n for n in node.body if isinstance(n, FunctionNode) and _is_marked(module, n, STEPS)]
    return [*found, *((module, step) for step in own)]


def _is_marked(module: Module, node: FunctionNode, marks: frozenset[str]) -> bool:
    decorators = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return any(dotted(d, module) in marks for d in decorators)


def _start_and_stop(steps: list[tuple[Module, FunctionNode]]) -> tuple[Json, Json]:
    readers: dict[str, TypeReader] = {}
    takes: Json = ANYTHING
    gives: Json = {}
    for module, node in steps:
        reader = readers.setdefault(str(module.file), TypeReader(module))
        for annotation in _annotations(node):
            for cls in _events_in(reader.read(annotation)):
                if issubclass(cls, StartEvent) and cls is not StartEvent:
                    takes = {**_schema(cls), "additionalProperties": False}
        if node.returns is not None:
            for cls in _events_in(reader.read(node.returns)):
                if issubclass(cls, StopEvent) and cls is not StopEvent:
                    gives = {**_schema(cls), "additionalProperties": False}
    if isinstance(gives.get("properties"), dict):
        gives["properties"] = {
            k: v for k, v in gives["properties"].items() if k != "result" or k in gives.get("required", ())
        }
    return takes, gives


def _annotations(node: FunctionNode) -> Iterator[ast.expr]:
    for argument in (*node.args.args, *node.args.kwonlyargs):
        if argument.annotation is not None:
            yield argument.annotation


def _events_in(form: TypeForm) -> Iterator[type[Event]]:
    if isinstance(form, type) and issubclass(form, Event):
        yield form
    for part in typing.get_args(form):
        yield from _events_in(part)


def _read_function(module: Module, node: FunctionNode, ref: str) -> ImportedFlow:
    reader = TypeReader(module)
    arguments = [*node.args.posonlyargs, *node.args.args]
    defaults = [MISSING] * (len(arguments) - len(node.args.defaults)) + [*node.args.defaults]
    pairs = [*zip(arguments, defaults, strict=True), *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
    properties: dict[str, Json] = {}
    required: list[str] = []
    for argument, default in pairs:
        annotation = argument.annotation
        base = annotation.value if isinstance(annotation, ast.Subscript) else annotation
        if argument.arg == "ctx" or (base is not None and dotted(base, module) in CONTEXTS):
            continue
        properties[argument.arg] = {} if annotation is None else _schema(reader.read(annotation))
        if default is MISSING or default is None:
            required.append(argument.arg)
    takes = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    gives = {} if node.returns is None else _schema(reader.read(node.returns))
    return ImportedFlow(node.name, takes, gives, ref)


def _schema(form: TypeForm) -> Json:
    """The JSON Schema of a type; open where it has none."""
    if form is typing.Any:
        return {}
    try:
        return pydantic.TypeAdapter(form).json_schema()
    except (pydantic.PydanticUserError, ValueError, TypeError):
        return {}
