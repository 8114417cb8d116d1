"""Cuts long strings out of stored JSON text, so that the same text is kept once however many ticks carry it.

A cut is a place in the text, kept beside it; nothing in the text marks it, so no payload can look like one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

LONG = 64 * 1024
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')

Cuts = list[tuple[int, str]]  # (offset in the short text, hash of what belongs there), by offset


def cut(text: str) -> tuple[str, Cuts, dict[str, str]]:
    """The text without its long string literals, where they belong, and the literals by hash.

    Cost: O(length), for texts that are long; nothing for others.
    """
    if len(text) <= LONG:
        return text, [], {}
    parts: list[str] = []
    cuts: Cuts = []
    found: dict[str, str] = {}
    length = start = 0
    for match in _STRING.finditer(text):
        if match.end() - match.start() <= LONG:
            continue
        part = text[start : match.start()]
        parts.append(part)
        length += len(part)
        literal = match.group()
        key = hashlib.sha256(literal.encode("utf-8", "surrogatepass")).hexdigest()
        found[key] = literal
        cuts.append((length, key))
        start = match.end()
    parts.append(text[start:])
    return "".join(parts), cuts, found


def splice(text: str, cuts: Iterable[tuple[int, str]], blobs: Mapping[str, str]) -> str:
    """The inverse of `cut`. Raises: KeyError for a blob that is not there."""
    parts: list[str] = []
    start = 0
    for offset, key in cuts:
        parts.append(text[start:offset])
        parts.append(blobs[key])
        start = offset
    parts.append(text[start:])
    return "".join(parts)
