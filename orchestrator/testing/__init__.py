"""Tools for testing flows and plugins: runners, virtual time, a fake model, small real servers on this machine.

Names are imported when they are first used.

Example:
    with LoopbackServer(PostService().app) as server:
        outputs = load("publish.flow.yaml").run_sync(cms=server.url)
    assert run_flow_tests("publish.flow.yaml").is_ok
"""

from __future__ import annotations

import typing
from importlib import import_module
from typing import Any

if typing.TYPE_CHECKING:  # for type checkers and editors; at run time see __getattr__
    from orchestrator.plugin.llm_fake import FakeModel
    from orchestrator.runtime.clock import VirtualClock
    from orchestrator.testing.flow_tests import FlowTestReport, FlowTestResult, run_flow_tests
    from orchestrator.testing.loopback import Failure, LoopbackServer, ModelEndpoint, PostService, Received
    from orchestrator.testing.runner import WorkflowTestResult, WorkflowTestRunner

_PLACES = {
    "plugin.llm_fake": ("FakeModel",),
    "runtime.clock": ("VirtualClock",),
    "testing.flow_tests": ("FlowTestReport", "FlowTestResult", "run_flow_tests"),
    "testing.loopback": ("Failure", "LoopbackServer", "ModelEndpoint", "PostService", "Received"),
    "testing.runner": ("WorkflowTestResult", "WorkflowTestRunner"),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "Failure",
    "FakeModel",
    "FlowTestReport",
    "FlowTestResult",
    "LoopbackServer",
    "ModelEndpoint",
    "PostService",
    "Received",
    "VirtualClock",
    "WorkflowTestResult",
    "WorkflowTestRunner",
    "run_flow_tests",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'orchestrator.testing' has no attribute {name!r}")
    value = getattr(import_module(f"orchestrator.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
