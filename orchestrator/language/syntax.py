"""Turns what PyYAML says of a broken file into plain words with a way out. Decides no rule of the language."""

from __future__ import annotations

import re

from yaml.error import MarkedYAMLError, YAMLError

from orchestrator.diagnostics import Edit, Fix, Related, Span
from orchestrator.language.findings import Findings
from orchestrator.language.nodes import Source

_NO_SPACE = re.compile(r"(?P<before>[ \t]*(?:- +)*[\w.-]+:)(?P<value>[^\s:].*)")
# (part of PyYAML's problem or context, message, help); the first that is found counts.
_WORDS: tuple[tuple[str, str, str], ...] = (
    ("mapping values are not allowed", "a `key:` cannot stand here",
     "indent the line like the keys above it, or quote the text if it is no key"),
    ("block sequence entries are not allowed", "a list item cannot begin on this line",
     "put `- ` on a line of its own, below the key"),
    ("sequence entries are not allowed", "a list item cannot begin on this line",
     "put `- ` on a line of its own, below the key"),
    ("while scanning a quoted scalar", "a quoted text is not closed", "add the closing quote"),
    ("unknown escape", "an unknown escape in a double-quoted text", "write `\\\\` for a backslash, or use single quotes"),
    ("escape sequence", "a broken escape in a double-quoted text", "write `\\\\` for a backslash, or use single quotes"),
    ("hexdecimal", "a broken escape in a double-quoted text", "write `\\\\` for a backslash, or use single quotes"),
    ("hexadecimal", "a broken escape in a double-quoted text", "write `\\\\` for a backslash, or use single quotes"),
    ("while parsing a flow sequence", "a list in `[ ]` is not closed, or lacks a comma",
     "close it, or write the list in lines that begin with `- `"),
    ("while parsing a flow mapping", "a mapping in `{ }` is not closed, or lacks a comma",
     "close it, or write one `key: value` on each line"),
    ("while parsing a block collection", "the line fits no list above it", "indent it like the `- ` it belongs to"),
    ("while parsing a block mapping", "the line fits no mapping above it", "indent it like the keys it belongs to"),
    ("while scanning a simple key", "a `key` without its colon", "write `key: value`"),
    ("while scanning a block scalar", "a broken block text", "write `|` or `>` at the end of the line, the text below"),
    ("while scanning an alias", "`*` begins an alias in YAML", "quote the text"),
    ("while scanning an anchor", "`&` begins an anchor in YAML", "quote the text"),
    ("tag", "a broken tag: `!` begins a tag in YAML", "quote the text"),
    ("unexpected ':'", "a colon stands where a key or a value should", "write `key: value`, or quote the text"),
    ("cannot start any token", "a text cannot begin with this character", "quote the text"),
)  # fmt: skip


def report_syntax(error: YAMLError, source: Source, text: str, findings: Findings) -> None:
    """One finding for the place where the parser gave up."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        position = getattr(error, "position", 0)
        at = min(position if isinstance(position, int) else 0, len(text))
        findings.error("FLW101", "this is not YAML", source.span(at, at))
        return
    if _report_tabs(source, text, findings):
        return
    at = min(error.problem_mark.index, len(text))
    context_at = None if error.context_mark is None else min(error.context_mark.index, len(text))
    said = f"{error.context or ''} {error.problem or ''}"
    if _report_missing_space(source, text, at if context_at is None else context_at, said, findings):
        return
    if "directive" in said:
        report_directive(source, source.position(at)[0], findings)
        return
    message, way_out = "this is not YAML", "check the indentation and the quotes"
    for part, words, help_text in _WORDS:
        if part in said:
            message, way_out = words, help_text
            break
    if text.startswith("\t", at):
        tab = source.span(at, at + 1)
        findings.error("FLW104", "a tab between the parts of a line", tab, help="use spaces", fix=use_space(tab))
        return
    if "mapping values" in said:
        line_start = text.rfind("\n", 0, at) + 1
        at = line_start + len(text[line_start:at]) - len(text[line_start:at].lstrip(" -"))
        context_at = None
    if "quoted scalar" in said and "unexpected" in said and context_at is not None:
        at = context_at
    elif at == len(text) and context_at is not None:
        at, context_at = context_at, None
    related = []
    if context_at is not None and source.position(context_at)[0] != source.position(at)[0]:
        related.append(Related(source.span(context_at, context_at + 1), "what is being read begins here"))
    findings.error("FLW101", message, source.span(at, _word_end(text, at)), help=way_out, related=related)


def use_space(tab: Span) -> Fix:
    """The fix for a tab that stands between two parts of a line."""
    return Fix("use a space", (Edit(tab, " "),))


def report_directive(source: Source, line: int, findings: Findings) -> None:
    """The one message for a line that begins with %."""
    start = source.offset(line, 1)
    findings.error(
        "FLW113",
        "YAML directives are not allowed: not every reader treats them alike",
        source.span(start, start + len(source.line_text(line))),
        help="delete the lines that begin with %",
    )


def _word_end(text: str, at: int) -> int:
    end = at
    while end < len(text) and end - at < 40 and not text[end].isspace():
        end += 1
    return max(end, min(at + 1, len(text)) if at < len(text) and text[at] != "\n" else at)


_TAB_INDENT = re.compile(r"^[ ]*(\t[ \t]*)(?=[^ \t\r\n])", re.MULTILINE)


def _report_tabs(source: Source, text: str, findings: Findings) -> bool:
    """Lines that a tab indents: the trouble is theirs, whatever the parser says. One finding, a fix for all of them."""
    spans = [source.span(match.start(1), match.end(1)) for match in _TAB_INDENT.finditer(text)]
    if not spans:
        return False
    edits = tuple(Edit(span, "  " * (span.end_column - span.column)) for span in spans)
    findings.error(
        "FLW104",
        "a tab indents this line" + (f", and {len(spans) - 1:,} more are like it" if len(spans) > 1 else ""),
        spans[0],
        help="indent with spaces",
        fix=Fix("indent with two spaces for each tab", edits, is_safe=False),
    )
    return True


def _report_missing_space(source: Source, text: str, at: int, said: str, findings: Findings) -> bool:
    if "simple key" not in said and "block mapping" not in said and "mapping values" not in said:
        return False
    line, _ = source.position(at)
    match = _NO_SPACE.match(source.line_text(line))
    if match is None and "mapping values" in said:
        line -= 1
        match = _NO_SPACE.match(source.line_text(line))
    if match is None or match.group("value").startswith("//"):
        return False
    start = source.offset(line, 1)
    key_end = start + match.end("before")
    key = match.group("before").strip(" -")
    findings.error(
        "FLW101",
        f"a space is missing after `{key}`",
        source.span(key_end - 1, key_end),
        help=f"write `{key} {match.group('value').strip()}`",
        fix=Fix("add the space", (Edit(source.span(key_end, key_end), " "),)),
    )
    return True
