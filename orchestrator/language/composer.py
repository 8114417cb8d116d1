"""Builds the node tree from PyYAML's events and checks, event by event, what the flow language allows of YAML.

Theory: one loop, an explicit stack, no recursion: depth and node count are checked before a node is kept, so no input
can nest or expand further than the limits. An anchor remembers how many nodes it stands for; an alias adds that number.
A finding never stops the loop unless a limit is passed: a bad tag, key or merge is reported and left out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from orchestrator.language.findings import Findings
from orchestrator.language.limits import MAX_DEPTH, MAX_KEY, MAX_NODES, MAX_SCALAR
from orchestrator.language.nodes import Entry, MapNode, Node, Scalar, ScalarNode, SeqNode, Source, Style
from orchestrator.language.scalar_map import span_inside
from orchestrator.language.scalars import CONSTANTS, LOOKALIKES, UnstorableNumber, resolve_plain
from orchestrator.language.syntax import report_directive
from orchestrator.language.yaml_text import (
    DIRECTIVE,
    GLUED_COMMENT,
    SURROGATE,
    after_properties,
    comment_starts,
    has_colon,
    is_open,
    report_alias,
    report_collection_key,
    report_duplicate,
    report_key,
    report_lookalike,
    report_merge,
    report_number,
    report_tag,
    report_valueless,
)

Event = Any  # the C and the pure parser give events of one shape, which the stubs leave half untyped


class EventParser(Protocol):
    """What the C and the pure parser of PyYAML have in common."""

    def get_event(self) -> Event: ...


class LimitPassed(Exception):
    """A limit was passed; the finding is already made."""


STYLES = {
    None: Style.PLAIN, "": Style.PLAIN, "'": Style.SINGLE, '"': Style.DOUBLE, "|": Style.LITERAL, ">": Style.FOLDED,
}  # fmt: skip
_UNSEEN = object()
_PLAIN, _SINGLE = Style.PLAIN, Style.SINGLE  # looking a member up in its class is slow, and this is done per scalar
_new_entry: Callable[[tuple[ScalarNode, Node]], Entry] = partial(tuple.__new__, Entry)  # a third of the time of Entry()


class Frame:
    """An open collection: `key` is the key that waits for its value, `last` the value that came last."""

    __slots__ = ("anchor", "first_count", "key", "last", "node")

    def __init__(self, node: MapNode | SeqNode, anchor: str | None, first_count: int) -> None:
        self.node = node
        self.key: ScalarNode | None = None
        self.last: Node | None = None
        self.anchor = anchor
        self.first_count = first_count


class Composer:
    """One pass over the events of one file. After `run`, or when it raised, `root`, `stack` and `bent` can be read."""

    def __init__(self, parser: EventParser, source: Source, findings: Findings, rescued: dict[int, int]) -> None:
        self.source = source
        self.findings = findings
        self.rescued = rescued  # start -> end of the texts that a trap has bent and the reader has blanked
        self._has_question = "?" in source.text
        self.commented_at = comment_starts(source.text)
        self.root: Node | None = None
        self.stack: list[Frame] = []
        self.bent: list[ScalarNode] = []
        self.anchor_names: dict[int, str] = {}  # id of a node -> the name of its anchor
        self.before_comment: list[ScalarNode] = []  # plain texts that a ` #` follows
        self._parser = parser
        self._values: dict[str, Scalar | object] = dict(CONSTANTS)
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._skipped = ScalarNode(None, "", Style.PLAIN, 0, 0, source)
        self._count = 0
        self._documents = 0

    def run(self) -> None:
        """Consume the whole stream.

        Raises: LimitPassed, and PyYAML's YAMLError where the text is no YAML.
        """
        next_event = self._parser.get_event
        scalar, attach = self._scalar, self._attach
        while True:
            event = next_event()
            kind = event.__class__
            if kind is ScalarEvent:
                attach(scalar(event))
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                self._open(event)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                self._close(event)
            elif kind is AliasEvent:
                self._alias(event)
            elif kind is DocumentStartEvent:
                if not self._document(event):
                    return
            elif kind is StreamEndEvent or event is None:
                return

    def _document(self, event: Event) -> bool:
        self._documents += 1
        start, end = event.start_mark.index, event.end_mark.index
        if self._documents > 1:
            self.findings.error(
                "FLW108",
                "a second document begins here; a flow file holds one flow",
                self.source.span(start, end),
                help="put each flow into a file of its own",
            )
            return False
        directive = DIRECTIVE.match(self.source.text)
        if directive is not None:
            report_directive(self.source, self.source.position(directive.start("line"))[0], self.findings)
        return True

    def _scalar(self, event: Event) -> ScalarNode:
        text: str = event.value
        style = STYLES[event.style]
        start: int = event.start_mark.index
        if event.anchor is not None or event.tag is not None:
            start = min(after_properties(self.source.text, start), event.end_mark.index)
        node = ScalarNode(text, text, style, start, event.end_mark.index, self.source)
        self._count += 1
        if self._count > MAX_NODES:
            self._too_many(start)
        if style is _PLAIN:
            value = self._values.get(text, _UNSEEN)
            node.value = self._resolve(node) if value is _UNSEEN else cast(Scalar, value)
            if self.rescued and start in self.rescued:
                self._bend(node, self.rescued[start])
            elif self._has_question and "?" in text and self.stack and self.stack[-1].node.is_flow:
                self._bend(node, node.end)  # the pure parser ends the text there, the C one does not
            elif node.end in self.commented_at:
                self.before_comment.append(node)
        elif style is not _SINGLE:
            self._check_odd_text(node)
        if len(text) > MAX_SCALAR:
            self.findings.error(
                "FLW112",
                f"a text of {len(text):,} characters; {MAX_SCALAR:,} are allowed",
                node.source.span(start, start),
            )
            raise LimitPassed
        if event.tag is not None:
            report_tag(event.start_mark.index, self.source, self.findings)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, 1)
            self.anchor_names[id(node)] = event.anchor
        return node

    def _check_odd_text(self, node: ScalarNode) -> None:
        """What only one of PyYAML's parsers accepts: half characters, and a comment right behind `|` or `>`."""
        if node.style is Style.DOUBLE:
            match = None if node.text.isascii() else SURROGATE.search(node.text)
            if match is not None:
                span = span_inside(node, match.start(), match.end())
                self.findings.error("FLW103", "an escape for half a character", span, help="write the whole character")
                node.text = node.value = SURROGATE.sub("\ufffd", node.text)
        elif GLUED_COMMENT.match(self.source.text, node.start):
            self.findings.error(
                "FLW117",
                "a comment right behind `|` or `>` is not read alike by all",
                self.source.span(node.start, node.start + 1),
                help="put a space before `#`",
            )

    def _resolve(self, node: ScalarNode) -> Scalar:
        text = node.text
        try:
            value = resolve_plain(text)
        except UnstorableNumber as error:
            report_number(node, str(error), self.findings)
            node.bent = True
            return text
        if text in LOOKALIKES:
            report_lookalike(node, self.findings)
        else:
            self._values[text] = value
        return value

    def _bend(self, node: ScalarNode, end: int) -> None:
        """Take the text up to `end` as the value that was meant; the reader reports it."""
        node.end = end
        node.text = node.value = self.source.text[node.start : end]
        if not node.bent:
            node.bent = True
            self.bent.append(node)

    def _attach(self, node: Node) -> None:
        stack = self.stack
        if not stack:
            if self.root is None:
                self.root = node
            return
        frame = stack[-1]
        parent = frame.node
        if parent.__class__ is SeqNode:
            parent.items.append(node)
            frame.last = node
            return
        key = frame.key
        if key is None:
            frame.key = self._key(node)
            return
        frame.key = None
        if key is self._skipped:
            return
        entries = parent.entries  # type: ignore[union-attr]  # the class test above leaves a mapping
        name = key.text
        if name in entries:
            report_duplicate(key, entries[name].key, self.findings)
            return
        if (
            node.__class__ is ScalarNode
            and parent.is_flow
            and node.text == ""
            and not has_colon(self.source.text, key.end)
        ):
            self._valueless(frame, key)
            return
        entries[name] = _new_entry((key, node))
        frame.last = node

    def _key(self, node: Node) -> ScalarNode:
        if node.__class__ is not ScalarNode:
            report_collection_key(node, self.source, self.findings)
            return self._skipped
        if node.value.__class__ is not str:
            report_key(node, self.findings)
        elif node.text == "<<" and node.is_plain:
            report_merge(node, self.findings)
            return self._skipped
        if len(node.text) > MAX_KEY:
            self.findings.error("FLW112", f"a key of {len(node.text)} characters; {MAX_KEY} are allowed", node.span)
            raise LimitPassed
        return node

    def _valueless(self, frame: Frame, key: ScalarNode) -> None:
        """A key without a value in a flow mapping: the comma before it was meant as part of the text before."""
        last = frame.last
        if isinstance(last, ScalarNode) and last.is_plain and last.text and key.is_plain:
            self._bend(last, key.end)
            return
        report_valueless(key, self.findings)

    def _open(self, event: Event) -> None:
        is_flow = bool(event.flow_style)
        start: int = event.start_mark.index
        self._count += 1
        if len(self.stack) >= MAX_DEPTH:
            self.findings.error("FLW112", f"nested deeper than {MAX_DEPTH} levels", self.source.span(start, start + 1))
            raise LimitPassed
        if self._count > MAX_NODES:
            self._too_many(start)
        if event.tag is not None:
            report_tag(event.start_mark.index, self.source, self.findings)
        if event.anchor is not None or event.tag is not None:
            start = after_properties(self.source.text, start)
        node: MapNode | SeqNode
        is_map = event.__class__ is MappingStartEvent
        if is_map:
            node = MapNode({}, start, event.end_mark.index, self.source, is_flow)
        else:
            node = SeqNode([], start, event.end_mark.index, self.source, is_flow)
        self.stack.append(Frame(node, event.anchor, self._count))
        if event.anchor is not None:
            self.anchor_names[id(node)] = event.anchor
            self._anchors[event.anchor] = (node, 0)  # 0: still open, so an alias to it would be a cycle

    def _close(self, event: Event) -> None:
        frame = self.stack.pop()
        node = frame.node
        if node.is_flow:
            node.end = event.end_mark.index
            if node.__class__ is SeqNode:
                self._join_split_items(node)
        elif frame.last is not None:
            node.end = max(frame.last.end, node.end) if frame.last.start >= node.start else node.end
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (node, self._count - frame.first_count + 1)
        self._attach(node)

    def _join_split_items(self, node: SeqNode) -> None:
        """`[f(a, b)]` and `[say "a, b"]`: items that only a comma inside brackets or quotes has split."""
        items: list[Node] = []
        for item in node.items:
            last = items[-1] if items else None
            if (
                isinstance(last, ScalarNode)
                and isinstance(item, ScalarNode)
                and last.is_plain
                and item.is_plain
                and is_open(last.text)
            ):
                self._bend(last, item.end)
            else:
                items.append(item)
        node.items[:] = items

    def _alias(self, event: Event) -> None:
        name = event.anchor
        known = self._anchors.get(name)
        start, end = event.start_mark.index, event.end_mark.index
        if known is None or known[1] == 0:
            report_alias(name, start, end, self.source, self.findings, is_known=known is not None)
            text = self.source.text[start:end]
            self._attach(ScalarNode(text, text, Style.PLAIN, start, end, self.source, bent=True))
            return
        node, size = known
        self._count += size
        if self._count > MAX_NODES:
            self._too_many(event.start_mark.index)
        self._attach(node)

    def _too_many(self, start: int) -> None:
        self.findings.error(
            "FLW112",
            f"more than {MAX_NODES:,} values, those that aliases repeat included",
            self.source.span(start, start),
            help="cut the flow into sub-flows with `imports:`",
        )
        raise LimitPassed
