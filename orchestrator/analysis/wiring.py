"""Rules on the graph: what nobody emits, what nobody hears, what cannot be reached, what cannot end."""

from __future__ import annotations

from orchestrator.analysis.facts import Facts, entries_of, names
from orchestrator.analysis.places import Path
from orchestrator.analysis.report import Report
from orchestrator.expr.suggest import nearest
from orchestrator.ir.link import inputs_of
from orchestrator.ir.model import StepIR

OUTSIDE_KINDS = frozenset({"answer", "cancelled"})  # events that no step needs to emit
SEEN_KINDS = frozenset({"ask"})  # events that are for whoever reads the stream


def check_heard_events_are_emitted(facts: Facts, report: Report) -> None:
    """FLW403, FLW404, FLW416: every event that a step listens to can come."""
    for step in facts.flow.steps.values():
        if step.recovers:
            continue  # the runtime sends it the failures of other steps
        for event in inputs_of(step):
            path: Path = ("steps", step.name, "on", event)
            if event in facts.endings and not facts.is_python:
                report.add(
                    "FLW416",
                    f"step `{step.name}` listens to `{event}`, but nothing starts after the end of a run",
                    path,
                    help="clean up in `finally`, or start the step beside the end: `emit: {all: [Stop, …]}`",
                )
                continue
            if event in facts.emitters or event in facts.sources or step.recovers:
                continue
            if step.join is not None and event == step.join.until_event and event not in step.accepts:
                path = ("steps", step.name, "collect", "until", "event")
            _report_never_emitted(event, step, path, facts, report)


def check_awaited_events_come(facts: Facts, report: Report) -> None:
    """FLW403 for `wait`: what a step waits for can come."""
    for step in facts.flow.steps.values():
        wait = step.body.wait
        if wait is None or wait.event is None or wait.event not in facts.flow.events:
            continue
        if wait.event not in facts.emitters and wait.event not in facts.sources:
            _report_never_emitted(wait.event, step, ("steps", step.name, "wait", "event"), facts, report)


def _report_never_emitted(event: str, step: StepIR, path: Path, facts: Facts, report: Report) -> None:
    own = facts.step_of_event(event)
    if own is not None:
        other, kind = own
        if kind == "start" or kind == "failed":
            return
        if kind == "done":
            emitted = [e for e in other.emits if e not in (f"{other.name}.failed", f"{other.name}.timeout")]
            shown = [f"starts `{e.removesuffix('.start')}`" for e in emitted if e.endswith(".start")]
            told = [e for e in emitted if not e.endswith(".start")]
            shown = [f"emits {names(told)}", *shown] if told else shown
            instead = f"it {' and '.join(shown)}" if shown else "it emits nothing"
            starts_it = f"{step.name}.start" in emitted
            if starts_it:
                hint = f"delete it: the `emit` of `{other.name}` starts `{step.name}` already"
            else:
                emitted = [e for e in emitted if not e.endswith(".start")]
                hint = f"listen to {names(emitted)}" if emitted else f"take the `emit` from `{other.name}`"
            report.add(
                "FLW404",
                f"step `{step.name}` listens to `{other.name}`, which has an `emit` of its own: {instead}",
                path,
                help=hint,
                related=report.related(("steps", other.name, "emit"), f"the `emit` of `{other.name}`"),
            )
            return
        report.add(
            "FLW403",
            f"step `{step.name}` listens to `{event}`, but `{other.name}` has nothing that can run out of time",
            path,
            help="`.timeout` comes from a `wait` with `within` and from an `ask` with `deadline`; other limits are errors: "
            f"listen to `{other.name}.failed`",
            related=report.related(("steps", other.name), f"step `{other.name}` is here"),
        )
        return
    ir = facts.flow.events.get(event)
    if ir is not None and ir.kind in OUTSIDE_KINDS:
        return
    unheard = [e for e in facts.emitters if e not in facts.graph.routes and e not in facts.endings and "." not in e]
    guess = nearest(event, unheard)
    verb, emits = ("accepts", "returns") if facts.is_python else ("listens to", "emits")
    if path[2] == "wait":
        verb = "waits for"
    hint = "return it from a step, or name it in `external=[...]`" if facts.is_python else (
        "emit it from a step, or mark it `external: true` if it comes from outside"
    )  # fmt: skip
    if guess is not None:
        hint = f"did you mean `{guess}`, which {names(facts.emitters[guess])} {emits}?"
    report.add(
        "FLW403",
        f"step `{step.name}` {verb} `{event}`, which no step {emits}",
        path,
        help=hint,
        fix=None if guess is None else report.replace(path, guess, is_safe=False),
        related=report.related(("events", event), f"`{event}` is declared here") if ir is not None else (),
    )


def check_emitted_events_are_heard(facts: Facts, report: Report) -> None:
    """FLW405: work never ends in an event that nobody takes."""
    wanted = {e for e in facts.graph.routes if e not in facts.emitters}
    for event, emitters in facts.emitters.items():
        ir = facts.flow.events.get(event)
        if event in facts.graph.routes or event in facts.endings or event in facts.awaited:
            continue
        if ir is not None and ir.kind in SEEN_KINDS | OUTSIDE_KINDS:
            continue
        if nearest(event, wanted) is not None:
            continue  # the listener with the near name has been reported already
        for name in emitters:
            _report_unheard(event, facts.flow.steps[name], facts, report)


def _report_unheard(event: str, step: StepIR, facts: Facts, report: Report) -> None:
    own = facts.step_of_event(event)
    if own is not None and own[1] in ("failed", "timeout", "start"):
        return
    if own is not None:
        report.add(
            "FLW405",
            f"step `{step.name}` ends in nothing: it has no `emit`, and no step has `on: {step.name}`",
            ("steps", step.name),
            help="write `emit: Stop` to end the run, `emit: none` if nothing follows, or let a step listen to it",
        )
        return
    verb = "returns" if facts.is_python else "emits"
    hears = "accepts" if facts.is_python else "listens to"
    report.add(
        "FLW405",
        f"step `{step.name}` {verb} `{event}`, but no step {hears} it",
        emit_path(step, event),
        help=f"let a step of this workflow take `{event}`; to reach another workflow, run that one in a step, or send to "
        "its run: `ctx.send_event(ev, run_id=…)`"
        if facts.is_python
        else f"let a step take `{event}`, or write `emit: none`",
        related=report.related(("events", event), f"`{event}` is declared here") if event in facts.flow.events else (),
    )


def emit_path(step: StepIR, event: str) -> Path:
    """Where a step names an event that it emits."""
    for n, entry in enumerate(entries_of(step)):
        if entry.event == event:
            return ("steps", step.name, "emit", n, "event")
    for n, caught in enumerate(step.catch):
        if caught.event == event:
            return ("steps", step.name, "catch", n, "event")
    if step.join is not None and step.join.on_timeout == event:
        return ("steps", step.name, "collect", "on_timeout")
    return ("steps", step.name, "emit")


def check_steps_are_reachable(facts: Facts, report: Report) -> None:
    """FLW406: every step can start; of steps that hang together only the first cause is told."""
    for name, step in facts.flow.steps.items():
        if name in facts.reachable:
            continue
        if any(e not in facts.emitters and e not in facts.sources for e in step.accepts):
            continue  # told as FLW403 or FLW404 already
        if step.recovers:
            continue
        if not step.accepts:
            report.add(
                "FLW406",
                f"step `{name}` can never start: it has no `on`, and no other step's `emit` names it",
                ("steps", name),
                help=f"give it an `on`, or write `emit: {name}` in the step before it",
            )
            continue
        before = {s for e in step.accepts for s in facts.emitters.get(e, ())}
        mine = facts.cycle_of.get(name)
        if any(s != name and (mine is None or facts.cycle_of.get(s) != mine) for s in before):
            continue  # the step before it is the cause
        if mine is not None and facts.cycles[mine][0] != name:
            continue
        loop = [name] if mine is None else list(facts.cycles[mine])
        report.add(
            "FLW406",
            f"step `{name}` can never start: only {names(loop)} can start it" + (" itself" if len(loop) == 1 else ""),
            ("steps", name),
            help=f"let one of them listen to `{facts.flow.start}` or to an event of a step that runs",
        )


def check_run_can_end(facts: Facts, report: Report) -> None:
    """FLW407, FLW408: from every step the end of the run can be reached."""
    flow = facts.flow
    if not flow.steps or any(step.body.kind == "procedure" for step in flow.steps.values()):
        return
    if report.codes & {"FLW401", "FLW402", "FLW403", "FLW404", "FLW405", "FLW406"} and not facts.may_finish:
        return
    if not facts.may_finish & facts.reachable:
        stop = names([*flow.stop]) + ("" if facts.is_python else " or `Failed`")
        report.add(
            "FLW407",
            f"the flow `{flow.name}` can never end: no step that runs leads to {stop}",
            ("flow",),
            help="return the stop event from the last step"
            if facts.is_python
            else "write `emit: Stop` in the last step",
        )
        return
    for cycle in facts.cycles:
        stuck = [s for s in cycle if s in facts.reachable and s not in facts.may_finish]
        if len(stuck) == len(cycle) and not any(_may_end_in_nothing(facts.flow.steps[s]) for s in cycle):
            _report_trapped(cycle, facts, report)


def _may_end_in_nothing(step: StepIR) -> bool:
    return not step.emits or step.guard is not None or any(e.event is None for e in entries_of(step))


def _report_trapped(cycle: tuple[str, ...], facts: Facts, report: Report) -> None:
    after = {s for n in cycle for e in facts.graph.emits.get(n, ()) for s in facts.graph.routes.get(e, ())}
    if after - set(cycle):
        return  # a later loop or step is where the way ends
    report.add(
        "FLW408",
        f"once {names(list(cycle))} {'run' if len(cycle) > 1 else 'runs'}, the run can never end: no way leads out",
        ("steps", cycle[0]),
        help="give one of these steps a way out to `Stop`" + ("" if facts.is_python else ", `Failed` or `none`"),
    )


def check_nothing_ends_halfway(facts: Facts, report: Report) -> None:
    """FLW409, FLW430: where only one step is active, its end is the end of the run, so it must lead on."""
    if facts.is_python or len(facts.sources) > 1 or not facts.may_finish:
        return
    alone = lone_steps(facts)
    for name in facts.flow.steps:
        step = facts.flow.steps[name]
        if (
            name not in alone
            or name not in facts.reachable
            or step.join is not None
            or facts.endings & set(step.accepts)
        ):
            continue
        for n, entry in enumerate(entries_of(step)):
            if entry.event is None and entry.starts is None:
                report.add(
                    "FLW409",
                    f"step `{name}` may end in `none` while nothing else runs: the run would stall here",
                    ("steps", name, "emit", n, "event"),
                    help="end the run with `Stop` or `Failed` instead",
                )
        if step.guard is not None:
            report.add(
                "FLW430",
                f"when this condition is false, step `{name}` is skipped and nothing else runs: the run would stall",
                ("steps", name, "when"),
                help="put the condition into the `emit` of the step before it, with a way out for both cases",
            )


def lone_steps(facts: Facts) -> frozenset[str]:
    """The steps that always run with nothing beside them: no fan-out and no second listener before them."""
    accompanied: set[str] = set()
    todo: list[str] = []
    for event, steps in facts.graph.routes.items():
        if len(steps) > 1:
            todo += steps
        if any(event.endswith(end) for end in (".failed", ".timeout")):
            continue
    for step in facts.flow.steps.values():
        rule = step.emit
        for entry in entries_of(step):
            if entry.event is not None and (entry.for_each is not None or (rule is not None and rule.takes_all)):
                todo += facts.graph.routes.get(entry.event, ())
        if step.join is not None and step.join.mode != "all":
            todo.append(step.name)
    while todo:
        name = todo.pop()
        if name in accompanied:
            continue
        accompanied.add(name)
        for event in facts.graph.emits.get(name, ()):
            todo += facts.graph.routes.get(event, ())
    return frozenset(facts.flow.steps) - accompanied


def check_unused_events(facts: Facts, report: Report) -> None:
    """FLW431: an event that is declared but plays no part."""
    for name, event in facts.flow.events.items():
        if event.kind != "plain" or event.external or "." in name or facts.is_python:
            continue
        if name in facts.emitters or name in facts.graph.routes or name in facts.awaited:
            continue
        report.add(
            "FLW431",
            f"event `{name}` is declared, but no step emits it or listens to it",
            ("events", name),
            help="remove it, or mark it `external: true` if something outside sends it",
        )
