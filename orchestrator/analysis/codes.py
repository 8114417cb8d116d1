"""Every finding of the checker: its code, severity, title, explanation, and an example that has it and one that has not.

`orchestrator explain CODE` and `docs/checks.md` are made of this table, and a test compiles every example. FLW4xx is the
graph (`codes_graph`, `codes_graph_warnings`, `codes_joins`), FLW5xx types and names (`codes_types`), FLW6xx people and
time (`codes_people`), FLW7xx safety (`codes_safety`), FLW8xx workflows written in Python (`codes_python`).
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.analysis.codes_graph import GRAPH_CODES
from orchestrator.analysis.codes_graph_warnings import GRAPH_WARNINGS
from orchestrator.analysis.codes_joins import JOIN_CODES
from orchestrator.analysis.codes_people import PEOPLE_CODES
from orchestrator.analysis.codes_python import PYTHON_CODES
from orchestrator.analysis.codes_safety import SAFETY_CODES
from orchestrator.analysis.codes_table import CodeInfo, table
from orchestrator.analysis.codes_types import TYPE_CODES

CODES: Mapping[str, CodeInfo] = table(
    *(
        row
        for part in (GRAPH_CODES, GRAPH_WARNINGS, JOIN_CODES, TYPE_CODES, PEOPLE_CODES, SAFETY_CODES, PYTHON_CODES)
        for row in part.values()
    )
)
