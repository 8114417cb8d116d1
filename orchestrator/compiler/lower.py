"""Lowers a whole flow: events, steps, state, triggers, admission; then links it. Checks only what lowering itself needs."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.analysis.report import Report
from orchestrator.compiler.emits import EmitLowering
from orchestrator.compiler.imports import Imports
from orchestrator.compiler.linking import Names
from orchestrator.compiler.project import DEFAULT_VISITS, FlowCatalog
from orchestrator.compiler.shapes import Shapes
from orchestrator.compiler.steps import StepLowering
from orchestrator.compiler.values import map_to_ir, origin_of
from orchestrator.ir import link
from orchestrator.ir.model import AdmissionIR, EventIR, FlowIR, StepIR, TriggerIR, Value
from orchestrator.language.spec import FlowSpec, TriggerSpec

KINDS = {"Start": "start", "Stop": "stop", "Failed": "failed", "Cancelled": "cancelled"}


def lower_flow(
    spec: FlowSpec, catalog: FlowCatalog, imports: Imports, report: Report, *, most_visits: int = DEFAULT_VISITS
) -> tuple[FlowIR, link.Links]:
    """The flow as FlowIR and its wiring, also where it has mistakes: unknown names stay in it for the checker to find.

    `most_visits` bounds the steps of loops that set no bound of their own.
    """
    names = Names(spec, callable_events(spec, catalog))
    shapes = Shapes(spec, names, catalog, imports.schemas)
    steps = StepLowering(names, shapes, catalog, EmitLowering(names, shapes, report))
    lowered = {name: steps.lower(step) for name, step in spec.steps.items()}
    concurrency = spec.concurrency
    flow = FlowIR(
        name=spec.name.value,
        kind="yaml",
        version=spec.version.value if spec.version is not None and isinstance(spec.version.value, int) else 0,
        events=_events(spec, names, shapes, lowered, catalog),
        steps=lowered,
        start="Start",
        stop=("Stop",),
        inputs=shapes.inputs,
        outputs=shapes.outputs,
        state={name: _constant(state.value) for name, state in spec.state.items()},
        state_schema=shapes.state,
        secrets=tuple(secret.value for secret in spec.secrets),
        imports=imports.refs,
        triggers=tuple(_trigger(trigger) for trigger in spec.triggers),
        admission=AdmissionIR()
        if concurrency is None
        else AdmissionIR(
            mode="parallel" if concurrency.mode is None else concurrency.mode.value,
            key=None if concurrency.key is None else {"$expr": concurrency.key.text},
            max=None if concurrency.max is None else concurrency.max.value,
        ),
        timezone="UTC" if spec.timezone is None else spec.timezone.value,
        timeout=None if spec.timeout is None else spec.timeout.value.text,
        title=spec.title,
        description=spec.description,
        origin=origin_of(spec.name.node),
    )
    unlimited = frozenset(n for n, step in spec.steps.items() if step.has_unlimited_visits)
    return link_flow(flow, unlimited, most_visits)


def link_flow(
    flow: FlowIR, unlimited: frozenset[str] = frozenset(), most_visits: int = DEFAULT_VISITS
) -> tuple[FlowIR, link.Links]:
    """The flow with the joins of its fan-outs, and the default bound on every step of a loop that has none."""
    links = link.Links(flow)
    looping = {name for cycle in links.cycles for name in cycle}
    steps = dict(flow.steps)
    for name in looping - unlimited:
        policy = steps[name].policy
        if policy.max_visits is None:
            bound = replace(policy, max_visits=most_visits, has_default_bound=True)
            steps[name] = replace(steps[name], policy=bound)
    return replace(flow, steps=steps, joins_of=dict(links.lineage.joins)), links


def callable_events(spec: FlowSpec, catalog: FlowCatalog) -> frozenset[str]:
    """The events that the flow's callables bring with them."""
    found: set[str] = set()
    for step in spec.steps.values():
        info = None if step.call is None else catalog.get(step.call.target.value)
        if info is not None:
            found.update(event.name for event in info.events)
    return frozenset(found)


def _events(
    spec: FlowSpec, names: Names, shapes: Shapes, steps: dict[str, StepIR], catalog: FlowCatalog
) -> dict[str, EventIR]:
    events = {name: EventIR(name, shapes.event(name), kind) for name, kind in KINDS.items()}
    for name, event in spec.events.items():
        events[name] = EventIR(
            name,
            shapes.event(name),
            external=event.is_external,
            description=event.description,
            origin=origin_of(event.name.node),
        )
    for written in spec.steps.values():
        info = None if written.call is None else catalog.get(written.call.target.value)
        for brought in info.events if info is not None else ():
            events.setdefault(brought.name, EventIR(brought.name, brought.schema))
    for step in steps.values():
        for own in (*step.emits, *step.accepts):
            if own in events:
                continue
            prefix, dot, suffix = own.rpartition(".")
            if dot and prefix in spec.steps and suffix in ("done", "failed", "timeout", "start"):
                events[own] = EventIR(own, shapes.event(own), "step")
    return events


def _constant(value: Value) -> Value:
    return {"$lit": value} if isinstance(value, dict) and any(key.startswith("$") for key in value) else value


def _trigger(spec: TriggerSpec) -> TriggerIR:
    return TriggerIR(
        kind=spec.kind,
        cron="" if spec.cron is None else spec.cron.value,
        timezone="" if spec.timezone is None else spec.timezone.value,
        path="" if spec.path is None else spec.path.value,
        method=spec.method,
        verify={} if spec.verify is None else {"hmac": spec.verify.hmac.value, "header": spec.verify.header.value},
        event="" if spec.event is None else spec.event.value,
        when=None if spec.when is None else spec.when.text,
        inputs=map_to_ir(spec.inputs),
        origin=origin_of(spec.node),
    )
