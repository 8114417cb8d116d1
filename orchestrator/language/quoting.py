"""How to write a text so that YAML reads it back as that text. Decides the quotes, knows no file."""

from __future__ import annotations

import re

from orchestrator.language.scalars import CONSTANTS, LOOKALIKES, UnstorableNumber, resolve_plain

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
_NEEDS_ESCAPE = re.compile(r'[\\"\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]')
_UNQUOTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def quote(text: str) -> str:
    """The text in double quotes, or in single ones where it holds a double quote or a backslash itself."""
    if _UNQUOTABLE.search(text):
        return quote_double(text)
    if '"' in text or "\\" in text:
        return "'" + text.replace("'", "''") + "'"
    return f'"{text}"'


def quote_double(text: str) -> str:
    """The text in double quotes with escapes; any text can be written so."""

    def escape(match: re.Match[str]) -> str:
        char = match.group()
        return _ESCAPES.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}")

    return '"' + _NEEDS_ESCAPE.sub(escape, text) + '"'


# What may stand unquoted in block style without any doubt; everything else is quoted.
_SAFE_PLAIN = re.compile(
    r"[^\W\d_](?:[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff:#]|:(?=\S)|(?<=\S)#)*\Z|\$\{\{[^:#\n]*\}\}\Z"
)


def is_safe_plain(text: str) -> bool:
    """Whether YAML, ours and everyone's, reads the text back unquoted in block style as the same text."""
    if not _SAFE_PLAIN.match(text) or text != text.strip() or text in CONSTANTS or text in LOOKALIKES:
        return False
    if text.endswith(":") or " #" in text or ": " in text:
        return False
    try:
        return isinstance(resolve_plain(text), str)
    except UnstorableNumber:
        return False
