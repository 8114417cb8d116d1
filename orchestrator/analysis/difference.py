"""Two versions of a flow as sentences: what an editor would tell a colleague. Compares meaning, never layout.

Order: inputs and outputs, state, secrets, events, steps (gone, new, changed, in the order of the new version), what starts
the flow, what surrounds it. Two flows with the same hash have no difference.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.analysis.difference_steps import (
    changed,
    field_changes,
    role_of,
    show_value,
    step_changes,
    without_place,
)
from orchestrator.ir.model import FlowIR, TriggerIR

HEADER = ("title", "timezone", "version")


def difference(old: FlowIR, new: FlowIR) -> list[str]:
    """What changed, one plain sentence each; empty if both mean the same. Cost: linear."""
    out: list[str] = []
    if old.name != new.name:
        out.append(f"the flow is now called `{new.name}` (was `{old.name}`)")
    for what, one, two in (("input", old.inputs, new.inputs), ("output", old.outputs, new.outputs)):
        out += field_changes(f"the {what}", one, two, "")
    out += field_changes("the state", old.state_schema, new.state_schema, "")
    for key in new.state:
        if key in old.state and old.state[key] != new.state[key]:
            out.append(
                f"the state `{key}` now begins as {show_value(new.state[key])} (was {show_value(old.state[key])})"
            )
    out += _names("the flow asks for the secret", "the flow no longer asks for the secret", old.secrets, new.secrets)
    out += _events(old, new)
    out += _steps(old, new)
    out += _triggers(old, new)
    out += _around(old, new)
    return out


def _names(added: str, removed: str, old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[str]:
    for name in new:
        if name not in old:
            yield f"{added} `{name}`"
    for name in old:
        if name not in new:
            yield f"{removed} `{name}`"


def _events(old: FlowIR, new: FlowIR) -> Iterator[str]:
    before = {name: event for name, event in old.events.items() if event.kind == "plain"}
    after = {name: event for name, event in new.events.items() if event.kind == "plain"}
    for name, event in after.items():
        if name not in before:
            yield f"event `{name}` is new"
            continue
        yield from field_changes("the field", before[name].schema, event.schema, f" of event `{name}`")
        if before[name].external != event.external:
            yield f"event `{name}` may {'now' if event.external else 'no longer'} come from outside"
    for name in before:
        if name not in after:
            yield f"event `{name}` is gone"


def _steps(old: FlowIR, new: FlowIR) -> Iterator[str]:
    for name in old.steps:
        if name not in new.steps:
            yield f"step `{name}` is gone"
    for name, step in new.steps.items():
        if name in old.steps:
            yield from step_changes(old.steps[name], step)
        else:
            yield f"step `{name}` is new: {role_of(step)}"


def _triggers(old: FlowIR, new: FlowIR) -> Iterator[str]:
    before, after = list(map(without_place, old.triggers)), list(map(without_place, new.triggers))
    for n, trigger in enumerate(new.triggers):
        if after[n] not in before:
            yield f"the flow now starts {_trigger(trigger)}"
    for n, trigger in enumerate(old.triggers):
        if before[n] not in after:
            yield f"the flow no longer starts {_trigger(trigger)}"


def _trigger(trigger: TriggerIR) -> str:
    match trigger.kind:
        case "cron":
            text = f"at `{trigger.cron}`" + (f" ({trigger.timezone})" if trigger.timezone else "")
        case "webhook":
            text = f"on {trigger.method} {trigger.path}"
        case _:
            text = f"on event `{trigger.event}`"
    return text + (f" when `{trigger.when}`" if trigger.when else "")


def _around(old: FlowIR, new: FlowIR) -> Iterator[str]:
    for key in HEADER:
        one, two = getattr(old, key), getattr(new, key)
        if one != two:
            yield f"the {key} is now {show_value(two)} (was {show_value(one)})"
    if old.timeout != new.timeout:
        yield changed("the timeout of the run", old.timeout, new.timeout)
    if old.admission != new.admission:
        key = "" if new.admission.key is None else f" per {show_value(new.admission.key)}"
        yield f"runs are now admitted as `{new.admission.mode}`{key}" + (
            f", {new.admission.max} at a time" if new.admission.max else ""
        )
    for name, ref in new.imports.items():
        if name not in old.imports:
            yield f"`{name}` is imported"
        elif old.imports[name] != ref:
            yield f"the imported `{name}` has changed"
    for name in old.imports:
        if name not in new.imports:
            yield f"`{name}` is no longer imported"
