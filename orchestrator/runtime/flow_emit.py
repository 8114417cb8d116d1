"""What a YAML step emits: the first entry whose `when` holds (or all), fields filled by name, fan-outs, `set` on the way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.expr import Compiled, CompiledValue, compile_expr, compile_url_value, compile_value
from orchestrator.ir.model import EmitEntryIR, EmitIR, FillIR, Value
from orchestrator.runtime.flow_scope import Scope, TimeError
from orchestrator.runtime.limits import RunLimits, check_fan_out
from orchestrator.runtime.ticks import Emission, Fan, StateOp

Lenient = Mapping[str, frozenset[str]]


@dataclass(slots=True)
class Emitted:
    """What goes into a StepSettled tick."""

    items: list[Emission | Fan] = field(default_factory=list)
    writes: list[StateOp] = field(default_factory=list)
    cancels: bool = False
    drain_s: float | None = None


class ValueMap:
    """A `with` or `set` mapping, compiled; with `urls` a field `url` percent-encodes what it is given."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Value], lenient: Lenient, *, urls: bool = False) -> None:
        self._values: tuple[tuple[str, CompiledValue], ...] = tuple(
            (name, (compile_url_value if urls and name == "url" else compile_value)(value, lenient_fields=lenient))
            for name, value in values.items()
        )

    def __bool__(self) -> bool:
        return bool(self._values)

    def render(self, scope: Scope) -> dict[str, Any]:
        """The values in this scope."""
        return {name: value.render(scope) for name, value in self._values}


class Entry:
    """One way out of a step, compiled."""

    __slots__ = ("cancels", "drain_s", "event", "fill", "for_each", "limits", "set", "site", "when", "with_")

    def __init__(self, ir: EmitEntryIR, lenient: Lenient, limits: RunLimits) -> None:
        self.event = ir.event
        self.limits = limits
        self.when: Compiled | None = compile_expr(ir.when, lenient_fields=lenient) if ir.when is not None else None
        self.for_each = compile_expr(ir.for_each, lenient_fields=lenient) if ir.for_each is not None else None
        self.with_ = ValueMap(ir.with_, lenient)
        self.set = ValueMap(ir.set, lenient)
        self.fill = ir.fill
        self.cancels = ir.cancels
        self.drain_s = ir.drain_s
        self.site = ir.site

    def holds(self, scope: Scope) -> bool:
        """Whether this way is taken."""
        return self.when is None or bool(self.when.evaluate(scope))

    def emission(self, scope: Scope) -> Emission | None:
        """The event that goes out, None for `none`."""
        if self.event is None:
            return None
        fields = self.with_.render(scope)
        fill_fields(fields, self.fill, scope)
        return (self.event, fields, None)

    def fan(self, scope: Scope) -> Fan:
        """One event per item."""
        assert self.for_each is not None
        items = list_of(self.for_each.evaluate(scope), self.limits)
        members = []
        for index, item in enumerate(items):
            emission = self.emission({**scope, "item": item, "index": index})
            if emission is not None:
                members.append(emission)
        return Fan(self.site, tuple(members))


class EmitRule:
    """The `emit` of a step, compiled."""

    __slots__ = ("_entries", "_site", "_takes_all")

    def __init__(self, ir: EmitIR, lenient: Lenient, limits: RunLimits) -> None:
        self._entries = tuple(Entry(entry, lenient, limits) for entry in ir.entries)
        self._takes_all = ir.takes_all
        self._site = ir.site

    def emit(self, scope: Scope) -> Emitted:
        """What goes out in this scope.

        Raises: ExprError of an entry's expression; TimeError where `for_each` gives no list.
        """
        out = Emitted()
        if self._takes_all:
            members: list[Emission] = []
            for entry in self._entries:
                if entry.holds(scope):
                    _write(entry, scope, out)
                    emission = entry.emission(scope)
                    if emission is not None:
                        members.append(emission)
            out.items.append(Fan(self._site, tuple(members), is_list=True))
            return out
        for entry in self._entries:
            if entry.holds(scope):
                _write(entry, scope, out)
                if entry.for_each is not None:
                    out.items.append(entry.fan(scope))
                else:
                    emission = entry.emission(scope)
                    if emission is not None:
                        out.items.append(emission)
                return out
        return out


def _write(entry: Entry, scope: Scope, out: Emitted) -> None:
    for name, value in entry.set.render(scope).items():
        out.writes.append(("set", (name,), value))
    out.cancels = out.cancels or entry.cancels
    if entry.drain_s is not None:
        out.drain_s = entry.drain_s


def fill_fields(fields: dict[str, Any], fill: tuple[FillIR, ...], scope: Scope) -> None:
    """Add the fields that `with` left out, from where the compiler found them. A source that lacks one leaves it out."""
    result, ev = scope.get("result"), scope.get("ev")
    for item in fill:
        name = item.field
        if name in fields:
            continue
        if item.source == "scalar":
            fields[name] = result
        elif item.source == "error":
            fields[name] = (scope.get("error") or {}).get(name)
        elif item.source == "ev":
            fields[name] = ev.get(name) if isinstance(ev, dict) else None
        elif isinstance(result, dict) and name in result:
            fields[name] = result[name]
        elif item.source == "auto":
            fields[name] = ev[name] if isinstance(ev, dict) and name in ev else result


def list_of(value: Any, limits: RunLimits) -> list[Any]:
    """A value to go over, item by item.

    Raises: TimeError unless it is a list, LimitExceeded for one that is too long.
    """
    if not isinstance(value, list | tuple):
        raise TimeError(f"`for_each` needs a list, this is {type(value).__name__}")
    check_fan_out(len(value), limits, "`for_each`")
    return list(value)
