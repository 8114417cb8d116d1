"""Looks into the text of a YAML file where PyYAML's events do not tell, and words the findings of the composer."""

from __future__ import annotations

import re

from orchestrator.diagnostics import Edit, Fix, Related
from orchestrator.language.findings import Findings
from orchestrator.language.nodes import MapNode, Node, ScalarNode, Source
from orchestrator.language.quoting import quote
from orchestrator.language.scalars import LOOKALIKES

_COLON = re.compile(r"\s*:")

PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*(?:[ \t]+|[ \t]*(?:#[^\n]*)?\r?\n\s*))+")
SURROGATE = re.compile("[\ud800-\udfff]")
GLUED_COMMENT = re.compile("[|>][-+0-9]*#")
DIRECTIVE = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*(?P<line>%[^\r\n]*)")
_BEFORE_COMMENT = re.compile("(?<=[^ \n]) +#")


def comment_starts(text: str) -> frozenset[int]:
    """The offsets at which a run of spaces with a `#` after it begins."""
    if " #" not in text:
        return frozenset()
    return frozenset(match.start() for match in _BEFORE_COMMENT.finditer(text))


def is_open(text: str) -> bool:
    """Whether a round bracket or a double quote that begins in the text does not end in it."""
    return text.count("(") > text.count(")") or text.count('"') % 2 == 1


def has_colon(text: str, key_end: int) -> bool:
    """Whether a colon follows the key that ends there."""
    return _COLON.match(text, key_end) is not None


def after_properties(text: str, start: int) -> int:
    """The offset of a value behind its anchor and tag; PyYAML's events begin at these."""
    match = PROPERTIES.match(text, start)
    return start if match is None else match.end()


def report_number(node: ScalarNode, reason: str, findings: Findings) -> None:
    fix = Fix("quote it as text", (Edit(node.span, quote(node.text)),))
    findings.error("FLW114", reason, node.span, help="quote it if it is text", fix=fix)


def report_lookalike(node: ScalarNode, findings: Findings) -> None:
    word = LOOKALIKES[node.text]
    findings.warning(
        "FLW115",
        f"`{node.text}` is text here: only `{word}` in small letters is the constant",
        node.span,
        help=f"write `{word}`, or quote it if text is meant",
        fix=Fix(f"write `{word}`", (Edit(node.span, word),), is_safe=False),
    )


def report_merge(node: ScalarNode, findings: Findings) -> None:
    way_out = "repeat the keys, or put what all steps share into `defaults:`"
    findings.error("FLW107", "merge keys are not allowed", node.span, help=way_out)


def report_key(node: ScalarNode, findings: Findings) -> None:
    """A key that is a number, a constant or nothing."""
    findings.error(
        "FLW111",
        f"`{node.text}` is no text, and keys are text" if node.text else "a key is missing before this colon",
        node.span,
        help="quote the key" if node.text else "write a key, or quote the whole text",
        fix=Fix("quote the key", (Edit(node.span, quote(node.text)),)) if node.text else None,
    )


def report_collection_key(node: Node, source: Source, findings: Findings) -> None:
    """A list or mapping as a key; `{{ x }}` is one to YAML."""
    text = source.text
    start, end = node.start - 1, node.end + 1
    findings.drop("FLW111", node.span)
    if isinstance(node, MapNode) and text.startswith("{{", start) and text.startswith("}}", end - 2):
        span = source.span(start, end)
        inner = text[start + 2 : end - 2].strip()
        fix = Fix("write it as an expression", (Edit(span, quote("${{ " + inner + " }}")),))
        message = "YAML reads `{{ … }}` as a mapping inside a mapping"
        findings.error("FLW111", message, span, help="expressions are written `${{ … }}`", fix=fix)
        return
    findings.error("FLW111", "a list or mapping cannot be a key", node.span, help="keys are text")


def report_duplicate(key: ScalarNode, first: ScalarNode, findings: Findings) -> None:
    findings.error(
        "FLW105",
        f"the key `{key.text}` stands here twice",
        key.span,
        help="keep one of the two",
        related=[Related(first.span, "the first one is here")],
    )


def report_valueless(key: ScalarNode, findings: Findings) -> None:
    findings.error(
        "FLW111",
        f"the key `{key.text}` has no value",
        key.span,
        help=f"write `{key.text}: …`; text that holds a comma must be quoted",
    )


def report_alias(name: str, start: int, end: int, source: Source, findings: Findings, *, is_known: bool) -> None:
    """An alias of nothing, or (`is_known`) one inside what it stands for."""
    if is_known:
        message, way_out = f"`*{name}` stands inside what it refers to", "write the part out"
    else:
        message = f"`*{name}` refers to an anchor that is not defined above"
        way_out = f"define it with `&{name}` before, or quote the text if a star is meant"
    findings.error("FLW109", message, source.span(start, end), help=way_out)


def report_tag(start: int, source: Source, findings: Findings) -> None:
    text = source.text
    start = text.find("!", start)
    end = start
    while end < len(text) and not text[end].isspace():
        end += 1
    fix = Fix("delete the tag", (Edit(source.span(start, min(end + 1, len(text))), ""),), is_safe=False)
    message = f"tags such as `{text[start : min(end, start + 60)]}` are not allowed"
    findings.error("FLW106", message, source.span(start, end), help="delete it; quote a value that is text", fix=fix)
