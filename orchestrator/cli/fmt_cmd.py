"""`orchestrator fmt`: format flow files; the meaning is proven to be unchanged."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import complete_flows, flow_files, open_project
from orchestrator.cli.output import print_json, say
from orchestrator.errors import UsageError

STDIN = Path("-")


@click.command("fmt")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), shell_complete=complete_flows)
@click.option("--check", "only_checks", is_flag=True, help="Change nothing; fail if a file is not formatted.")
@click.option("--diff", "shows_diff", is_flag=True, help="Print the changes and make none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(paths: tuple[Path, ...], only_checks: bool, shows_diff: bool, as_json: bool) -> int:
    """Format flow files.

    PATHS are flow files or folders; all flows of the project by default. `-` formats standard input to standard output.
    A file that cannot be formatted without changing its meaning is left as it is.
    """
    if paths == (STDIN,):
        return _format_stdin()
    from orchestrator.authoring.project import read_flow
    from orchestrator.language.edits import unified_diff
    from orchestrator.language.format import CannotFormat, format_flow

    changed: list[str] = []
    refused: dict[str, str] = {}
    for file in flow_files(open_project(paths), paths):
        try:
            data = read_flow(file)
            text = format_flow(data, str(file))
        except (CannotFormat, UsageError) as error:
            refused[str(file)] = str(error).removeprefix(f"{file}: ")
            continue
        if text.encode("utf-8") == data:
            continue
        changed.append(str(file))
        if shows_diff and not as_json:
            click.echo(unified_diff(data.decode("utf-8", "replace"), text, str(file)), nl=False)
        elif not only_checks and not shows_diff:
            _write(file, text)
    needs_change = bool(changed) and (only_checks or shows_diff)
    code = Exit.DIAGNOSTICS if refused else Exit.RUN_FAILED if needs_change else Exit.OK
    if as_json:
        print_json("fmt", ok=code is Exit.OK, data={"changed": changed, "refused": refused})
        return code
    for name in changed:
        say(f"{name}: {'would be formatted' if only_checks or shows_diff else 'formatted'}")
    for name, why in refused.items():
        say(f"{name}: left as it is: {why}")
    return code


def _format_stdin() -> int:
    from orchestrator.language.format import CannotFormat, format_flow
    from orchestrator.language.limits import MAX_BYTES

    try:
        click.echo(format_flow(sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>"), nl=False)
    except CannotFormat as error:
        raise CommandFailed(str(error), Exit.DIAGNOSTICS) from error
    return Exit.OK


def _write(file: Path, text: str) -> None:
    try:
        file.write_bytes(text.encode("utf-8"))
    except OSError as error:
        raise CommandFailed(f"{file}: {error.strerror or error}", Exit.ENVIRONMENT) from error
