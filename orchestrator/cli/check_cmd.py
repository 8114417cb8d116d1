"""`orchestrator check`: every finding of the project's flows, in the form that people, editors or CI read."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orchestrator.authoring.project import Project
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.test_cmd import flow_files
from orchestrator.diagnostics import Diagnostic, Severity, has_errors
from orchestrator.diagnostics_text import FORMATS, render, render_text, summary


@click.command("check")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", help="How to print the findings.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--fix", "fixes", is_flag=True, help="Apply the safe fixes to the files.")
@click.option("--diff", "shows_diff", is_flag=True, help="Print the safe fixes as a diff and change nothing.")
@click.option("--strict", is_flag=True, help="Warnings fail the check too.")
def command(paths: tuple[Path, ...], form: str, as_json: bool, fixes: bool, shows_diff: bool, strict: bool) -> int:
    """Check these flow files or folders (all of the project by default). `-` reads standard input."""
    _project, found, texts = _read(paths, fixes=fixes, shows_diff=shows_diff)
    if shows_diff:
        return Exit.DIAGNOSTICS if has_errors(found) else Exit.OK
    form = "json" if as_json else form
    if form == "text":
        click.echo(render_text(found, texts, color=sys.stdout.isatty()), nl=False)
        counts = summary(found)
        click.echo(f"{len(texts)} file{'' if len(texts) == 1 else 's'} checked: {counts or 'no findings'}", err=True)
    else:
        titles = {}
        if form == "sarif":
            from orchestrator.compiler.explain import pages

            titles = {page.code: page.title for page in pages()}
        click.echo(render(form, found, texts, titles=titles), nl=not form.startswith("g"))
    fails = has_errors(found) or (strict and any(d.severity is Severity.WARNING for d in found))
    return Exit.DIAGNOSTICS if fails else Exit.OK


def _read(
    paths: tuple[Path, ...], *, fixes: bool, shows_diff: bool
) -> tuple[Project, list[Diagnostic], dict[str, str]]:
    from orchestrator.language.edits import fix_text, unified_diff

    if paths == (Path("-"),):
        data = sys.stdin.buffer.read()
        project = Project.open(Path("."))
        compiled = project.compile_bytes(data, Path("<stdin>"))
        return project, list(compiled.diagnostics), {"<stdin>": data.decode("utf-8", "replace")}
    start = paths[0] if paths else Path(".")
    if not start.exists():
        raise CommandFailed(f"{start} does not exist", Exit.NOT_FOUND)
    project = Project.open(start)
    files = flow_files(project, paths)
    if not files:
        raise CommandFailed("there is no flow file here; flow files end in .flow.yaml", Exit.NOT_FOUND)
    found: list[Diagnostic] = list(project.findings)
    texts: dict[str, str] = {}
    names: dict[str, Path] = {}
    for file in files:
        compiled = project.compile(file)
        text = file.read_bytes().decode("utf-8", "replace")
        diagnostics = compiled.diagnostics
        if (fixes or shows_diff) and any(d.fix is not None and d.fix.is_safe for d in diagnostics):
            check = lambda data, file=file: project.compile_bytes(data, file).diagnostics  # noqa: E731
            result = fix_text(text, str(file), check)
            if shows_diff:
                click.echo(unified_diff(text, result.text, str(file)), nl=False)
            elif result.text != text:
                file.write_text(result.text, "utf-8")
                count = len(result.applied)
                click.echo(f"{file}: {count} fix{'' if count == 1 else 'es'} applied", err=True)
                text, diagnostics = result.text, result.diagnostics
        if compiled.flow is not None:
            first = names.setdefault(compiled.flow.name, file)
            if first != file and compiled.spec is not None:
                found.append(_same_name(compiled.flow.name, first, compiled.spec.name.span))
        found.extend(diagnostics)
        texts[str(file)] = text
    return project, found, texts


def _same_name(name: str, first: Path, span: object) -> Diagnostic:
    return Diagnostic(
        "FLW515",
        Severity.ERROR,
        f"two flows of this project are named `{name}`",
        span,  # type: ignore[arg-type]  # a Span of the language, handed through
        help=f"the other one is {first}; give one of them another name",
    )
