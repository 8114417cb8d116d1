"""Calls pinned tools as `run --step` does."""

from __future__ import annotations

from typing import Any

from orchestrator.authoring.project import Project
from orchestrator.errors import StepError
from orchestrator.plugin.services import PlainContext


class Tools:
    """`await tools("tools.add", first=1)`; what a call showed is in `shown`."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.shown: list[Any] = []

    async def __call__(self, name: str, **inputs: Any) -> Any:
        info = self.project.catalog.get(name)
        assert info is not None, self.project.catalog.problem(name)
        return await self.project.hub.call(info, inputs, PlainContext(written=self.shown))

    async def error(self, name: str, **inputs: Any) -> StepError:
        """The error that a call ends in."""
        try:
            result = await self(name, **inputs)
        except StepError as problem:
            return problem
        raise AssertionError(f"{name} succeeded with {result!r}")
