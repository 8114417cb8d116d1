"""`orchestrator test`: run the tests that stand in flow files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from orchestrator.authoring.project import SUFFIXES, Project
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.errors import CompileFailed
from orchestrator.testing.flow_tests import FlowTestReport, run_flow_tests


@click.command("test")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("-k", "only", metavar="TEXT", help="Only tests whose name holds this text.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(paths: tuple[Path, ...], only: str | None, as_json: bool) -> int:
    """Run the tests of these flow files or folders (all of the project by default)."""
    start = paths[0] if paths else Path(".")
    if not start.exists():
        raise CommandFailed(f"{start} does not exist", Exit.NOT_FOUND)
    project = Project.open(start)
    files = flow_files(project, paths)
    if not files:
        raise CommandFailed("there is no flow file here; flow files end in .flow.yaml", Exit.NOT_FOUND)
    reports: list[FlowTestReport] = []
    broken: list[CompileFailed] = []
    for file in files:
        try:
            reports.append(run_flow_tests(project, file, only=only))
        except CompileFailed as error:
            broken.append(error)
    if as_json:
        click.echo(json.dumps(_as_json(reports, broken), ensure_ascii=False))
    else:
        _show(reports, broken)
    failed = any(not r.is_ok for report in reports for r in report.results)
    return Exit.DIAGNOSTICS if broken else Exit.RUN_FAILED if failed else Exit.OK


def flow_files(project: Project, paths: tuple[Path, ...]) -> list[Path]:
    """The flow files that paths name; the project's by default. Raises: CommandFailed for one that does not exist."""
    if not paths:
        return list(project.flow_files())
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for suffix in SUFFIXES for p in path.rglob(f"*{suffix}"))
        elif path.exists():
            found.append(path)
        else:
            raise CommandFailed(f"{path} does not exist", Exit.NOT_FOUND)
    return found


def _show(reports: list[FlowTestReport], broken: list[CompileFailed]) -> None:
    from orchestrator.cli.findings import render_text

    passed = failed = 0
    for report in reports:
        if not report.results:
            continue
        click.echo(str(report.file))
        for result in report.results:
            mark, colour = ("✓", "green") if result.is_ok else ("✗", "red")
            click.echo(
                f"  {click.style(mark, fg=colour)} {result.name}  {click.style(f'{result.took_s:.2f} s', dim=True)}"
            )
            for problem in result.problems:
                click.echo(f"      {result.span.file}:{result.span.line}: {problem}")
            passed += result.is_ok
            failed += not result.is_ok
        missed = report.missed
        share = f"{len(report.taken)} of {len(report.edges)} edges taken"
        click.echo(f"    {share}" + (f"; not: {', '.join(f'{s} → {e}' for s, e in missed)}" if missed else ""))
    for error in broken:
        click.echo(render_text(error.diagnostics), err=True, nl=False)
    flows = f", {len(broken)} flows with errors" if broken else ""
    click.echo(f"{passed} passed, {failed} failed{flows}")


def _as_json(reports: list[FlowTestReport], broken: list[CompileFailed]) -> dict[str, object]:
    return {
        "v": 1,
        "command": "test",
        "ok": not broken and all(r.is_ok for report in reports for r in report.results),
        "data": [
            {
                "file": str(report.file),
                "tests": [
                    {"name": r.name, "ok": r.is_ok, "problems": r.problems, "path": r.path, "line": r.span.line}
                    for r in report.results
                ],
                "edges": len(report.edges),
                "edges_taken": len(report.taken),
                "edges_missed": [list(edge) for edge in report.missed],
            }
            for report in reports
        ],
        "diagnostics": [d.to_json() for error in broken for d in error.diagnostics],
    }
