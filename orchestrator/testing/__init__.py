"""Tools for testing flows and plugins: virtual time, recorded models, loopback servers, a runner of workflow classes."""

from __future__ import annotations

from orchestrator.runtime.clock import VirtualClock
from orchestrator.testing.runner import WorkflowTestResult, WorkflowTestRunner

__all__ = ["VirtualClock", "WorkflowTestResult", "WorkflowTestRunner"]
