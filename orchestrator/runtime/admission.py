"""How many runs of a flow may be under way: the rule of a new run, and the gate of an engine without a journal.

Over a journal the rule is part of the commit that creates the run, so it holds across processes. It is about runs that
somebody or something starts; a sub-flow counts as a part of its parent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.errors import AdmissionRefused
from orchestrator.expr import compile_value
from orchestrator.ir.durations import iso_utc
from orchestrator.ir.model import FlowIR
from orchestrator.runtime import ticks as t
from orchestrator.runtime.journal import Admission

if TYPE_CHECKING:  # the engine has a gate
    from orchestrator.runtime.actor import Actor


def admission_of(flow: FlowIR, inputs: Any, now: float) -> Admission | None:
    """The rule for a new run with these inputs; None if runs do not limit each other.

    Raises: ExprError if the flow's key cannot be worked out.
    """
    ir = flow.admission
    if ir.mode == "parallel" and ir.max is None:
        return None
    key = "" if ir.key is None else compile_value(ir.key).render({"inputs": inputs or {}, "now": iso_utc(now)})
    return Admission(ir.mode, str(key), ir.max)


@dataclass(slots=True)
class _Entry:
    actor: Actor
    begin: Callable[[], None] | None  # None once it has begun


class Gate:
    """Admits runs in memory by the same rules as a journal does."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], list[_Entry]] = {}

    def enter(self, actor: Actor, rule: Admission, begin: Callable[[], None]) -> None:
        """Begin a run now, or when its turn comes. Raises: AdmissionRefused."""
        place = (actor.plan.ir.name, rule.key)
        line = self._lines.setdefault(place, [])
        active = sum(1 for entry in line if entry.begin is None)
        is_full = rule.limit is not None and (active >= rule.limit or (rule.mode != "restart" and active != len(line)))
        if rule.mode == "single" and is_full:
            raise AdmissionRefused(place[0], rule.key, line[0].actor.run_id)
        older = list(line)
        entry = _Entry(actor, begin if is_full else None)
        line.append(entry)
        before = actor.on_finish

        def left(ended: Actor) -> None:
            if before is not None:
                before(ended)
            self._leave(place, entry)

        actor.on_finish = left
        if not is_full:
            begin()
        if rule.mode == "restart":
            for other in older:
                if not other.actor.is_over:
                    other.actor.apply(t.Cancel(0, 0.0, -1, "cancelled", f"run {actor.run_id} took its place"))

    def _leave(self, place: tuple[str, str], entry: _Entry) -> None:
        line = self._lines[place]
        line.remove(entry)
        if entry.begin is None:
            following = next((other for other in line if other.begin is not None), None)
            if following is not None and following.begin is not None:
                begin, following.begin = following.begin, None
                begin()
        if not line:
            self._lines.pop(place, None)
