"""The lower end of a terminal: lines scroll away above, and under them stand lines that change, and perhaps a question.

Without a terminal only the lines that scroll are printed. Whatever is shown is inert and cut to the width of the screen.
"""

from __future__ import annotations

import re
import shutil
import unicodedata
from typing import TextIO

import click

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class Screen:
    """Writes to one stream; `is_live` says whether lines may be rewritten."""

    def __init__(self, stream: TextIO, *, is_live: bool, has_colour: bool = True) -> None:
        self.is_live = is_live
        self._has_colour = has_colour
        self._stream = stream
        self._standing: list[str] = []
        self._question: str | None = None
        self._shown = 0
        self._is_gone = False

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self._write(self._erased() + text + "\n" + self._drawn())

    def stand(self, lines: list[str]) -> None:
        """Replace the lines that stand at the bottom."""
        if self.is_live and lines != self._standing:
            erased = self._erased()
            self._standing = lines
            self._write(erased + self._drawn())

    def ask(self, question: str | None) -> None:
        """Show a question with what is typed so far under everything else, the cursor behind it; None takes it away."""
        if not self.is_live:
            return
        erased = self._erased()
        self._question = question
        self._write(erased + self._drawn())

    def close(self) -> None:
        """Take away what stands."""
        erased = self._erased()
        self._standing, self._question = [], None
        self._write(erased)

    def _erased(self) -> str:
        if not self._shown:
            return ""
        up = self._shown - 1
        self._shown = 0
        return "\r" + (f"\x1b[{up}A" if up else "") + "\x1b[J"

    def _drawn(self) -> str:
        if not self.is_live:
            return ""
        width, height = shutil.get_terminal_size((80, 24))
        lines = [cut(line, width - 1) for line in self._standing[: max(1, height - 3)]]
        if self._question is not None:
            lines.append(_tail(self._question, width - 1))
        elif lines:
            lines.append("")
        self._shown = len(lines)
        return "\n".join(lines)

    def _write(self, text: str) -> None:
        if self._is_gone or not text:
            return
        try:
            self._stream.write(text if self._has_colour else _STYLE.sub("", text))
            self._stream.flush()
        except (OSError, ValueError):  # the terminal is gone; the run goes on without words
            self._is_gone = True


def inert(text: str) -> str:
    """Text that cannot move the cursor, change colours or turn the reading direction."""
    return _UNSAFE.sub("\ufffd", text)


def one_line(text: str, limit: int = 300) -> str:
    """Any text as one inert line."""
    flat = inert(" ".join(text.split()))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def width_of(text: str) -> int:
    """How many cells a text takes, colours not counted."""
    cells = 0
    for char in _STYLE.sub("", text):
        if not unicodedata.combining(char):
            cells += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return cells


def cut(text: str, width: int) -> str:
    """The beginning of a text that fits into so many cells; colours are closed."""
    if width_of(text) <= width:
        return text
    cells, out, place = 0, [], 0
    while place < len(text):
        style = _STYLE.match(text, place)
        if style is not None:
            out.append(style.group())
            place = style.end()
            continue
        wide = width_of(text[place])
        if cells + wide > width - 1:
            break
        cells += wide
        out.append(text[place])
        place += 1
    return "".join(out) + "…\x1b[0m"


def _tail(text: str, width: int) -> str:
    """The end of a text that fits; for a question, where the newest letters matter."""
    if width_of(text) <= width:
        return text
    plain = _STYLE.sub("", text)
    while width_of(plain) > width - 1:
        plain = plain[1:]
    return "…" + plain


def styled(text: str, colour: str | None = None, *, dim: bool = False, bold: bool = False) -> str:
    """Text in a colour; a screen without colours shows it plain."""
    return click.style(text, fg=colour, dim=dim or None, bold=bold or None)
