"""Durable workflows as YAML graphs of named events and steps, and as Python, on one runtime.

Names are imported when they are first used, so `import orchestrator` itself is cheap.
"""

from __future__ import annotations

import typing
from importlib import import_module
from typing import Any

if typing.TYPE_CHECKING:  # for type checkers and editors; at run time see __getattr__
    from orchestrator.authoring.collecting import All, Collect, Take
    from orchestrator.authoring.context import Context
    from orchestrator.authoring.definition import catch_error, step
    from orchestrator.authoring.delivery import send
    from orchestrator.authoring.drawing import draw_all_possible_flows, draw_most_recent_execution
    from orchestrator.authoring.handler import WorkflowHandler
    from orchestrator.authoring.loaded import LoadedFlow, load
    from orchestrator.authoring.open_requests import OpenRequest
    from orchestrator.authoring.resources import Resource, ResourceConfig, ResourceManager
    from orchestrator.authoring.serializer import JsonSerializer
    from orchestrator.authoring.workflow import Workflow
    from orchestrator.errors import (
        ContextSerdeError,
        ContextStateError,
        OrchestratorError,
        WorkflowCancelledByUser,
        WorkflowConfigurationError,
        WorkflowRuntimeError,
        WorkflowTimeoutError,
        WorkflowValidationError,
    )
    from orchestrator.events import (
        Event,
        HumanResponseEvent,
        InputRequiredEvent,
        RequestEvent,
        StartEvent,
        StepFailedEvent,
        StopEvent,
        WorkflowCancelledEvent,
        WorkflowFailedEvent,
        WorkflowTimedOutEvent,
    )

_PLACES = {
    "authoring.collecting": ("All", "Collect", "Take"),
    "authoring.context": ("Context",),
    "authoring.definition": ("catch_error", "step"),
    "authoring.delivery": ("send",),
    "authoring.drawing": ("draw_all_possible_flows", "draw_most_recent_execution"),
    "authoring.handler": ("WorkflowHandler",),
    "authoring.loaded": ("LoadedFlow", "load"),
    "authoring.open_requests": ("OpenRequest",),
    "authoring.resources": ("Resource", "ResourceConfig", "ResourceManager"),
    "authoring.serializer": ("JsonSerializer",),
    "authoring.workflow": ("Workflow",),
    "errors": (
        "ContextSerdeError",
        "ContextStateError",
        "OrchestratorError",
        "WorkflowCancelledByUser",
        "WorkflowConfigurationError",
        "WorkflowRuntimeError",
        "WorkflowTimeoutError",
        "WorkflowValidationError",
    ),
    "events": (
        "Event",
        "HumanResponseEvent",
        "InputRequiredEvent",
        "RequestEvent",
        "StartEvent",
        "StepFailedEvent",
        "StopEvent",
        "WorkflowCancelledEvent",
        "WorkflowFailedEvent",
        "WorkflowTimedOutEvent",
    ),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "All",
    "Collect",
    "Context",
    "ContextSerdeError",
    "ContextStateError",
    "Event",
    "HumanResponseEvent",
    "InputRequiredEvent",
    "JsonSerializer",
    "LoadedFlow",
    "OpenRequest",
    "OrchestratorError",
    "RequestEvent",
    "Resource",
    "ResourceConfig",
    "ResourceManager",
    "StartEvent",
    "StepFailedEvent",
    "StopEvent",
    "Take",
    "Workflow",
    "WorkflowCancelledByUser",
    "WorkflowCancelledEvent",
    "WorkflowConfigurationError",
    "WorkflowFailedEvent",
    "WorkflowHandler",
    "WorkflowRuntimeError",
    "WorkflowTimedOutEvent",
    "WorkflowTimeoutError",
    "WorkflowValidationError",
    "catch_error",
    "draw_all_possible_flows",
    "draw_most_recent_execution",
    "load",
    "send",
    "step",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
    value = getattr(import_module(f"orchestrator.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
