"""What commands print: data on stdout, words for people on stderr, and one JSON object under `--json`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # only named
    from orchestrator.diagnostics import Diagnostic

VERSION = 1


def envelope(
    command: str,
    *,
    ok: bool,
    data: Any = None,  # plain JSON
    diagnostics: Iterable[Diagnostic] = (),
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The shape of every `--json` output; `error` is there only when the command itself failed."""
    body: dict[str, Any] = {"v": VERSION, "command": command, "ok": ok, "data": data}
    body["diagnostics"] = [d.to_json() for d in diagnostics]
    if error is not None:
        body["error"] = error
    return body


def print_json(
    command: str,
    *,
    ok: bool,
    data: Any = None,  # plain JSON
    diagnostics: Iterable[Diagnostic] = (),
    error: dict[str, Any] | None = None,
) -> None:
    """Print one envelope as one line."""
    body = envelope(command, ok=ok, data=data, diagnostics=diagnostics, error=error)
    click.echo(json.dumps(body, ensure_ascii=False))


def print_value(value: Any) -> None:  # plain JSON
    """Print a result as indented JSON."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def say(text: str, *, nl: bool = True) -> None:
    """Tell people something, on stderr."""
    click.echo(text, err=True, nl=nl)


def plural(count: int, word: str, many: str | None = None) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {word if count == 1 else many or word + 's'}"


def show_findings(diagnostics: Iterable[Diagnostic], texts: dict[str, str] | None = None) -> None:
    """Show findings to people, with the lines of the files they stand in."""
    import sys

    from orchestrator.cli.findings import render_text

    click.echo(render_text(diagnostics, texts, color=sys.stderr.isatty()), err=True, nl=False)
