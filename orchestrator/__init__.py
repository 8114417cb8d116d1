"""Durable workflows as YAML graphs of named events and steps, and as Python, on one runtime."""

from orchestrator.errors import OrchestratorError

__all__ = ["OrchestratorError"]
