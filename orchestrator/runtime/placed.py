"""A step with `placement:` makes its call in a run of its own, which only the workers of that pool take.

The child run is a flow of one step, made from the step alone, so every process makes the same one. What crosses is what was
rendered: its inputs are the call's, its end is the call's result, event or error. Attempts that may be repeated without looking
at the parent (`retry`, `repeat`) are made in the child, so that all of them have one idempotency key; `with` is rendered once,
by the parent. `fallback`, `undo` and `finally` are made where the parent runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.errors import UsageError
from orchestrator.expr import compile_expr, compile_value, secret_scope
from orchestrator.ir.model import BodyIR, CallIR, EventIR, FlowIR, ForEachIR, PolicyIR, StepIR, Value
from orchestrator.plugin.info import Emitted
from orchestrator.runtime import ticks as t
from orchestrator.runtime.flow_emit import ValueMap
from orchestrator.runtime.flow_scope import Scope
from orchestrator.runtime.state import Activation

if TYPE_CHECKING:  # the step body owns one of these
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.flow_bind import FlowBinding
    from orchestrator.runtime.flow_step import FlowStepBody
    from orchestrator.runtime.plan import FlowPlan

START = "Placed"
_ALONE = frozenset({"result", "error"})  # what a condition may look at to be asked in the child


def pool_of(flow: FlowIR) -> str | None:
    """The pool whose workers alone run this flow; None for any."""
    if flow.start != START:
        return None
    return next(iter(flow.steps.values())).policy.placement


def is_placed(flow: FlowIR, step: StepIR, binding: FlowBinding) -> bool:
    """Whether a step's call is made in a run of its own. In tests and with mocks it is made in place."""
    call = step.body.call
    return (
        step.policy.placement is not None
        and flow.start != START
        and call is not None
        and not call.target.startswith("flow.")
        and binding.intercept is None
    )


def outer_step(step: StepIR) -> StepIR:
    """What is left of the step for its parent: all but the attempts."""
    retry = None if _retries_alone(step) else step.policy.retry
    policy = replace(step.policy, retry=retry, repeat=None, timeout_s=None)
    return replace(step, policy=policy, key=None, cache=None)


def placed_flow(flow: FlowIR, step: StepIR) -> FlowIR:
    """The flow of one step that the child run is.

    Raises: UsageError for what cannot cross: a polling condition or a secret value that looks at the parent.
    """
    call, policy = step.body.call, step.policy
    assert call is not None
    if policy.repeat is not None and not _is_alone(policy.repeat.until):
        raise UsageError(
            f"step `{step.name}` is placed and polls: its `until` may look at `result` only", code="placement"
        )
    source = "item" if step.for_each is not None else "inputs.args"
    with_ = {
        name: value if _has_secret(step, name, value) else {"$expr": f"{source}.{name}"}
        for name, value in call.with_.items()
    }
    done = f"{step.name}.done"
    events = {
        name: replace(flow.events[name], kind="stop")
        for name in step.emits
        if name in flow.events and step.emit is None
    }
    events[START] = EventIR(START, kind="start")
    events[done] = EventIR(done, kind="stop")
    inner = StepIR(
        name=step.name,
        accepts=(START,),
        emits=tuple(events),
        body=BodyIR("call", call=CallIR(call.target, with_)),
        for_each=None if step.for_each is None else ForEachIR("inputs.each", step.for_each.keeps_errors),
        policy=PolicyIR(
            concurrency=policy.concurrency if step.for_each is not None else None,
            timeout_s=policy.timeout_s,
            retry=policy.retry if _retries_alone(step) else None,
            repeat=policy.repeat,
            effect=policy.effect,
            placement=policy.placement,
        ),
        key=None if step.key is None else {"$expr": "inputs.id"},
        cache=None if step.cache is None else replace(step.cache, key={"$expr": "inputs.cache"}),
    )
    return FlowIR(
        name=f"{flow.name}.{step.name}",
        events=events,
        steps={step.name: inner},
        start=START,
        stop=tuple(name for name in events if name != START),
        inputs={"type": "object", "properties": {name: {} for name in ("args", "each", "id", "cache")}},
        secrets=flow.secrets,
        timezone=flow.timezone,
        drain_s=0.0,
    )


class PlacedBody:
    """The parent's side: renders the call, waits for the child run, takes its end as the call's."""

    def __init__(self, flow: FlowIR, step: StepIR, lenient: dict[str, frozenset[str]], binding: FlowBinding) -> None:
        call = step.body.call
        assert call is not None
        self._inner = placed_flow(flow, step)
        inside = self._inner.steps[step.name].body.call
        assert inside is not None
        rendered = {name: value for name, value in call.with_.items() if inside.with_[name] is not value}
        self._with = ValueMap(rendered, lenient, urls=True)
        self._key = compile_value(step.key, lenient_fields=lenient) if step.key is not None else None
        self._cache = compile_value(step.cache.key, lenient_fields=lenient) if step.cache is not None else None
        self._secrets = secret_scope(flow.secrets)
        self._binding = binding
        self._plan: FlowPlan | None = None  # made at first use

    def prepare(self, run: Actor, act: Activation, scope: Scope, out: t.StepStarted) -> None:
        """Render the child's inputs; its id comes from its parent and call."""
        inputs: dict[str, Any] = {}
        if "items" in scope:
            items = scope.pop("items")
            inputs["each"] = [self._with.render({**scope, "item": x, "index": i}) for i, x in enumerate(items)]
        else:
            inputs["args"] = self._with.render(scope)
        if self._key is not None:
            inputs["id"] = str(self._key.render(scope))
        if self._cache is not None:
            inputs["cache"] = str(self._cache.render(scope))
        out.input = {"with": inputs}
        out.child = f"{run.run_id}.{act.step.name}-{act.id}" + (f".{act.attempt}" if act.attempt > 1 else "")
        out.parks = True

    def adopt(self, parent: Actor, act: Activation, child: Actor) -> None:
        """What the parent keeps with its run is the child's too."""
        child.data = parent.data

    def start(self, run: Actor, act: Activation, child: str) -> tuple[Any, t.Started]:
        """The child's plan and first tick."""
        from orchestrator.runtime.flow_bind import start_tick

        plan = self.called()
        return plan, start_tick(plan, act.input["with"], run.now())

    def called(self) -> FlowPlan:
        """The flow of one step that the child run is."""
        from orchestrator.runtime.flow_bind import bind_flow

        if self._plan is None:
            self._plan = bind_flow(self._inner, self._binding)
        return self._plan

    def wake(self, body: FlowStepBody, run: Actor, act: Activation, wake: t.Wake) -> t.StepSettled:
        """The child's end is the call's."""
        ended: t.ChildSettled = wake.value
        if ended.status == "done":
            if ended.type == f"{body.ir.name}.done":
                return body.settle(run, act, (ended.value or {}).get("result"))
            return body.settle(run, act, Emitted(ended.type, ended.value or {}))
        known = ended.error or {"code": "call.failed", "message": f"run {ended.child} {ended.status}", "details": None}
        return body.fail(run, act, {**known, "step": body.ir.name, "attempt": act.attempt})


def _has_secret(step: StepIR, name: str, value: Value) -> bool:
    """Whether a value is made in the child because a secret is in it, which is put in where the call is made."""
    compiled = compile_value(value)
    if not compiled.has_secrets:
        return False
    roots = {_root(path) for path in compiled.names}
    if roots != {"secrets"}:
        raise UsageError(
            f"step `{step.name}` is placed: `with.{name}` may not mix a secret with what the run knows",
            code="placement",
        )
    return True


def _retries_alone(step: StepIR) -> bool:
    retry = step.policy.retry
    return retry is not None and (retry.condition is None or _is_alone(retry.condition))


def _is_alone(source: str) -> bool:
    return {_root(path) for path in compile_expr(source).names} <= _ALONE


def _root(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]
