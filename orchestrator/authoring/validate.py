"""Checks of workflow classes: graph, handlers, resources; all findings at once, each with its place.

At the first run only a quick look is taken (linear, no schema, no source file). When that finds something, or when `validate()`
is called, the full rules of `orchestrator.analysis` say what is wrong, in the same words as for a flow file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.class_flow import ClassFlow, flow_from_class, lower, place_of
from orchestrator.authoring.resources import Resource, ResourceConfig, check_resource
from orchestrator.errors import WorkflowValidationError
from orchestrator.ir import link
from orchestrator.ir.model import FlowIR, Origin, StepIR

if TYPE_CHECKING:  # only named
    from orchestrator.authoring.context import Context
    from orchestrator.authoring.workflow import Workflow
    from orchestrator.diagnostics import Diagnostic

REACHABILITY = frozenset({"FLW406"})
DEAD_END = frozenset({"FLW405", "FLW407", "FLW408", "FLW409"})
NOT_FOR_CLASSES = frozenset(  # a body decides for itself what it returns; joins are judged here
    {"FLW409", "FLW410", "FLW411", "FLW412", "FLW413", "FLW414", "FLW415"}
)
OUTSIDE = frozenset({"answer"})
RESOURCE = "FLW807"
SEEN = frozenset({"ask", "stop"})


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding of the quick look."""

    code: str
    step: str
    message: str
    help: str


def check_workflow(workflow: Workflow, *, checks_configs: bool, checks_resources: bool) -> None:
    """Check everything.

    Raises: WorkflowValidationError with all findings.
    """
    flow = workflow.flow
    found = diagnose(workflow)
    found += [
        _diagnostic(p, flow)
        for p in _resource_problems(flow, checks_configs=checks_configs, checks_resources=checks_resources)
    ]
    if found:
        raise validation_error(flow.name, found)


def check_quickly(workflow: Workflow) -> None:
    """Check what the first run needs to know.

    Raises: WorkflowValidationError with all findings.
    """
    flow = workflow.flow
    problems = [p for p in quick_problems(lower(flow, workflow.external)) if not _is_skipped(p, workflow)]
    problems += _half_in_a_list(flow)
    problems += _resource_problems(flow, checks_configs=True, checks_resources=False)
    if problems:
        found = diagnose(workflow)
        found += [_diagnostic(p, flow) for p in problems if not found or p.code == RESOURCE]
        raise validation_error(flow.name, found)


def validation_error(name: str, found: list[Diagnostic]) -> WorkflowValidationError:
    """One error for all findings."""
    lines = [str(d) + (f"\n    help: {d.help}" if d.help else "") for d in found]
    count = "1 mistake" if len(found) == 1 else f"{len(found)} mistakes"
    return WorkflowValidationError(f"workflow {name} has {count}:\n" + "\n".join(lines), diagnostics=tuple(found))


def diagnose(workflow: Workflow) -> list[Diagnostic]:
    """The errors that the rules find in a workflow, by place."""
    from orchestrator.analysis.analyse import analyse
    from orchestrator.diagnostics import Severity

    flow = workflow.flow
    ir = flow_from_class(workflow)
    found = [
        d
        for d in analyse(ir, _NoCallables())
        if d.severity is Severity.ERROR and d.code not in NOT_FOR_CLASSES and not _is_skipped_at(d, workflow)
    ]
    known = {d.code for d in found}
    own = [*quick_problems(ir), *_half_in_a_list(flow)]
    advice = {(p.code, flow.steps[p.step].origin.line): p.help for p in own if p.code == "FLW405"}
    found = [replace(d, help=advice.get((d.code, d.span.line), d.help)) for d in found]
    told = {d.span.line for d in found}  # a step with one finding needs no second one for the same cause
    more = [_diagnostic(p, flow) for p in own if p.code not in known and not _is_skipped(p, workflow)]
    return found + [d for d in more if d.span.line not in told]


class _NoCallables:
    """The catalog of a class: its steps call nothing by name."""

    def get(self, name: str) -> None:
        """Nothing."""

    def suggest(self, name: str) -> None:
        """Nothing."""


def _is_skipped(problem: Problem, workflow: Workflow) -> bool:
    step = workflow.flow.steps.get(problem.step)
    skips = workflow._skips | (step.skips if step is not None else frozenset())
    return _skips_code(problem.code, skips)


def _is_skipped_at(finding: Diagnostic, workflow: Workflow) -> bool:
    if _skips_code(finding.code, workflow._skips):
        return True
    return any(
        step.skips and step.origin.line == finding.span.line and _skips_code(finding.code, step.skips)
        for step in workflow.flow.steps.values()
    )


def _skips_code(code: str, skips: frozenset[str]) -> bool:
    return ("reachability" in skips and code in REACHABILITY) or ("dead_end" in skips and code in DEAD_END)


def _diagnostic(problem: Problem, flow: ClassFlow) -> Diagnostic:
    from orchestrator.diagnostics import Diagnostic, Severity, Span

    step = flow.steps.get(problem.step)
    origin: Origin = place_of(flow.cls) if step is None else step.origin
    span = Span(origin.file, origin.line, origin.column, origin.line, origin.column + 1)
    return Diagnostic(problem.code, Severity.ERROR, problem.message, span, problem.help)


# The quick look.


def quick_problems(ir: FlowIR) -> list[Problem]:
    """What is wrong with the graph. Cost: linear."""
    graph = link.graph(ir)
    return [
        *_unheard_and_unsent(ir, graph),
        *_unreachable(ir, graph),
        *_joins(ir),
        *_handlers(ir),
    ]


def _unheard_and_unsent(ir: FlowIR, graph: link.Graph) -> Iterator[Problem]:
    emitted = link.emitters(ir)
    sources = frozenset(link.sources(ir))
    for step in ir.steps.values():
        for name in step.accepts:
            kind = ir.events[name].kind
            if kind == "stop":
                yield Problem(
                    "FLW416", step.name, f"step `{step.name}` takes `{name}`, which ends the run", "take another event"
                )
            elif name not in emitted and name not in sources and kind not in OUTSIDE and not step.recovers:
                if step.accepts_subclasses and any(name in e.bases and e.name in emitted for e in ir.events.values()):
                    continue
                yield Problem(
                    "FLW403",
                    step.name,
                    f"step `{step.name}` takes `{name}`, which no step returns",
                    "return it from a step, or name it in `external=[...]`",
                )
        for name in step.emits:
            if name not in graph.routes and ir.events[name].kind not in SEEN | OUTSIDE:
                yield Problem(
                    "FLW405",
                    step.name,
                    f"step `{step.name}` returns `{name}`, but no step takes it",
                    _other_workflow(name),
                )


def _other_workflow(name: str) -> str:
    return (
        f"let a step take `{name}`; to reach a run of another workflow, leave it out of the return annotation and write "
        f"`ctx.send_event({name}(...), run_id=other_handler.run_id)`"
    )


def _unreachable(ir: FlowIR, graph: link.Graph) -> Iterator[Problem]:
    reachable = link.reachable(ir, graph)
    ends = link.may_finish(_with_questions_as_ends(ir), graph)
    for step in ir.steps.values():
        if step.name not in reachable and not step.recovers:
            yield Problem(
                "FLW406", step.name, f"step `{step.name}` can never start", "let a step that runs return what it takes"
            )
        elif step.emits and step.name not in ends:
            yield Problem(
                "FLW408",
                step.name,
                f"step `{step.name}` leads to no end of the run",
                f"let something after it return `{ir.stop[0]}`",
            )


def _with_questions_as_ends(ir: FlowIR) -> FlowIR:
    """For the classes, a question to somebody outside is an end of a line too."""
    asks = tuple(e.name for e in ir.events.values() if e.kind == "ask")
    return replace(ir, stop=(*ir.stop, *asks)) if asks else ir


def _joins(ir: FlowIR) -> Iterator[Problem]:
    joining = [s for s in ir.steps.values() if s.join is not None]
    if not joining:
        return
    # what a handler returns joins where the failed step's event would have; its own level says nothing
    without = replace(ir, steps={n: replace(s, accepts=()) if s.recovers else s for n, s in ir.steps.items()})
    lineage = link.lineage(without, link.graph(without))
    for step in joining:
        yield from _join(step, lineage)


def _join(step: StepIR, lineage: link.Lineage) -> Iterator[Problem]:
    assert step.join is not None
    stacks = {stack for event in step.accepts for stack in lineage.of_event.get(event, ())}
    if not stacks:
        return
    depths = {len(stack) for stack in stacks}
    if step.join.mode != "each" and 0 in depths:
        events = ", ".join(f"`{e}`" for e in step.accepts)
        yield Problem(
            "FLW414",
            step.name,
            f"step `{step.name}` takes a list of {events}, but not all of them come from a step that returns a list",
            "return `list[...]` from a step before it; what `ctx.send_event` sends is collected with `ctx.collect_events`",
        )
    elif len(depths) > 1:
        yield Problem(
            "FLW415",
            step.name,
            f"step `{step.name}` joins events of different levels of fan-out",
            "join the inner list in a step of its own first",
        )


def _half_in_a_list(flow: ClassFlow) -> Iterator[Problem]:
    """Joins of an event that a step returns by itself beside a list: which list it would belong to cannot be known."""
    joining = [s for s in flow.steps.values() if len(s.signature.params) == 1 and s.signature.params[0].is_list]
    for step in flow.steps.values():
        if not step.signature.fans:
            continue
        for join in joining:
            for event in step.signature.emits:
                if event in join.signature.accepts:
                    yield Problem(
                        "FLW414",
                        join.name,
                        f"step `{join.name}` takes a list of `{event.__name__}`, but `{step.name}` returns one "
                        "by itself, outside of its list",
                        f"let `{step.name}` return it in a list, or another event that ends the run",
                    )


def _handlers(ir: FlowIR) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for step in ir.steps.values():
        for name in step.recovers:
            if name != "*" and name not in ir.steps:
                yield Problem(
                    "FLW804",
                    step.name,
                    f"`{step.name}` catches errors of `{name}`, which is no step",
                    "name a step of this workflow",
                )
            elif name in owners:
                what = "every step" if name == "*" else f"`{name}`"
                yield Problem(
                    "FLW805",
                    step.name,
                    f"`{step.name}` and `{owners[name]}` both catch errors of {what}",
                    "let one of them do it",
                )
            elif name != "*" and ir.steps[name].recovers:
                yield Problem(
                    "FLW806",
                    step.name,
                    f"`{step.name}` catches errors of `{name}`, which is a handler itself",
                    "a handler that fails fails the run; handle its errors inside it",
                )
            owners.setdefault(name, step.name)


# Resources.


def _resource_problems(flow: ClassFlow, *, checks_configs: bool, checks_resources: bool) -> list[Problem]:
    found: list[Problem] = []
    for name, step in flow.steps.items():
        for injection in step.signature.injections:
            source = injection.source
            try:
                if isinstance(source, ResourceConfig) and checks_configs:
                    source.load(injection.type)
                elif isinstance(source, Resource):
                    check_resource(source, checks_configs=checks_configs or checks_resources)
            except WorkflowValidationError as error:
                found.append(
                    Problem(RESOURCE, name, f"step `{name}`, parameter `{injection.name}`: {error.message}", "")
                )
    return found


def asks_outside(flow: ClassFlow) -> bool:
    """Whether a workflow asks somebody outside or listens to them."""
    return any(event.kind in ("ask", "answer") for event in lower(flow).events.values())


def check_shared_context(workflow: Workflow, ctx: Context[Any]) -> None:
    """Refuse a context of another workflow: two workflows do not share one.

    Raises: WorkflowValidationError naming the events that were probably meant to cross, and the form that works.
    """
    other = ctx._outside.workflow
    if other is workflow or type(other) is type(workflow):
        return
    mine, theirs = workflow.flow, other.flow
    taken = {cls for step in theirs.steps.values() for cls in step.signature.accepts}
    heard = {cls for step in mine.steps.values() for cls in step.signature.accepts}
    crossing = [
        cls.__name__
        for step in mine.steps.values()
        for cls in step.signature.emits
        if cls in taken and cls not in heard and cls is not mine.stop_class
    ]
    event = crossing[0] if crossing else "MyEvent"
    about = f"; `{event}` does not reach {theirs.name} that way" if crossing else ""
    raise WorkflowValidationError(
        f"run(ctx=…) of {mine.name} got a context of {theirs.name}: workflows do not share a context{about}. "
        f"Start the other one (handler = {theirs.name}().run()) and send to its run: "
        f"ctx.send_event({event}(...), run_id=handler.run_id)"
    )
