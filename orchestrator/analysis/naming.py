"""Rules on names in the wiring: events and steps that do not exist.

Decides also how the other rules see a flow with a misspelt name: as if it were mended, so that one typing mistake gives
one message. Where no likely name is known, the step is assumed to be reached, or to lead on.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.analysis.facts import Facts, with_steps
from orchestrator.analysis.places import Path
from orchestrator.analysis.report import Report
from orchestrator.expr.suggest import nearest
from orchestrator.ir.link import inputs_of
from orchestrator.ir.model import EmitEntryIR, FlowIR, StepIR

STEP_EVENTS = ("done", "failed", "timeout", "start")


def check_names(facts: Facts, report: Report) -> Facts:
    """Report unknown events and steps; returns the facts of the mended flow."""
    flow = facts.flow
    if flow.kind == "function":
        return facts
    known = _known_events(flow)
    changed: dict[str, StepIR] = {}
    heard: set[str] = set()
    ending: set[str] = set()
    for step in flow.steps.values():
        mended = _mend_inputs(step, known, flow, report, heard)
        mended = _mend_emits(mended, known, flow, report, ending)
        if mended is not step:
            changed[step.name] = mended
    _let_start(flow, changed)
    if not changed:
        return facts
    return Facts(with_steps(flow, changed), assumed_heard=frozenset(heard), assumed_ending=frozenset(ending))


def _let_start(flow: FlowIR, changed: dict[str, StepIR]) -> None:
    """A step that a mended name starts takes its `.start`."""
    for step in list(changed.values()):
        for event in step.emits:
            name = event.removesuffix(".start")
            if event != name and name in flow.steps:
                started = changed.get(name, flow.steps[name])
                if event not in started.accepts:
                    changed[name] = replace(started, accepts=(*started.accepts, event))


def _known_events(flow: FlowIR) -> frozenset[str]:
    own = {f"{name}.{kind}" for name in flow.steps for kind in STEP_EVENTS}
    return frozenset(flow.events) | own | {flow.start, *flow.stop}


def _mend_inputs(step: StepIR, known: frozenset[str], flow: FlowIR, report: Report, heard: set[str]) -> StepIR:
    unknown = [event for event in inputs_of(step) if event not in known]
    if not unknown:
        return step
    better: dict[str, str | None] = {}
    for event in unknown:
        closing = step.join is not None and event == step.join.until_event and event not in step.accepts
        path: Path = ("steps", step.name, *(("collect", "until", "event") if closing else ("on", event)))
        better[event] = _report_unknown(event, path, step, flow, report, "listens to")
    accepts = [better.get(event, event) for event in step.accepts]
    kept = tuple(dict.fromkeys(event for event in accepts if event is not None))
    if any(event in better and better[event] is None for event in step.accepts):
        heard.add(step.name)
    join = step.join
    if join is not None:
        until = None if join.until_event is None else better.get(join.until_event, join.until_event)
        each = tuple(e for e in (better.get(event, event) for event in join.events) if e is not None)
        join = replace(join, until_event=until, events=each)
    return replace(step, accepts=kept, join=join)


def _mend_emits(step: StepIR, known: frozenset[str], flow: FlowIR, report: Report, ending: set[str]) -> StepIR:
    unknown = [event for event in step.emits if event not in known]
    if not unknown:
        return step
    better = {e: _report_unknown(e, _emit_path(step, e), step, flow, report, "emits") for e in unknown}
    if None in better.values():
        ending.add(step.name)
    emits = tuple(e for e in (better.get(event, event) for event in step.emits) if e is not None)
    emit = step.emit
    if emit is not None:
        emit = replace(emit, entries=tuple(_mend_entry(entry, better) for entry in emit.entries))
    caught = tuple(replace(c, event=better.get(c.event, c.event)) if c.event else c for c in step.catch)
    join = step.join
    if join is not None and join.on_timeout in better:
        join = replace(join, on_timeout=better[join.on_timeout])
    return replace(step, emits=emits, emit=emit, catch=caught, join=join)


def _mend_entry(entry: EmitEntryIR, better: dict[str, str | None]) -> EmitEntryIR:
    if entry.event is None or entry.event not in better:
        return entry
    event = better[entry.event]
    starts = event.removesuffix(".start") if event is not None and event.endswith(".start") else None
    return replace(entry, event=event, starts=starts)


def _emit_path(step: StepIR, event: str) -> Path:
    for n, entry in enumerate(step.emit.entries if step.emit is not None else ()):
        if entry.event == event:
            return ("steps", step.name, "emit", n, "event")
    for n, caught in enumerate(step.catch):
        if caught.event == event:
            return ("steps", step.name, "catch", n, "event")
    if step.join is not None and step.join.on_timeout == event:
        return ("steps", step.name, "collect", "on_timeout")
    return ("steps", step.name, "emit")


def _report_unknown(event: str, path: Path, step: StepIR, flow: FlowIR, report: Report, verb: str) -> str | None:
    """One finding for an unknown name; returns the event that was most likely meant."""
    code = "FLW401" if verb == "listens to" else "FLW402"
    prefix, dot, kind = event.rpartition(".")
    if dot and kind in STEP_EVENTS:
        return _report_unknown_step(prefix, kind, code, path, step, flow, report, verb)
    if dot and prefix in flow.steps:
        guess = nearest(kind, STEP_EVENTS[:3])
        report.add(
            code,
            f"step `{step.name}` {verb} `{event}`, but a step has only `.done`, `.failed` and `.timeout`",
            path,
            help=None if guess is None else f"did you mean `{prefix}.{guess}`?",
            fix=None if guess is None else report.replace(path, f"{prefix}.{guess}"),
        )
        return None if guess is None else f"{prefix}.{guess}"
    guess = nearest(event, [name for name in flow.events if "." not in name])
    others = (name for name in flow.steps if name != step.name or verb != "listens to")  # nobody listens to itself
    as_step = nearest(event, others) if guess is None else None
    if as_step is not None:
        own = "done" if verb == "listens to" else "start"
        report.add(
            code,
            f"step `{step.name}` {verb} event `{event}`, which is not declared; there is a step `{as_step}`",
            path,
            help=f"to name the step write `{as_step}`",
            fix=report.replace(path, as_step),
            related=report.related(("steps", as_step), f"step `{as_step}` is here"),
        )
        return f"{as_step}.{own}"
    report.add(
        code,
        f"step `{step.name}` {verb} unknown event `{event}`",
        path,
        help=f"did you mean `{guess}`?" if guess is not None else f"declare it under `events:`: `{event}: {{}}`",
        fix=None if guess is None else report.replace(path, guess),
        related=() if guess is None else report.related(("events", guess), f"`{guess}` is declared here"),
    )
    return guess


def _report_unknown_step(
    name: str, kind: str, code: str, path: Path, step: StepIR, flow: FlowIR, report: Report, verb: str
) -> str | None:
    guess = nearest(name, flow.steps)
    shown = name if kind in ("done", "start") else f"{name}.{kind}"
    event = nearest(name, [e for e in flow.events if "." not in e]) if guess is None else None
    found = guess if guess is not None else event
    text = found if found is None or event is not None or kind in ("done", "start") else f"{found}.{kind}"
    does = "starts" if verb == "emits" else "listens to"
    report.add(
        code,
        f"step `{step.name}` {does} `{shown}`, but there is no step `{name}`",
        path,
        help=None if text is None else f"did you mean `{text}`?",
        fix=None if text is None else report.replace(path, text),
        related=() if guess is None else report.related(("steps", guess), f"step `{guess}` is here"),
    )
    return event if guess is None else f"{guess}.{kind}"
