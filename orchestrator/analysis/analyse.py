"""All rules over one flow, in one run: names first, then everything else over the flow as it was meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.analysis import coverage, joining, payloads, people, python_wiring, racing, safety, timing, wiring
from orchestrator.analysis.expressions import check_expressions
from orchestrator.analysis.facts import Facts, entries_of
from orchestrator.analysis.naming import check_names
from orchestrator.analysis.places import Places, SpanIndex
from orchestrator.analysis.report import Report
from orchestrator.analysis.results import CatalogLike
from orchestrator.analysis.spelling import check_spelling
from orchestrator.diagnostics import Diagnostic, TooManyFindings, too_many
from orchestrator.ir.link import Links
from orchestrator.ir.model import FlowIR


def analyse(
    flow: FlowIR,
    catalog: CatalogLike,
    *,
    spans: SpanIndex | None = None,
    groups: Mapping[str, tuple[str, ...]] | None = None,
    is_secret_set: Callable[[str], bool] | None = None,
    links: Links | None = None,
) -> list[Diagnostic]:
    """Every finding about a flow, by place. Cost: linear in the flow. Raises: never.

    `groups` are the people of the project, `is_secret_set` tells whether a secret has a value; None: not known.
    `links` is the wiring of the flow where it was worked out already.
    """
    report = Report(Places(flow, spans))
    try:
        _run_rules(flow, catalog, report, groups, is_secret_set, links)
    except TooManyFindings:
        return [*(found := report.sorted()), too_many(found)]
    return report.sorted()


def _run_rules(
    flow: FlowIR,
    catalog: CatalogLike,
    report: Report,
    groups: Mapping[str, tuple[str, ...]] | None,
    is_secret_set: Callable[[str], bool] | None,
    links: Links | None,
) -> None:
    facts = check_names(Facts(flow, links=links), report)
    python_wiring.check_python(facts, report)
    wiring.check_heard_events_are_emitted(facts, report)
    wiring.check_awaited_events_come(facts, report)
    wiring.check_emitted_events_are_heard(facts, report)
    wiring.check_steps_are_reachable(facts, report)
    if not report.codes & {"FLW801", "FLW802", "FLW803"}:
        wiring.check_run_can_end(facts, report)
    wiring.check_nothing_ends_halfway(facts, report)
    wiring.check_unused_events(facts, report)
    joining.check_collects(facts, report)
    checked = check_expressions(facts, catalog, report)
    coverage.check_ways_out(facts, checked, report)
    coverage.check_loops(facts, checked, report)
    coverage.check_state(facts, report)
    racing.check_races_with_stop(facts, report)
    racing.check_parallel_writes(facts, report)
    payloads.check_payloads(facts, catalog, checked, report)
    payloads.note_unknown_results(facts, catalog, checked, report)
    people.check_people(facts, report, groups)
    timing.check_triggers(facts, report)
    timing.check_times(facts, report)
    safety.check_secret_texts(facts, report)
    safety.check_secret_echoes(facts, report, checked.roots)
    safety.check_commands(facts, report)
    safety.check_hosts(facts, report, checked.roots)
    safety.check_patterns(facts, report)
    safety.check_granted_secrets(facts, report, checked.names, is_secret_set)
    safety.check_retries(facts, report, catalog)
    safety.check_verifiers(facts, report)
    check_spelling(facts, report)
    _forget_echoes(facts, catalog, report)


def _forget_echoes(facts: Facts, catalog: CatalogLike, report: Report) -> None:
    """A callable that is not known may bring the events that others listen to, where its step says nothing of its own."""
    if not any(finding.code == "FLW504" or finding.code.startswith("PLG") for finding in report):
        return
    silent = [
        step.name
        for step in facts.flow.steps.values()
        if step.body.call is not None
        and catalog.get(step.body.call.target) is None
        and [entry.event for entry in entries_of(step)] == [f"{step.name}.done"]
    ]
    ends = {report.places.span(("steps", name)) for name in silent}
    if ends:
        report.forget(lambda d: (d.code == "FLW401" and d.fix is None) or (d.code == "FLW405" and d.span in ends))
