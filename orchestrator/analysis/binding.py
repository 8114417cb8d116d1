"""Whether the callables of this process still fit a stored flow, which was checked against those of another release.

Only what a callable takes and gives is looked at; all else was settled when the flow was compiled. A stored flow has no file:
its places are words.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from orchestrator.analysis.expressions import check_expressions
from orchestrator.analysis.facts import Facts
from orchestrator.analysis.payloads import Handover, check_call
from orchestrator.analysis.places import Path, Places
from orchestrator.analysis.report import Report
from orchestrator.analysis.results import CatalogLike, result_schema
from orchestrator.analysis.values import calls_of
from orchestrator.diagnostics import Severity, Span
from orchestrator.ir.model import EventIR, FlowIR

# fields that a result lacks, filters and operators on its type; arguments that are missing, unknown or of another type
UNFIT = frozenset({"FLW321", "FLW323", "FLW324", "FLW503", "FLW505", "FLW506"})


def unfit_call(flow: FlowIR, catalog: CatalogLike, targets: Collection[str]) -> str | None:
    """How one of these callables does not fit the flow; None if all do.

    Cost: linear in the flow. A value whose type is not known fits; the call itself checks it.
    """
    now = replace(flow, events={**flow.events, **_results(flow, catalog, targets)})
    report = Report(Places(now, _Words()))
    facts = Facts(now)
    at = Handover(facts, catalog, check_expressions(facts, catalog, report), report)
    for step in now.steps.values():
        for call, path, _ in calls_of(step):
            if call.target in targets:
                check_call(step, call, path, at)
    found = (f"{f.span.file}: {f.message}" for f in report if f.severity is Severity.ERROR and f.code in UNFIT)
    return next(found, None)


class _Words:
    """Places as words: what stands for a file is the step and the key in it."""

    def span_of(self, path: Path) -> Span:
        if path[:1] != ("steps",):
            return Span(".".join(map(str, path)), 1, 1, 1, 1)
        key = ".".join(map(str, path[2:]))
        return Span(f"step `{path[1]}`" + (f", {key}" if key else ""), 1, 1, 1, 1)

    def span_of_key(self, path: Path) -> Span:
        return self.span_of(path)

    def span_within(self, path: Path, ordinal: int, start: int, end: int) -> Span:
        return self.span_of(path)


def _results(flow: FlowIR, catalog: CatalogLike, targets: Collection[str]) -> dict[str, EventIR]:
    """The events of steps that hold a result, as they would be compiled with the callables of today."""
    found: dict[str, EventIR] = {}
    for step in flow.steps.values():
        event = flow.events.get(f"{step.name}.done")
        call = step.body.call
        if event is None or event.kind != "step" or call is None or call.target not in targets:
            continue
        if isinstance(event.schema, dict) and "result" in event.schema.get("properties", {}):
            properties = {**event.schema["properties"], "result": result_schema(step, flow, catalog)}
            found[event.name] = replace(event, schema={**event.schema, "properties": properties})
    return found
