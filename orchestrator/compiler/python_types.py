"""Reads `imports: Name: module:Name` from the syntax tree of a file of the project; no line of it is run.

A pydantic model gives its schema; a workflow what it takes and gives (see python_flows).
"""

from __future__ import annotations

import ast
from pathlib import Path

import pydantic

from orchestrator.compiler.project import Imported, ImportedModel, ImportProblem
from orchestrator.compiler.python_flows import read_flow
from orchestrator.errors import PluginError
from orchestrator.expr.suggest import nearest
from orchestrator.plugin.annotations import TypeReader
from orchestrator.plugin.syntax import Module, parse_module


def find_module(root: Path, module: str) -> Path | None:
    """The file of a module below a project folder; None if the project has none of that name."""
    base = root.joinpath(*module.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file() and file.resolve().is_relative_to(root.resolve()):
            return file
    return None


def read_python(file: Path, target: str) -> Imported:
    """What `module:Name` is, by the syntax tree of the module's file."""
    name = target.partition(":")[2]
    try:
        module = parse_module(file)
    except PluginError as problem:
        return ImportProblem(problem.message)
    functions = [n.name for n in module.tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    if name not in module.classes and name not in functions and name not in module.values:
        guess = nearest(name, [*module.classes, *functions])
        return ImportProblem(f"`{file.name}` defines no `{name}`", f"did you mean `{guess}`?" if guess else None)
    schema = None if name not in module.classes else _model_schema(module, name)
    if schema is not None:
        return ImportedModel(schema, f"python:{target}")
    flow = read_flow(module, name, f"python:{target}")
    if flow is None:
        return ImportProblem(
            f"`{target}` is neither a pydantic model nor a workflow",
            "a workflow is a subclass of `orchestrator.Workflow`, or a function with `@orchestrator.functional.workflow`",
        )
    return flow


def _model_schema(module: Module, name: str) -> dict[str, object] | None:
    form = TypeReader(module).read(ast.Name(name, lineno=1, col_offset=0))
    if not isinstance(form, type) or not issubclass(form, pydantic.BaseModel):
        return None
    return pydantic.TypeAdapter(form).json_schema()
