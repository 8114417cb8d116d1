"""The form of the code tables: one `CodeInfo` per finding. Holds no code itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.diagnostics import Severity

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """One code. `config` is what the example needs of `orchestrator.toml`."""

    code: str
    severity: Severity
    title: str
    explanation: str
    bad: str
    good: str
    config: str = ""


def table(*rows: CodeInfo) -> Mapping[str, CodeInfo]:
    """The rows by code; a code that stands twice is a mistake of ours."""
    found: dict[str, CodeInfo] = {}
    for row in rows:
        if row.code in found:
            raise ValueError(f"the code {row.code} stands twice")
        found[row.code] = row
    return found


def flow(text: str) -> str:
    """An example: a flow file with its name line added."""
    return f"flow: example\n{text.strip(chr(10))}\n"
