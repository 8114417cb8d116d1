"""Refuses events and state that are larger than a run may have. For runs that a store keeps: sizes are of the stored JSON.

What a step produces is refused before it is applied, and the step fails with the limit's code. What comes from outside is
bounded where it comes in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.errors import PayloadTooLarge
from orchestrator.runtime import ticks as t
from orchestrator.runtime.codec import Json, ValueCodec, encode_tick
from orchestrator.runtime.limits import RunLimits, shown_bytes
from orchestrator.runtime.reduction import own_copy, write_ops
from orchestrator.runtime.rows import dumps
from orchestrator.runtime.state import Payload

PRODUCED = (t.StepSettled, t.StepStarted, t.Flushed, t.Streamed, t.Collected)


class SizeWatch:
    """Refuses events and state of a run that are larger than its limits.

    Invariant: `_bound` is never less than the size of the state. What is written is added to it, and the state is measured
    anew when it reaches the limit.
    """

    __slots__ = ("_bound", "_codec", "_limits")

    def __init__(self, limits: RunLimits, codec: ValueCodec, stored_bytes: int = 0) -> None:
        self._limits = limits
        self._codec = codec
        self._bound = stored_bytes

    def check(self, tick: t.Tick, text: str, vars: dict[str, Any], step_of: Callable[[int], str]) -> None:
        """Refuse a tick before it is applied; `text` is its JSON.

        Cost: O(1) for small ones; O(state) once per `state_bytes` of writes. Raises: PayloadTooLarge.
        """
        if len(text) * 4 > self._limits.event_bytes and isinstance(tick, PRODUCED):
            encode_tick(tick, _Measuring(self._codec, self._limits.event_bytes), step_of)
        writes = getattr(tick, "writes", None)
        if writes:
            self._bound += len(text)
            if self._bound > self._limits.state_bytes:
                self._measure(vars, writes)

    def _measure(self, vars: dict[str, Any], writes: tuple[t.StateOp, ...]) -> None:
        after = own_copy(vars)
        write_ops(after, writes)
        size = sum(len(dumps(self._codec.encode_value(value, name)).encode()) for name, value in after.items())
        most = self._limits.state_bytes
        if size > most:
            largest = max(after, key=lambda name: len(dumps(self._codec.encode_value(after[name], name))))
            raise PayloadTooLarge(
                f"the state would have {shown_bytes(size)}, most of it in `{largest}`; {shown_bytes(most)} are allowed. "
                "Keep large data in a file or a database and its address in the state, or raise [limits] state_bytes",
                code="limit.state_bytes",
            )
        self._bound = size


class _Measuring:
    """A codec that refuses events over a size."""

    def __init__(self, codec: ValueCodec, most: int) -> None:
        self._codec = codec
        self._most = most

    def encode(self, type: str, value: Payload, where: str) -> Json:
        """The payload as JSON. Raises: PayloadTooLarge."""
        data = self._codec.encode(type, value, where)
        size = len(dumps(data).encode())
        if size > self._most:
            raise PayloadTooLarge(
                f"{where}: event `{type}` has {shown_bytes(size)}; {shown_bytes(self._most)} are allowed. "
                "Send the address of a file or a part of it, or raise [limits] event_bytes",
                code="limit.event_bytes",
            )
        return data

    def encode_value(self, value: Any, where: str) -> Json:
        """As the codec has it."""
        return self._codec.encode_value(value, where)

    def decode(self, type: str, data: Json) -> Payload:
        """As the codec has it."""
        return self._codec.decode(type, data)

    def decode_value(self, data: Json) -> Any:
        """As the codec has it."""
        return self._codec.decode_value(data)
