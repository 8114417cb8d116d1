"""Serving workflows: `WorkflowServer` for Python workflows, `create_app` for a project of flow files.

Starlette and uvicorn are imported when one of the names is first used.
"""

from __future__ import annotations

import typing
from importlib import import_module
from typing import Any

if typing.TYPE_CHECKING:  # for type checkers and editors; at run time see __getattr__
    from orchestrator.server.app import create_app
    from orchestrator.server.workflow_server import WorkflowServer

_PLACES = {"WorkflowServer": "workflow_server", "create_app": "app"}

__all__ = ["WorkflowServer", "create_app"]


def __getattr__(name: str) -> Any:
    module = _PLACES.get(name)
    if module is None:
        raise AttributeError(f"module 'orchestrator.server' has no attribute {name!r}")
    value = getattr(import_module(f"orchestrator.server.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
