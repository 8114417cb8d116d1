"""What a flow needs of the process that runs it, and whether this one has it. Nothing is called; packages are only described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.analysis.binding import unfit_call
from orchestrator.errors import OrchestratorError
from orchestrator.expr.suggest import nearest
from orchestrator.ir.model import FlowIR
from orchestrator.plugin.catalog import Catalog
from orchestrator.plugin.hub import import_limit_s
from orchestrator.plugin.invoke import bind_within

CanRun = Callable[[FlowIR], str | None]


@dataclass(frozen=True, slots=True)
class Needs:
    """The callables that a flow's steps name, and its secrets."""

    calls: frozenset[str]
    secrets: frozenset[str]


def needs_of(flow: FlowIR, elsewhere: frozenset[str] = frozenset()) -> Needs:
    """What a flow needs here; the calls of placed steps are needed in their pool only."""
    found: set[str] = set()
    has_near_call = False
    for step in flow.steps.values():
        is_placed = step.policy.placement is not None and flow.start == "Start" and step.body.call is not None
        calls = [step.fallback, step.finally_, step.undo, None if is_placed else step.body.call]
        found |= {call.target for call in calls if call is not None and not call.target.startswith("flow.")}
        has_near_call = has_near_call or any(calls)
    return Needs(frozenset(found), frozenset(flow.secrets) if has_near_call else frozenset())


def lack_of(flow: FlowIR, catalog: Catalog, is_secret_set: Callable[[str], bool]) -> str | None:
    """Why this process cannot run a YAML flow, for its operator; None if it can."""
    if flow.kind != "yaml":
        return None
    needs = needs_of(flow)
    for name in sorted(needs.calls):
        reason = _lack_of_call(name, catalog)
        if reason is not None:
            return reason
    unfit = unfit_call(flow, catalog, needs.calls)
    if unfit is not None:
        return f"{unfit}; the code here is of another version than this flow, start a worker that has the right one"
    own = (info.secrets for info in map(catalog.get, needs.calls) if info is not None)
    missing = sorted(name for name in needs.secrets.union(*own) if not is_secret_set(name))
    if missing:
        return f"the secret {missing[0]} is not set here; set it for a worker and start that one again"
    return None


def _lack_of_call(name: str, catalog: Catalog) -> str | None:
    info = catalog.get(name)
    if info is None:
        problem = catalog.problem(name)
        if problem is not None:
            return f"`{name}` cannot be called here: {problem.message}"
        near = nearest(name, catalog.names())
        hint = f"; there is `{near}`" if near else ""
        return f"nothing is registered as `{name}` here{hint}; install what brings it, or start a worker that has it"
    try:
        bind_within(info, import_limit_s(catalog.config))
    except OrchestratorError as error:
        return f"`{name}` cannot be called here: {error}"
    return None
