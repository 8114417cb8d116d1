"""Rules on `collect`: joins that can never be satisfied, that cannot know their group, or that may wait for ever.

How often a step can run in one group of its run decides most of it: `ONCE` for a plain line, `MANY` for loops, fan-outs
and events from outside. The count is an upper bound, so a finding is always right.
"""

from __future__ import annotations

from orchestrator.analysis.facts import Facts, names
from orchestrator.analysis.places import Path
from orchestrator.analysis.report import Report
from orchestrator.diagnostics import Related
from orchestrator.ir.link import Stack
from orchestrator.ir.model import JoinIR, StepIR

MANY = 1_000_000


def check_collects(facts: Facts, report: Report) -> None:
    """FLW414, FLW415, FLW417, FLW437."""
    joins = [s for s in facts.flow.steps.values() if s.join is not None and s.name in facts.reachable]
    if not joins:
        return
    counts = event_counts(facts)
    for step in joins:
        join = step.join
        assert join is not None
        path: Path = ("steps", step.name, "collect")
        if _check_names(step, join, path, report):
            continue
        if join.key is None and not _check_groups(step, join, path, facts, report):
            continue
        _check_numbers(step, join, path, counts, facts, report)
        _check_can_hang(step, join, path, facts, report)


def _check_names(step: StepIR, join: JoinIR, path: Path, report: Report) -> bool:
    strange = [e for e in join.events if e not in step.accepts]
    for event in strange:
        report.add(
            "FLW417",
            f"step `{step.name}` collects `{event}`, but does not listen to it",
            (*path, "each", event),
            help=f"add `{event}` to its `on`",
            related=report.related(("steps", step.name, "on"), "it listens to these events"),
        )
    return bool(strange)


def _arrivals(step: StepIR, facts: Facts) -> dict[str, tuple[Stack, ...]]:
    wanted = step.join.events if step.join is not None and step.join.events else step.accepts
    found = {event: facts.lineage.of_event.get(event, ()) for event in wanted}
    return {event: stacks for event, stacks in found.items() if stacks}


def _check_groups(step: StepIR, join: JoinIR, path: Path, facts: Facts, report: Report) -> bool:
    arrivals = _arrivals(step, facts)
    depths = {len(stack) for stacks in arrivals.values() for stack in stacks}
    if not depths:
        return False
    if join.mode == "all" and depths == {0}:
        python = facts.is_python
        report.add(
            "FLW414",
            f"step `{step.name}` collects the members of a fan-out, but nothing before it fans out",
            path,
            help="return a list of events in a step before it" if python else (
                "fan out with `emit: {event, for_each}` or `{all: […]}`, or use `collect: each` to join named events"
            ),
        )  # fmt: skip
        return False
    if len(depths) > 1:
        by_depth = sorted((min(len(s) for s in stacks), event) for event, stacks in arrivals.items())
        (low, outer), (high, inner) = by_depth[0], by_depth[-1]
        if low == high:
            outer = inner
        text = f"`{inner}` is in a fan-out that `{outer}` is not in" if inner != outer else (
            f"`{inner}` comes from inside a fan-out and from outside it"
        )  # fmt: skip
        report.add(
            "FLW415",
            f"step `{step.name}` cannot know which events belong together: {text}",
            path,
            help="say what they have in common with `key`, or collect the fan-out in a step of its own first",
            related=[r for e in dict.fromkeys((outer, inner)) for r in _emitted_here(e, facts, report)],
        )
        return False
    return True


def _emitted_here(event: str, facts: Facts, report: Report) -> tuple[Related, ...]:
    for name in facts.emitters.get(event, ()):
        return report.related(("steps", name), f"`{name}` emits `{event}`")
    return ()


def _check_numbers(
    step: StepIR, join: JoinIR, path: Path, counts: dict[str, int], facts: Facts, report: Report
) -> None:
    arrivals = _arrivals(step, facts)
    if not all(_is_all_list_only(stacks) for stacks in arrivals.values()):
        return  # how many members a for_each has is known only when it runs
    if join.mode == "each":
        wanted = join.events or step.accepts
        rivals = _exclusive(wanted, counts, facts)
        if rivals:
            one, two, emitter = rivals
            report.add(
                "FLW414",
                f"step `{step.name}` waits for `{one}` and `{two}`, but `{emitter}` emits only one of them",
                path,
                help="emit both with `emit: {all: […]}`, or take `collect` away so that either starts the step",
                related=report.related(("steps", emitter, "emit"), f"`{emitter}` picks one here"),
            )
        return
    most = sum(counts.get(event, 0) for event in step.accepts)
    if join.mode in ("count", "first") and join.count > most and not join.fires_on_close:
        times = "only one event" if most == 1 else f"at most {most} events"
        report.add(
            "FLW414",
            f"step `{step.name}` waits for {join.count} events, but {times} can come",
            (*path, join.mode),
            help=f"wait for {max(most, 1)}, or let more steps emit {names(list(step.accepts))}",
        )


def _is_all_list_only(stacks: tuple[Stack, ...]) -> bool:
    return all(site.endswith("#all") for stack in stacks for site in stack)


def _exclusive(wanted: tuple[str, ...], counts: dict[str, int], facts: Facts) -> tuple[str, str, str] | None:
    """Two wanted events that one activation of one step decides between, if nothing else can emit them."""
    owner: dict[str, str] = {}
    for event in wanted:
        emitters = facts.emitters.get(event, ())
        if len(emitters) != 1 or event in facts.sources or counts.get(event, 0) != 1:
            continue
        step = facts.flow.steps[emitters[0]]
        if step.emit is None or step.emit.takes_all:
            continue
        if emitters[0] in owner:
            return owner[emitters[0]], event, emitters[0]
        owner[emitters[0]] = event
    return None


def _check_can_hang(step: StepIR, join: JoinIR, path: Path, facts: Facts, report: Report) -> None:
    if join.mode != "count" or join.within is not None or join.fires_on_close or join.key is not None:
        return
    arrivals = _arrivals(step, facts)
    if not any(stack for stacks in arrivals.values() for stack in stacks):
        return
    for event in step.accepts:
        for name in facts.emitters.get(event, ()):
            if facts.flow.steps[name].body.kind in ("call", "ask", "wait"):
                report.add(
                    "FLW437",
                    f"step `{step.name}` counts events of a fan-out that may fail: with too few left it waits for ever",
                    path,
                    help="add `within` with `on_timeout`, or use `collect: all`, which also counts failed members",
                    related=report.related(("steps", name), f"`{name}` may fail"),
                )
                return


def event_counts(facts: Facts) -> dict[str, int]:
    """An upper bound of how often each event can come in one run (MANY: no bound known). Cost: linear."""
    counts: dict[str, int] = {}
    for event in facts.sources:
        counts[event] = 1 if event == facts.flow.start else MANY
    runs: dict[str, int] = {}
    waiting = {name: _inner_sources(step, facts) for name, step in facts.flow.steps.items()}
    ready = [name for name, before in waiting.items() if not before]
    after: dict[str, list[str]] = {}
    for name, before in waiting.items():
        for other in before:
            after.setdefault(other, []).append(name)
    for name in facts.cycle_of:
        runs[name] = MANY
        for event in facts.graph.emits.get(name, ()):
            counts[event] = MANY
    while ready:
        name = ready.pop()
        step = facts.flow.steps[name]
        if name not in runs:
            runs[name] = _times(step, counts, facts)
            _add_emissions(step, runs[name], counts)
        for other in after.get(name, ()):
            waiting[other].discard(name)
            if not waiting[other]:
                ready.append(other)
    return counts


def _inner_sources(step: StepIR, facts: Facts) -> set[str]:
    """The steps whose count must be known before this one's: those that emit to it, loops left out."""
    mine = facts.cycle_of.get(step.name)
    before = {s for e in step.accepts for s in facts.emitters.get(e, ())}
    return {s for s in before if mine is None or facts.cycle_of.get(s) != mine}


def _times(step: StepIR, counts: dict[str, int], facts: Facts) -> int:
    arrived = [min(counts.get(event, 0), MANY) for event in step.accepts]
    if facts.recovered_by.get(step.name):
        return MANY
    total = min(sum(arrived), MANY)
    join = step.join
    if join is None or total >= MANY:
        return total
    if join.mode == "each":
        wanted = join.events or step.accepts
        return min((counts.get(event, 0) for event in wanted), default=0)
    if join.mode in ("count", "first") and join.count:
        return total // join.count
    return total


def _add_emissions(step: StepIR, times: int, counts: dict[str, int]) -> None:
    fanned = {e.event for e in step.emit.entries if e.for_each is not None} if step.emit is not None else set()
    for event in step.emits:
        more = MANY if event in fanned or step.emit is None else times
        counts[event] = min(counts.get(event, 0) + more, MANY)
