"""`orchestrator test`: run the tests that stand in flow files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import complete_flows, exists, flow_files, open_project
from orchestrator.cli.output import plural, print_json, say, show_findings
from orchestrator.diagnostics import Diagnostic
from orchestrator.errors import CompileFailed, UsageError

if TYPE_CHECKING:  # loads the runtime
    from orchestrator.testing.flow_tests import FlowTestReport


@click.command("test")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), shell_complete=complete_flows)
@click.option("-k", "only", metavar="TEXT", help="Only tests whose name holds this text.")
@click.option(
    "--min-edges", type=click.IntRange(0, 100), metavar="PERCENT", help="Fail below this share of edges taken."
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Answer model calls from a recording.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Ask the model what FILE does not hold.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    paths: tuple[Path, ...],
    only: str | None,
    min_edges: int | None,
    replay: Path | None,
    record: Path | None,
    as_json: bool,
) -> int:
    """Run the tests that stand in flow files.

    PATHS are flow files or folders; all flows of the project by default. Time is virtual, so waits of days pass at once.

    Steps with an effect need a mock. With --replay or --record, or `[llm] replay`, the steps that call `llm.*` need none: their
    answers stand in the recording, which --record makes against the project's model.
    """
    from orchestrator.testing.flow_tests import run_tests_in

    if replay is not None and record is not None:
        raise click.UsageError("give either --replay or --record")
    project = open_project(paths)
    if replay is not None:
        if not exists(replay):
            raise CommandFailed(f"there is no recording {replay}; --record {replay} makes one", Exit.NOT_FOUND)
        project.record_models(replay=replay.resolve())
    if record is not None:
        project.record_models(record=record.resolve())
    reports: list[FlowTestReport] = []
    broken: list[Diagnostic] = []
    unreadable: list[str] = []
    for file in flow_files(project, paths):
        try:
            reports.append(run_tests_in(project, file, only=only))
        except CompileFailed as error:
            broken += error.diagnostics
        except UsageError as error:
            unreadable.append(str(error))
    ran = [report for report in reports if report.results]
    is_thin = min_edges is not None and any(report.share * 100 < min_edges for report in ran)
    failed = any(not result.is_ok for report in ran for result in report.results)
    code = Exit.DIAGNOSTICS if broken else Exit.ENVIRONMENT if unreadable else Exit.OK
    code = Exit.RUN_FAILED if (failed or is_thin) and code is Exit.OK else code
    code = Exit.NOT_FOUND if only is not None and not ran and code is Exit.OK else code
    if as_json:
        data = {"flows": [_as_json(report) for report in reports], "unreadable": unreadable}
        print_json("test", ok=code is Exit.OK, data=data, diagnostics=broken)
        return code
    for report in ran:
        _show(report)
    if broken:
        show_findings(broken)
    for line in unreadable:
        say(line)
    results = [result for report in ran for result in report.results]
    passed = sum(result.is_ok for result in results)
    without = len(reports) - len(ran)
    parts = [f"{passed} passed", f"{len(results) - passed} failed"]
    parts += [f"{plural(without, 'flow')} without tests"] if without and only is None else []
    parts += [f"{plural(len({d.span.file for d in broken}), 'flow')} with errors"] if broken else []
    click.echo(", ".join(parts))
    if only is not None and not results and not broken:
        say(f"no test's name holds `{only}`")
    return code


def _show(report: FlowTestReport) -> None:
    click.echo(str(report.file))
    for result in report.results:
        mark, colour = ("✓", "green") if result.is_ok else ("✗", "red")
        took = click.style(f"{result.took_s:.2f} s", dim=True)
        click.echo(f"  {click.style(mark, fg=colour)} {result.name}  {took}")
        for problem in result.problems:
            text = problem.text.replace("\n", "\n        ")
            click.echo(f"      {problem.span.file}:{problem.span.line}: {text}")
        for note in result.notes:
            click.echo(click.style(f"      {note.span.file}:{note.span.line}: note: {note.text}", dim=True))
    missed = ", ".join(f"{step} → {event}" for step, event in report.missed)
    share = f"{len(report.taken)} of {plural(len(report.edges), 'edge')} taken"
    click.echo(f"    {share}" + (f"; not: {missed}" if missed else ""))


def _as_json(report: FlowTestReport) -> dict[str, Any]:  # plain JSON
    return {
        "file": str(report.file),
        "tests": [
            {
                "name": result.name,
                "ok": result.is_ok,
                "line": result.span.line,
                "problems": [{"message": p.text, "line": p.span.line} for p in result.problems],
                "notes": [{"message": n.text, "line": n.span.line} for n in result.notes],
                "path": result.path,
                "outputs": result.outputs,
                "took_s": round(result.took_s, 4),
            }
            for result in report.results
        ],
        "edges": len(report.edges),
        "edges_taken": len(report.taken),
        "edges_missed": [list(edge) for edge in report.missed],
    }
