"""`imports: Name: module:Name`: models and Python workflows of modules that the project allows.

A module is imported only if `[python] allow` names it (or a parent package); then it counts as the project's own code.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.compiler.project import Imported, ImportedFlow, ImportedModel, ImportProblem
from orchestrator.compiler.python_types import find_module, read_python

if TYPE_CHECKING:  # the project calls this
    from orchestrator.authoring.project import Project
    from orchestrator.ir.model import FlowIR
    from orchestrator.plugin.config import ProjectConfig


def import_python(target: str, project: Project) -> Imported:
    """What `module:Name` gives to a flow, or why it cannot be had."""
    module_name, _, name = target.partition(":")
    if not allows(project.config, target):
        return ImportProblem(
            f"the project does not allow Python from `{module_name}`",
            f'add it to the config: [python] allow = ["{module_name.partition(".")[0]}"]',
        )
    file = find_module(project.root, module_name)
    if file is not None:
        found = read_python(file, target)
        return found
    try:
        value = getattr(importlib.import_module(module_name), name)
    except ImportError as error:
        return ImportProblem(f"`{module_name}` cannot be imported: {error}")
    except AttributeError:
        return ImportProblem(f"`{module_name}` has no `{name}`")
    except Exception as error:  # the module's own code failed; that is a finding, not ours to raise
        return ImportProblem(f"importing `{module_name}` failed: {type(error).__name__}: {error}")
    schema = model_schema(value)
    if schema is not None:
        return ImportedModel(schema, f"python:{target}")
    return _workflow(value, target) or ImportProblem(f"`{target}` is neither a pydantic model nor a workflow")


def allows(config: ProjectConfig, target: str) -> bool:
    """Whether the project's `[python] allow` names the module of `module:Name`, or a package around it."""
    module = target.partition(":")[0]
    return any(module == entry or module.startswith(f"{entry}.") for entry in config.python_allow)


def targets_named(flow: FlowIR, config: ProjectConfig, root: Path) -> Iterator[str]:
    """Where the modules that a project allows have a workflow of a stored flow's name: `module:Name`, the likeliest first."""
    from orchestrator.authoring.class_flow import class_flow
    from orchestrator.authoring.python_child import import_module
    from orchestrator.authoring.workflow import Workflow
    from orchestrator.functional.workflow import FunctionalWorkflow

    for module in dict.fromkeys([*_module_of(flow, config, root), *config.python_allow]):
        try:
            found = vars(import_module(module, root))
        except Exception:  # the module's own code, or none of that name: not the one that is looked for
            continue
        for name, value in list(found.items()):
            if isinstance(value, FunctionalWorkflow):
                known = value.name
            elif inspect.isclass(value) and issubclass(value, Workflow) and value is not Workflow:
                known = class_flow(value).name
            elif isinstance(value, Workflow):
                known = value.flow.name
            else:
                continue
            if known == flow.name:
                yield f"{module}:{name}"


def _module_of(flow: FlowIR, config: ProjectConfig, root: Path) -> Iterator[str]:
    """The module of the project that a flow was written in, if it is allowed."""
    origin = flow.origin or next((step.origin for step in flow.steps.values() if step.origin), None)
    if origin is not None:
        try:
            module = ".".join(Path(origin.file).resolve().relative_to(root.resolve()).with_suffix("").parts)
        except ValueError:
            return
        if allows(config, module):
            yield module


def _workflow(value: Any, target: str) -> ImportedFlow | None:  # anything a module may hold
    """A workflow class or function of an installed package, with what it takes and gives."""
    from orchestrator.authoring.class_flow import class_flow, flow_from_class
    from orchestrator.authoring.workflow import Workflow
    from orchestrator.events import StartEvent, StopEvent
    from orchestrator.functional.questions import schema_of
    from orchestrator.functional.workflow import FunctionalWorkflow

    name, ref = target.partition(":")[2], f"python:{target}"
    if isinstance(value, Workflow) or (inspect.isclass(value) and issubclass(value, Workflow)):
        flow = flow_from_class(value)
        lowered = value.flow if isinstance(value, Workflow) else class_flow(value)
        is_open = lowered.start_class is StartEvent
        takes = {"type": "object"} if is_open else {**flow.inputs, "additionalProperties": False}
        gives = {} if lowered.stop_class is StopEvent else {**flow.outputs, "additionalProperties": False}
        return ImportedFlow(name, takes, gives, ref)
    if isinstance(value, FunctionalWorkflow):
        hint = value.shape.return_hint
        takes = {**value.ir.inputs, "additionalProperties": False}
        return ImportedFlow(name, takes, (schema_of(hint) if hint is not None else None) or {}, ref)
    return None


def model_schema(value: Any) -> Any:  # anything a module may hold -> JSON Schema or None
    """The JSON Schema of a pydantic model or dataclass; None for everything else."""
    if not inspect.isclass(value):
        return None
    if hasattr(value, "model_json_schema"):
        return value.model_json_schema()
    if hasattr(value, "__dataclass_fields__"):
        from pydantic import TypeAdapter

        return TypeAdapter(value).json_schema()
    return None
