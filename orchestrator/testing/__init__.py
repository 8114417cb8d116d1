"""Tools for testing flows and plugins: virtual time, recorded models, loopback servers, a runner of workflow classes.

Names are imported when they are first used: the pytest plugin beside them is loaded in every project.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors; at run time see __getattr__
    from orchestrator.runtime.clock import VirtualClock
    from orchestrator.testing.runner import WorkflowTestResult, WorkflowTestRunner

__all__ = ["VirtualClock", "WorkflowTestResult", "WorkflowTestRunner"]

_MODULE_OF = {
    "VirtualClock": "orchestrator.runtime.clock",
    "WorkflowTestResult": "orchestrator.testing.runner",
    "WorkflowTestRunner": "orchestrator.testing.runner",
}


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'orchestrator.testing' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
