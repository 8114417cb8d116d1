"""`orchestrator check`: every finding of the project's flows, in the form that people, editors or CI read."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import complete_flows, flow_files, open_project
from orchestrator.cli.findings import render_text
from orchestrator.cli.kept_runs import Kept, kept_runs
from orchestrator.cli.output import plural, print_json, say
from orchestrator.cli.store import sqlite_file
from orchestrator.diagnostics import Diagnostic, Severity, has_errors
from orchestrator.diagnostics_text import FORMATS, render, summary
from orchestrator.errors import UsageError

if TYPE_CHECKING:  # loads the compiler
    from orchestrator.authoring.project import Project
    from orchestrator.compiler.compile import Compiled

STDIN = Path("-")


@click.command("check")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), shell_complete=complete_flows)
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="How to print the findings."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--fix", "fixes", is_flag=True, help="Apply the safe fixes to the files.")
@click.option(
    "--unsafe", "with_unsafe", is_flag=True, help="With --fix or --diff: the fixes that may change meaning too."
)
@click.option("--diff", "shows_diff", is_flag=True, help="Print the safe fixes as a diff and change nothing.")
@click.option("--strict", is_flag=True, help="Warnings fail the check too.")
def command(
    paths: tuple[Path, ...], form: str, as_json: bool, fixes: bool, with_unsafe: bool, shows_diff: bool, strict: bool
) -> int:
    """Check flow files.

    PATHS are flow files or folders; all flows of the project by default. `-` reads standard input.
    """
    checked = _Checked()
    if with_unsafe and not (fixes or shows_diff):
        raise click.UsageError("--unsafe goes with --fix or --diff")
    if paths == (STDIN,):
        if fixes or shows_diff:
            raise click.UsageError("--fix and --diff need files; `-` is standard input")
        _check_stdin(checked)
    else:
        mend = _Mend(fixes, shows_diff, with_unsafe) if fixes or shows_diff else None
        _check_files(checked, paths, mend)
    if as_json:
        data: dict[str, object] = {
            "files": list(checked.texts),
            "unreadable": checked.unreadable,
            "fixed": checked.fixed,
        }
        data["waiting"] = [kept.to_json() for kept in checked.kept]
        print_json("check", ok=checked.code(strict=strict) == Exit.OK, data=data, diagnostics=checked.found)
    elif not shows_diff:
        _show(checked, form)
        for kept in checked.kept:
            say(kept.text)
    for file, why in checked.unreadable.items():
        say(f"{file}: {why}")
    return checked.code(strict=strict)


@dataclass(frozen=True, slots=True)
class _Mend:
    """Which fixes to make: written into the files, or only shown."""

    writes: bool
    shows: bool
    with_unsafe: bool


@dataclass(slots=True)
class _Checked:
    """What a check has found so far."""

    found: list[Diagnostic] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, int] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)

    def code(self, *, strict: bool) -> Exit:
        """How the command ends."""
        if has_errors(self.found) or (strict and any(d.severity is Severity.WARNING for d in self.found)):
            return Exit.DIAGNOSTICS
        return Exit.ENVIRONMENT if self.unreadable else Exit.OK


def _show(checked: _Checked, form: str) -> None:
    if form == "text":
        click.echo(render_text(checked.found, checked.texts, color=sys.stdout.isatty()), nl=False)
        counts = summary(checked.found)
        say(f"{plural(len(checked.texts), 'file')} checked: {counts or 'no findings'}")
        return
    titles = {}
    if form == "sarif":
        from orchestrator.compiler.explain import pages

        titles = {page.code: page.title for page in pages()}
    click.echo(render(form, checked.found, checked.texts, titles=titles), nl=False)


def _check_stdin(checked: _Checked) -> None:
    from orchestrator.language.limits import MAX_BYTES

    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    project = open_project()
    checked.found += project.findings
    checked.found += project.compile_bytes(data, Path("<stdin>")).diagnostics
    checked.texts["<stdin>"] = data.decode("utf-8", "replace")


def _check_files(checked: _Checked, paths: tuple[Path, ...], mend: _Mend | None) -> None:
    from orchestrator.authoring.project import read_flow

    project = open_project(paths)
    checked.found += project.findings
    flows: dict[Path, Compiled] = {}
    for file in flow_files(project, paths):
        try:
            data = read_flow(file)
        except UsageError as error:
            checked.unreadable[str(file)] = str(error).removeprefix(f"{file}: ")
            continue
        compiled = project.compile_bytes(data, file)
        checked.texts[str(file)] = data.decode("utf-8", "replace")
        if mend is not None:
            compiled = _mend(checked, project, file, compiled, mend)
        checked.found += compiled.diagnostics
        flows[file] = compiled
    if len(flows) > 1:
        from orchestrator.compiler.projectwide import check_flow_names

        checked.found += check_flow_names(flows.values())
    good = [(file, made.flow) for file, made in flows.items() if made.flow is not None and made.is_ok]
    checked.kept += kept_runs(sqlite_file(project), good)


def _mend(checked: _Checked, project: Project, file: Path, compiled: Compiled, mend: _Mend) -> Compiled:
    from orchestrator.language.edits import fix_text, unified_diff

    if not any(d.fix is not None and (d.fix.is_safe or mend.with_unsafe) for d in compiled.diagnostics):
        return compiled
    text = checked.texts[str(file)]
    result = fix_text(
        text,
        str(file),
        lambda data: project.compile_bytes(data, file).diagnostics,
        with_unsafe=mend.with_unsafe,
    )
    if mend.shows:
        click.echo(unified_diff(text, result.text, str(file)), nl=False)
    if not mend.writes or result.text == text:
        return compiled
    _write(file, result.text)
    checked.fixed[str(file)] = len(result.applied)
    checked.texts[str(file)] = result.text
    say(f"{file}: {plural(len(result.applied), 'fix', 'fixes')} applied")
    return project.compile(file)


def _write(file: Path, text: str) -> None:
    try:
        file.write_bytes(text.encode("utf-8"))
    except OSError as error:
        raise CommandFailed(f"{file}: {error.strerror or error}", Exit.ENVIRONMENT) from error
