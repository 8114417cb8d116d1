"""One mistake, one message: drops findings that only follow from another one, and puts together those about one name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from orchestrator.diagnostics import Diagnostic, Fix, Related, Severity, Span, too_many

# Findings about what is missing in the graph; beside a part that could not be read they would only be its echo.
ECHOES = frozenset(
    {"FLW403", "FLW404", "FLW405", "FLW406", "FLW407", "FLW408", "FLW409", "FLW414"}
    | {"FLW430", "FLW431", "FLW432", "FLW433", "FLW435", "FLW707"}
)
TextAt = Callable[[Span], str]  # what stands in the file at a span; nothing where that is another file
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
SHOWN_PLACES = 3  # of one name, beside the first
_UNKNOWN = (
    ("step", re.compile(r"^the flow has no step `(.+?)`$")),
    ("event", re.compile(r"(?:(?:listens to|waits for|emits) unknown|^there is no) event `(.+?)`$")),
    ("input", re.compile(r"^(?:(?:the flow|this trigger) has no input|`inputs` has no field) `(.+?)`")),
    ("state", re.compile(r"^(?:the flow has no state|`state` has no field) `(.+?)`")),
    ("output", re.compile(r"^the flow has no output `(.+?)`")),
    ("field", re.compile(r"^((?:event )?`[^`]+` has no field `.+)$")),
    ("value", re.compile(r"^((?:\".*\"|'.*') is (?:no|none of) .+)$")),
)


def without_echoes(found: Iterable[Diagnostic], unread: list[Diagnostic]) -> list[Diagnostic]:
    """Without what may only be there because a part of the file could not be read."""
    return [finding for finding in found if not _is_echo(finding, unread)]


def _is_echo(finding: Diagnostic, unread: list[Diagnostic]) -> bool:
    if not unread:
        return False
    if finding.code == "FLW704":  # said of the schema where it stands
        return any(d.code == "FLW214" and "pattern" in d.message for d in unread)
    return finding.code in ECHOES or any(_touch(d.span, finding.span) for d in unread)


def _touch(one: Span, two: Span) -> bool:
    """Whether two places of one line overlap."""
    same = one.file == two.file and one.line == two.line
    return same and one.column < two.end_column and two.column < one.end_column


def without_shadows(found: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """Without the warnings about a part that has an error inside: what it does is not known before that is mended."""
    wrong: dict[tuple[str, int], list[Span]] = {}
    for d in found:
        if d.severity is Severity.ERROR:
            wrong.setdefault((d.span.file, d.span.line), []).append(d.span)
    if not wrong:
        return found
    return tuple(
        d
        for d in found
        if d.severity is not Severity.WARNING
        or not any(
            d.span.column <= span.column and span.end_column <= d.span.end_column
            for span in wrong.get((d.span.file, d.span.line), ())
        )
    )


def at_most(most: int, found: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """As many findings as somebody reads, errors before warnings; FLW118 says that there may be more."""
    rest = [d for d in found if d.code != "FLW118"]
    if len(rest) <= most and len(rest) == len(found):
        return found
    kept = set(sorted(rest, key=lambda d: d.severity is not Severity.ERROR)[:most])
    shown = [d for d in rest if d in kept]
    return (*shown, too_many(shown))


def merge_names(found: tuple[Diagnostic, ...], text: TextAt) -> tuple[Diagnostic, ...]:
    """One finding for each name that is not there, with the other places where it is used; its fix mends all of them.

    What would be mended by writing the same word in place of the same other one is about one name, whatever rule found it.
    """
    merged = found
    for cause in (lambda finding: _misspelling(finding, text), _name_of):
        groups: dict[object, list[Diagnostic]] = {}
        for finding in merged:
            groups.setdefault(cause(finding) or finding, []).append(finding)
        if len(groups) < len(merged):
            merged = tuple(group[0] if len(group) == 1 else _merged(group) for group in groups.values())
    return merged


def _misspelling(finding: Diagnostic, text: TextAt) -> tuple[str, str, str] | None:
    if finding.severity is not Severity.ERROR or finding.fix is None or len(finding.fix.edits) != 1:
        return None
    edit = finding.fix.edits[0]
    written = text(edit.span)
    return (edit.span.file, written, edit.text) if _WORD.fullmatch(written) and _WORD.fullmatch(edit.text) else None


def _name_of(finding: Diagnostic) -> tuple[str, ...] | None:
    if finding.severity is not Severity.ERROR:
        return None
    for kind, pattern in _UNKNOWN:
        match = pattern.search(finding.message)
        if match is not None:
            return (finding.span.file, kind, match[1])
    return None


def _merged(group: list[Diagnostic]) -> Diagnostic:
    first, others = group[0], group[1:]
    places = [Related(d.span, "here too") for d in others[:SHOWN_PLACES]]
    if len(others) > SHOWN_PLACES:
        last = places.pop()
        places.append(Related(last.span, f"here too, and in {len(others) - SHOWN_PLACES} more places"))
    fixes = [d.fix for d in group]
    fix = first.fix
    if fix is not None and all(one is not None and one.edits[0].text == fix.edits[0].text for one in fixes):
        edits = dict.fromkeys(edit for one in fixes if one is not None for edit in one.edits)
        fix = Fix(fix.title, tuple(edits), all(one is not None and one.is_safe for one in fixes))
    return replace(first, fix=fix, related=(*first.related, *places))
