"""Reads what starts runs: `triggers` (cron, webhook, event), `concurrency` of the flow, and time zones."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, available_timezones

from orchestrator.diagnostics import Edit, Fix
from orchestrator.language.findings import Findings
from orchestrator.language.names import EVENT, SECRET
from orchestrator.language.nodes import MapNode, Node, ScalarNode, SeqNode
from orchestrator.language.shape import (
    Fields,
    KeySet,
    read_choice,
    read_expr,
    read_fields,
    read_int,
    read_map_value,
    read_name,
    read_str,
    report_kind,
)
from orchestrator.language.spec import ConcurrencySpec, TriggerSpec, VerifySpec
from orchestrator.language.spec_parts import Name
from orchestrator.language.suggest import suggest

CONCURRENCY_KEYS = KeySet("`concurrency`", "key mode max", synonyms={"group": "key", "limit": "max"})
MODES = ("parallel", "queue", "restart", "single")
_KINDS = ("cron", "webhook", "event")
_SYNONYMS = {"schedule": "cron", "if": "when", "tz": "timezone", "with": "inputs", "http": "webhook", "input": "inputs"}
TRIGGER_KEYS = {
    "cron": KeySet("a `cron` trigger", "cron timezone when inputs", synonyms=_SYNONYMS),
    "webhook": KeySet("a `webhook` trigger", "webhook when inputs", synonyms=_SYNONYMS),
    "event": KeySet("an `event` trigger", "event when inputs", synonyms=_SYNONYMS),
}
ANY_TRIGGER_KEYS = KeySet("a trigger", "cron webhook event timezone when inputs", synonyms=_SYNONYMS)
WEBHOOK_KEYS = KeySet(
    "`webhook`", "path method verify", required="path verify", synonyms={"url": "path", "secret": "verify"}
)
VERIFY_KEYS = KeySet("`verify`", "hmac header", required="hmac header", synonyms={"secret": "hmac"})
METHODS = ("POST", "PUT", "PATCH", "DELETE")
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*\Z")


def read_triggers(node: Node, findings: Findings) -> tuple[TriggerSpec, ...]:
    """The list of triggers."""
    if not isinstance(node, SeqNode):
        report_kind(
            node, "`triggers` needs a list", findings, help="begin each with `- cron:`, `- webhook:` or `- event:`"
        )
        return ()
    found = (_read_trigger(item, findings) for item in node.items)
    return tuple(trigger for trigger in found if trigger is not None)


def _read_trigger(node: Node, findings: Findings) -> TriggerSpec | None:
    kinds = [kind for kind in _KINDS if isinstance(node, MapNode) and kind in node.entries]
    keys = TRIGGER_KEYS[kinds[0]] if len(kinds) == 1 else ANY_TRIGGER_KEYS
    fields = read_fields(node, keys, findings)
    if fields is None or not isinstance(node, MapNode):
        return None
    kinds = [kind for kind in _KINDS if kind in fields.entries]
    if len(kinds) != 1:
        findings.error(
            "FLW219",
            "a trigger has one of `cron`, `webhook`, `event`" + (f", not {' and '.join(kinds)}" if kinds else ""),
            node.span if node.is_flow or not node.entries else next(iter(node.entries.values())).key.span,
            help="make a trigger of each" if kinds else "add one of them",
        )
        return None
    return _trigger_spec(node, kinds[0], fields, findings)


def _trigger_spec(node: MapNode, kind: str, fields: Fields, findings: Findings) -> TriggerSpec:
    cron, webhook, event = fields.get("cron"), fields.get("webhook"), fields.get("event")
    timezone, when, inputs = fields.get("timezone"), fields.get("when"), fields.get("inputs")
    path, method, verify = (None, "POST", None) if webhook is None else _read_webhook(webhook, findings)
    return TriggerSpec(
        node,
        kind,
        cron=None if cron is None else _read_cron(cron, findings),
        timezone=None if timezone is None else read_timezone(timezone, findings),
        path=path,
        method=method,
        verify=verify,
        event=None if event is None else read_name(event, EVENT, "`event`", findings),
        when=None if when is None else read_expr(when, "when", findings),
        inputs=None if inputs is None else read_map_value(inputs, "`inputs`", findings),
    )


def _read_cron(node: Node, findings: Findings) -> Name | None:
    text = read_str(node, "`cron`", findings)
    if text is None:
        return None
    count = len(text.value.split())
    if count != 5:
        findings.error(
            "FLW224",
            f"a cron line has five parts, and this has {count}",
            text.span,
            help="minute, hour, day of the month, month, day of the week, such as `0 9 * * mon`",
        )
        return None
    return text


def _read_webhook(node: Node, findings: Findings) -> tuple[Name | None, str, VerifySpec | None]:
    fields = read_fields(node, WEBHOOK_KEYS, findings)
    if fields is None:
        return None, "POST", None
    path_node, method_node, verify_node = fields.get("path"), fields.get("method"), fields.get("verify")
    path = None if path_node is None else read_str(path_node, "`path`", findings)
    if path is not None and not _PATH.match(path.value):
        wish = "/" + path.value.lstrip("/")
        usable = wish if _PATH.match(wish) else None
        findings.error(
            "FLW224",
            f"`{path.value}` is no path of a webhook",
            path.span,
            help=f"write `{usable}`" if usable else "begin with `/`; letters, digits and `. _ ~ -` are allowed",
            fix=Fix(f"write `{usable}`", (Edit(path.span, usable),)) if usable else None,
        )
    method = None if method_node is None else read_choice(method_node, METHODS, "`method`", findings)
    verify = None if verify_node is None else _read_verify(verify_node, findings)
    return path, "POST" if method is None else method.value, verify


def _read_verify(node: Node, findings: Findings) -> VerifySpec | None:
    fields = read_fields(node, VERIFY_KEYS, findings)
    if fields is None or not isinstance(node, MapNode):
        return None
    hmac_node, header_node = fields.get("hmac"), fields.get("header")
    hmac = None if hmac_node is None else read_name(hmac_node, SECRET, "`hmac`", findings)
    header = None if header_node is None else read_str(header_node, "`header`", findings)
    return None if hmac is None or header is None else VerifySpec(node, hmac, header)


def read_timezone(node: Node, findings: Findings) -> Name | None:
    """A name of the IANA time zone database."""
    name = read_str(node, "`timezone`", findings)
    if name is None or name.value == "UTC":
        return name
    try:
        ZoneInfo(name.value)
    except (KeyError, ValueError, OSError):
        zones = available_timezones()
        if not zones:  # this machine has no database, so nothing can be said
            return name
        meant = suggest(name.value, sorted(zones)) or _by_city(name.value, zones)
        findings.error(
            "FLW220",
            f"`{name.value[:60]}` is no time zone",
            name.span,
            help=f"did you mean `{meant}`?" if meant else "write one such as `Europe/Berlin` or `UTC`",
            fix=Fix(f"write `{meant}`", (Edit(name.span, meant),), is_safe=False) if meant else None,
        )
        return None
    return name


def _by_city(name: str, zones: set[str]) -> str | None:
    wish = name.strip().replace(" ", "_").casefold()
    return next((zone for zone in sorted(zones) if zone.rpartition("/")[2].casefold() == wish), None)


def read_concurrency(node: Node, findings: Findings) -> ConcurrencySpec | None:
    """How runs of one flow share."""
    if isinstance(node, ScalarNode) and (node.text in MODES or isinstance(node.value, int)):
        key = "mode" if node.text in MODES else "max"
        fix = Fix("write it out", (Edit(node.span, f"{{{key}: {node.text}}}"),))
        help_text = f"write `concurrency: {{{key}: {node.text}}}`"
        report_kind(node, "`concurrency` of a flow needs a mapping", findings, help=help_text, fix=fix)
        return None
    fields = read_fields(node, CONCURRENCY_KEYS, findings)
    if fields is None or not isinstance(node, MapNode):
        return None
    mode, key_node, max_ = fields.get("mode"), fields.get("key"), fields.get("max")
    return ConcurrencySpec(
        node,
        mode=None if mode is None else read_choice(mode, MODES, "`mode`", findings),
        key=None if key_node is None else read_expr(key_node, "key", findings),
        max=None if max_ is None else read_int(max_, "`max`", findings),
    )
