"""What a plain scalar means, by the YAML 1.2 core rules as LANGUAGE.md section 2 narrows them.

Only `true`/`false` are booleans, `null`, `~` and nothing are null, numbers are decimal. So `on`, `yes`, `NO`, `0x1F`,
`1_000`, `12:30` and `2026-01-01` are text, and `010` is ten.
"""

from __future__ import annotations

import math
import re

from orchestrator.language.nodes import Scalar

_INT = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL_FLOAT = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_NUMBER_START = frozenset("0123456789+-.")

MAX_INT = 2**63 - 1
CONSTANTS: dict[str, Scalar] = {"true": True, "false": False, "null": None, "~": None, "": None}
LOOKALIKES = {
    "True": "true", "TRUE": "true", "False": "false", "FALSE": "false", "Null": "null", "NULL": "null",
}  # fmt: skip


class UnstorableNumber(ValueError):
    """A number that no JSON store can keep; the message says why."""


def resolve_plain(text: str) -> Scalar:
    """The value of a plain scalar.

    Raises: UnstorableNumber for infinities, not-a-number and integers beyond 64 bits.
    """
    if text in CONSTANTS:
        return CONSTANTS[text]
    if text[0] not in _NUMBER_START:
        return text
    if _INT.match(text):
        if len(text) > 20 or abs(int(text)) > MAX_INT:
            raise UnstorableNumber("the number has more than 64 bits")
        return int(text)
    if _FLOAT.match(text):
        number = float(text)
        if math.isinf(number):
            raise UnstorableNumber("the number is too large for a float")
        return number
    if _SPECIAL_FLOAT.match(text):
        raise UnstorableNumber("infinity and not-a-number cannot be stored as JSON")
    return text
