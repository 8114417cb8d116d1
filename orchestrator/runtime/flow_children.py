"""`call: flow.x` with `for_each`: one child run per item, up to `concurrency` at a time. Holds no task while they run.

Theory. The first children are opened by the step's start tick, each further one when one ends, so the ticks alone say which
item is where: `act.record[child]` is how a child ended. A child's id says its item, and the attempt that started it if that
was not the first. An attempt that follows a failed one starts only what has no good end yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.ir.model import CallIR, FlowIR
from orchestrator.runtime import ticks as t
from orchestrator.runtime.flow_park import ChildBody, child_error
from orchestrator.runtime.flow_scope import Scope
from orchestrator.runtime.state import Activation

if TYPE_CHECKING:  # the step body owns one of these
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.flow_bind import FlowBinding
    from orchestrator.runtime.flow_step import FlowStepBody


@dataclass(slots=True)
class _Items:
    """Where the items of one activation are; worked out again from its record after a restart."""

    results: dict[int, Any] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)  # items without a child, the next one last


class ChildrenBody(ChildBody):
    """One child run per item."""

    def __init__(self, flow: FlowIR, call: CallIR, lenient: dict[str, frozenset[str]], binding: FlowBinding) -> None:
        super().__init__(flow, call, lenient, binding)
        self._at_most: int | None = None
        self._keeps = False

    def bounded(self, at_most: int | None, *, keeps_errors: bool) -> ChildrenBody:
        """The same with the step's `concurrency` and `catch: item`."""
        self._at_most, self._keeps = at_most, keeps_errors
        return self

    def prepare(self, run: Actor, act: Activation, scope: Scope, out: t.StepStarted) -> None:
        """Render the inputs of every item, once, and open the first children."""
        items = scope.pop("items")
        if act.input is None:
            each = [self._with.render({**scope, "item": item, "index": i}) for i, item in enumerate(items)]
            out.input = {"items": items, "each": each}
        else:
            each = act.input["each"]
        known = self._items(run, act, len(each))
        count = len(known.waiting) if self._at_most is None else min(self._at_most, len(known.waiting))
        out.children = tuple(self._child(run, act, known.waiting.pop(), out.attempt) for _ in range(count))
        out.parks = bool(out.children)
        act.context = known

    def start(self, run: Actor, act: Activation, child: str) -> tuple[Any, t.Started]:
        """A child's plan and first tick."""
        inputs = act.input["each"][self._index(run, act, child)]
        return self._binding.start_child(run, self._call.target, inputs)

    def wake(self, body: FlowStepBody, run: Actor, act: Activation, wake: t.Wake) -> t.StepSettled | None:
        """Take the end of a child; the step ends with the last one, or with one that failed and is not caught."""
        ended: t.ChildSettled = wake.value
        if ended.status != "done" and not self._keeps:
            act.context = None
            return body.fail(run, act, child_error(ended))
        known = act.context
        if not isinstance(known, _Items):
            known = act.context = self._items(run, act, len(act.input["each"]))
        else:
            known.results[self._index(run, act, ended.child)] = self._result(act, ended)
        if known.waiting:
            index = known.waiting.pop()
            child = self._child(run, act, index, act.attempt)
            run.apply(t.ChildOpened(0, 0.0, act.cause, act.id, f"item/{index}", child))
            return None
        if len(known.results) < len(act.input["each"]):
            return None
        act.context = None
        return body.settle(run, act, self.results(run, act))

    def results(self, run: Actor, act: Activation) -> list[Any]:
        """The results in the order of the items."""
        count = len(act.input["each"])
        found = self._items(run, act, count).results
        return [found[index] for index in range(count)]

    def _result(self, act: Activation, ended: t.ChildSettled) -> Any:
        if ended.status == "done":
            return self.plain(ended)
        from orchestrator.runtime.flow_outcome import error_record

        return {"error": error_record(child_error(ended), act.step.name, act.attempt)}

    def _items(self, run: Actor, act: Activation, count: int) -> _Items:
        """Cost: O(items); once per attempt, and once after a restart."""
        known = _Items()
        for child, entry in (act.record or {}).items():
            if len(entry) < 3 or (entry[2]["status"] != "done" and not self._keeps):
                continue
            ended = t.ChildSettled(0, 0.0, -1, child, entry[2]["status"], entry[2]["type"], entry[1], entry[2]["error"])
            known.results[self._index(run, act, child)] = self._result(act, ended)
        under_way = {self._index(run, act, key) for kind, key in act.owned or () if kind == "child"}
        open_now = {index for index in under_way if index not in known.results} if act.waits else set()
        known.waiting = [i for i in reversed(range(count)) if i not in known.results and i not in open_now]
        return known

    def _child(self, run: Actor, act: Activation, index: int, attempt: int) -> str:
        return f"{run.run_id}.{act.step.name}-{act.id}.{index}" + (f".{attempt}" if attempt > 1 else "")

    def _index(self, run: Actor, act: Activation, child: str) -> int:
        return int(child[len(f"{run.run_id}.{act.step.name}-{act.id}.") :].partition(".")[0])
