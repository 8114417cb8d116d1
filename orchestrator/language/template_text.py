"""Values of a flow file as data with expressions in it: splits text at `${{ … }}` and keeps where each part stands.

Reads no expression: that is `orchestrator.expr`. An `ExprSource` hands it the text, and turns offsets in that text
into spans of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.diagnostics import Edit, Fix, Span
from orchestrator.language.findings import Findings
from orchestrator.language.nodes import MapNode, Node, Scalar, ScalarNode
from orchestrator.language.quoting import quote
from orchestrator.language.scalar_map import span_inside
from orchestrator.language.template_scan import CLOSE, OPEN, find_close


@dataclass(frozen=True, slots=True, eq=False)
class ExprSource:
    """The source of one expression, without its `${{ }}` and the blanks around it."""

    text: str
    node: ScalarNode
    offset: int

    @property
    def span(self) -> Span:
        return self.span_of(0, len(self.text))

    def span_of(self, start: int, end: int) -> Span:
        """The span in the file of `text[start:end]`, through quotes, escapes and folded lines."""
        return span_inside(self.node, self.offset + start, self.offset + end)


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A value without an expression."""

    value: Scalar
    node: ScalarNode

    @property
    def span(self) -> Span:
        return self.node.span


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Text mixed with expressions; renders to a string."""

    parts: tuple[str | ExprSource, ...]
    node: ScalarNode

    @property
    def span(self) -> Span:
        return self.node.span


@dataclass(frozen=True, slots=True, eq=False)
class ListValue:
    """A list of values."""

    items: tuple[Value, ...]
    node: Node

    @property
    def span(self) -> Span:
        return self.node.span


@dataclass(frozen=True, slots=True, eq=False)
class MapValue:
    """A mapping of values; `node.entries` holds the places of its keys."""

    entries: dict[str, Value]
    node: MapNode

    @property
    def span(self) -> Span:
        return self.node.span

    def key_span(self, key: str) -> Span:
        return self.node.entries[key].key.span


Value = Literal | ExprSource | Template | ListValue | MapValue


def read_value(node: Node, findings: Findings) -> Value:
    """The value that a node stands for; a `${{` without its `}}` is a finding, and stays text."""
    if node.__class__ is ScalarNode:
        return read_text(node, findings) if OPEN in node.text else Literal(node.value, node)
    if node.__class__ is MapNode:
        entries = {}
        for name, (key, value) in node.entries.items():
            if OPEN in name:
                _report_dynamic_key(key, findings)
            entries[name] = read_value(value, findings)
        return MapValue(entries, node)
    return ListValue(tuple([read_value(item, findings) for item in node.items]), node)  # type: ignore[union-attr]


def read_text(node: ScalarNode, findings: Findings) -> Literal | ExprSource | Template:
    """Split a text into its literal parts and expressions; one expression alone keeps its own type."""
    text = node.text
    parts: list[str | ExprSource] = []
    at = 0
    while True:
        start = text.find(OPEN, at)
        if start < 0:
            break
        close = find_close(text, start + len(OPEN))
        if close is None:
            findings.error(
                "FLW116",
                "`${{` has no `}}`",
                span_inside(node, start, start + len(OPEN)),
                help="close it with `}}`; to write the three characters themselves use ${{ '${{' }}",
            )
            break
        if start > at:
            parts.append(text[at:start])
        parts.append(_expression(node, start + len(OPEN), close, findings))
        at = close + len(CLOSE)
    if at < len(text):
        parts.append(text[at:])
    if len(parts) == 1:
        only = parts[0]
        return only if isinstance(only, ExprSource) else Literal(node.value, node)
    return Template(tuple(parts), node)


def _expression(node: ScalarNode, start: int, end: int, findings: Findings) -> ExprSource:
    raw = node.text[start:end]
    text = raw.strip()
    if not text:
        findings.error(
            "FLW116",
            "an empty `${{ }}`",
            span_inside(node, start - len(OPEN), end + len(CLOSE)),
            help="write an expression into it, or delete it",
        )
        return ExprSource("null", node, start)
    return ExprSource(text, node, start + len(raw) - len(raw.lstrip()))


def _report_dynamic_key(key: ScalarNode, findings: Findings) -> None:
    findings.error(
        "FLW203",
        "a key cannot hold an expression",
        key.span,
        help="make the whole mapping one expression, such as ${{ {(name): value} }}",
    )


def read_expression(node: ScalarNode, findings: Findings, *, key: str) -> ExprSource | None:
    """The expression of a key that takes one bare, such as `when`; `${{ }}` around the whole is accepted.

    Returns: None, with a finding, for text that mixes both.
    """
    text = node.text
    if OPEN not in text:
        stripped = text.strip()
        if not stripped:
            findings.error(
                "FLW203", f"`{key}` needs an expression", node.span, help=f"write one, such as `{key}: true`"
            )
            return None
        return ExprSource(stripped, node, text.index(stripped))
    stripped = text.strip()
    start = text.index(stripped)
    if stripped.startswith(OPEN):
        close = find_close(text, start + len(OPEN))
        if close is not None and close + len(CLOSE) == start + len(stripped):
            return _expression(node, start + len(OPEN), close, findings)
    bare = stripped.replace(OPEN, "").replace(CLOSE, "")
    fix = Fix("write it bare", (Edit(node.span, quote(" ".join(bare.split()))),), is_safe=False)
    findings.error(
        "FLW217",
        f"`{key}` is an expression as it stands; `${{{{ }}}}` inside would make it text",
        node.span,
        help=f"write `{key}: {' '.join(bare.split())}`",
        fix=fix,
    )
    return None


def expressions_in(value: Value) -> Iterator[ExprSource]:
    """Every expression of a value, in the order of the file."""
    match value:
        case ExprSource():
            yield value
        case Template(parts=parts):
            yield from (part for part in parts if isinstance(part, ExprSource))
        case ListValue(items=items):
            for item in items:
                yield from expressions_in(item)
        case MapValue(entries=entries):
            for item in entries.values():
                yield from expressions_in(item)
        case Literal():
            return
