"""Templates with {name} and {name.field}: for `text.template` and the prompts of `llm.chat`."""

from __future__ import annotations

import re
from typing import Any

from orchestrator.plugin import StepError

Json = Any  # plain JSON
_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


def fill_template(source: str, values: dict[str, Json]) -> str:
    """The text with its names replaced; what is put in is never read as a template. Raises: StepError `text.missing`."""
    known: Json = values

    def fill(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        value = known
        for part in match[1].strip().split("."):
            if isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            elif isinstance(value, dict) and part in value:
                value = value[part]
            else:
                raise StepError("text.missing", f"the template wants {{{match[1]}}}, which is not in `values`")
        return _shown(value)

    return _PLACE.sub(fill, source)


def _shown(value: Json) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(_shown(v) for v in value)
    return str(value)
