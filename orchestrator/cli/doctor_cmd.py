"""`orchestrator doctor`: look the project, the machine and the store over, and say what to do about what is wrong."""

from __future__ import annotations

from dataclasses import asdict

import click

from orchestrator.cli.exits import Exit
from orchestrator.cli.files import open_project
from orchestrator.cli.output import plural, print_json, say
from orchestrator.cli.screen import inert
from orchestrator.cli.store import store_option

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}


@click.command("doctor")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(store: str | None, as_json: bool) -> int:
    """Look for problems: Python, config, plugins, flows, secrets, model, store. Exit 10 if something is broken."""
    from orchestrator.cli.doctoring import look_over

    project = open_project()
    looks = []
    for look in look_over(project, store):
        looks.append(look)
        if not as_json:
            mark, colour = MARKS[look.level]
            click.echo(f"{click.style(mark, fg=colour)} {look.name:<13} {inert(look.message)}")
            if look.advice and look.level != "ok":
                click.echo(f"  {'':<13} {click.style(inert(look.advice), dim=True)}")
    errors = sum(look.level == "error" for look in looks)
    warnings = sum(look.level == "warning" for look in looks)
    if as_json:
        print_json("doctor", ok=not errors, data=[asdict(look) for look in looks])
    else:
        say(f"{plural(errors, 'problem')}, {plural(warnings, 'warning')}")
    return Exit.ENVIRONMENT if errors else Exit.OK
