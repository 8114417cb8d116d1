"""Walks the values of a flow: where expressions stand, which text is fixed. Evaluates and judges nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.analysis.places import Path
from orchestrator.ir.model import AudienceIR, CallIR, FlowIR, StepIR, Value
from orchestrator.ir.record import record


class Found(NamedTuple):
    """An expression: the path of the text it stands in, and the how manieth of that text it is.

    `site` says which roots it may read: step keys such as `when`, `set`, `with`, `emit`; see scopes.py.
    `is_whole` expressions give their own type; the others become part of a text. `entry` counts ways out and triggers.
    """

    path: Path
    source: str
    site: str
    ordinal: int = 0
    is_whole: bool = True
    entry: int = 0


@record
class Fixed:
    """A fixed text in a value."""

    path: Path
    text: str


def expressions_in(value: Value, path: Path) -> list[tuple[Path, str, int, bool]]:
    """Every expression in a value: path, source, ordinal in its text, whether it is the whole value."""
    out: list[tuple[Path, str, int, bool]] = []
    stack: list[tuple[Value, Path]] = [(value, path)]
    while stack:
        item, at = stack.pop()
        if isinstance(item, dict):
            source = item.get("$expr")
            if source is not None:
                out.append((at, source, 0, True))
                continue
            parts = item.get("$text")
            if parts is not None:
                sources = [part["$expr"] for part in parts if isinstance(part, dict)]
                out += [(at, text, ordinal, False) for ordinal, text in enumerate(sources)]
                continue
            inner = item.get("$lit", item)
            stack += [(sub, (*at, key)) for key, sub in reversed(inner.items()) if isinstance(sub, dict | list | tuple)]
        elif isinstance(item, list | tuple):
            stack += [(item[n], (*at, n)) for n in range(len(item) - 1, -1, -1)]
    return out


def texts_in(value: Value, path: Path) -> Iterator[Fixed]:
    """Every fixed text in a value, the fixed parts of mixed text included."""
    stack: list[tuple[Value, Path]] = [(value, path)]
    while stack:
        item, at = stack.pop()
        if isinstance(item, str):
            yield Fixed(at, item)
        elif isinstance(item, dict):
            if "$expr" in item:
                continue
            if "$text" in item:
                for part in item["$text"]:
                    if isinstance(part, str):
                        yield Fixed(at, part)
                continue
            inner = item.get("$lit", item)
            stack += [(sub, (*at, key)) for key, sub in inner.items()]
        elif isinstance(item, list | tuple):
            stack += [(sub, (*at, n)) for n, sub in enumerate(item)]


def calls_of(step: StepIR) -> Iterator[tuple[CallIR, Path, str]]:
    """The calls of a step: its own, and those of fallback, finally and undo, with the path of their `with`'s parent."""
    base: Path = ("steps", step.name)
    if step.body.call is not None:
        yield step.body.call, base, "with"
    for name, call in (("fallback", step.fallback), ("finally", step.finally_), ("undo", step.undo)):
        if call is not None:
            yield call, (*base, name), name


def flow_level_expressions(flow: FlowIR) -> list[Found]:
    """Every expression that stands outside the steps."""
    out = _Collector(())
    for n, trigger in enumerate(flow.triggers):
        site = f"trigger.{trigger.kind}"
        out.bare(trigger.when, ("triggers", n, "when"), site, n)
        out.data(trigger.inputs, ("triggers", n, "inputs"), site, n)
    out.data(flow.admission.key, ("concurrency", "key"), "admission")
    out.data(flow.timeout, ("timeout",), "admission")
    return out.found


def step_expressions(step: StepIR) -> list[Found]:
    """Every expression of one step, in the order in which it does things."""
    out = _Collector(("steps", step.name))
    bare, data = out.bare, out.data
    bare(step.guard, ("when",), "when")
    if step.join is not None:
        bare(step.join.key, ("collect", "key"), "key")
        bare(step.join.count_expr, ("collect", step.join.mode), "key")
        bare(step.join.until, ("collect", "until"), "until")
        data(step.join.within, ("collect", "within"), "key")
    data(step.set, ("set",), "set")
    if step.for_each is not None:
        bare(step.for_each.items, ("for_each",), "for_each")
    _body_expressions(step, out)
    data(step.key, ("id",), "id")
    if step.cache is not None:
        data(step.cache.key, ("cache", "key"), "id")
    policy = step.policy
    data(policy.deadline, ("deadline",), "within")
    if policy.retry is not None:
        bare(policy.retry.condition, ("retry", "if"), "retry")
    if policy.repeat is not None:
        bare(policy.repeat.until, ("repeat", "until"), "repeat")
        data(policy.repeat.within, ("repeat", "within"), "within")
    for name, call in (("fallback", step.fallback), ("finally", step.finally_), ("undo", step.undo)):
        if call is not None:
            data(call.with_, (name, "with"), name)
    for n, caught in enumerate(step.catch):
        data(caught.with_, ("catch", n, "with"), "catch", n)
    for n, entry in enumerate(step.emit.entries if step.emit is not None else ()):
        bare(entry.when, ("emit", n, "when"), "emit", n)
        bare(entry.for_each, ("emit", n, "for_each"), "emit", n)
        data(entry.with_, ("emit", n, "with"), "emit" if entry.for_each is None else "emit.item", n)
        data(entry.set, ("emit", n, "set"), "emit", n)
    return out.found


class _Collector:
    """Gathers expressions below one path; empty values cost nothing."""

    __slots__ = ("_base", "found")

    def __init__(self, base: Path) -> None:
        self._base = base
        self.found: list[Found] = []

    def bare(self, source: str | None, path: Path, site: str, entry: int = 0) -> None:
        if source is not None:
            self.found.append(Found((*self._base, *path), source, site, entry=entry))

    def data(self, value: Value, path: Path, site: str, entry: int = 0) -> None:
        if isinstance(value, dict | list | tuple) and value:
            self.found += [
                Found(at, source, site, ordinal, whole, entry)
                for at, source, ordinal, whole in expressions_in(value, (*self._base, *path))
            ]


def _body_expressions(step: StepIR, out: _Collector) -> None:
    body, data = step.body, out.data
    if body.call is not None:
        data(body.call.with_, ("with",), "with")
    if body.wait is not None:
        data(body.wait.until, ("wait",), "within")
        data(body.wait.match, ("wait", "match"), "match")
        data(body.wait.within, ("wait", "within"), "within")
    ask = body.ask
    if ask is None:
        return
    data(ask.title, ("ask", "title"), "ask")
    data(ask.show, ("ask", "show"), "ask")
    audiences: list[tuple[AudienceIR | None, Path]] = [(ask.to, ("ask", "to"))]
    if ask.escalate is not None:
        audiences.append((ask.escalate.to, ("ask", "escalate", "to")))
        data(ask.escalate.after, ("ask", "escalate", "after"), "within")
    for to, path in audiences:
        if to is not None:
            for key, value in (("users", to.users), ("groups", to.groups), ("not", to.exclude)):
                data(value, (*path, key), "ask")
    for n, when in enumerate(ask.remind):
        data(when, ("ask", "remind", n), "within")
    data(ask.deadline, ("ask", "deadline"), "within")
