"""What can be said only of all flows of a project together. Reads no file."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.analysis.codes import CODES
from orchestrator.compiler.compile import Compiled
from orchestrator.diagnostics import Diagnostic, Related, Span


def check_flow_names(flows: Iterable[Compiled]) -> list[Diagnostic]:
    """FLW522: every flow of a project has a name of its own; the later file of two is blamed."""
    first: dict[str, Span] = {}
    found: list[Diagnostic] = []
    for compiled in flows:
        if compiled.spec is None or not compiled.spec.name.value:
            continue
        name, span = compiled.spec.name.value, compiled.spec.name.span
        known = first.setdefault(name, span)
        if known.file != span.file:
            found.append(
                Diagnostic(
                    "FLW522",
                    CODES["FLW522"].severity,
                    f"another flow of the project is named `{name}` too",
                    span,
                    help="rename one of them: runs and triggers find a flow by its name",
                    related=(Related(known, "the other one"),),
                )
            )
    return found
