"""Two versions of one step as sentences; used by `difference`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from orchestrator.analysis.facts import names
from orchestrator.analysis.fitting import describe
from orchestrator.analysis.timing import show
from orchestrator.expr.schema_types import from_json_schema
from orchestrator.expr.types import to_text
from orchestrator.ir.model import AskIR, CallIR, EmitEntryIR, EmitIR, Json, PolicyIR, StepIR, Value


def step_changes(old: StepIR, new: StepIR) -> Iterator[str]:
    me = f"step `{new.name}`"
    heard_before = [_event_word(e) for e in old.accepts if not e.endswith(".start")]
    heard_now = [_event_word(e) for e in new.accepts if not e.endswith(".start")]
    for event in heard_now:
        if event not in heard_before:
            yield f"{me} now also listens to `{event}`" if heard_before else f"{me} now listens to `{event}`"
    for event in heard_before:
        if event not in heard_now:
            yield f"{me} no longer listens to `{event}`"
    yield from _guard(me, old.guard, new.guard)
    if without_place(old.join) != without_place(new.join):
        yield f"{me} collects differently: {_join_text(new)} (was {_join_text(old)})"
    yield from _values(f"{me} sets", "`state.{}`", old.set, new.set)
    yield from _body(me, old, new)
    if old.for_each != new.for_each:
        now = "once" if new.for_each is None else f"for each of `{new.for_each.items}`"
        yield f"{me} now runs {now}"
    yield from _policy(me, old.policy, new.policy)
    for what, before, after in (
        ("fallback", old.fallback, new.fallback),
        ("finally", old.finally_, new.finally_),
        ("undo", old.undo, new.undo),
    ):
        yield from _second_call(f"the `{what}` of {me}", before, after)
    for what, one, two in (("id", old.key, new.key), ("cache", without_place(old.cache), without_place(new.cache))):
        if one != two:
            yield f"the `{what}` of {me} is {'new' if one is None else 'gone' if two is None else 'another'}"
    if tuple(map(without_place, old.catch)) != tuple(map(without_place, new.catch)):
        caught = ", ".join(f"{names(list(c.errors))} → `{_target(c.event, c.starts)}`" for c in new.catch)
        yield f"{me} now catches {caught}" if caught else f"{me} no longer catches errors"
    yield from _emit(me, old.emit, new.emit)


def _guard(me: str, old: str | None, new: str | None) -> Iterator[str]:
    if old == new:
        return
    if old is None:
        yield f"{me} is now optional: it runs when `{new}`"
    elif new is None:
        yield f"{me} now always runs (was: when `{old}`)"
    else:
        yield f"{me} now runs when `{new}` (was: when `{old}`)"


def _join_text(step: StepIR) -> str:
    join = step.join
    if join is None:
        return "not at all"
    number = join.count_expr or (str(join.count) if join.mode in ("count", "first") else "")
    until = join.until or join.until_event or ""
    parts = [
        join.mode,
        number,
        until,
        f"by `{join.key}`" if join.key else "",
        f"within {show_value(join.within)}" if join.within else "",
    ]
    return " ".join(part for part in parts if part)


def _values(does: str, form: str, old: dict[str, Value], new: dict[str, Value]) -> Iterator[str]:
    for key, value in new.items():
        if key not in old:
            yield f"{does} {form.format(key)} to {show_value(value)}"
        elif old[key] != value:
            yield f"{does} {form.format(key)} to {show_value(value)} (was {show_value(old[key])})"
    for key in old:
        if key not in new:
            yield f"{does.replace(' sets', ' no longer sets').replace(' passes', ' no longer passes')} {form.format(key)}"


def _body(me: str, old: StepIR, new: StepIR) -> Iterator[str]:
    one, two = old.body, new.body
    if one.kind != two.kind:
        yield f"{me} now {role_of(new).partition(' it ')[2]} (before: {role_of(old).partition(' it ')[2]})"
        return
    if one.call is not None and two.call is not None:
        if one.call.target != two.call.target:
            yield f"{me} now calls `{two.call.target}` (was `{one.call.target}`)"
        yield from _values(f"{me} passes", "`{}`", one.call.with_, two.call.with_)
    if one.wait is not None and two.wait is not None and one.wait != two.wait:
        now = f"for `{two.wait.event}`" if two.wait.event else show_value(two.wait.until)
        yield f"{me} now waits {now}" + (f", at most {show_value(two.wait.within)}" if two.wait.within else "")
    if one.ask is not None and two.ask is not None:
        yield from _ask(me, one.ask, two.ask)
    if one.ref != two.ref:
        yield f"{me} runs `{two.ref}` (was `{one.ref}`)"


def _ask(me: str, old: AskIR, new: AskIR) -> Iterator[str]:
    if old.title != new.title:
        yield f"{me} asks {show_value(new.title)} (was {show_value(old.title)})"
    for verdict in new.verdicts:
        if verdict not in old.verdicts:
            yield f"{me} offers `{verdict}`"
    for verdict in old.verdicts:
        if verdict not in new.verdicts:
            yield f"{me} no longer offers `{verdict}`"
    yield from field_changes("the form field", old.form, new.form, f" of {me}")
    for verdict in dict.fromkeys((*new.verdicts, *new.quorum, *old.quorum)):
        before, after = old.quorum.get(verdict, 1), new.quorum.get(verdict, 1)
        if before != after and (verdict in new.verdicts or verdict in new.quorum):
            yield f"{verdict} of {me} now needs {_quorum(after)} (was {_quorum(before)})"
    for key, word in (("users", "users"), ("groups", "groups"), ("exclude", "people who may not answer")):
        one = getattr(old.to, key, ())
        two = getattr(new.to, key, ())
        if one != two:
            yield f"the {word} of {me}: {_people(two)} (was {_people(one)})"
    yield from _times(me, old, new)
    for flag, yes, no in (("may_delegate", "may now", "may no longer"),):
        if getattr(old, flag) != getattr(new, flag):
            yield f"people asked by {me} {yes if getattr(new, flag) else no} delegate"
    if old.show != new.show:
        yield f"{me} shows other content"
    if old.edit != new.edit:
        yield f"{me} lets people correct `{new.edit}`" if new.edit else f"{me} no longer lets people correct the text"


def _times(me: str, old: AskIR, new: AskIR) -> Iterator[str]:
    if old.deadline != new.deadline:
        yield changed(f"the deadline of {me}", old.deadline, new.deadline)
    if old.remind != new.remind:
        before = ", ".join(map(show_value, old.remind)) or "never"
        yield f"{me} reminds after {', '.join(map(show_value, new.remind)) or 'never'} (was {before})"
    if old.escalate != new.escalate:
        if new.escalate is None:
            yield f"{me} no longer escalates"
        else:
            to = _people(new.escalate.to.groups or new.escalate.to.users)
            yield f"{me} escalates after {show_value(new.escalate.after)} to {to}"


def _quorum(need: int | dict[str, int]) -> str:
    if isinstance(need, dict):
        return " and ".join(f"{count} of {group}" for group, count in need.items())
    return str(need)


def _people(value: Value) -> str:
    if isinstance(value, tuple | list):
        return names([item if isinstance(item, str) else show_value(item) for item in value]) or "nobody"
    return show_value(value)


def _policy(me: str, old: PolicyIR, new: PolicyIR) -> Iterator[str]:
    rows = (
        ("concurrency", old.concurrency, new.concurrency),
        ("timeout", _seconds(old.timeout_s), _seconds(new.timeout_s)),
        ("deadline", old.deadline, new.deadline),
        ("max_visits", _bound(old), _bound(new)),
        ("effect", old.effect, new.effect),
        ("placement", old.placement, new.placement),
        ("attempts", old.retry.max if old.retry else None, new.retry.max if new.retry else None),
    )
    for what, before, after in rows:
        if before != after:
            yield changed(f"the {what} of {me}", before, after)
    if old.retry != new.retry and old.retry is not None and new.retry is not None and old.retry.max == new.retry.max:
        yield f"{me} retries with other delays or for other errors"
    if old.repeat != new.repeat:
        yield (
            f"{me} polls differently"
            if old.repeat and new.repeat
            else f"{me} {'now' if new.repeat else 'no longer'} polls"
        )
    if old.rate != new.rate:
        limit = None if new.rate is None else f"{new.rate.count} per {show(new.rate.per_s)}"
        yield f"the rate of {me} is now {limit or 'unlimited'}"


def _bound(policy: PolicyIR) -> int | None:
    return None if policy.has_default_bound else policy.max_visits


def _seconds(value: float | None) -> str | None:
    return None if value is None else show(value)


def changed(what: str, before: Value, after: Value) -> str:
    if before is None:
        return f"{what} is new: {show_value(after)}"
    if after is None:
        return f"{what} is gone (was {show_value(before)})"
    return f"{what} is now {show_value(after)} (was {show_value(before)})"


def _second_call(what: str, old: CallIR | None, new: CallIR | None) -> Iterator[str]:
    if without_place(old) == without_place(new):
        return
    if new is None:
        yield f"{what} is gone"
    elif old is None:
        yield f"{what} is new: it calls `{new.target}`"
    elif old.target != new.target:
        yield f"{what} now calls `{new.target}` (was `{old.target}`)"
    else:
        yield f"{what} passes other values"


def _emit(me: str, old: EmitIR | None, new: EmitIR | None) -> Iterator[str]:
    before = {_way(e): e for e in (old.entries if old is not None else ())}
    after = {_way(e): e for e in (new.entries if new is not None else ())}
    if old is not None and new is not None and old.takes_all != new.takes_all:
        yield f"{me} now emits {'every match' if new.takes_all else 'only the first match'}"
    for way, entry in after.items():
        if way not in before:
            yield f"{me} now {_way_text(entry)}"
            continue
        was = before[way]
        if was.with_ != entry.with_ or was.fill != entry.fill:
            yield f"{me} sends other fields with `{_target(entry.event, entry.starts)}`"
        if was.set != entry.set:
            yield f"{me} sets other state with `{_target(entry.event, entry.starts)}`"
        if was.cancels != entry.cancels:
            yield f"{me} now {'cancels' if entry.cancels else 'lets finish'} what else runs"
    for way, entry in before.items():
        if way not in after:
            yield f"{me} no longer {_way_text(entry)}"
    common = [way for way in after if way in before]
    if common != [way for way in before if way in after]:
        yield f"{me} looks at its ways out in another order"


def _way(entry: EmitEntryIR) -> tuple[str | None, str | None, str | None]:
    return entry.event, entry.when, entry.for_each


def _way_text(entry: EmitEntryIR) -> str:
    if entry.starts is not None:
        does = f"starts `{entry.starts}`"
    elif entry.event is None:
        does = "ends in nothing"
    elif entry.event.endswith(".done"):
        does = "ends in its own event"
    else:
        does = f"emits `{entry.event}`"
    each = f" for each of `{entry.for_each}`" if entry.for_each else ""
    return does + each + (f" when `{entry.when}`" if entry.when else "")


def _target(event: str | None, starts: str | None) -> str:
    return starts or event or "none"


def role_of(step: StepIR) -> str:
    after = names([_event_word(event) for event in step.accepts]) or "nothing"
    does = {
        "call": "calls " + (f"`{step.body.call.target}`" if step.body.call else ""),
        "ask": "asks people",
        "wait": "waits",
    }
    return f"after {after} it {does.get(step.body.kind, 'passes on')}"


def _event_word(event: str) -> str:
    return event.removesuffix(".done") if event.endswith(".done") else event


def field_changes(what: str, old: Json, new: Json, of: str) -> Iterator[str]:
    before, after = _properties(old), _properties(new)
    for name in after:
        if name not in before:
            needed = "" if name in _required(new) or what == "the state" else ", which may be left out"
            yield f"{what} `{name}`{of} is new ({_type(after[name])}){needed}"
            continue
        if _type(before[name]) != _type(after[name]):
            yield f"{what} `{name}`{of} is now {_type(after[name])} (was {_type(before[name])})"
        elif before[name] != after[name] and _without_words(before[name]) != _without_words(after[name]):
            yield f"{what} `{name}`{of} has another schema or default"
        if (name in _required(old)) != (name in _required(new)):
            yield f"{what} `{name}`{of} is now {'required' if name in _required(new) else 'optional'}"
    for name in before:
        if name not in after:
            yield f"{what} `{name}`{of} is gone"


def _properties(schema: Json) -> dict[str, Json]:
    found = schema.get("properties") if isinstance(schema, dict) else None
    return found if isinstance(found, dict) else {}


def _required(schema: Json) -> frozenset[str]:
    return frozenset(schema.get("required", ())) if isinstance(schema, dict) else frozenset()


def _type(schema: Json) -> str:
    return to_text(from_json_schema(schema))


def _without_words(schema: Json) -> Json:
    return {k: v for k, v in schema.items() if k != "description"} if isinstance(schema, dict) else schema


def show_value(value: Value) -> str:
    """A value of the IR as a flow file writes it, cut if long."""
    if isinstance(value, dict) and "$expr" in value:
        text = f"`${{{{ {value['$expr']} }}}}`"
    elif isinstance(value, dict) and "$text" in value:
        parts = [part if isinstance(part, str) else f"${{{{ {part['$expr']} }}}}" for part in value["$text"]]
        text = f'"{"".join(parts)}"'
    else:
        text = describe(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def without_place(node: object) -> object:
    """A node without its place, to be compared."""
    if node is None or not hasattr(node, "__dataclass_fields__"):
        return node
    return tuple((f.name, getattr(node, f.name)) for f in fields(node) if f.name != "origin")  # type: ignore[arg-type]
