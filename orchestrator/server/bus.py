"""What changed, for every open page: numbered notes that a reader can go on from. Notes name things; readers fetch them.

A note is `(topic, data)`; topics are run, request, flows and schedules. Readers are woken at most every `PAUSE_S`, so that a
burst costs each of them one wake-up. A reader whose place is gone (a new process, too long away) is told to start over.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from dataclasses import dataclass
from typing import Any

KEEP_NOTES = 20_000
PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Note:
    """One change. `payload` is its data as JSON text and `sent` the server-sent event of it, made once for all readers."""

    number: int
    topic: str
    data: Any  # plain JSON
    payload: str
    sent: bytes


class Bus:
    """The notes of one process."""

    def __init__(self, *, keep: int = KEEP_NOTES) -> None:
        self.boot = secrets.token_hex(4)
        self.number = 0
        self.is_closed = False
        self._notes: deque[Note] = deque(maxlen=keep)
        self._waiters: set[asyncio.Future[None]] = set()
        self._wake: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Future[None]] = set()

    def publish(self, topic: str, data: Any) -> None:
        """Tell everybody of a change. Cost: O(1); readers are woken a moment later."""
        self.number += 1
        payload = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        sent = f"id: {self.boot}.{self.number}\nevent: {topic}\ndata: {payload}\n\n".encode()
        self._notes.append(Note(self.number, topic, data, payload, sent))
        if self._waiters and self._wake is None:
            self._wake = asyncio.get_running_loop().call_later(PAUSE_S, self._wake_all)

    def since(self, number: int) -> list[Note] | None:
        """The notes after a number; None if some of them are gone."""
        behind = self.number - number
        if behind <= 0:
            return [] if behind == 0 else None
        if behind > len(self._notes):
            return None
        return [self._notes[n] for n in range(len(self._notes) - behind, len(self._notes))]

    async def wait(self, number: int, timeout_s: float) -> bool:
        """Wait for a note after `number`; False when the time is over or the bus is closed."""
        if self.number > number or self.is_closed:
            return not self.is_closed
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(future)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(future)
        return not self.is_closed

    async def closed(self) -> None:
        """Wait until the bus is closed."""
        if self.is_closed:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing.add(future)
        try:
            await future
        finally:
            self._closing.discard(future)

    def close(self) -> None:
        """Let every reader go: the server is stopping."""
        self.is_closed = True
        closing, self._closing = self._closing, set()
        for future in closing:
            if not future.done():
                future.set_result(None)
        self._wake_all()

    def _wake_all(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake = None
        waiters, self._waiters = self._waiters, set()
        for future in waiters:
            if not future.done():
                future.set_result(None)
