"""How wide a text is, without a font at hand: a table of the widest of the usual sans-serif faces.

A picture is shown with whatever font the reader has, so every estimate leans to the wide side and boxes never come out short.
"""

from __future__ import annotations

import unicodedata

# Advance widths in hundredths of an em from U+0020 to U+007E, the greater of DejaVu Sans and Liberation Sans.
_REGULAR = (
    32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 34, 34, 84, 84,
    84, 56, 102, 68, 69, 72, 77, 67, 61, 78, 75, 29, 50, 67, 56, 86, 75, 79, 67, 79, 72, 67, 61, 73, 68, 99, 69, 67, 69,
    39, 34, 39, 84, 56, 50, 61, 63, 55, 63, 62, 35, 63, 63, 28, 28, 58, 28, 97, 63, 61, 63, 63, 41, 52, 39, 63, 59, 82, 59,
    59, 52, 64, 34, 64, 84,
)  # fmt: skip
_BOLD = (
    35, 46, 52, 84, 70, 100, 87, 31, 46, 46, 52, 84, 38, 42, 38, 37, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 40, 40, 84,
    84, 84, 61, 100, 77, 76, 73, 83, 68, 68, 82, 84, 37, 56, 77, 64, 100, 84, 85, 73, 85, 77, 72, 68, 81, 77, 110, 77, 72,
    73, 46, 37, 46, 84, 56, 50, 67, 72, 59, 72, 68, 44, 72, 71, 34, 34, 67, 34, 104, 71, 69, 72, 72, 49, 60, 48, 71, 65, 92,
    65, 65, 58, 71, 37, 71, 84,
)  # fmt: skip
_MONO = 0.61
_WIDE = 1.06  # East Asian and emoji: a full em and a little
_OTHER = 0.72  # accented Latin, Greek, Cyrillic and the rest


def text_width(text: str, size: float, *, is_bold: bool = False) -> float:
    """The width of a line of proportional text at a font size, rather too much than too little."""
    table = _BOLD if is_bold else _REGULAR
    hundredths = sum(table[ord(c) - 32] if " " <= c <= "~" else 100 * _unusual(c) for c in text)
    return hundredths * size / 100


def mono_width(text: str, size: float) -> float:
    """The width of a line of fixed-pitch text at a font size."""
    return cells(text) * _MONO * size


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return len(text) if text.isascii() else sum(_cells(c) for c in text)


def fit(text: str, room: float, size: float, *, is_bold: bool = False, is_mono: bool = False) -> str:
    """The text, cut with an ellipsis where it would be wider than there is room."""
    width = mono_width(text, size) if is_mono else text_width(text, size, is_bold=is_bold)
    if width <= room:
        return text
    left = room - (mono_width("…", size) if is_mono else text_width("…", size, is_bold=is_bold))
    taken = 0
    for n, char in enumerate(text):
        left -= mono_width(char, size) if is_mono else text_width(char, size, is_bold=is_bold)
        if left < 0:
            break
        taken = n + 1
    return text[:taken].rstrip(" .,") + "…"


def fit_cells(text: str, room: int) -> str:
    """The text, cut with an ellipsis to so many columns of a terminal."""
    if cells(text) <= room:
        return text
    left, taken = room - 1, 0
    for n, char in enumerate(text):
        left -= _cells(char)
        if left < 0:
            break
        taken = n + 1
    return text[:taken].rstrip(" .,") + "…"


def _unusual(char: str) -> float:
    match _cells(char):
        case 0:
            return 0.0
        case 2:
            return _WIDE
        case _:
            return 1.0 if char in "…—" else _OTHER


def _cells(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
