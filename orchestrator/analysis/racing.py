"""Warnings on things that go on at the same time: branches that race `Stop`, and writes to one state key."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.analysis.facts import Facts, entries_of, names
from orchestrator.analysis.places import Path
from orchestrator.analysis.report import Report
from orchestrator.ir.model import StepIR

MAX_FORKS = 64  # forks looked at for parallel writes: keeps the rule linear; no flow written by hand has more


def check_races_with_stop(facts: Facts, report: Report) -> None:
    """FLW432: two parallel branches that both end the run, or a fan-out whose members do."""
    if facts.is_python:
        return
    ends = facts.leads_to(facts.endings, stop_at_joins=True)
    routes = facts.graph.routes
    for event, steps in routes.items():
        if len(steps) < 2 or event.endswith((".failed", ".timeout")):
            continue
        racing = [s for s in steps if s in ends and facts.flow.steps[s].join is None]
        unguarded = [s for s in racing if facts.flow.steps[s].guard is None]
        if len(racing) > 1 and unguarded and facts.reachable.issuperset(racing):
            _report_race(racing, ("steps", racing[1]), f"both run on `{event}`", facts, report)
    for step in facts.flow.steps.values():
        rule = step.emit
        if rule is None or step.name not in facts.reachable:
            continue
        members: list[str] = []
        for n, entry in enumerate(rule.entries):
            takers = [s for s in routes.get(entry.event or "", ()) if s in ends and facts.flow.steps[s].join is None]
            path: Path = ("steps", step.name, "emit", n, "event")
            if takers and entry.for_each is not None:
                _report_members(step, takers, path, facts, report)
            elif takers and rule.takes_all:
                members += takers
        stops_itself = rule.takes_all and any(e.event in facts.endings for e in rule.entries)
        if len(members) > 1 or (members and stops_itself):
            _report_race(members, ("steps", step.name, "emit"), f"`{step.name}` starts them together", facts, report)


def _report_race(racing: list[str], path: Path, why: str, facts: Facts, report: Report) -> None:
    report.add(
        "FLW432",
        f"branches race for the end of the run: {names(racing)} lead to an end in parallel ({why}); the first one wins",
        path,
        help="join them with `collect`, or let side branches end in `emit: none` (they are given time to finish)",
        related=[r for s in racing for r in report.related(("steps", s), f"`{s}` can end the run")][:3],
    )


def _report_members(step: StepIR, takers: list[str], path: Path, facts: Facts, report: Report) -> None:
    report.add(
        "FLW432",
        f"every item of this fan-out can end the run through {names(takers)}; the first one wins, the rest is lost",
        path,
        help="gather the items in a step with `collect: all` before `Stop`",
        related=report.related(("steps", takers[0]), f"`{takers[0]}` is started once per item"),
    )


def check_parallel_writes(facts: Facts, report: Report) -> None:
    """FLW433: a state key that parallel steps overwrite, so that its value depends on which came last."""
    writers = _writers(facts)
    if not writers:
        return
    for key, steps in writers.items():
        blind = [s for s, reads in steps.items() if not reads]
        fanned = [s for s in blind if any(facts.lineage.of_step.get(s, ()))]
        if fanned:
            report.add(
                "FLW433",
                f"`state.{key}` is overwritten by `{fanned[0]}`, which a fan-out runs beside others; the last to start wins",
                set_path(facts.flow.steps[fanned[0]], key),
                help=f"add to it (`${{{{ state.{key} + … }}}}`), or carry the value in the event and `collect`",
            )
            steps.pop(fanned[0])
    shared = {key: steps for key, steps in writers.items() if len(steps) > 1 and not all(steps.values())}
    if shared:
        _check_forks(shared, facts, report)


def _writers(facts: Facts) -> dict[str, dict[str, bool]]:
    """For each state key the steps that set it, and whether they read it while doing so."""
    out: dict[str, dict[str, bool]] = {}
    for step in facts.flow.steps.values():
        if step.name not in facts.reachable:
            continue
        for values in (step.set, *(e.set for e in entries_of(step))):
            for key, value in values.items():
                reads = f"state.{key}" in str(value)
                steps = out.setdefault(key, {})
                steps[step.name] = steps.get(step.name, True) and reads
    return out


def set_path(step: StepIR, key: str) -> Path:
    """Where a step sets a state key."""
    if key in step.set:
        return ("steps", step.name, "set", key)
    for n, entry in enumerate(entries_of(step)):
        if key in entry.set:
            return ("steps", step.name, "emit", n, "set", key)
    return ("steps", step.name, "set", key)


def _check_forks(shared: dict[str, dict[str, bool]], facts: Facts, report: Report) -> None:
    told: set[str] = set()
    for branches in _forks(facts)[:MAX_FORKS]:
        reached = [_until_join(branch, facts) for branch in branches]
        common = {s for n, one in enumerate(reached) for two in reached[n + 1 :] for s in one & two}
        for key, steps in shared.items():
            if key in told:
                continue
            by_branch = [[s for s in steps if s in one and s not in common] for one in reached]
            pair = [found[0] for found in by_branch if found]
            if len(pair) > 1 and not all(steps[s] for s in pair):
                told.add(key)
                report.add(
                    "FLW433",
                    f"`state.{key}` is written by {names(pair)}, which run in parallel; the last one to start wins",
                    set_path(facts.flow.steps[pair[1]], key),
                    help="write different keys, or carry the values in events and join them with `collect`",
                    related=report.related(set_path(facts.flow.steps[pair[0]], key), f"`{pair[0]}` writes it here"),
                )


def _forks(facts: Facts) -> list[list[str]]:
    forks = [list(steps) for steps in facts.graph.routes.values() if len(steps) > 1]
    for step in facts.flow.steps.values():
        if step.emit is not None and step.emit.takes_all:
            takers = [s for e in step.emit.entries for s in facts.graph.routes.get(e.event or "", ())]
            if len(set(takers)) > 1:
                forks.append(list(dict.fromkeys(takers)))
    return forks


def _until_join(start: str, facts: Facts) -> set[str]:
    seen: set[str] = set()
    todo: list[str] = [start]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        todo += _after(name, facts)
    return seen


def _after(name: str, facts: Facts) -> Iterable[str]:
    for event in facts.graph.emits.get(name, ()):
        for step in facts.graph.routes.get(event, ()):
            if facts.flow.steps[step].join is None:
                yield step
