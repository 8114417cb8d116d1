"""Reads `emit` and `collect`: what leaves a step, and what is gathered before one."""

from __future__ import annotations

from orchestrator.language.findings import Findings
from orchestrator.language.names import EVENT, EVENT_OR_STEP
from orchestrator.language.nodes import MapNode, Node, ScalarNode, SeqNode
from orchestrator.language.shape import (
    Fields,
    KeySet,
    read_bool,
    read_choice,
    read_duration,
    read_expr,
    read_fields,
    read_int,
    read_map_value,
    read_name,
    read_names,
    read_time,
    report_kind,
)
from orchestrator.language.spec import CollectSpec, EmitEntry, EmitSpec
from orchestrator.language.spec_parts import Located, Name
from orchestrator.language.suggest import suggest
from orchestrator.language.template_scan import OPEN
from orchestrator.language.template_text import ExprSource, read_text

_EMIT_SYNONYMS = {"if": "when", "name": "event", "type": "event", "payload": "with", "data": "with", "fields": "with",
                  "args": "with", "foreach": "for_each", "to": "event"}  # fmt: skip
EMIT_KEYS = KeySet(
    "an `emit` entry", "event when with set for_each cancel drain", required="event", synonyms=_EMIT_SYNONYMS
)
EMIT_ALL_KEYS = KeySet("`emit` with `all`", "all", required="all")
COLLECT_KEYS = KeySet(
    "`collect`", "all each count first until key within on_timeout cancel order", synonyms={"timeout": "within"}
)
UNTIL_EVENT_KEYS = KeySet("`until`", "event", required="event")
_MODES = ("all", "each", "count", "first", "until")


def read_emit(node: Node, findings: Findings) -> EmitSpec | None:
    """The ways out of a step, in any of the forms of `emit`."""
    if isinstance(node, SeqNode):
        if not node.items:
            findings.error("FLW203", "`emit` is an empty list", node.span, help="write `emit: none` to emit nothing")
            return None
        return EmitSpec(node, "first", _entries(node.items, findings))
    if isinstance(node, ScalarNode):
        target = _target(node, findings)
        return None if target is None else EmitSpec(node, "first", (EmitEntry(node, target),))
    if "all" in node.entries and "event" not in node.entries:
        return _read_all(node, findings)
    if "event" in node.entries or _is_misspelt_entry(node):
        entry = _entry(node, findings)
        return None if entry is None else EmitSpec(node, "first", (entry,))
    return _outcomes(node, findings)


def _entries(items: list[Node], findings: Findings) -> tuple[EmitEntry, ...]:
    entries = (_entry(item, findings) for item in items)
    return tuple(entry for entry in entries if entry is not None)


def _read_all(node: MapNode, findings: Findings) -> EmitSpec | None:
    fields = read_fields(node, EMIT_ALL_KEYS, findings)
    items = None if fields is None else fields.get("all")
    if not isinstance(items, SeqNode):
        if items is not None:
            report_kind(items, "`all` needs a list of entries", findings)
        return None
    return EmitSpec(node, "all", _entries(items.items, findings))


def _is_misspelt_entry(node: MapNode) -> bool:
    """Whether a mapping without `event` is an entry all the same: one of its keys is an entry's own, or nearly `event`."""
    if not node.entries:
        return True
    names = node.entries.keys()
    if any(isinstance(entry.value, MapNode | SeqNode) for entry in node.entries.values()) and names & {"with", "set"}:
        return True
    return bool(names & {"when", "for_each"}) or any(suggest(name, ("event",)) for name in names if name != "all")


def _entry(node: Node, findings: Findings) -> EmitEntry | None:
    if isinstance(node, ScalarNode):
        target = _target(node, findings)
        return None if target is None else EmitEntry(node, target)
    fields = read_fields(node, EMIT_KEYS, findings)
    if fields is None:
        return None
    target_node = fields.get("event")
    target = None if target_node is None else _target(target_node, findings)
    if target is None:
        for key in ("when", "for_each", "with", "set"):
            _optional(fields, key, findings)
        return None
    when, with_, set_ = fields.get("when"), fields.get("with"), fields.get("set")
    for_each, cancel, drain = fields.get("for_each"), fields.get("cancel"), fields.get("drain")
    for key, value in (("cancel", cancel), ("drain", drain)):
        if value is not None and target.value != "Stop":
            findings.error(
                "FLW210", f"`{key}` goes with `event: Stop` only", fields.entries[key].key.span, help="delete it"
            )
    return EmitEntry(
        node,
        target,
        when=None if when is None else read_expr(when, "when", findings),
        with_=None if with_ is None else read_map_value(with_, "`with`", findings),
        set=None if set_ is None else read_map_value(set_, "`set`", findings),
        for_each=None if for_each is None else read_expr(for_each, "for_each", findings),
        cancels=bool(cancel is not None and read_bool(cancel, "`cancel`", findings)),
        drain=None if drain is None else read_duration(drain, "`drain`", findings),
    )


def _optional(fields: Fields, key: str, findings: Findings) -> None:
    node = fields.get(key)
    if node is None:
        return
    if key in ("when", "for_each"):
        read_expr(node, key, findings)
    else:
        read_map_value(node, f"`{key}`", findings)


def _target(node: Node, findings: Findings) -> Name | None:
    """An event, a step or `none`."""
    if isinstance(node, ScalarNode) and OPEN in node.text:
        findings.error(
            "FLW218",
            "the event of an `emit` is fixed and takes no expression",
            node.span,
            help="write a list of entries with `when`",
        )
        return None
    name = read_name(node, EVENT_OR_STEP, "`emit`", findings)
    if name is not None and "." in name.value:
        findings.error(
            "FLW206",
            f"`{name.value}` is emitted by its step alone",
            name.span,
            help="emit an event, or name the step that comes next",
        )
        return None
    return name


def _outcomes(node: MapNode, findings: Findings) -> EmitSpec:
    """The short form of an ask: outcomes to events, steps or entries."""
    entries = []
    for entry in node.entries.values():
        outcome = Located(entry.key.text, entry.key)
        if isinstance(entry.value, MapNode):
            full = _entry(entry.value, findings)
            if full is not None and full.when is not None:
                findings.error("FLW210", "an outcome takes no `when`", full.when.span, help="write a list of entries")
            if full is not None:
                entries.append(
                    EmitEntry(
                        full.node,
                        full.event,
                        None,
                        outcome,
                        full.with_,
                        full.set,
                        full.for_each,
                        full.cancels,
                        full.drain,
                    )
                )
            continue
        target = _target(entry.value, findings)
        if target is not None:
            entries.append(EmitEntry(entry.value, target, outcome=outcome))
    return EmitSpec(node, "outcomes", tuple(entries))


def read_collect(node: Node, findings: Findings) -> CollectSpec | None:
    """The rule of a fan-in."""
    if isinstance(node, ScalarNode):
        if node.text in ("all", "each"):
            return CollectSpec(node, node.text)
        if node.text in _MODES:
            form = "{until: …}" if node.text == "until" else f"{{{node.text}: 3}}"
            findings.error(
                "FLW203", f"`collect: {node.text}` needs a value", node.span, help=f"write `collect: {form}`"
            )
            return None
        mode = read_choice(node, ("all", "each"), "`collect`", findings)
        return None if mode is None else CollectSpec(node, mode.value)
    fields = read_fields(node, COLLECT_KEYS, findings)
    if fields is None:
        return None
    modes = [mode for mode in _MODES if mode in fields.entries]
    if len(modes) != 1:
        span = node.span if node.is_flow or not modes else fields.entries[modes[1]].key.span
        findings.error(
            "FLW219",
            "`collect` needs one of `all`, `each`, `count`, `first`, `until`"
            if not modes
            else f"`collect` has `{modes[0]}` and `{modes[1]}`, and one of them must go",
            span,
        )
        if not modes:
            return None
    return _collect_spec(node, modes[0], fields, findings)


def _collect_spec(node: Node, mode: str, fields: Fields, findings: Findings) -> CollectSpec:
    each: tuple[Name, ...] = ()
    count: Located[int] | ExprSource | None = None
    until: ExprSource | None = None
    until_event: Name | None = None
    value = fields.entries[mode].value
    if mode in ("all", "each") and isinstance(value, ScalarNode):
        if not (value.value is None or value.value is True):
            report_kind(value, f"`{mode}` takes `true`" + (" or a list of events" if mode == "each" else ""), findings)
    elif mode == "each":
        each = read_names(value, EVENT_OR_STEP, "`each`", findings)
    elif mode == "all":
        report_kind(value, "`all` takes `true`", findings)
    elif mode == "until" and isinstance(value, MapNode):
        inner = read_fields(value, UNTIL_EVENT_KEYS, findings)
        event = None if inner is None else inner.get("event")
        until_event = None if event is None else read_name(event, EVENT, "`event`", findings)
    elif mode == "until":
        until = read_expr(value, "until", findings)
    else:
        count = _count(value, mode, findings)
    key, within, on_timeout = fields.get("key"), fields.get("within"), fields.get("on_timeout")
    cancel, order = fields.get("cancel"), fields.get("order")
    if on_timeout is not None and within is None:
        findings.error(
            "FLW210", "`on_timeout` needs `within`", fields.entries["on_timeout"].key.span, help="add `within: 1h`"
        )
    if cancel is not None and mode not in ("first", "until"):
        findings.error(
            "FLW210", "`cancel` goes with `first` and `until` only", fields.entries["cancel"].key.span, help="delete it"
        )
    cancel_word = None if cancel is None else read_choice(cancel, ("rest",), "`cancel`", findings)
    order_word = None if order is None else read_choice(order, ("arrival", "emission"), "`order`", findings)
    return CollectSpec(
        node,
        mode,
        each=each,
        count=count,
        until=until,
        until_event=until_event,
        key=None if key is None else read_expr(key, "key", findings),
        within=None if within is None else read_time(within, "`within`", findings),
        on_timeout=None if on_timeout is None else read_name(on_timeout, EVENT_OR_STEP, "`on_timeout`", findings),
        cancels_rest=cancel_word is not None,
        by_arrival=order_word is not None and order_word.value == "arrival",
    )


def _count(node: Node, mode: str, findings: Findings) -> Located[int] | ExprSource | None:
    if isinstance(node, ScalarNode) and OPEN in node.text:
        value = read_text(node, findings)
        if isinstance(value, ExprSource):
            return value
    return read_int(node, f"`{mode}`", findings)
