"""Bytes to text: encoding and the characters a file may hold. Knows nothing of YAML.

Every replacement keeps the length of the text, so that later findings keep their columns.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

from orchestrator.language.findings import Findings
from orchestrator.language.limits import MAX_BYTES
from orchestrator.language.nodes import Source

_UTF16_OR_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# What a YAML reader refuses, or takes for a line break while editors do not (NEL, LS, PS, a lone carriage return).
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]|\r(?!\n)")
_PLAIN = bytes([*range(0x20, 0x7F), 0x09, 0x0A, 0x0D])
# Characters that change how a line reads without being seen. Joiners and direction marks are used in real text.
_BIDI = "\u202a-\u202e\u2066-\u2069"
_HIDDEN = re.compile(f"[\u00ad\u180e\u200b\u2060-\u2064{_BIDI}\ufff9-\ufffb\U000e0000-\U000e007f]")
HIDDEN_IN_NAME = re.compile(
    f"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f{_BIDI}\u2060-\u206f\u3164\ufe00-\ufe0f\uffa0\ufff9-\ufffb\U000e0000-\U000e01ef]"
)
_SHOWN = 5


def describe_char(char: str) -> str:
    """A character that cannot be printed, as a reader can look it up: `U+202E RIGHT-TO-LEFT OVERRIDE`."""
    name = unicodedata.name(char, "")
    return f"U+{ord(char):04X}" + (f" {name}" if name else "")


def decode(data: bytes, file: str, findings: Findings) -> tuple[Source | None, str]:
    """The source of the file, and its text as the YAML parser may see it (same length, bad characters blanked).

    Returns: no source when the bytes cannot be read as text at all.
    """
    empty = Source(file, "")
    if len(data) > MAX_BYTES:
        findings.error(
            "FLW100",
            f"the file has {len(data):,} bytes; a flow may have {MAX_BYTES:,}",
            empty.span(0, 0),
            help="move long texts into files of their own, or cut the flow into sub-flows with `imports:`",
        )
        return None, ""
    if data.startswith(_UTF16_OR_32) or b"\x00" in data[:4]:
        findings.error(
            "FLW102", "the file is not UTF-8 but UTF-16 or UTF-32", empty.span(0, 0), help="save it as UTF-8"
        )
        return None, ""
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = Source(file, data[: error.start].decode("utf-8"))
        at = len(before.text)
        findings.error(
            "FLW102",
            f"the file is not UTF-8: byte 0x{data[error.start]:02x} here is no part of a character",
            before.span(at, at),
            help="save it as UTF-8",
        )
        return None, ""
    source = Source(file, text)
    return source, source.text if _is_plain(data) else _blank_forbidden(source, findings)


def _is_plain(data: bytes) -> bool:
    """Whether the bytes are ASCII without control characters, as most files are; many times faster than a search."""
    return not data.translate(None, _PLAIN) and data.count(b"\r") == data.count(b"\r\n")


def _blank_forbidden(source: Source, findings: Findings) -> str:
    text, count = _FORBIDDEN.subn(" ", source.text)
    for shown, match in enumerate(_FORBIDDEN.finditer(source.text) if count else (), 1):
        char = match.group()
        more = f" (and {count - _SHOWN:,} more like it)" if shown == _SHOWN < count else ""
        is_break = char in "\r\x85\u2028\u2029"
        findings.error(
            "FLW103",
            f"{'a line break that not every reader knows' if is_break else 'a character that may not be in a file'}: "
            f"{describe_char(char)}{more}",
            source.span(match.start(), match.end()),
            help="end lines with a line feed" if is_break else "delete it, or write it as an escape in double quotes",
        )
        if shown == _SHOWN:
            break
    return text


def warn_hidden(source: Source, findings: Findings) -> None:
    """Warn of invisible characters in texts and comments, but for those that an error has named."""
    if source.text.isascii():
        return
    named = {(d.span.line, d.span.end_line) for d in findings if d.code == "FLW103"}
    shown = 0
    for match in _HIDDEN.finditer(source.text):
        span = source.span(match.start(), match.end())
        if any(first <= span.line <= last for first, last in named):
            continue
        findings.warning(
            "FLW103",
            f"an invisible character: {describe_char(match.group())}",
            span,
            help="delete it: what people read here is not what the flow does",
        )
        shown += 1
        if shown == _SHOWN:
            return
