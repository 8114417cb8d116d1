"""All rules over one flow, in one run: names first, then everything else over the flow as it was meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.analysis import coverage, joining, payloads, people, python_wiring, racing, safety, timing, wiring
from orchestrator.analysis.expressions import check_expressions
from orchestrator.analysis.facts import Facts
from orchestrator.analysis.naming import check_names
from orchestrator.analysis.places import Places, SpanIndex
from orchestrator.analysis.report import Report
from orchestrator.analysis.results import CatalogLike
from orchestrator.analysis.spelling import check_spelling
from orchestrator.diagnostics import Diagnostic
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
    safety.check_commands(facts, report)
    safety.check_hosts(facts, report, checked.roots)
    safety.check_patterns(facts, report)
    safety.check_granted_secrets(facts, report, checked.names, is_secret_set)
    safety.check_retries(facts, report, catalog)
    safety.check_verifiers(facts, report)
    check_spelling(facts, report)
    return report.sorted()
