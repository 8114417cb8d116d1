"""`orchestrator explain CODE`: what a finding means, with a wrong and a right example."""

from __future__ import annotations

import json

import click

from orchestrator.cli.exits import CommandFailed, Exit


@click.command("explain")
@click.argument("code", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(code: str | None, as_json: bool) -> int:
    """Explain the code of a finding; without one, list them all."""
    from orchestrator.compiler.explain import explain, pages, suggest_code

    if code is None:
        rows = [{"code": page.code, "title": page.title} for page in pages()]
        click.echo(json.dumps(rows) if as_json else "\n".join(f"{row['code']}  {row['title']}" for row in rows))
        return Exit.OK
    text = explain(code)
    if text is None:
        guess = suggest_code(code)
        hint = f" did you mean {guess}?" if guess else " `orchestrator explain` lists all."
        raise CommandFailed(f"there is no code {code};{hint}", Exit.NOT_FOUND)
    if as_json:
        page = next(page for page in pages() if page.code == code.strip().upper())
        row = {
            "code": page.code,
            "title": page.title,
            "explanation": page.explanation,
            "bad": page.bad,
            "good": page.good,
        }
        click.echo(json.dumps(row, ensure_ascii=False))
    else:
        click.echo(text)
    return Exit.OK
