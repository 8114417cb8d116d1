"""Finds the token of a path of the checker (analysis/places.py) in a flow file, when a finding asks for it.

Nothing is recorded while lowering: the spec keeps the nodes, and a path is walked down them. So a flow without findings
pays nothing for its places.
"""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.analysis.places import Path
from orchestrator.diagnostics import Span
from orchestrator.language.names import STEP_SUFFIXES
from orchestrator.language.nodes import Entry, MapNode, Node, ScalarNode, SeqNode
from orchestrator.language.scalar_map import span_inside
from orchestrator.language.spec import EmitEntry, FlowSpec, StepSpec
from orchestrator.language.spec_parts import Name
from orchestrator.language.template_scan import CLOSE, OPEN, find_close

PLURAL_TOPS = {"events": "events", "inputs": "inputs", "outputs": "outputs", "state": "state", "imports": "imports"}


class SpecSpans:
    """A `SpanIndex` over one parsed file."""

    __slots__ = ("_spec",)

    def __init__(self, spec: FlowSpec) -> None:
        self._spec = spec

    def span_of(self, path: Path) -> Span | None:
        """The token at a path: of a mapping entry whose value is a block the key, else the value."""
        found = self._find(path)
        if found is None:
            return None
        key, node = found
        if isinstance(node, ScalarNode) and len(path) > 1 and not _names_a_thing(path):
            return node.span
        if key is not None:
            return key.span
        return node.span if isinstance(node, ScalarNode) else _start(node)

    def span_of_key(self, path: Path) -> Span | None:
        """The key at a path."""
        found = self._find(path)
        return None if found is None or found[0] is None else found[0].span

    def span_within(self, path: Path, ordinal: int, start: int, end: int) -> Span | None:
        """A piece of the `ordinal`-th expression of the text at a path."""
        found = self._find(path)
        if found is None or not isinstance(found[1], ScalarNode):
            return None
        node = found[1]
        outcome = self._outcome_at(path)
        if outcome is not None:
            return outcome.span  # the condition was made of the short form
        at = _expression_offset(node.text, ordinal)
        return None if at is None else span_inside(node, at + start, at + end)

    def _outcome_at(self, path: Path) -> Name | None:
        match path:
            case ("steps", str() as name, "emit", int() as n, "when"):
                step = self._spec.steps.get(name)
                entries = () if step is None or step.emit is None else step.emit.entries
                return entries[n].outcome if n < len(entries) else None
            case _:
                return None

    def _find(self, path: Path) -> tuple[ScalarNode | None, Node] | None:
        """Key and node at a path; no key for an item of a list."""
        spec = self._spec
        match path:
            case ("flow",):
                return None if not spec.name.value else (None, spec.name.node)
            case ("steps", str() as name, *rest):
                step = spec.steps.get(name)
                if step is None:
                    return None
                return self._in_step(step, tuple(rest)) if rest else (_scalar(step.name.node), step.node)
            case ("secrets", str() as name):
                return _named(spec.secrets, name)
            case ("events", str() as name, *rest):
                event = spec.events.get(name)
                return None if event is None else _walk((_scalar(event.name.node), event.node), tuple(rest))
            case _:
                return _walk((None, spec.node), path)

    def _in_step(self, step: StepSpec, path: Path) -> tuple[ScalarNode | None, Node] | None:
        match path:
            case ("on", str() as event):
                return _named(step.on or (), event) or self._key(step, "on")
            case ("emit", int() as n, *rest):
                entries = step.emit.entries if step.emit is not None else ()
                if n >= len(entries):
                    return self._key(step, "emit")
                return self._in_entry(step, entries[n], tuple(rest))
            case ("catch", int() as n, *rest):
                if n >= len(step.catch):
                    return self._key(step, "catch")
                return _walk((None, step.catch[n].node), tuple(rest))
            case ("collect", "each", str() as event) if step.collect is not None:
                return _named(step.collect.each, event) or self._key(step, "collect")
            case ("wait", *rest) if not rest and step.wait is not None:
                return (step.keys.get("wait"), step.wait.node)
            case (str() as key, *rest):
                found = self._key(step, key)
                return None if found is None else _walk(found, tuple(rest))
            case _:
                return None

    def _key(self, step: StepSpec, key: str) -> tuple[ScalarNode | None, Node] | None:
        node = step.keys.get(key)
        if node is None:
            return None
        value = step.node.get(key)
        if value is None and self._spec.defaults is not None:
            value = self._spec.defaults.get(key)
        return (node, node if value is None else value)

    def _in_entry(self, step: StepSpec, entry: EmitEntry, path: Path) -> tuple[ScalarNode | None, Node] | None:
        if not path or path == ("event",):
            return (None, entry.event.node)
        if path == ("when",) and entry.outcome is not None:
            return (None, entry.outcome.node)
        return _walk((None, entry.node), path)


def _names_a_thing(path: Path) -> bool:
    """Whether a path stands for the name of something, so that its key is what to point at."""
    return (len(path) == 2 and path[0] in (*PLURAL_TOPS, "steps")) or (len(path) == 3 and path[0] == "events")


def _walk(found: tuple[ScalarNode | None, Node], path: Path) -> tuple[ScalarNode | None, Node] | None:
    current: tuple[ScalarNode | None, Node] = found
    for part in path:
        node = current[1]
        if isinstance(node, MapNode) and isinstance(part, str):
            entry: Entry | None = node.entries.get(part)
            if entry is None:
                return None
            current = (entry.key, entry.value)
        elif isinstance(node, SeqNode) and isinstance(part, int) and part < len(node.items):
            current = (None, node.items[part])
        else:
            return None
    return current


def _named(names: Iterable[Name], event: str) -> tuple[ScalarNode | None, Node] | None:
    """The name in a list that stands for an event: itself, or the step whose `.done` it is."""
    prefix, dot, suffix = event.rpartition(".")
    step = prefix if dot and suffix in STEP_SUFFIXES else None
    for name in names:
        if name.value == event or (step is not None and suffix == "done" and name.value == step):
            return (None, name.node)
    return None


def _scalar(node: Node) -> ScalarNode | None:
    return node if isinstance(node, ScalarNode) else None


def _start(node: Node) -> Span:
    return node.source.span(node.start, min(node.start + 1, node.end))


def _expression_offset(text: str, ordinal: int) -> int | None:
    """Where the source of an expression begins in a text: after `${{` and blanks, or at the first letter of a bare one."""
    at = text.find(OPEN)
    if at < 0 or not _is_template(text):
        return len(text) - len(text.lstrip()) if ordinal == 0 else None
    for n in range(ordinal + 1):
        start = text.find(OPEN, at)
        if start < 0:
            return None
        close = find_close(text, start + len(OPEN))
        if close is None:
            return None
        if n == ordinal:
            inner = text[start + len(OPEN) : close]
            return start + len(OPEN) + len(inner) - len(inner.lstrip())
        at = close + len(CLOSE)
    return None


def _is_template(text: str) -> bool:
    return find_close(text, text.find(OPEN) + len(OPEN)) is not None
