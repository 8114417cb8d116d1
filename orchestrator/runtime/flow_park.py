"""Bodies that hold no task while they wait: `ask`, `wait` and `call: flow.x`. What they open is in the journal only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.errors import StepError
from orchestrator.expr import compile_value
from orchestrator.ir.model import AskIR, AudienceIR, CallIR, FlowIR, StepIR, WaitIR
from orchestrator.runtime import ticks as t
from orchestrator.runtime.flow_emit import ValueMap
from orchestrator.runtime.flow_scope import Scope, due_of
from orchestrator.runtime.placed import PlacedBody, is_placed
from orchestrator.runtime.state import Activation

if TYPE_CHECKING:  # the step body owns one of these
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.flow_bind import FlowBinding
    from orchestrator.runtime.flow_step import FlowStepBody
    from orchestrator.runtime.plan import FlowPlan


class ParkedBody(Protocol):
    """What a step does that waits outside of any task."""

    def prepare(self, run: Actor, act: Activation, scope: Scope, out: t.StepStarted) -> None:
        """Fill in what the attempt opens."""
        ...

    def wake(self, body: FlowStepBody, run: Actor, act: Activation, wake: t.Wake) -> t.StepSettled | None:
        """What the answer leads to; None if the step waits for more."""
        ...


class WaitBody:
    """`wait`: until a time, or for an event."""

    def __init__(self, flow: FlowIR, ir: WaitIR, lenient: dict[str, frozenset[str]]) -> None:
        self._flow = flow
        self._ir = ir
        self._until = compile_value(ir.until, lenient_fields=lenient) if ir.until is not None else None
        self._within = compile_value(ir.within, lenient_fields=lenient) if ir.within is not None else None
        self._match = ValueMap(ir.match, lenient)

    def prepare(self, run: Actor, act: Activation, scope: Scope, out: t.StepStarted) -> None:
        """Open the wait."""
        now = run.now()
        due: float | None = None
        if self._until is not None:
            due = due_of(self._until.render(scope), now, self._flow.timezone)
            out.wait = {"type": None, "match": None, "due": due}
        else:
            if self._within is not None:
                due = due_of(self._within.render(scope), now, self._flow.timezone)
            out.wait = {"type": self._ir.event, "match": self._match.render(scope) or None, "due": due}
        out.parks = True

    def wake(self, body: FlowStepBody, run: Actor, act: Activation, wake: t.Wake) -> t.StepSettled:
        """An event is the result; running out emits `step.timeout`."""
        if wake.kind == "timeout":
            out = t.StepSettled(0, 0.0, act.cause, act.id, act.attempt)
            out.emitted = ((f"{body.ir.name}.timeout", dict(scope_ev(act)), None),)
            return out
        return body.settle(run, act, wake.value.value if wake.kind == "event" else None)


class AskBody:
    """`ask`: a request to people."""

    def __init__(
        self, flow: FlowIR, step: StepIR, ir: AskIR, lenient: dict[str, frozenset[str]], binding: FlowBinding
    ) -> None:
        self._flow = flow
        self._step = step
        self._ir = ir
        self._binding = binding
        self._title = compile_value(ir.title, lenient_fields=lenient)
        self._show = ValueMap(ir.show, lenient)
        self._to = _Audience(ir.to, lenient) if ir.to is not None else None
        self._remind = tuple(compile_value(v, lenient_fields=lenient) for v in ir.remind)
        escalate = ir.escalate
        self._escalate = (
            (compile_value(escalate.after, lenient_fields=lenient), _Audience(escalate.to, lenient))
            if escalate
            else None
        )
        self._deadline = compile_value(ir.deadline, lenient_fields=lenient) if ir.deadline is not None else None
        entries = step.emit.entries if step.emit is not None else ()
        self._handles_timeout = (
            self._deadline is None
            or any("timeout" in (e.when or "") for e in entries)
            or any(e.when is None for e in entries)
        )

    def prepare(self, run: Actor, act: Activation, scope: Scope, out: t.StepStarted) -> None:
        """Render the request and open it."""
        now, zone, ir = run.now(), self._flow.timezone, self._ir
        to = self._to.render(scope) if self._to is not None else None
        items = scope.pop("items", None)
        request: dict[str, Any] = {
            "title": str(self._title.render(scope if items is None else {**scope, "item": None, "index": None})),
            "show": self._show.render(scope) if items is None else {},
            "form": ir.form,
            "verdict_field": ir.verdict_field,
            "verdicts": list(ir.verdicts),
            "edit": ir.edit,
            "to": to,
            "quorum": ir.quorum,
            "remind": [due_of(v.render(scope), now, zone) for v in self._remind],
            "escalate": None,
            "deadline": due_of(self._deadline.render(scope), now, zone) if self._deadline is not None else None,
            "delegate": ir.may_delegate,
            "items": items,
        }
        if items is not None:
            request["shows"] = [self._show.render({**scope, "item": x, "index": i}) for i, x in enumerate(items)]
        if to is not None and not to["users"] and not to["groups"]:
            raise StepError("ask.nobody", "`to` names nobody here: its users and groups are empty")
        may_come = to
        if self._escalate is not None:
            after, audience = self._escalate
            later = audience.render(scope)
            request["escalate"] = {"at": due_of(after.render(scope), now, zone), "to": later}
            if to is not None:
                to["not"] = list(dict.fromkeys([*to["not"], *later["not"]]))
                may_come = {name: [*to[name], *later[name]] for name in ("users", "groups")}
        request.update(self._binding.membership(may_come))
        out.request = request
        out.parks = True

    def wake(self, body: FlowStepBody, run: Actor, act: Activation, wake: t.Wake) -> t.StepSettled:
        """The outcome goes through the step's `emit`."""
        value: dict[str, Any] = wake.value
        outcome = value["outcome"]
        if outcome == "undecided" and self._ir.undecided_as_timeout:
            outcome = "timeout"
        result: Any = value.get("items")
        if result is None:
            result = {"outcome": outcome, "answers": value["answers"], "voters": value["voters"]}
            if self._ir.edit is not None:
                result[self._ir.edit] = value.get("text")
        return body.settle_request(
            run,
            act,
            result,
            {"outcome": outcome, "answers": value["answers"], "voters": value["voters"]},
            is_timeout=outcome == "timeout" and not self._handles_timeout,
        )


class ChildBody:
    """`call: flow.x`: a child run."""

    def __init__(self, flow: FlowIR, call: CallIR, lenient: dict[str, frozenset[str]], binding: FlowBinding) -> None:
        self._call = call
        self._with = ValueMap(call.with_, lenient)
        self._binding = binding
        self._flow = flow

    def prepare(self, run: Actor, act: Activation, scope: Scope, out: t.StepStarted) -> None:
        """Render the child's inputs; its id comes from its parent and call."""
        out.input = {"with": self._with.render(scope)}
        out.child = f"{run.run_id}.{act.step.name}-{act.id}" + (f".{act.attempt}" if act.attempt > 1 else "")
        out.parks = True

    def start(self, run: Actor, act: Activation, child: str) -> tuple[Any, t.Started]:
        """The child's plan and first tick."""
        return self._binding.start_child(run, self._call.target, act.input["with"])

    def called(self) -> FlowPlan:
        """The flow that is called, in the version that goes with the caller's."""
        return self._binding.called_flow(self._flow, self._call.target)

    def adopt(self, parent: Actor, act: Activation, child: Actor) -> None:
        """Give the child its live side, before its first tick."""
        child.data = parent.data
        if child.plan.attach is not None:
            child.plan.attach(child)

    def wake(self, body: FlowStepBody, run: Actor, act: Activation, wake: t.Wake) -> t.StepSettled | None:
        """The child's outputs are the result; its failure is `flow.failed`."""
        ended: t.ChildSettled = wake.value
        if ended.status != "done":
            return body.fail(run, act, child_error(ended))
        return body.settle(run, act, self.plain(ended))

    def plain(self, ended: t.ChildSettled) -> Any:
        """The result of a child as plain data."""
        plain = self.called().plain
        return ended.value if plain is None else plain(ended.type, ended.value)


def child_error(ended: t.ChildSettled) -> StepError:
    """What a child run that did not end well is for the step that called it."""
    error = ended.error or {}
    message = f"child run {ended.child} {ended.status}: {error.get('message', '')}"
    return StepError("flow.failed", message, details={"run_id": ended.child, "status": ended.status, "error": error})


def parked_body(
    flow: FlowIR, step: StepIR, lenient: dict[str, frozenset[str]], binding: FlowBinding
) -> ParkedBody | None:
    """The parked body of a step, None if it calls or does nothing."""
    body = step.body
    if body.ask is not None:
        return AskBody(flow, step, body.ask, lenient, binding)
    if body.wait is not None:
        return WaitBody(flow, body.wait, lenient)
    if body.call is not None and body.call.target.startswith("flow.") and step.name not in binding.replaced:
        if step.for_each is None:
            return ChildBody(flow, body.call, lenient, binding)
        from orchestrator.runtime.flow_children import ChildrenBody

        several = ChildrenBody(flow, body.call, lenient, binding)
        return several.bounded(step.policy.concurrency, keeps_errors=step.for_each.keeps_errors)
    if step.policy.placement is not None and is_placed(flow, step, binding):
        return PlacedBody(flow, step, lenient, binding)
    return None


class _Audience:
    __slots__ = ("_exclude", "_groups", "_users")

    def __init__(self, ir: AudienceIR, lenient: dict[str, frozenset[str]]) -> None:
        self._users = _names(ir.users, lenient)
        self._groups = _names(ir.groups, lenient)
        self._exclude = _names(ir.exclude, lenient)

    def render(self, scope: Scope) -> dict[str, list[str]]:
        return {
            "users": _flat(self._users.render(scope)),
            "groups": _flat(self._groups.render(scope)),
            "not": _flat(self._exclude.render(scope)),
        }


def _names(value: Any, lenient: dict[str, frozenset[str]]) -> Any:
    return compile_value(list(value) if isinstance(value, tuple) else value, lenient_fields=lenient)


def _flat(value: Any) -> list[str]:
    if value is None:
        return []
    parts = value if isinstance(value, list | tuple) else [value]
    return [
        str(name) for part in parts for name in (part if isinstance(part, list) else [part]) if name not in (None, "")
    ]


def scope_ev(act: Activation) -> dict[str, Any]:
    """The fields of the event that fired a step."""
    value = act.events[-1].value if act.events else {}
    return value if isinstance(value, dict) else {}
