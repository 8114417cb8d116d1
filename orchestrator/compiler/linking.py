"""Names in `on`, `emit`, `catch`, `collect` and `wait` to events of the IR. Resolves, and reports nothing.

`on: review` is `review.done`, `emit: publish` is `publish.start`. A name that is neither an event nor a step is kept as
the event it looks like, so that the checker can say what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.expr.suggest import nearest
from orchestrator.ir.record import record
from orchestrator.language.names import BUILT_IN_EVENTS, NONE, STEP_SUFFIXES
from orchestrator.language.spec import EmitEntry, FlowSpec, StepSpec


@record
class Target:
    """What a way out leads to: no event for `none`, and a step for a step's name."""

    event: str | None
    step: str | None = None


class Names:
    """The events and steps of one flow."""

    def __init__(self, spec: FlowSpec, more_events: frozenset[str] = frozenset()) -> None:
        self._steps = spec.steps
        self._events = frozenset(spec.events) | frozenset(BUILT_IN_EVENTS) | more_events
        self._accepts: dict[str, tuple[str, ...]] = {}
        self._targets: dict[str, Target] = {}
        self.started = frozenset(self._started(spec))
        self.heard = frozenset(event for step in spec.steps.values() for event in self._heard(step))

        self.hears_own = any(event.endswith((".failed", ".timeout")) for event in self.heard)

    def heard_event(self, name: str) -> str:
        """The event that a name in `on` stands for."""
        if name in self._events:
            return name
        if name in self._steps:
            return f"{name}.done"
        prefix, dot, suffix = name.rpartition(".")
        if dot and suffix in STEP_SUFFIXES:
            return name
        if dot and prefix in self._steps:
            return name
        return name if looks_like_event(name) else f"{name}.done"

    def target(self, name: str) -> Target:
        """What a name in `emit` or `catch` leads to."""
        known = self._targets.get(name)
        if known is None:
            known = self._targets[name] = self._target(name)
        return known

    def _target(self, name: str) -> Target:
        if name == NONE:
            return Target(None)
        if name in self._events:
            return Target(name)
        if name in self._steps:
            return Target(f"{name}.start", name)
        if looks_like_event(name) or "." in name:
            return Target(name)
        return Target(f"{name}.start", name)

    def meant(self, event: str) -> str:
        """An event that exists, or the one whose name is nearest."""
        if event in self._events or "." in event:
            return event
        return nearest(event, self._events) or event

    def accepts(self, step: StepSpec) -> tuple[str, ...]:
        """The events that a step takes, its own start included where another step names it."""
        known = self._accepts.get(step.name.value)
        if known is not None:
            return known
        events = dict.fromkeys(self.heard_event(name.value) for name in step.on or ())
        if step.name.value in self.started:
            events[f"{step.name.value}.start"] = None
        found = self._accepts[step.name.value] = tuple(events)
        return found

    def _started(self, spec: FlowSpec) -> Iterator[str]:
        for step in spec.steps.values():
            for entry in emit_entries(step):
                target = self.target(entry.event.value)
                if target.step is not None:
                    yield target.step
            for caught in step.catch:
                target = self.target(caught.event.value)
                if target.step is not None:
                    yield target.step
            if step.collect is not None and step.collect.on_timeout is not None:
                target = self.target(step.collect.on_timeout.value)
                if target.step is not None:
                    yield target.step

    def _heard(self, step: StepSpec) -> Iterator[str]:
        for name in step.on or ():
            yield self.heard_event(name.value)
        if step.collect is not None and step.collect.until_event is not None:
            yield self.heard_event(step.collect.until_event.value)


def emit_entries(step: StepSpec) -> tuple[EmitEntry, ...]:
    """The ways out that are written."""
    return () if step.emit is None else step.emit.entries


def looks_like_event(name: str) -> bool:
    """Whether an unknown name was meant as an event: it begins with no lower-case letter."""
    return not name[:1].islower()
