"""Reads what surrounds a call: `retry`, `repeat`, `cache`, `rate`, `catch`, and the second calls `fallback finally undo`."""

from __future__ import annotations

import re

from orchestrator.diagnostics import Edit, Fix
from orchestrator.ir.durations import BadTime, parse_duration
from orchestrator.language.findings import Findings
from orchestrator.language.names import CALLABLE, ERROR_CODE, EVENT_OR_STEP
from orchestrator.language.nodes import MapNode, Node, ScalarNode, SeqNode
from orchestrator.language.shape import (
    KeySet,
    read_choice,
    read_duration,
    read_expr,
    read_fields,
    read_int,
    read_map_value,
    read_name,
    read_names,
    read_number,
    read_time,
    report_kind,
)
from orchestrator.language.spec import CacheSpec, CallSpec, CatchSpec, RateSpec, RepeatSpec, RetrySpec

RETRY_KEYS = KeySet(
    "`retry`",
    "max delay backoff max_delay jitter errors if",
    synonyms={"attempts": "max", "max_attempts": "max", "times": "max", "count": "max", "limit": "max", "on": "errors",
              "when": "if", "interval": "delay", "wait": "delay", "factor": "backoff", "multiplier": "backoff"},
)  # fmt: skip
REPEAT_KEYS = KeySet(
    "`repeat`",
    "until every max within",
    required="until",
    synonyms={"interval": "every", "delay": "every", "timeout": "within"},
)
CACHE_KEYS = KeySet("`cache`", "key ttl", required="key", synonyms={"for": "ttl", "expires": "ttl"})
CATCH_KEYS = KeySet(
    "a `catch` entry",
    "errors event with",
    required="errors event",
    synonyms={"error": "errors", "emit": "event", "code": "errors"},
)
SECOND_CALL_KEYS = {
    key: KeySet(f"`{key}`", "call with", required="call", synonyms={"args": "with", "uses": "call"})
    for key in ("fallback", "finally", "undo")
}
JITTERS = ("none", "full", "equal")
_RATE = re.compile(r"(?P<count>[0-9]{1,9})\s*/\s*(?P<per>\S+)\Z")


def read_retry(node: Node, findings: Findings) -> RetrySpec | None:
    if isinstance(node, ScalarNode) and isinstance(node.value, int) and not isinstance(node.value, bool):
        fix = Fix("write it out", (Edit(node.span, f"{{max: {node.value}}}"),))
        report_kind(node, "`retry` needs a mapping", findings, help=f"write `retry: {{max: {node.value}}}`", fix=fix)
        return None
    fields = read_fields(node, RETRY_KEYS, findings)
    if fields is None or not isinstance(node, MapNode):
        return None
    max_, delay, backoff = fields.get("max"), fields.get("delay"), fields.get("backoff")
    max_delay, jitter, errors, if_ = (
        fields.get("max_delay"),
        fields.get("jitter"),
        fields.get("errors"),
        fields.get("if"),
    )
    return RetrySpec(
        node,
        max=None if max_ is None else read_int(max_, "`max`", findings, most=10_000),
        delay=None if delay is None else read_duration(delay, "`delay`", findings),
        backoff=None if backoff is None else read_number(backoff, "`backoff`", findings, least=1),
        max_delay=None if max_delay is None else read_duration(max_delay, "`max_delay`", findings),
        jitter=None if jitter is None else read_choice(jitter, JITTERS, "`jitter`", findings),
        errors=() if errors is None else read_names(errors, ERROR_CODE, "`errors`", findings),
        condition=None if if_ is None else read_expr(if_, "if", findings),
    )


def read_repeat(node: Node, findings: Findings) -> RepeatSpec | None:
    fields = read_fields(node, REPEAT_KEYS, findings)
    if fields is None or not isinstance(node, MapNode):
        return None
    until_node, every, max_, within = fields.get("until"), fields.get("every"), fields.get("max"), fields.get("within")
    until = None if until_node is None else read_expr(until_node, "until", findings)
    spec = (
        None if every is None else read_duration(every, "`every`", findings),
        None if max_ is None else read_int(max_, "`max`", findings, most=10_000_000),
        None if within is None else read_time(within, "`within`", findings),
    )
    return None if until is None else RepeatSpec(node, until, *spec)


def read_cache(node: Node, findings: Findings) -> CacheSpec | None:
    fields = read_fields(node, CACHE_KEYS, findings)
    if fields is None or not isinstance(node, MapNode):
        return None
    key_node, ttl_node = fields.get("key"), fields.get("ttl")
    key = None if key_node is None else read_expr(key_node, "key", findings)
    ttl = None if ttl_node is None else read_duration(ttl_node, "`ttl`", findings)
    return None if key is None else CacheSpec(node, key, ttl)


def read_rate(node: Node, findings: Findings) -> RateSpec | None:
    """`10/1m`: ten starts a minute."""
    if not isinstance(node, ScalarNode) or node.value is None:
        report_kind(node, "`rate` needs a text such as `10/1m`", findings)
        return None
    match = _RATE.match(node.text)
    if match is not None and int(match["count"]) > 0:
        per = match["per"]
        if per.isalpha():
            per = f"1{per}"
        try:
            duration = parse_duration(per)
            if duration.seconds > 0 and per == match["per"]:
                return RateSpec(int(match["count"]), duration.seconds, node)
        except BadTime as error:
            per = error.suggestion or ""
        if per:
            wish = f"{match['count']}/{per}"
            fix = Fix(f"write `{wish}`", (Edit(node.span, wish),))
            findings.error("FLW216", f"`{node.text}` is no rate", node.span, help=f"write `{wish}`", fix=fix)
            return None
    findings.error(
        "FLW216", f"`{node.text}` is no rate", node.span, help="write a number and a duration, such as `10/1m`"
    )
    return None


def read_second_call(node: Node, key: str, findings: Findings) -> CallSpec | None:
    """A call that stands beside the step's own."""
    if isinstance(node, ScalarNode) and CALLABLE.rule(node.text):
        fix = Fix("write it out", (Edit(node.span, f"{{call: {node.text}}}"),))
        report_kind(node, f"`{key}` needs a mapping", findings, help=f"write `{key}: {{call: {node.text}}}`", fix=fix)
        return None
    fields = read_fields(node, SECOND_CALL_KEYS[key], findings)
    if fields is None:
        return None
    call, with_ = fields.get("call"), fields.get("with")
    target = None if call is None else read_name(call, CALLABLE, "`call`", findings)
    arguments = None if with_ is None else read_map_value(with_, "`with`", findings)
    return None if target is None else CallSpec(target, arguments)


def read_catch(node: Node, findings: Findings) -> tuple[CatchSpec, ...]:
    """The list of `catch`; one entry may stand without the list."""
    if not isinstance(node, SeqNode):
        report_kind(
            node, "`catch` needs a list of entries, or `item`", findings, help="begin each entry with `- errors:`"
        )
        return ()
    entries = []
    for item in node.items:
        fields = read_fields(item, CATCH_KEYS, findings)
        if fields is None or not isinstance(item, MapNode):
            continue
        errors, event, with_ = fields.get("errors"), fields.get("event"), fields.get("with")
        codes = () if errors is None else read_names(errors, ERROR_CODE, "`errors`", findings)
        target = None if event is None else read_name(event, EVENT_OR_STEP, "`event`", findings)
        arguments = None if with_ is None else read_map_value(with_, "`with`", findings)
        if target is not None:
            entries.append(CatchSpec(item, codes, target, arguments))
    return tuple(entries)
