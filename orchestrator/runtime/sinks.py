"""What an actor asks of the place where a durable run puts its ticks. Only named: a run in memory does not load it."""

from __future__ import annotations

from typing import Any, Protocol

from orchestrator.runtime import ticks as t


class Sink(Protocol):
    """Where a durable run puts its ticks, and what must wait for their commit."""

    @property
    def is_settled(self) -> bool:
        """Whether the end of the run is committed."""
        ...

    @property
    def is_releasing(self) -> bool:
        """Whether the claim is being given up."""
        ...

    def add(self, tick: t.Tick) -> None:
        """A tick is about to be applied; it comes into the run's log when readers may know it.

        Raises: NotSerializable; then it must not be applied.
        """
        ...

    def hold(self, command: t.Command) -> None:
        """A command that reaches outside of the run waits for the commit."""
        ...

    def must_flush(self, is_pure: bool) -> bool:
        """Whether the next body has to wait for a commit."""
        ...

    async def flush(self) -> None:
        """Commit everything applied so far. Raises: what the journal raises."""
        ...

    async def barrier(self) -> bool:
        """The same; False if the run does not go on here."""
        ...

    def flush_soon(self) -> None:
        """Have everything applied so far committed before long."""
        ...

    def type_of(self, value: Any) -> str:
        """The event type of a streamed payload."""
        ...
