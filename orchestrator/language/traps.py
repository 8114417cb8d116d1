"""YAML's own traps: texts that YAML cuts, splits or refuses because they are not quoted.

A trap is found either where the parser stops (`trap_at`) or, when YAML read something else than was written, after the
parsing (`find_cut_texts`). Both give the region of the whole text, which quoted is what the author meant.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from yaml.error import MarkedYAMLError

from orchestrator.diagnostics import Edit, Fix
from orchestrator.language.composer import Composer, Frame
from orchestrator.language.findings import Findings
from orchestrator.language.nodes import MapNode, Node, ScalarNode, SeqNode, Source
from orchestrator.language.quoting import quote
from orchestrator.language.template_scan import find_close

_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#")
_LOOSE_COMMENT = re.compile(r"[ \t]+#(?:[ \t]|$)")
_CUT = re.compile(r" #[^\s#!]| +#[^\n]*")
_ITEM_MARK = re.compile(r"[ \t]*(?:-[ \t]+)*\Z")


class Region(NamedTuple):
    """The offsets of a text that must be quoted."""

    start: int
    end: int


def report_trap(source: Source, start: int, end: int, findings: Findings) -> None:
    """The one message that all traps share."""
    text = source.text[start:end]
    span = source.span(start, end)
    meant = " ".join(text.split()) if "\n" in text else text
    if text[0] in "'\"" and text[-1] == text[0] and text.count(text[0]) % 2 == 1:
        meant = meant[1:-1]  # an apostrophe or inch mark inside quotes of its own kind
    shown = text if len(text) <= 60 else text[:57] + "..."
    findings.error(
        "FLW110",
        f"YAML does not read `{' '.join(shown.split())}` as one text",
        span,
        help=f"quote the whole of it: {quote(meant) if len(meant) <= 60 else quote(meant[:57] + '...')}",
        fix=Fix("quote the whole text", (Edit(span, quote(meant)),)),
    )


def trap_at(error: MarkedYAMLError, composer: Composer, text: str) -> Region | None:
    """The text whose quoting would let the parser pass the place where it stopped, if that is the trouble."""
    mark = error.problem_mark
    if mark is None:
        return None
    at = min(mark.index, len(text))
    if text.startswith("\t", at) or "quoted scalar" in (error.context or ""):
        return None
    if error.context_mark is not None and "alias" in (error.context or "") + (error.problem or ""):
        at = min(at, error.context_mark.index)
    frame = composer.stack[-1] if composer.stack else None
    in_flow = frame is not None and frame.node.is_flow
    if in_flow and frame is not None and composer.before_comment and composer.before_comment[-1] is frame.last:
        cut = frame.last
        end = _flow_end(text, cut.start)
        return Region(cut.start, end) if _is_own_hash(cut.text, text[cut.end : end]) else None
    start = _value_start(frame, at, text)
    if start is None:
        return None
    end = _flow_end(text, start) if in_flow else _block_end(text, start)
    if end <= start or not start <= at < end or "\n" in text[start:end]:
        return None
    value = text[start:end]
    if value[0] in "|>" and re.match(r"[|>][-+0-9]*\s", value) is None and len(value) == 1:
        return None
    if value.startswith("- ") or value == "-" or _closes_nothing(value):
        return None
    return Region(start, end)


def _value_start(frame: Frame | None, at: int, text: str) -> int | None:
    """Where the text begins that holds the offset `at`: the value that waits or the one that came last."""
    line_start = text.rfind("\n", 0, at) + 1
    if frame is None:
        return None
    if isinstance(frame.node, MapNode) and frame.key is not None:
        return _after_colon(text, frame.key.end, at)
    last: Node | None = frame.last
    if last is not None and line_start <= last.start <= at:
        if isinstance(last, ScalarNode) and last.text == "" and last.start == last.end:
            before = text.rfind(":", line_start, at)
            last_key = _last_key(frame)
            before = text.find(":", last_key.end, at) if last_key is not None else before
            return None if before < 0 else _skip_blanks(text, before + 1)
        between = text[last.end : at]
        if frame.node.is_flow and "," in between and "#" not in between:
            return _skip_blanks(text, last.end + between.rindex(",") + 1)
        return last.start
    if isinstance(frame.node, SeqNode):
        if frame.node.is_flow:
            return at
        prefix = text[line_start:at]
        if _ITEM_MARK.match(prefix) and "-" in prefix:
            return at
        mark = re.match(r"[ \t]*(?:-[ \t]+)+", text[line_start:])
        return line_start + mark.end() if mark else None
    return None


def _last_key(frame: Frame) -> ScalarNode | None:
    if isinstance(frame.node, MapNode) and frame.node.entries:
        return next(reversed(frame.node.entries.values())).key
    return None


def _after_colon(text: str, key_end: int, at: int) -> int | None:
    colon = text.find(":", key_end)
    if colon < 0 or "\n" in text[key_end : colon + 1]:
        return None
    start = _skip_blanks(text, colon + 1)
    return start if start <= at and "\n" not in text[start:at] else None


def _skip_blanks(text: str, offset: int) -> int:
    while offset < len(text) and text[offset] in " \t":
        offset += 1
    return offset


def _block_end(text: str, start: int) -> int:
    """The end of the text in its line, without a comment that is plainly one."""
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    line = text[start:end]
    comment = _LOOSE_COMMENT.search(line)
    if comment and line[: comment.start()].count('"') % 2 == 0:
        line = line[: comment.start()]
    return start + len(line.rstrip())


def _flow_end(text: str, start: int) -> int:
    """The end of the text that an author meant inside `{ }` or `[ ]`: brackets, quotes and `${{ }}` are kept whole."""
    depth = 0
    offset = start
    while offset < len(text):
        char = text[offset]
        if char == "\n":
            break
        if text.startswith("${{", offset):
            close = find_close(text, offset + 3)
            line_end = text.find("\n", offset)
            if close is not None and (line_end < 0 or close < line_end):
                offset = close + 2
                continue
        if char == '"':
            close_quote = text.find('"', offset + 1)
            if close_quote >= 0 and "\n" not in text[offset:close_quote]:
                offset = close_quote + 1
                continue
        if char in "([{":
            depth += 1
        elif char in ")]}":
            if depth == 0 and char != ")":
                break
            depth = max(0, depth - 1)
        elif char == "," and depth == 0:
            break
        offset += 1
    return start + len(text[start:offset].rstrip())


def _closes_nothing(value: str) -> bool:
    """Whether the value is a list or mapping that is not closed, which quoting would only hide."""
    if value[0] == "[":
        return value.count("[") > value.count("]")
    if value[0] == "{":
        return value.count("{") > value.count("}")
    if value[0] in "\"'":
        return value.count(value[0]) < 2
    return False


def find_cut_texts(composer: Composer, text: str) -> list[ScalarNode]:
    """Mend plain texts that YAML has cut at a ` #` that begins no comment, and return them.

    A `#` is taken for the text's own when a word follows it at once (`Issue #12`), or when the text before it has an
    open quote or `${{`. Every other ` #` is a comment.
    """
    mended = []
    for node in composer.before_comment:
        end = node.end
        if not text.startswith(" #", end) and not text.startswith("  ", end):
            continue
        match = _CUT.match(text, end)
        if match is None or "\n" in text[end : match.end()]:
            continue
        line_end = text.find("\n", end)
        line_end = len(text) if line_end < 0 else line_end
        rest = text[end:line_end]
        if _is_own_hash(node.text, rest):
            node.end = end + len(rest.rstrip())
            node.text = node.value = text[node.start : node.end]
            node.bent = True
            mended.append(node)
    return mended


def _is_own_hash(text: str, rest: str) -> bool:
    """Whether the `#` that begins `rest` belongs to the text before it."""
    if rest.startswith(" #") and len(rest) > 2 and rest[2].isalnum():
        return True
    if text.count("${{") > text.count("}}"):
        return True
    return (text.count('"') % 2 == 1 and '"' in rest) or (text.count("(") > text.count(")") and ")" in rest)
