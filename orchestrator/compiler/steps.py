"""Lowers one step: what it listens to, its join, its verb and the policy around it."""

from __future__ import annotations

from orchestrator.compiler.asks import ask_to_ir
from orchestrator.compiler.emits import EmitLowering
from orchestrator.compiler.linking import Names
from orchestrator.compiler.project import FlowCatalog
from orchestrator.compiler.schemas import properties_of, required_of
from orchestrator.compiler.shapes import Shapes
from orchestrator.compiler.values import map_to_ir, origin_of, time_to_ir, value_to_ir
from orchestrator.ir.model import (
    BodyIR,
    CacheIR,
    CallIR,
    ForEachIR,
    JoinIR,
    PolicyIR,
    RateIR,
    RepeatIR,
    RetryIR,
    StepIR,
    WaitIR,
)
from orchestrator.language.spec import CallSpec, CollectSpec, RepeatSpec, RetrySpec, StepSpec
from orchestrator.language.template_text import ExprSource

NO_BODY = BodyIR()
NO_POLICY = PolicyIR()
POLICY_KEYS = frozenset(
    {"concurrency", "rate", "timeout", "deadline", "retry", "repeat", "max_visits", "effect", "placement"}
)
DEFAULT_ATTEMPTS = 3  # of a `retry` that does not say
DEFAULT_POLL_S = 1.0  # of a `repeat` that does not say


class StepLowering:
    """Lowers the steps of one flow."""

    def __init__(self, names: Names, shapes: Shapes, catalog: FlowCatalog, emits: EmitLowering) -> None:
        self._names = names
        self._shapes = shapes
        self._catalog = catalog
        self._emits = emits

    def lower(self, step: StepSpec) -> StepIR:
        """The step as data."""
        own_events = self._callable_events(step)
        emit = None if own_events else self._emits.lower(step)
        catch = self._emits.catches(step)
        join = None if step.collect is None else self._join(step, step.collect)
        name = step.name.value
        emits = dict.fromkeys(own_events)
        if emit is not None:
            emits.update(dict.fromkeys(entry.event for entry in emit.entries if entry.event is not None))
        emits.update(dict.fromkeys(caught.event for caught in catch if caught.event is not None))
        if join is not None and join.on_timeout is not None:
            emits[join.on_timeout] = None
        if self._names.hears_own:
            for own in (f"{name}.failed", f"{name}.timeout"):
                if own in self._names.heard and (own.endswith("failed") or may_time_out(step)):
                    emits[own] = None
        sites = [] if emit is None else [emit.site, *[entry.site for entry in emit.entries]]
        return StepIR(
            name=name,
            accepts=self._names.accepts(step),
            emits=tuple(emits),
            body=self._body(step),
            guard=_text(step.when),
            set=map_to_ir(step.set),
            join=join,
            for_each=None if step.for_each is None else ForEachIR(step.for_each.text, step.catches_items),
            emit=emit,
            policy=policy_to_ir(step),
            key=value_to_ir(step.id),
            cache=None
            if step.cache is None
            else CacheIR(
                {"$expr": step.cache.key.text}, None if step.cache.ttl is None else step.cache.ttl.value.seconds
            ),
            catch=catch,
            fallback=_call(step.fallback),
            finally_=_call(step.finally_),
            undo=_call(step.undo),
            fans=tuple([site for site in sites if site]),
            optional_fields=self._optional_fields(step),
            is_inline=self._is_inline(step),
            title=_title(step),
            description=step.description,
            origin=origin_of(step.name.node),
        )

    def _callable_events(self, step: StepSpec) -> tuple[str, ...]:
        """The events of a callable that returns events, where the step says nothing about what it emits."""
        if step.call is None or step.emit is not None or step.for_each is not None:
            return ()
        info = self._catalog.get(step.call.target.value)
        return () if info is None else tuple(event.name for event in info.events)

    def _is_inline(self, step: StepSpec) -> bool:
        info = None if step.call is None else self._catalog.get(step.call.target.value)
        return info is not None and info.is_inline

    def _body(self, step: StepSpec) -> BodyIR:
        if step.call is not None:
            return BodyIR("call", call=_call(step.call))
        if step.ask is not None:
            return BodyIR("ask", ask=ask_to_ir(step, step.ask, self._shapes))
        if step.wait is not None:
            wait = step.wait
            return BodyIR(
                "wait",
                wait=WaitIR(
                    until=time_to_ir(wait.until),
                    event=None if wait.event is None else self._names.heard_event(wait.event.value),
                    match=map_to_ir(wait.match),
                    within=time_to_ir(wait.within),
                ),
            )
        return NO_BODY

    def _join(self, step: StepSpec, spec: CollectSpec) -> JoinIR:
        each = tuple(self._names.heard_event(name.value) for name in spec.each)
        if spec.mode == "each" and not each:
            each = self._names.accepts(step)
        return JoinIR(
            mode=spec.mode,
            events=each,
            count=0 if spec.count is None or isinstance(spec.count, ExprSource) else spec.count.value,
            count_expr=spec.count.text if isinstance(spec.count, ExprSource) else None,
            key=_text(spec.key),
            until=_text(spec.until),
            until_event=None if spec.until_event is None else self._names.heard_event(spec.until_event.value),
            within=time_to_ir(spec.within),
            on_timeout=None if spec.on_timeout is None else self._names.target(spec.on_timeout.value).event,
            cancels_rest=spec.cancels_rest,
            by_arrival=spec.by_arrival,
            origin=origin_of(spec.node),
        )

    def _optional_fields(self, step: StepSpec) -> tuple[str, ...]:
        events = self._shapes.ev_members(step)
        if len(events) == 1:
            required = required_of(events[0])
            return tuple([name for name in properties_of(events[0]) if name not in required])
        names = dict.fromkeys(name for event in events for name in properties_of(event))
        needed = [required_of(event) for event in events]
        return tuple(name for name in names if not all(name in required for required in needed))


def may_time_out(step: StepSpec) -> bool:
    """Whether a step waits for something for a limited time, so that it has a `.timeout`."""
    return (step.wait is not None and step.wait.within is not None) or (
        step.ask is not None and step.ask.deadline is not None
    )


def policy_to_ir(step: StepSpec) -> PolicyIR:
    """The limits of a step. The default bound of a loop is set when the loops are known."""
    if POLICY_KEYS.isdisjoint(step.keys):
        return NO_POLICY
    return PolicyIR(
        concurrency=None if step.concurrency is None else step.concurrency.value,
        rate=None if step.rate is None else RateIR(step.rate.count, step.rate.per_s),
        timeout_s=None if step.timeout is None else step.timeout.value.seconds,
        deadline=time_to_ir(step.deadline),
        retry=None if step.retry is None else _retry(step.retry),
        repeat=None if step.repeat is None else _repeat(step.repeat),
        max_visits=None if step.max_visits is None else step.max_visits.value,
        effect=None if step.effect is None else step.effect.value,
        placement=None if step.placement is None else step.placement.value,
    )


def _retry(spec: RetrySpec) -> RetryIR:
    return RetryIR(
        max=DEFAULT_ATTEMPTS if spec.max is None else spec.max.value,
        delay_s=0.0 if spec.delay is None else spec.delay.value.seconds,
        backoff=1.0 if spec.backoff is None else float(spec.backoff.value),
        max_delay_s=None if spec.max_delay is None else spec.max_delay.value.seconds,
        jitter="none" if spec.jitter is None else spec.jitter.value,
        errors=tuple(code.value for code in spec.errors),
        condition=_text(spec.condition),
    )


def _repeat(spec: RepeatSpec) -> RepeatIR:
    return RepeatIR(
        until=spec.until.text,
        every_s=DEFAULT_POLL_S if spec.every is None else spec.every.value.seconds,
        max=None if spec.max is None else spec.max.value,
        within=time_to_ir(spec.within),
    )


def _call(spec: CallSpec | None) -> CallIR | None:
    return None if spec is None else CallIR(spec.target.value, map_to_ir(spec.with_))


def _text(source: ExprSource | None) -> str | None:
    return None if source is None else source.text


def _title(step: StepSpec) -> str:
    title = value_to_ir(step.title)
    return title if isinstance(title, str) else ""
