"""`orchestrator explain CODE`: what a finding means, with a wrong and a right example."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.output import print_json


def _complete(ctx: Any, param: Any, incomplete: str) -> list[str]:  # click's own types
    from orchestrator.compiler.explain import pages

    return [page.code for page in pages() if page.code.startswith(incomplete.upper())]


@click.command("explain")
@click.argument("code", required=False, shell_complete=_complete)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(code: str | None, as_json: bool) -> int:
    """Explain the CODE of a finding; without one, list them all."""
    from orchestrator.compiler.explain import page_text, pages, suggest_code

    if code is None:
        rows = [{"code": page.code, "title": page.title} for page in pages()]
        if as_json:
            print_json("explain", ok=True, data=rows)
        else:
            click.echo("\n".join(f"{row['code']}  {row['title']}" for row in rows))
        return Exit.OK
    page = next((page for page in pages() if page.code == code.strip().upper()), None)
    if page is None:
        guess = suggest_code(code)
        hint = f"did you mean {guess}?" if guess else "`orchestrator explain` lists all"
        raise CommandFailed(f"there is no code {code}; {hint}", Exit.NOT_FOUND)
    if not as_json:
        click.echo(page_text(page))
        return Exit.OK
    data = {"code": page.code, "title": page.title, "severity": page.severity or "error"}
    data |= {"explanation": page.explanation, "bad": page.bad, "good": page.good}
    print_json("explain", ok=True, data=data)
    return Exit.OK
