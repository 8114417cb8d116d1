"""Applies fixes to the text of a file as splices: what an edit does not name stays as it is, comments and layout too."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.diagnostics import Diagnostic, Edit, Fix
from orchestrator.language.nodes import Source

MAX_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Splice:
    """Replace the characters from `start` up to `end` by `text`."""

    start: int
    end: int
    text: str


def apply_splices(text: str, splices: Iterable[Splice]) -> str:
    """The text with every splice applied, from the end to the beginning.

    Raises: ValueError when two of them overlap.
    """
    ordered = sorted(splices, key=lambda splice: (splice.start, splice.end))
    for before, after in pairwise(ordered):
        if after.start < before.end:
            raise ValueError(f"two edits overlap at offset {after.start}")
    for splice in reversed(ordered):
        text = text[: splice.start] + splice.text + text[splice.end :]
    return text


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """The text with every edit applied; the edits' spans are places in this text."""
    source = Source("", text)
    return apply_splices(text, [_to_splice(edit, source) for edit in edits])


def _to_splice(edit: Edit, source: Source) -> Splice:
    start = source.offset(edit.span.line, edit.span.column)
    end = source.offset(edit.span.end_line, edit.span.end_column)
    return Splice(start, max(start, end), edit.text)


def apply_fixes(text: str, fixes: Iterable[Fix], file: str) -> tuple[str, tuple[Fix, ...]]:
    """The text with those fixes applied that concern this file and do not overlap an earlier one, and these fixes."""
    source = Source(file, text)
    taken: list[Splice] = []
    applied: list[Fix] = []
    for fix in fixes:
        if any(edit.span.file != file for edit in fix.edits):
            continue
        splices = [_to_splice(edit, source) for edit in fix.edits]
        if any(_collide(new, old) for new in splices for old in taken):
            continue
        taken.extend(splices)
        applied.append(fix)
    return apply_splices(text, taken), tuple(applied)


def _collide(a: Splice, b: Splice) -> bool:
    return (a.start < b.end and b.start < a.end) or a.start == b.start


@dataclass(frozen=True, slots=True)
class FixedText:
    """What `fix_text` gives: the new text, the fixes applied, and the findings that are left."""

    text: str
    applied: tuple[Fix, ...]
    diagnostics: tuple[Diagnostic, ...]


Check = Callable[[bytes], Sequence[Diagnostic]]


def fix_text(text: str, file: str, check: Check, *, with_unsafe: bool = False) -> FixedText:
    """Apply fixes and check again until no finding has one: a fix may bring another mistake to light.

    `check` gives the findings of a file's bytes; a fix that does not lower their number is taken back.
    """
    applied: list[Fix] = []
    diagnostics = tuple(check(text.encode("utf-8")))
    for _ in range(MAX_ROUNDS):
        fixes = [d.fix for d in diagnostics if d.fix is not None and (d.fix.is_safe or with_unsafe)]
        changed, done = apply_fixes(text, fixes, file)
        if not done or changed == text:
            break
        after = tuple(check(changed.encode("utf-8")))
        if {(d.code, d.message) for d in after} == {(d.code, d.message) for d in diagnostics} and len(after) >= len(
            diagnostics
        ):
            break
        text, diagnostics = changed, after
        applied.extend(done)
    return FixedText(text, tuple(applied), diagnostics)


def unified_diff(before: str, after: str, file: str) -> str:
    """The change as `diff -u` shows it, or an empty text."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), fromfile=file, tofile=file
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
