"""`orchestrator explain CODE|TOPIC`: what a finding means, with a wrong and a right example, and the pages of the manual."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli import manual
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.output import print_json


def _complete(ctx: Any, param: Any, incomplete: str) -> list[str]:  # click's own types
    from orchestrator.compiler.explain import pages

    codes = [page.code for page in pages() if page.code.startswith(incomplete.upper())]
    return [*(topic for topic in manual.TOPICS if topic.startswith(incomplete.lower())), *codes]


@click.command("explain")
@click.argument("code", metavar="[CODE|TOPIC]", required=False, shell_complete=_complete)
@click.argument("words", metavar="[PART]", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(code: str | None, words: tuple[str, ...], as_json: bool) -> int:
    """Explain the CODE of a finding, or show a page of the manual, or the PART of it under a heading.

    Without an argument it lists all codes and topics.
    """
    if code is None:
        return _list_all(as_json)
    topic = code.strip().lower().removesuffix(".md")
    text = manual.page(topic)
    if text is not None:
        return _show_page(topic, text, " ".join(words), as_json)
    return _show_code(code, as_json)


def _list_all(as_json: bool) -> int:
    from orchestrator.compiler.explain import pages

    rows = [{"code": page.code, "title": page.title} for page in pages()]
    if as_json:
        print_json("explain", ok=True, data=rows)
        return Exit.OK
    click.echo("\n".join(f"{row['code']}  {row['title']}" for row in rows))
    click.echo(f"\nPages: {', '.join(manual.TOPICS)}")
    return Exit.OK


def _show_page(topic: str, text: str, words: str, as_json: bool) -> int:
    shown = manual.part(text, words) if words else text
    if shown is None:
        parts = "\n  ".join(manual.headings(text))
        raise CommandFailed(f"no heading of the page {topic} has {words!r}; it has\n  {parts}", Exit.NOT_FOUND)
    if as_json:
        print_json("explain", ok=True, data={"topic": topic, "parts": manual.headings(text), "text": shown})
    else:
        click.echo(shown.rstrip())
    return Exit.OK


def _show_code(code: str, as_json: bool) -> int:
    from orchestrator.compiler.explain import page_text, pages, suggest_code

    page = next((page for page in pages() if page.code == code.strip().upper()), None)
    if page is None:
        from orchestrator.expr.suggest import nearest

        guess = nearest(code, manual.TOPICS) or suggest_code(code)
        hint = f"did you mean {guess}?" if guess else "`orchestrator explain` lists all"
        raise CommandFailed(f"there is no code {code}; {hint}", Exit.NOT_FOUND)
    if not as_json:
        click.echo(page_text(page))
        return Exit.OK
    data = {"code": page.code, "title": page.title, "severity": page.severity or "error"}
    data |= {"explanation": page.explanation, "bad": page.bad, "good": page.good}
    print_json("explain", ok=True, data=data)
    return Exit.OK
