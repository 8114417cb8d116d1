"""The body of a YAML step: renders its input, calls, asks or waits, and decides what an outcome leads to.

`prepare`, `settle`, `fail` and `wake` are pure (they read the state and build ticks); only `perform` has effects. `with` is
rendered once per activation, so all attempts get the same input; a fallback renders its own.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchestratorError, StepError
from orchestrator.expr import compile_expr, compile_value, secret_scope
from orchestrator.ir.model import FlowIR, StepIR
from orchestrator.plugin.info import Emitted as EmittedEvent
from orchestrator.runtime import ticks as t
from orchestrator.runtime.flow_emit import EmitRule, Emitted, ValueMap, list_of
from orchestrator.runtime.flow_outcome import Call, Catch, error_record, matches_code, plain_result
from orchestrator.runtime.flow_park import ChildBody, ParkedBody, parked_body
from orchestrator.runtime.flow_perform import PerformsCalls
from orchestrator.runtime.flow_scope import (
    Scope,
    TimeError,
    activation_scope,
    due_of,
    event_scope,
    lenient_fields,
    typed_fields,
)
from orchestrator.runtime.placed import PlacedBody, is_placed, outer_step
from orchestrator.runtime.state import Activation, EventRef, Phase
from orchestrator.runtime.ticks import ErrorRecord

if TYPE_CHECKING:  # the actor holds plans, which hold bodies
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.flow_bind import FlowBinding

NEVER_RETRIED = frozenset(
    {"loop.exhausted", "deadline", "collect.timeout", "repeat.exhausted", "id.conflict", "plugin"}
)


class FlowStepBody(PerformsCalls):
    """A step of a YAML flow."""

    is_plain = False

    def __init__(self, flow: FlowIR, step: StepIR, binding: FlowBinding) -> None:
        whole = step
        if step.policy.placement is not None and is_placed(flow, step, binding):
            step = outer_step(step)
        self.flow = flow
        self.ir = step
        self.binding = binding
        lenient = lenient_fields(step)
        self._guard = compile_expr(step.guard, lenient_fields=lenient) if step.guard is not None else None
        join = step.join
        self._key = compile_expr(join.key, lenient_fields=lenient) if join is not None and join.key else None
        self._until = compile_expr(join.until, lenient_fields=lenient) if join is not None and join.until else None
        self._count = (
            compile_expr(join.count_expr, lenient_fields=lenient) if join is not None and join.count_expr else None
        )
        self._within = compile_value(join.within) if join is not None and join.within is not None else None
        self._set = ValueMap(step.set, lenient)
        self._emit = EmitRule(step.emit, lenient, binding.limits) if step.emit is not None else None
        self._call = Call(step.body.call, lenient) if step.body.call is not None else None
        self._fallback = Call(step.fallback, lenient) if step.fallback is not None else None
        self._finally = Call(step.finally_, lenient) if step.finally_ is not None else None
        self._undo = Call(step.undo, lenient) if step.undo is not None else None
        self._catch = tuple(Catch(entry, lenient) for entry in step.catch)
        self._limits = binding.limits
        self._items = compile_expr(step.for_each.items, lenient_fields=lenient) if step.for_each is not None else None
        policy = step.policy
        self._deadline = compile_value(policy.deadline, lenient_fields=lenient) if policy.deadline is not None else None
        retry = policy.retry
        self._retry_if = compile_expr(retry.condition) if retry is not None and retry.condition else None
        repeat = policy.repeat
        self._repeat_until = compile_expr(repeat.until, lenient_fields=lenient) if repeat is not None else None
        self._id = compile_value(step.key, lenient_fields=lenient) if step.key is not None else None
        self._cache = compile_value(step.cache.key, lenient_fields=lenient) if step.cache is not None else None
        self._secrets = secret_scope(flow.secrets)
        self.is_pure = step.body.kind == "none" or policy.effect == "none"
        self._lenient = lenient
        self._extra: ParkedBody | None = parked_body(flow, whole, lenient, binding)
        if isinstance(self._extra, ChildBody | PlacedBody):
            self.child_start = self._extra.start
            self.adopt_child = self._extra.adopt
            self.called = self._extra.called

    # Before the step fires.

    def guard(self, run: Actor, event: EventRef) -> t.Delivered:
        """The outcome of `when`, `key`, `until` and `within` for an arriving event."""
        out = t.Delivered(0, 0.0, -1, event.id, self.ir.name, True)
        try:
            scope = event_scope(run, self.ir.name, event)
            if self._guard is not None and not self._guard.evaluate(scope):
                out.passes = False
                return out
            if self._key is not None:
                out.key = self._key.evaluate(scope)
                if isinstance(out.key, list | dict):
                    raise TimeError("`key` must be text, a number or true/false")
            if self._until is not None:
                waiting = self._waiting(run, event, out.key)
                scope["count"] = len(waiting) + 1
                if "events" in self._until.names or any(n.startswith("events") for n in self._until.names):
                    scope["events"] = [typed_fields(e) for e in (*waiting, event)]
                out.closes = bool(self._until.evaluate(scope))
            if self._count is not None:
                count = self._count.evaluate(scope)
                if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                    raise TimeError(f"`count` must be a whole number of at least 1, this is {count!r}")
                out.count = count
            if self._within is not None:
                out.due = due_of(self._within.render(scope), run.now(), self.flow.timezone)
        except OrchestratorError as error:
            out.error = error_record(error, self.ir.name, 1)
        return out

    def _waiting(self, run: Actor, event: EventRef, key: Any) -> list[EventRef]:
        from orchestrator.runtime.joins import place_of

        buffer = run.state.joins.get((self.ir.name, place_of(run.plan.steps[self.ir.name], event, key)))
        return buffer.events if buffer is not None else []

    # Before an attempt.

    def prepare(self, run: Actor, act: Activation) -> t.StepStarted | t.StepSettled:
        """Render what the attempt starts with; an expression that fails is a failed attempt."""
        try:
            return self._prepare(run, act)
        except OrchestratorError as error:
            return self.fail(run, act, error)

    def _prepare(self, run: Actor, act: Activation) -> t.StepStarted:
        out = t.StepStarted(0, 0.0, act.cause, act.id, act.attempt, act.step.name, act.phase.value)
        scope = self.scope(run, act)
        if act.phase is not Phase.MAIN:
            call = {Phase.FALLBACK: self._fallback, Phase.FINALLY: self._finally, Phase.UNDO: self._undo}[act.phase]
            assert call is not None
            if act.input is None or act.phase is not Phase.FALLBACK or act.failures == 0:
                out.input = {"with": call.with_.render({**scope, "secrets": self._secrets})}
            return out
        is_first = act.first_at == 0.0
        if is_first:
            writes = self._set.render(scope)
            if writes:
                out.writes = tuple(("set", (name,), value) for name, value in writes.items())
                scope["state"] = {**run.state.vars, **writes}
            if self._deadline is not None:
                out.deadline = due_of(self._deadline.render(scope), run.now(), self.flow.timezone)
        elif act.input is not None and self._extra is None:
            return out
        if self._items is not None:
            items = list_of(self._items.evaluate(scope), self._limits)
            scope["items"] = items
        if self._extra is not None:
            self._extra.prepare(run, act, scope, out)
        elif self._call is not None:
            out.input = self._render_call(self._call, scope)
            for name, value in (("id", self._id), ("cache", self._cache)):
                if value is None:
                    continue
                if self._items is None:
                    out.input[name] = str(value.render(scope))
                else:
                    rows = enumerate(out.input["items"])
                    out.input[name] = [str(value.render({**scope, "item": item, "index": i})) for i, item in rows]
        return out

    def _render_call(self, call: Call, scope: Scope) -> dict[str, Any]:
        scope = {**scope, "secrets": self._secrets}
        if self._items is None:
            return {"with": call.with_.render(scope)}
        items = scope.pop("items")
        rendered = [call.with_.render({**scope, "item": item, "index": i}) for i, item in enumerate(items)]
        return {"items": items, "each": rendered}

    def scope(self, run: Actor, act: Activation) -> Scope:
        """What the step's expressions see."""
        scope = activation_scope(run, act)
        if act.error is not None:
            scope["error"] = act.error
        if act.phase in (Phase.FINALLY, Phase.UNDO) and isinstance(act.outcome, tuple):
            scope["meta"]["status"], scope["result"] = act.outcome
        return scope

    # After an attempt.

    def settle(self, run: Actor, act: Activation, result: Any) -> t.StepSettled:
        """What an attempt that returned leads to."""
        out = t.StepSettled(0, 0.0, act.cause, act.id, act.attempt)
        if act.phase in (Phase.FINALLY, Phase.UNDO):
            return out
        try:
            if self._repeat_until is not None:
                again = self._poll(run, act, result)
                if again is not None:
                    return again
            self._emit_result(run, act, result, out)
        except OrchestratorError as error:
            return self.fail(run, act, error)
        return out

    def _emit_result(
        self, run: Actor, act: Activation, result: Any, out: t.StepSettled, extra: Scope | None = None
    ) -> None:
        if isinstance(result, EmittedEvent):
            out.result = result.fields
            if self._emit is None:
                out.emitted = ((result.event, result.fields, None),)
                return
            result = result.fields
        out.result = result
        if self._emit is None:
            out.emitted = ((f"{self.ir.name}.done", {"result": result}, None),)
            return
        scope = self.scope(run, act)
        scope["result"] = result
        if extra:
            scope.update(extra)
        self._send(run, self._emit.emit(scope), out)

    def settle_request(
        self, run: Actor, act: Activation, result: Any, roots: Scope, *, is_timeout: bool
    ) -> t.StepSettled:
        """What the outcome of an `ask` leads to."""
        out = t.StepSettled(0, 0.0, act.cause, act.id, act.attempt)
        try:
            if is_timeout:
                out.emitted = ((f"{self.ir.name}.timeout", {"outcome": roots["outcome"]}, None),)
            else:
                self._emit_result(run, act, result, out, roots)
        except OrchestratorError as error:
            return self.fail(run, act, error)
        return out

    def _send(self, run: Actor, emitted: Emitted, out: t.StepSettled) -> None:
        for item in emitted.items:
            for member in item.members if isinstance(item, t.Fan) else (item,):
                self.binding.check_payload(run.plan, member)
        out.emitted = tuple(emitted.items)
        out.writes = tuple(emitted.writes)
        out.cancels = emitted.cancels
        out.drain_s = emitted.drain_s

    def _poll(self, run: Actor, act: Activation, result: Any) -> t.StepSettled | None:
        repeat = self.ir.policy.repeat
        assert repeat is not None
        assert self._repeat_until is not None
        scope = self.scope(run, act)
        scope["result"] = plain_result(result)
        if self._repeat_until.evaluate(scope):
            return None
        due = run.now() + repeat.every_s
        is_late = (repeat.within is not None and due > due_of(repeat.within, act.first_at, self.flow.timezone)) or (
            repeat.max is not None and act.polls + 1 >= repeat.max
        )
        if is_late:
            message = f"step `{self.ir.name}` polled {act.polls + 1} times and `until` did not hold"
            return self.fail(run, act, StepError("repeat.exhausted", message))
        return t.StepSettled(0, 0.0, act.cause, act.id, act.attempt, again_at=due, is_poll=True)

    def fail(self, run: Actor, act: Activation, error: BaseException | dict[str, Any]) -> t.StepSettled:
        """What an attempt that failed leads to: retry, fallback, catch, a listener, or the end of the run."""
        record = error if isinstance(error, dict) else error_record(error, self.ir.name, act.attempt)
        if isinstance(error, BaseException):
            run.exception = error
        out = t.StepSettled(0, 0.0, act.cause, act.id, act.attempt, error=record)
        if act.phase in (Phase.FINALLY, Phase.UNDO):
            return out
        try:
            delay_s = self._retry_delay(run, act, record, error)
            if delay_s is not None:
                out.again_at = run.now() + delay_s
                return out
            if act.phase is Phase.MAIN and self._fallback is not None and record["code"] not in NEVER_RETRIED:
                out.again_at, out.again_as = run.now(), "fallback"
                return out
            self._handle(run, act, record, out)
        except OrchestratorError as second:
            out.error = error_record(second, self.ir.name, act.attempt)
            out.error["details"] = {"while_handling": record}
            out.is_handled, out.emitted = False, ()
        return out

    def _retry_delay(
        self, run: Actor, act: Activation, record: ErrorRecord, error: BaseException | dict[str, Any]
    ) -> float | None:
        retry = self.ir.policy.retry
        if retry is None or act.failures + 1 >= retry.max or record["code"] in NEVER_RETRIED:
            return None
        if act.phase is Phase.FALLBACK:
            return None
        if retry.errors and not any(matches_code(pattern, record["code"]) for pattern in retry.errors):
            return None
        if self._retry_if is not None:
            scope = self.scope(run, act)
            scope["error"] = record
            if not self._retry_if.evaluate(scope):
                return None
        delay_s = retry.delay_s * retry.backoff**act.failures
        if retry.max_delay_s is not None:
            delay_s = min(delay_s, retry.max_delay_s)
        seeded = random.Random(f"{run.run_id}:{act.id}:{act.failures}")  # the same on every replay
        if retry.jitter == "full":
            delay_s = seeded.uniform(0.0, delay_s)
        elif retry.jitter == "equal":
            delay_s = delay_s / 2 + seeded.uniform(0.0, delay_s / 2)
        wanted = getattr(error, "retry_after", None)
        return max(delay_s, float(wanted)) if wanted is not None else delay_s

    def _handle(self, run: Actor, act: Activation, record: ErrorRecord, out: t.StepSettled) -> None:
        scope = self.scope(run, act)
        scope["error"] = record
        join = self.ir.join
        if record["code"] == "collect.timeout" and join is not None and join.on_timeout is not None:
            fields: dict[str, Any] = dict(scope["ev"]) if isinstance(scope["ev"], dict) else {}
            out.emitted, out.is_handled = ((join.on_timeout, fields, None),), True
            return
        for entry in self._catch:
            if any(matches_code(pattern, record["code"]) for pattern in entry.ir.errors):
                out.is_handled = True
                emission = entry.emission(scope)
                if emission is not None:
                    self.binding.check_payload(run.plan, emission)
                    out.emitted = (emission,)
                return
        failed = f"{self.ir.name}.failed"
        if run.plan.routes.get(failed):
            out.emitted, out.is_handled = ((failed, {"error": record}, None),), True

    # Answers to what the step waits for.

    def wake(self, run: Actor, act: Activation, wake: t.Wake) -> None:
        """A wait, request or child run of this step has its answer."""
        assert self._extra is not None
        settled = self._extra.wake(self, run, act, wake)
        if settled is not None:
            run.apply(settled)

    def drop(self, run: Actor, act: Activation) -> None:
        """Nothing is held between the attempts of a YAML step."""
