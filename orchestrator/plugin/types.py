"""Field types for plugin authors that JSON Schema and Python have no common word for."""

from __future__ import annotations

import re
from typing import Annotated, Any

UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIMPLE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)\Z")
_ISO = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?\Z")


def parse_duration(text: str) -> float:
    """Seconds of `500ms`, `30s`, `5m`, `4h`, `2d` or ISO 8601. Raises: ValueError."""
    if simple := _SIMPLE.match(text):
        return float(simple[1]) * UNIT_S[simple[2]]
    iso = _ISO.match(text)
    if iso and any(iso.groups()):
        days, hours, minutes, seconds = (float(part or 0) for part in iso.groups())
        return days * 86400 + hours * 3600 + minutes * 60 + seconds
    raise ValueError(f'"{text}" is not a duration; write 500ms, 30s, 5m, 4h or 2d')


class _DurationType:
    """How pydantic reads a duration: text with a unit, or seconds from Python code."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:  # Any: pydantic's own hook signature
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(_as_seconds)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: Any, handler: Any
    ) -> dict[str, Any]:  # Any: pydantic's hook signature
        return {"type": "string", "format": "duration"}


def _as_seconds(value: object) -> float:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise ValueError("a duration is text such as 30s")


Duration = Annotated[float, _DurationType]
