"""Lets a person type one line while a program goes on: letters come from the terminal in a thread, the rest happens here.

On POSIX the terminal hands over every key, so that lines printed meanwhile can be followed by the question and what was
typed so far. Elsewhere the terminal edits the line itself.
"""

from __future__ import annotations

import asyncio
import atexit
import codecs
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

CLEAR, END, ERASE_WORD, ESCAPE = "\x15", "\x04", "\x17", "\x1b"
BACKSPACES = ("\x7f", "\x08")


class LineTyping:
    """The keyboard, line by line. Use it in one event loop."""

    def __init__(self, show: Callable[[str | None], None]) -> None:
        """`show` gets the question with what is typed so far, and None when there is no question any more."""
        self._show = show
        self._loop: asyncio.AbstractEventLoop | None = None
        self._question = ""
        self._typed = ""
        self._lines: deque[str | None] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._decode = codecs.getincrementaldecoder("utf-8")("replace")
        self._escape = ""
        self._restore: Callable[[], None] | None = None
        self._gives_keys = False
        self.has_ended = False

    async def read(self, question: str) -> str | None:
        """The next line that is typed; None when the person ends the input (Ctrl-D)."""
        self._begin()
        self._question = question
        self._redraw()
        try:
            while not self._lines:
                if self.has_ended:
                    return None
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
            return self._lines.popleft()
        finally:
            self._waiter = None
            self._show(None)

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._restore is not None:
            self._restore()
            atexit.unregister(self._restore)
            self._restore = None

    def _begin(self) -> None:
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._restore = _take_keys()
        self._gives_keys = self._restore is not None
        if self._restore is not None:
            atexit.register(self._restore)
        threading.Thread(target=self._listen, name="keyboard", daemon=True).start()

    def _listen(self) -> None:
        assert self._loop is not None
        while True:
            try:
                data = os.read(sys.stdin.fileno(), 4096)
            except (OSError, ValueError):
                data = b""
            try:
                self._loop.call_soon_threadsafe(self._take, data)
            except RuntimeError:  # the loop is closed: nobody asks any more
                return
            if not data:
                return

    def _take(self, data: bytes) -> None:
        if not data:
            self._end()
        for char in self._decode.decode(data):
            self._key(char)
        if self._waiter is not None and not self._waiter.done():
            if self._lines or self.has_ended:
                self._waiter.set_result(None)
            else:
                self._redraw()

    def _key(self, char: str) -> None:
        if self._escape:
            self._escape = "" if char.isalpha() or char == "~" or len(self._escape) > 8 else self._escape + char
            if char == "O":  # an arrow key in application mode: one letter follows
                self._escape = ESCAPE
        elif char in "\r\n":
            self._lines.append(self._typed)
            self._typed = ""
        elif char == ESCAPE:
            self._escape = char
        elif char in BACKSPACES:
            self._typed = self._typed[:-1]
        elif char == CLEAR:
            self._typed = ""
        elif char == ERASE_WORD:
            self._typed = self._typed.rstrip().rpartition(" ")[0]
        elif char == END:
            if not self._typed:
                self._end()
        elif char.isprintable():
            self._typed += char

    def _end(self) -> None:
        self.has_ended = True

    def _redraw(self) -> None:
        self._show(self._question + (self._typed if self._gives_keys else ""))


def _take_keys() -> Callable[[], None] | None:
    """Have the terminal hand over every key; gives what undoes it, None where that cannot be done."""
    try:
        import termios
    except ImportError:
        return None
    try:
        descriptor = sys.stdin.fileno()
        before: list[Any] = termios.tcgetattr(descriptor)  # termios' own list
    except (OSError, ValueError, termios.error):
        return None
    mode: list[Any] = list(before)
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    mode[6] = list(before[6])
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)

    def restore() -> None:
        try:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        except (OSError, termios.error):
            return

    return restore
