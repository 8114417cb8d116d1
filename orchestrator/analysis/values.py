"""Walks the values of a flow: where expressions stand, which text is fixed. Evaluates and judges nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.analysis.places import Path
from orchestrator.ir.model import CallIR, FlowIR, StepIR, Value


@dataclass(frozen=True, slots=True)
class Found:
    """An expression: the path of the text it stands in, and the how manieth of that text it is.

    `site` says which roots it may read: step keys such as `when`, `set`, `with`, `emit`; see scopes.py.
    `is_whole` expressions give their own type; the others become part of a text.
    """

    path: Path
    source: str
    site: str
    step: str | None = None
    ordinal: int = 0
    is_whole: bool = True
    entry: int = 0


@dataclass(frozen=True, slots=True)
class Fixed:
    """A fixed text in a value."""

    path: Path
    text: str


def expressions_in(value: Value, path: Path) -> Iterator[tuple[Path, str, int, bool]]:
    """Every expression in a value: path, source, ordinal in its text, whether it is the whole value."""
    stack: list[tuple[Value, Path]] = [(value, path)]
    while stack:
        item, at = stack.pop()
        if isinstance(item, dict):
            if "$expr" in item:
                yield at, item["$expr"], 0, True
            elif "$text" in item:
                ordinal = 0
                for part in item["$text"]:
                    if isinstance(part, dict):
                        yield at, part["$expr"], ordinal, False
                        ordinal += 1
            else:
                inner = item.get("$lit", item)
                stack += [(sub, (*at, key)) for key, sub in reversed(list(inner.items()))]
        elif isinstance(item, list | tuple):
            stack += [(sub, (*at, n)) for n, sub in reversed(list(enumerate(item)))]


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


def flow_level_expressions(flow: FlowIR) -> Iterator[Found]:
    """Every expression that stands outside the steps."""
    for n, trigger in enumerate(flow.triggers):
        if trigger.when is not None:
            yield Found(("triggers", n, "when"), trigger.when, f"trigger.{trigger.kind}", entry=n)
        for path, source, ordinal, whole in expressions_in(trigger.inputs, ("triggers", n, "inputs")):
            yield Found(path, source, f"trigger.{trigger.kind}", None, ordinal, whole, n)
    for path, source, ordinal, whole in expressions_in(flow.admission.key, ("concurrency", "key")):
        yield Found(path, source, "admission", None, ordinal, whole)
    for path, source, ordinal, whole in expressions_in(flow.timeout, ("timeout",)):
        yield Found(path, source, "admission", None, ordinal, whole)


def step_expressions(step: StepIR) -> Iterator[Found]:
    """Every expression of one step."""
    base: Path = ("steps", step.name)

    def bare(source: str | None, path: Path, site: str, entry: int = 0) -> Iterator[Found]:
        if source is not None:
            yield Found((*base, *path), source, site, step.name, entry=entry)

    def data(value: Value, path: Path, site: str, entry: int = 0) -> Iterator[Found]:
        if value is None or value == ():
            return
        for at, source, ordinal, whole in expressions_in(value, (*base, *path)):
            yield Found(at, source, site, step.name, ordinal, whole, entry)

    yield from bare(step.guard, ("when",), "when")
    if step.join is not None:
        yield from bare(step.join.key, ("collect", "key"), "key")
        yield from bare(step.join.until, ("collect", "until"), "until")
        yield from data(step.join.within, ("collect", "within"), "within")
    yield from data(step.set, ("set",), "set")
    if step.for_each is not None:
        yield from bare(step.for_each.items, ("for_each",), "for_each")
    yield from _body_expressions(step, data)
    yield from data(step.key, ("id",), "id")
    if step.cache is not None:
        yield from data(step.cache.key, ("cache", "key"), "id")
    policy = step.policy
    yield from data(policy.deadline, ("deadline",), "within")
    if policy.retry is not None:
        yield from bare(policy.retry.condition, ("retry", "if"), "retry")
    if policy.repeat is not None:
        yield from bare(policy.repeat.until, ("repeat", "until"), "repeat")
        yield from data(policy.repeat.within, ("repeat", "within"), "within")
    for call, path, site in calls_of(step):
        if site != "with":
            yield from data(call.with_, (*path[2:], "with"), site)
    for n, caught in enumerate(step.catch):
        yield from data(caught.with_, ("catch", n, "with"), "catch", n)
    for n, entry in enumerate(step.emit.entries if step.emit is not None else ()):
        yield from bare(entry.when, ("emit", n, "when"), "emit", n)
        yield from bare(entry.for_each, ("emit", n, "for_each"), "emit", n)
        inner = "emit" if entry.for_each is None else "emit.item"
        yield from data(entry.with_, ("emit", n, "with"), inner, n)
        yield from data(entry.set, ("emit", n, "set"), "emit", n)


def _body_expressions(step: StepIR, data: object) -> Iterator[Found]:
    assert callable(data)
    body = step.body
    if body.call is not None:
        yield from data(body.call.with_, ("with",), "with")
    if body.wait is not None:
        yield from data(body.wait.until, ("wait",), "within")
        yield from data(body.wait.match, ("wait", "match"), "match")
        yield from data(body.wait.within, ("wait", "within"), "within")
    ask = body.ask
    if ask is None:
        return
    yield from data(ask.title, ("ask", "title"), "ask")
    yield from data(ask.show, ("ask", "show"), "ask")
    audiences = [(ask.to, ("ask", "to"))]
    if ask.escalate is not None:
        audiences.append((ask.escalate.to, ("ask", "escalate", "to")))
        yield from data(ask.escalate.after, ("ask", "escalate", "after"), "within")
    for to, path in audiences:
        if to is not None:
            for key, value in (("users", to.users), ("groups", to.groups), ("not", to.exclude)):
                yield from data(value, (*path, key), "ask")
    for n, when in enumerate(ask.remind):
        yield from data(when, ("ask", "remind", n), "within")
    yield from data(ask.deadline, ("ask", "deadline"), "within")
