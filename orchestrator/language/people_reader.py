"""Reads `ask`: what people are shown, what they fill in, who may answer, and until when."""

from __future__ import annotations

from orchestrator.diagnostics import Edit, Fix
from orchestrator.language.findings import Findings
from orchestrator.language.names import FIELD
from orchestrator.language.nodes import MapNode, Node, ScalarNode, SeqNode
from orchestrator.language.shape import (
    KeySet,
    read_bool,
    read_choice,
    read_fields,
    read_int,
    read_name,
    read_template,
    read_time,
    report_kind,
)
from orchestrator.language.spec_parts import FieldSpec, Located, TimeSpec
from orchestrator.language.spec_people import AskSpec, AudienceSpec, EscalateSpec, QuorumSpec, ShowSpec
from orchestrator.language.template_scan import OPEN
from orchestrator.language.template_text import Value, read_value
from orchestrator.language.type_reader import TypeReader

ASK_KEYS = KeySet(
    "`ask`",
    "title description show form edit to quorum remind escalate deadline delegate",
    synonyms={
        "fields": "form", "question": "title", "text": "title", "prompt": "title", "users": "to", "groups": "to",
        "assignee": "to", "assignees": "to", "audience": "to", "timeout": "deadline", "due": "deadline",
        "reminders": "remind", "approvals": "quorum", "within": "deadline",
    },
)  # fmt: skip
SHOW_KEYS = KeySet("`show`", "body content diff", synonyms={"text": "body", "markdown": "body", "data": "content"})
TO_KEYS = KeySet(
    "`to`", "users groups not", synonyms={"user": "users", "group": "groups", "except": "not", "exclude": "not"}
)
ESCALATE_KEYS = KeySet("`escalate`", "after to", required="after to")


def read_ask(node: Node, findings: Findings, types: TypeReader) -> AskSpec | None:
    """A request to people."""
    fields = read_fields(node, ASK_KEYS, findings)
    if fields is None or not isinstance(node, MapNode):
        return None
    title, description, show = fields.get("title"), fields.get("description"), fields.get("show")
    form, edit, to, quorum = fields.get("form"), fields.get("edit"), fields.get("to"), fields.get("quorum")
    remind, escalate = fields.get("remind"), fields.get("escalate")
    deadline, delegate = fields.get("deadline"), fields.get("delegate")
    return AskSpec(
        node,
        title=None if title is None else read_template(title, "`title`", findings),
        description=None if description is None else read_template(description, "`description`", findings),
        show=None if show is None else _read_show(show, findings),
        form={} if form is None else _read_form(form, findings, types),
        edit=None if edit is None else read_name(edit, FIELD, "`edit`", findings),
        to=None if to is None else read_audience(to, findings),
        quorum={} if quorum is None else _read_quorum(quorum, findings),
        remind=() if remind is None else _read_remind(remind, findings),
        escalate=None if escalate is None else _read_escalate(escalate, findings),
        deadline=None if deadline is None else read_time(deadline, "`deadline`", findings),
        delegate=bool(delegate is not None and read_bool(delegate, "`delegate`", findings)),
    )


def _read_show(node: Node, findings: Findings) -> ShowSpec | None:
    fields = read_fields(node, SHOW_KEYS, findings)
    if fields is None or not isinstance(node, MapNode):
        return None
    body, content, diff = fields.get("body"), fields.get("content"), fields.get("diff")
    return ShowSpec(
        node,
        body=None if body is None else read_template(body, "`body`", findings),
        content=None if content is None else read_value(content, findings),
        diff=None if diff is None else read_choice(diff, ("last_approved",), "`diff`", findings),
    )


def _read_form(node: Node, findings: Findings, types: TypeReader) -> dict[str, FieldSpec]:
    if not isinstance(node, MapNode):
        report_kind(
            node, "`form` needs a mapping of fields", findings, help="write `verdict: approve | reject` below it"
        )
        return {}
    return types.read_fields(node)


def read_audience(node: Node, findings: Findings) -> AudienceSpec | None:
    """Who may answer."""
    fields = read_fields(node, TO_KEYS, findings)
    if fields is None or not isinstance(node, MapNode):
        return None
    return AudienceSpec(
        node,
        users=_read_people(fields.get("users"), "users", findings),
        groups=_read_people(fields.get("groups"), "groups", findings),
        exclude=_read_people(fields.get("not"), "not", findings),
    )


def _read_people(node: Node | None, key: str, findings: Findings) -> Value | None:
    """A list of names, each of which may hold an expression, or one expression that gives the list."""
    if node is None:
        return None
    if isinstance(node, ScalarNode):
        if node.value is not None and OPEN in node.text:
            return read_value(node, findings)
        text = node.text
        fix = (
            Fix("make it a list", (Edit(node.span, f"[{node.source.text[node.start : node.end]}]"),)) if text else None
        )
        report_kind(node, f"`{key}` needs a list", findings, help=f"write `{key}: [{text}]`" if text else None, fix=fix)
        return None
    if isinstance(node, SeqNode):
        for item in node.items:
            if not isinstance(item, ScalarNode) or item.value is None:
                report_kind(item, f"`{key}` is a list of names", findings)
        return read_value(node, findings)
    report_kind(node, f"`{key}` needs a list of names", findings)
    return None


def _read_quorum(node: Node, findings: Findings) -> dict[str, QuorumSpec]:
    if not isinstance(node, MapNode):
        help_text = f"write `quorum: {{approve: {node.text}}}`" if isinstance(node, ScalarNode) and node.text else None
        report_kind(node, "`quorum` needs a mapping of verdicts to numbers", findings, help=help_text)
        return {}
    quorum = {}
    for name, (key, value) in node.entries.items():
        verdict = Located(name, key)
        if isinstance(value, MapNode):
            groups = {}
            for group, entry in value.entries.items():
                count = read_int(entry.value, f"`{group}`", findings, most=10_000)
                if count is not None:
                    groups[group] = count
            quorum[name] = QuorumSpec(verdict, None, groups)
        else:
            quorum[name] = QuorumSpec(verdict, read_int(value, f"`{name}`", findings, most=10_000))
    return quorum


def _read_remind(node: Node, findings: Findings) -> tuple[TimeSpec, ...]:
    items = node.items if isinstance(node, SeqNode) else [node]
    times = (read_time(item, "`remind`", findings) for item in items)
    return tuple(time for time in times if time is not None)


def _read_escalate(node: Node, findings: Findings) -> EscalateSpec | None:
    fields = read_fields(node, ESCALATE_KEYS, findings)
    if fields is None or not isinstance(node, MapNode):
        return None
    after_node, to_node = fields.get("after"), fields.get("to")
    after = None if after_node is None else read_time(after_node, "`after`", findings)
    to = None if to_node is None else read_audience(to_node, findings)
    return None if after is None or to is None else EscalateSpec(node, after, to)
