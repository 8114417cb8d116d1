"""The state as a running step sees it: what is committed, with the attempt's stage on top. Reads are kept for a rerun."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from orchestrator.authoring.context import wait_in_loop
from orchestrator.authoring.copying import IMMUTABLE, Change, copy_value
from orchestrator.authoring.stage import EditGate, Stage
from orchestrator.authoring.state_source import StateSource

if TYPE_CHECKING:  # the context of a step holds one of these
    from orchestrator.authoring.step_context import StepContext

R = TypeVar("R")
_MISSING: Any = object()


class StepSource:
    """The store's source inside a step: committed state with the attempt's stage on top."""

    __slots__ = ("act", "ctx", "gate", "model")

    def __init__(self, ctx: StepContext) -> None:
        self.ctx = ctx
        self.gate: EditGate = ctx._run.data.gate
        self.model: type[BaseModel] | None = ctx._run.data.flow.state_model
        self.act = ctx._act.id

    def look(self, top: str) -> tuple[bool, Any]:
        """Whether a top-level key exists for the step, and its value."""
        act, committed = self.ctx._check(), self.ctx._run.state.vars
        if act.stage is None:
            return top in committed, committed.get(top)
        stage: Stage = act.stage
        return stage.look(top, committed)

    def view(self) -> Mapping[str, Any]:
        """The whole state for the step."""
        act, committed = self.ctx._check(), self.ctx._run.state.vars
        if act.stage is None:
            return committed
        stage: Stage = act.stage
        return stage.view(committed)

    def write(self, changes: list[Change]) -> None:
        """Stage changes."""
        stage = self.ctx._stage()
        committed = self.ctx._run.state.vars
        for change in changes:
            stage.add(change, committed)

    def read(self, path: str, look: Callable[[StateSource, str], list[Any]]) -> list[Any]:
        """What is read, or was read when the same body ran before."""
        ctx = self.ctx
        if ctx._known or "." in path or not path:
            return ctx.remember(path, lambda: look(self, path))
        stage: Stage | None = ctx._check().stage
        value = ctx._run.state.vars.get(path, _MISSING)
        if stage is not None:
            value = stage.value_of(path, value, _MISSING)
        kept = [] if value is _MISSING else [value]
        if ctx._calls is None:
            ctx._calls = []
        if type(value) in IMMUTABLE:
            ctx._calls.append((path, kept))
            return kept
        found = [copy_value(item) for item in kept]
        ctx._calls.append((path, copy_value(found)))
        return found

    def put(self, key: str, value: Any) -> None:
        """Stage a top-level key."""
        self.ctx._stage().put(key, value)

    def move(self, key: str, base: float, new: float) -> None:
        """Stage that a number moved."""
        self.ctx._stage().move(key, base, new)

    def remember(self, key: str, read: Callable[[], R]) -> R:
        """What is read, or was read when the same body ran before."""
        return self.ctx.remember(key, read)

    def call(self, function: Callable[[], R]) -> R:
        """Run in the loop of the run."""
        return self.ctx.call(function)

    def wait(self, coroutine: Awaitable[Any]) -> Any:
        """Run a coroutine in the loop of the run."""
        return wait_in_loop(self.ctx._run.data.loop, coroutine)
