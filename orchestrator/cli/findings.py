"""Shows findings on a terminal, with the lines of the files they stand in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from orchestrator.diagnostics import Diagnostic
from orchestrator.diagnostics_text import render_text as render
from orchestrator.errors import UsageError


def render_text(
    diagnostics: Iterable[Diagnostic], sources: dict[str, str] | None = None, *, color: bool = False
) -> str:
    """The findings with snippets; files that cannot be read show none."""
    found = [_from_here(diagnostic) for diagnostic in diagnostics]
    texts = dict(sources or {})
    for diagnostic in found:
        for span in (diagnostic.span, *(r.span for r in diagnostic.related)):
            if span.file not in texts:
                texts[span.file] = _text_of(span.file)
    return render(found, texts, color=color)


def _from_here(diagnostic: Diagnostic) -> Diagnostic:
    """A finding whose second places, which the project found, are named as the user would name them."""
    if not diagnostic.related:
        return diagnostic
    here = f"{os.getcwd()}{os.sep}"
    near = tuple(replace(r, span=replace(r.span, file=r.span.file.removeprefix(here))) for r in diagnostic.related)
    return replace(diagnostic, related=near)


def _text_of(file: str) -> str:
    from orchestrator.authoring.project import read_flow

    try:
        return read_flow(Path(file)).decode("utf-8", "replace")
    except UsageError:
        return ""
