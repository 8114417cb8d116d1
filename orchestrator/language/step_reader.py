"""Reads one step, with the flow's defaults applied. Decides which keys go together, not what names mean."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.diagnostics import Edit, Fix, Related
from orchestrator.ir.durations import is_iso_duration
from orchestrator.language.emit_reader import read_collect, read_emit
from orchestrator.language.findings import Findings
from orchestrator.language.names import CALLABLE, EVENT, EVENT_OR_STEP
from orchestrator.language.nodes import Entry, MapNode, Node, ScalarNode
from orchestrator.language.people_reader import read_ask
from orchestrator.language.policy_reader import (
    read_cache,
    read_catch,
    read_rate,
    read_repeat,
    read_retry,
    read_second_call,
)
from orchestrator.language.shape import (
    Fields,
    KeySet,
    read_choice,
    read_duration,
    read_expr,
    read_fields,
    read_int,
    read_map_value,
    read_name,
    read_names,
    read_plain_text,
    read_str,
    read_template,
    read_time,
    report_kind,
)
from orchestrator.language.spec import CallSpec, StepSpec, WaitSpec
from orchestrator.language.spec_parts import Located, Name
from orchestrator.language.template_text import Literal, Value
from orchestrator.language.type_reader import TypeReader

_SYNONYMS = {
    "if": "when", "uses": "call", "run": "call", "action": "call", "type": "call", "kind": "call",
    "needs": "on", "depends_on": "on",
    "after": "on", "trigger": "on", "listen": "on", "foreach": "for_each", "loop": "for_each", "args": "with",
    "params": "with", "parameters": "with", "inputs": "with", "input": "with", "retries": "retry", "outputs": "emit",
    "next": "emit", "goto": "emit", "then": "emit", "question": "ask", "approve": "ask", "approval": "ask",
    "sleep": "wait", "delay": "wait", "on_error": "catch", "compensate": "undo", "rollback": "undo", "name": "title",
    "desc": "description", "until": "repeat", "join": "collect", "gather": "collect", "always": "finally",
}  # fmt: skip
STEP_KEYS = KeySet(
    "a step",
    "title description on when collect for_each set call ask wait with id cache concurrency rate timeout deadline "
    "effect placement retry repeat fallback catch finally undo emit max_visits",
    synonyms=_SYNONYMS,
)
WAIT_KEYS = KeySet("`wait`", "event match within", required="event", synonyms={"timeout": "within", "where": "match"})
VERBS = ("call", "ask", "wait")
# Keys that mean something only beside certain verbs; "none" is a step without a verb.
_GOES_WITH: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("with", "id", "cache", "rate", "timeout", "deadline", "effect", "placement", "retry", "repeat", "fallback"),
        ("call",),
    ),
    **dict.fromkeys(("for_each", "concurrency"), ("call", "ask")),
    **dict.fromkeys(("finally", "undo"), VERBS),
}
_INSTEAD = {
    ("with", "none"): "put the fields into `emit: {event: …, with: …}`",
    ("timeout", "ask"): "write `deadline` inside `ask`",
    ("deadline", "ask"): "write it inside `ask`",
    ("timeout", "wait"): "write `within` inside `wait`",
    ("deadline", "wait"): "write `within` inside `wait`",
    ("for_each", "none"): "put it into `emit: {event: …, for_each: …}`",
}


class StepReader:
    """Reads the steps of one flow."""

    def __init__(self, findings: Findings, types: TypeReader, defaults: Mapping[str, Entry]) -> None:
        self.findings = findings
        self.types = types
        self.defaults = defaults

    def read(self, key: ScalarNode, node: Node) -> StepSpec | None:
        """The step, or None, with a finding, for what is no mapping."""
        fields = read_fields(node, STEP_KEYS, self.findings)
        if fields is None or not isinstance(node, MapNode):
            return None
        verbs = [verb for verb in VERBS if verb in fields.entries]
        if len(verbs) > 1:
            self._report_verbs(fields, verbs)
        verb = verbs[0] if verbs else next((v for v in VERBS if v in self.defaults), "none")
        for name in fields.entries:
            allowed = _GOES_WITH.get(name)
            if allowed is not None and verb not in allowed and fields.entries[name].key.text == name:
                self._report_idle(fields.entries[name].key, verb, allowed)
        if self.defaults:
            fields = Fields(node, self._with_defaults(fields.entries, verb))
        if verb == "none" and not fields.entries.keys() & {"set", "emit"} and not self._has_lost_keys(node):
            self.findings.error(
                "FLW223",
                f"the step `{key.text}` does nothing",
                key.span,
                help="give it `call`, `ask` or `wait`, or `set` or `emit`",
            )
        return self._spec(Located(key.text, key), node, fields)

    def _has_lost_keys(self, node: MapNode) -> bool:
        """Whether the step's keys may be in a merge that was refused."""
        first, last = node.span.line, node.span.end_line
        return any(d.code == "FLW107" and first <= d.span.line <= last for d in self.findings)

    def _report_verbs(self, fields: Fields, verbs: list[str]) -> None:
        first, second = sorted((fields.entries[verb].key for verb in verbs[:2]), key=lambda key: key.start)
        self.findings.error(
            "FLW209",
            f"a step has one verb, and this one has `{first.text}` and `{second.text}`",
            second.span,
            help="make two steps of it",
            related=[Related(first.span, "the first one is here")],
        )

    def _report_idle(self, key: ScalarNode, verb: str, allowed: tuple[str, ...]) -> None:
        where = " or ".join(f"`{name}`" for name in allowed)
        has = "this step has no verb" if verb == "none" else f"this step has `{verb}`"
        self.findings.error(
            "FLW210",
            f"`{key.text}` goes with {where}, and {has}",
            key.span,
            help=_INSTEAD.get((key.text, verb), "delete it"),
        )

    def _with_defaults(self, entries: Mapping[str, Entry], verb: str) -> dict[str, Entry]:
        """The step's entries and, below them, each default that means something beside its verb."""
        merged = dict(entries)
        for name, entry in self.defaults.items():
            if name in merged or (name in VERBS and name != verb):
                continue
            allowed = _GOES_WITH.get(name)
            if allowed is None or verb in allowed:
                merged[name] = entry
        return merged

    def check_defaults(self, key: ScalarNode, node: MapNode, fields: Fields) -> None:
        """Read the defaults once by themselves, so that a mistake in one that no step takes is found."""
        self._spec(Located(key.text, key), node, fields)

    def _spec(self, name: Name, node: MapNode, fields: Fields) -> StepSpec:
        get, findings = fields.get, self.findings
        on, when, collect, for_each, set_ = get("on"), get("when"), get("collect"), get("for_each"), get("set")
        ask, wait, emit, id_, cache = get("ask"), get("wait"), get("emit"), get("id"), get("cache")
        concurrency, rate, timeout, deadline = get("concurrency"), get("rate"), get("timeout"), get("deadline")
        effect, placement, retry, repeat = get("effect"), get("placement"), get("retry"), get("repeat")
        fallback, finally_, undo, catch = get("fallback"), get("finally"), get("undo"), get("catch")
        title, description, max_visits = get("title"), get("description"), get("max_visits")
        catches_items = isinstance(catch, ScalarNode) and catch.text == "item"
        if catches_items and for_each is None:
            findings.error("FLW210", "`catch: item` goes with `for_each`", fields.entries["catch"].key.span)
        is_unlimited = isinstance(max_visits, ScalarNode) and max_visits.text == "unlimited"
        return StepSpec(
            name,
            node,
            {key: entry.key for key, entry in fields.entries.items()},
            title=None if title is None else self._title(title, is_asked=ask is not None),
            description="" if description is None else read_plain_text(description, "`description`", findings),
            on=None if on is None else read_names(on, EVENT_OR_STEP, "`on`", findings),
            when=None if when is None else read_expr(when, "when", findings),
            collect=None if collect is None else read_collect(collect, findings),
            for_each=None if for_each is None else read_expr(for_each, "for_each", findings),
            set=None if set_ is None else read_map_value(set_, "`set`", findings),
            call=self._call(fields),
            ask=None if ask is None else read_ask(ask, findings, self.types),
            wait=None if wait is None else self._wait(wait),
            id=None if id_ is None else read_template(id_, "`id`", findings),
            cache=None if cache is None else read_cache(cache, findings),
            concurrency=None if concurrency is None else read_int(concurrency, "`concurrency`", findings, most=100_000),
            rate=None if rate is None else read_rate(rate, findings),
            timeout=None if timeout is None else read_duration(timeout, "`timeout`", findings),
            deadline=None if deadline is None else read_time(deadline, "`deadline`", findings),
            effect=None if effect is None else read_choice(effect, ("none", "at_most_once"), "`effect`", findings),
            placement=None if placement is None else read_str(placement, "`placement`", findings),
            retry=None if retry is None else read_retry(retry, findings),
            repeat=None if repeat is None else read_repeat(repeat, findings),
            fallback=None if fallback is None else read_second_call(fallback, "fallback", findings),
            catch=() if catch is None or catches_items else read_catch(catch, findings),
            catches_items=catches_items,
            finally_=None if finally_ is None else read_second_call(finally_, "finally", findings),
            undo=None if undo is None else read_second_call(undo, "undo", findings),
            emit=None if emit is None else read_emit(emit, findings),
            max_visits=None if max_visits is None or is_unlimited else read_int(max_visits, "`max_visits`", findings),
            has_unlimited_visits=is_unlimited,
        )

    def _title(self, node: Node, *, is_asked: bool) -> Value | None:
        """A step's title is fixed, as it stands in drawings; that of an `ask` is what people read, and may hold data."""
        title = read_template(node, "`title`", self.findings)
        if is_asked or title is None or isinstance(title, Literal):
            return title
        read_str(node, "the `title` of a step without `ask`", self.findings)
        return None

    def _call(self, fields: Fields) -> CallSpec | None:
        call, with_ = fields.get("call"), fields.get("with")
        arguments = None if with_ is None else read_map_value(with_, "`with`", self.findings)
        if call is None:
            return None
        target = read_name(call, CALLABLE, "`call`", self.findings)
        return None if target is None else CallSpec(target, arguments)

    def _wait(self, node: Node) -> WaitSpec | None:
        findings = self.findings
        if isinstance(node, ScalarNode):
            if node.is_plain and EVENT.rule(node.text) and not is_iso_duration(node.text):
                fix = Fix("wait for the event", (Edit(node.span, f"{{event: {node.text}}}"),))
                report_kind(
                    node,
                    "`wait` needs a time or a mapping",
                    findings,
                    help=f"write `wait: {{event: {node.text}}}`",
                    fix=fix,
                )
                return None
            until = read_time(node, "`wait`", findings)
            return None if until is None else WaitSpec(node, until)
        fields = read_fields(node, WAIT_KEYS, findings)
        if fields is None:
            return None
        event, match, within = fields.get("event"), fields.get("match"), fields.get("within")
        return WaitSpec(
            node,
            event=None if event is None else read_name(event, EVENT, "`event`", findings),
            match=None if match is None else read_map_value(match, "`match`", findings),
            within=None if within is None else read_time(within, "`within`", findings),
        )
