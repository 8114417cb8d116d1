"""Findings as people and tools read them: text with snippets, JSON, GitHub annotations, SARIF, JUnit. Decides no finding.

Whatever a file holds, its text is shown inert: control and direction characters never reach a terminal.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from orchestrator.diagnostics import Diagnostic, Fix, Severity, Span

FORMATS = ("text", "json", "github", "sarif", "junit")
_MAX_WIDTH = 160
_LABEL_WIDTH = 110
_COLORS = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.INFO: "\x1b[1;36m"}
_DIM, _BOLD, _RESET = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)


def render(
    format: str, diagnostics: Sequence[Diagnostic], texts: Mapping[str, str], *, titles: Mapping[str, str] | None = None
) -> str:
    """The findings in one of `FORMATS`.

    `texts` maps each file to its text, for snippets and, in JUnit, for the files without a finding; `titles` maps codes
    to the names of their checks.
    """
    match format:
        case "text":
            return render_text(diagnostics, texts)
        case "json":
            return render_json(diagnostics)
        case "github":
            return render_github(diagnostics)
        case "sarif":
            return render_sarif(diagnostics, titles or {})
        case "junit":
            return render_junit(diagnostics, texts)
        case _:
            raise ValueError(f"no such format: {format}; there are {', '.join(FORMATS)}")


def render_text(diagnostics: Iterable[Diagnostic], texts: Mapping[str, str], *, color: bool = False) -> str:
    """Each finding with its line, a caret under the place, the second places and the way out."""
    snippets = _Snippets(texts, color)
    return "".join(snippets.finding(diagnostic) + "\n" for diagnostic in diagnostics)


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """`2 errors, 1 warning`, or an empty text."""
    counts = Counter(d.severity for d in diagnostics)
    words = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
    parts = [f"{counts[s]} {word}{'' if counts[s] == 1 else 's'}" for s, word in words.items() if counts[s]]
    return ", ".join(parts)


class _Snippets:
    """Draws findings; keeps the lines of each file, and whether to colour."""

    def __init__(self, texts: Mapping[str, str], color: bool) -> None:
        self._texts = texts
        self._lines: dict[str, list[str]] = {}
        self._color = color

    def finding(self, diagnostic: Diagnostic) -> str:
        gutter = (
            max([len(str(diagnostic.span.line)), *(len(str(r.span.line)) for r in diagnostic.related)], default=1) + 4
        )
        tint = _COLORS[diagnostic.severity]
        head = self._paint(tint, f"{diagnostic.severity.value}[{diagnostic.code}]")
        lines = [f"{_inert(str(diagnostic.span))}: {head}: {self._paint(_BOLD, _inert(diagnostic.message))}"]
        help_text = None if diagnostic.help is None else _inert(diagnostic.help)
        drawn = self._snippet(diagnostic.span, "^", help_text, gutter, tint)
        lines += drawn
        for related in diagnostic.related:
            message = _inert(related.message)
            if related.span.file != diagnostic.span.file:
                lines.append(f"{' ' * gutter} = {_inert(str(related.span))}: {message}")
            lines += self._snippet(related.span, "-", message, gutter, _DIM)
        if help_text is not None and not (drawn and drawn[-1].endswith(self._paint(tint, help_text))):
            lines.append(f"{' ' * gutter} = help: {help_text}")
        if diagnostic.fix is not None:
            manner = "check --fix" if diagnostic.fix.is_safe else "check --fix --unsafe"
            lines.append(f"{' ' * gutter} = fix: {_inert(diagnostic.fix.title)} ({manner})")
        return "\n".join(lines) + "\n"

    def _snippet(self, span: Span, mark: str, label: str | None, gutter: int, tint: str) -> list[str]:
        text = self._line(span.file, span.line)
        if text is None:
            return []
        start = min(span.column - 1, len(text))
        end = span.end_column - 1 if span.end_line == span.line else len(text)
        end = min(max(end, start + 1), max(len(text), start + 1))
        shown, start, end = _crop(text, start, end)
        pad = " " * _width(shown[:start])
        carets = mark * max(1, _width(shown[start:end]))
        under = f"{' ' * gutter} | {pad}{self._paint(tint, carets)}"
        if label is not None and len(pad) + len(carets) + len(label) <= _LABEL_WIDTH:
            under += " " + self._paint(tint, label)
        return [f"{span.line:>{gutter}} | {_inert(shown)}".rstrip(), under]

    def _line(self, file: str, number: int) -> str | None:
        if file not in self._lines:
            self._lines[file] = self._texts[file].split("\n") if file in self._texts else []
        lines = self._lines[file]
        return lines[number - 1].rstrip("\r") if 1 <= number <= len(lines) else None

    def _paint(self, tint: str, text: str) -> str:
        return f"{tint}{text}{_RESET}" if self._color else text


def _inert(text: str) -> str:
    return _UNSAFE.sub(lambda match: " " if match.group() in "\t\n" else "\ufffd", text)


def _crop(text: str, start: int, end: int) -> tuple[str, int, int]:
    """A long line cut to what lies around the place."""
    if len(text) <= _MAX_WIDTH:
        return text, start, end
    first = max(0, min(start - 40, len(text) - _MAX_WIDTH))
    last = first + _MAX_WIDTH
    before, after = ("…" if first else ""), ("…" if last < len(text) else "")
    shift = len(before) - first
    return before + text[first:last] + after, start + shift, min(end, last) + shift


def _width(text: str) -> int:
    """How many cells of a terminal the text takes, once it is inert."""
    cells = 0
    for char in text:
        if not unicodedata.combining(char):
            cells += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return cells


def render_json(diagnostics: Iterable[Diagnostic]) -> str:
    """A JSON list, one object per finding."""
    return json.dumps([d.to_json() for d in diagnostics], ensure_ascii=False, indent=2) + "\n"


def render_github(diagnostics: Iterable[Diagnostic]) -> str:
    """Workflow commands that GitHub shows beside the lines of a pull request."""
    words = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
    lines = []
    for d in diagnostics:
        place = f"file={_property(d.span.file)},line={d.span.line},col={d.span.column}"
        if d.span.end_line == d.span.line:
            place += f",endLine={d.span.end_line},endColumn={d.span.end_column}"
        message = d.message if d.help is None else f"{d.message}\n{d.help}"
        message += "".join(f"\n{r.span}: {r.message}" for r in d.related if r.span.file != d.span.file)
        lines.append(f"::{words[d.severity]} {place},title={_property(d.code)}::{_data(message)}\n")
    return "".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def render_sarif(diagnostics: Iterable[Diagnostic], titles: Mapping[str, str]) -> str:
    """SARIF 2.1.0, for code scanning."""
    found = list(diagnostics)
    rules = [
        {"id": code, "shortDescription": {"text": titles.get(code, code)}} for code in sorted({d.code for d in found})
    ]
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "orchestrator", "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "results": [_sarif_result(d) for d in found],
            }
        ],
    }
    return json.dumps(log, ensure_ascii=False, indent=2) + "\n"


def _sarif_result(d: Diagnostic) -> dict[str, Any]:  # JSON
    levels = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
    message = d.message if d.help is None else f"{d.message}. {d.help}"
    result: dict[str, Any] = {
        "ruleId": d.code,
        "level": levels[d.severity],
        "message": {"text": message},
        "locations": [{"physicalLocation": _sarif_place(d.span)}],
    }
    if d.related:
        result["relatedLocations"] = [
            {"physicalLocation": _sarif_place(r.span), "message": {"text": r.message}} for r in d.related
        ]
    if d.fix is not None:
        result["fixes"] = [_sarif_fix(d.fix)]
    return result


def _sarif_place(span: Span) -> dict[str, Any]:  # JSON
    return {"artifactLocation": {"uri": quote(span.file.replace("\\", "/"))}, "region": _region(span)}


def _region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }


def _sarif_fix(fix: Fix) -> dict[str, Any]:  # JSON
    by_file: dict[str, list[dict[str, Any]]] = {}
    for edit in fix.edits:
        change = {"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.text}}
        by_file.setdefault(edit.span.file, []).append(change)
    return {
        "description": {"text": fix.title},
        "artifactChanges": [
            {"artifactLocation": {"uri": quote(file)}, "replacements": changes} for file, changes in by_file.items()
        ],
    }


def render_junit(diagnostics: Iterable[Diagnostic], texts: Mapping[str, str]) -> str:
    """JUnit XML: one test case per file, failed by its errors; warnings stand in its output."""
    by_file: dict[str, list[Diagnostic]] = {file: [] for file in texts}
    for d in diagnostics:
        by_file.setdefault(d.span.file, []).append(d)
    failures = sum(any(d.severity is Severity.ERROR for d in found) for found in by_file.values())
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name="orchestrator check" tests="{len(by_file)}" failures="{failures}" errors="0">',
    ]
    for file, found in by_file.items():
        errors = [d for d in found if d.severity is Severity.ERROR]
        others = [d for d in found if d.severity is not Severity.ERROR]
        lines.append(f'  <testcase classname="check" name={quoteattr(_inert(file))}>')
        if errors:
            first = _inert(f"{errors[0].code}: {errors[0].message}")
            lines.append(f"    <failure message={quoteattr(first)}>{_xml(render_text(errors, texts))}</failure>")
        if others:
            lines.append(f"    <system-out>{_xml(render_text(others, texts))}</system-out>")
        lines.append("  </testcase>")
    return "\n".join([*lines, "</testsuite>"]) + "\n"


def _xml(text: str) -> str:
    return escape("".join(char for char in text if char in "\n\t" or char >= " "))
