"""Where a store reads and writes: a running step, a live run from outside, or a context that has not run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from orchestrator.authoring.copying import Change
from orchestrator.authoring.stage import EditGate

R = TypeVar("R")


class StateSource(Protocol):
    """Where a store reads and writes: a running step, a live run from outside, or a context that has not run."""

    model: type[BaseModel] | None

    @property
    def gate(self) -> EditGate:
        """Lets one `edit_state` block work at a time."""
        ...

    act: int

    def look(self, top: str) -> tuple[bool, Any]:
        """Whether a top-level key exists, and its value; not to be changed."""
        ...

    def view(self) -> Mapping[str, Any]:
        """The whole state; not to be changed."""
        ...

    def write(self, changes: list[Change]) -> None:
        """Take changes, in order."""
        ...

    def read(self, path: str, look: Callable[[StateSource, str], list[Any]]) -> list[Any]:
        """A copy of the value at a path in a list (empty: there is none), or what it was when the same body ran before."""
        ...

    def put(self, key: str, value: Any) -> None:
        """Write a top-level key."""
        ...

    def move(self, key: str, base: float, new: float) -> None:
        """Write that the number of a top-level key went from one value to another."""
        ...

    def remember(self, key: str, read: Callable[[], R]) -> R:
        """The value that `read` gives, or gave when the same body ran before."""
        ...

    def call(self, function: Callable[[], R]) -> R:
        """Run in the event loop, from whatever thread this is."""
        ...

    def wait(self, coroutine: Any) -> Any:
        """Run a coroutine in the event loop from another thread, and wait for it."""
        ...
