"""Every finding of the front half: its code, title, explanation, and an example that has it and one that has not.

`orchestrator explain CODE` and `docs/checks.md` are made of this table, and a test runs every example. FLW1xx is about
reading YAML (`codes_reading`), FLW2xx about the shape of a flow (`codes_shape`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """One code. `bad_bytes` is the real example where the text in `bad` only describes it."""

    code: str
    title: str
    explanation: str
    bad: str
    good: str
    bad_bytes: bytes | None = None


def table(*rows: CodeInfo) -> Mapping[str, CodeInfo]:
    """The rows by code; a code that stands twice is a mistake of ours."""
    found: dict[str, CodeInfo] = {}
    for row in rows:
        if row.code in found:
            raise ValueError(f"the code {row.code} stands twice")
        found[row.code] = row
    return found


def step(*lines: str) -> str:
    """A whole flow of one step with these lines in it, for examples."""
    body = "".join(f"    {line}\n" for text in lines for line in text.split("\n"))
    return f"flow: example\nsteps:\n  work:\n{body}"


def top(*lines: str) -> str:
    """A whole flow with these lines at its top, for examples."""
    body = "".join(f"{line}\n" for text in lines for line in text.split("\n"))
    return f"flow: example\n{body}steps:\n  work:\n    on: Start\n    emit: Stop\n"
