"""`orchestrator fmt`: format flow files; the meaning is proven to be unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import click

from orchestrator.authoring.project import Project
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.test_cmd import flow_files


@click.command("fmt")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--check", "only_checks", is_flag=True, help="Change nothing; fail if a file is not formatted.")
@click.option("--diff", "shows_diff", is_flag=True, help="Print the changes and make none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(paths: tuple[Path, ...], only_checks: bool, shows_diff: bool, as_json: bool) -> int:
    """Format these flow files or folders (all of the project by default)."""
    from orchestrator.language.edits import unified_diff
    from orchestrator.language.format import CannotFormat, format_flow

    start = paths[0] if paths else Path(".")
    if not start.exists():
        raise CommandFailed(f"{start} does not exist", Exit.NOT_FOUND)
    changed: list[str] = []
    refused: dict[str, str] = {}
    for file in flow_files(Project.open(start), paths):
        data = file.read_bytes()
        try:
            text = format_flow(data, str(file))
        except CannotFormat as error:
            refused[str(file)] = str(error)
            continue
        before = data.decode("utf-8", "replace")
        if text == before:
            continue
        changed.append(str(file))
        if shows_diff:
            click.echo(unified_diff(before, text, str(file)), nl=False)
        elif not only_checks:
            file.write_text(text, "utf-8")
    if as_json:
        click.echo(
            json.dumps({"v": 1, "command": "fmt", "ok": not refused, "data": {"changed": changed, "refused": refused}})
        )
    else:
        verb = "would be formatted" if only_checks or shows_diff else "formatted"
        for name in changed:
            click.echo(f"{name}: {verb}", err=True)
        for name, why in refused.items():
            click.echo(f"{name}: left as it is: {why}", err=True)
    if refused:
        return Exit.DIAGNOSTICS
    return Exit.RUN_FAILED if changed and (only_checks or shows_diff) else Exit.OK
