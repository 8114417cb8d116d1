"""`orchestrator run`: start a flow, show what happens, take answers, print the outputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import complete_flows, flows_here, one_flow, open_project
from orchestrator.cli.output import print_json, show_findings
from orchestrator.cli.python_flow import python_plan, python_target
from orchestrator.cli.store import MEMORY, store_option, store_url
from orchestrator.diagnostics import Severity

if TYPE_CHECKING:  # loaded when a flow is run
    from orchestrator.compiler.compile import Compiled


@click.command("run")
@click.argument("flow", type=click.Path(path_type=Path), required=False, shell_complete=complete_flows)
@click.option("--step", metavar="NS.VERB", help="Call this callable instead of a flow.")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input; NAME=@FILE reads its value, @FILE a mapping of inputs.",
)
@click.option(
    "--answer", "answers", multiple=True, metavar="STEP=JSON", help="An answer to a request; repeat in order."
)
@click.option("--answers", "answers_file", type=click.Path(path_type=Path), help="Answers per step, as in `tests:`.")
@click.option("--as", "user", help="Who you are, for questions on the terminal.")
@click.option(
    "--mock",
    "mocks",
    multiple=True,
    metavar="STEP=JSON",
    help="Give a step this result instead of calling; @FILE reads it. The run is kept in memory.",
)
@click.option("--until", metavar="STEP", help="Stop when this step has ended.")
@click.option("--fake-llm", is_flag=True, help="Answer model calls with a built-in fake, offline.")
@click.option("--run-id", help="The run's id; one is made otherwise.")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and no progress.")
@click.option("--quiet", "-q", is_flag=True, help="Print no progress.")
@click.option("--verbose", "-v", is_flag=True, help="Show what models write while they write it.")
def command(
    flow: Path | None,
    step: str | None,
    inputs: tuple[str, ...],
    answers: tuple[str, ...],
    answers_file: Path | None,
    user: str | None,
    mocks: tuple[str, ...],
    until: str | None,
    fake_llm: bool,
    run_id: str | None,
    store: str | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Run FLOW here, to its end or until it waits for somebody who is not at this terminal.

    FLOW is a file, or MODULE:NAME for a workflow class or function of a module that the project's `[python] allow` names.
    What waits stays in the store: `inbox` shows it, `decide`, `send` and `resume` move it on. With --step one callable
    is called instead, with -i for its fields.
    """
    if step is not None:
        from orchestrator.cli.call_step import call_step

        project = open_project((one_flow(flow),) if flow is not None else (), fake_llm=fake_llm)
        return call_step(project, step, inputs, as_json=as_json, shows_text=verbose and not as_json)
    if flow is None:
        here = ", ".join(str(path) for path in flows_here()[:8])
        raise click.UsageError("name the flow to run, or a callable with --step" + (f"; here: {here}" if here else ""))
    target = python_target(flow)
    project = open_project(() if target is not None else (one_flow(flow),), fake_llm=fake_llm)
    if target is not None:
        ir = python_plan(project, target).stored_ir
    else:
        compiled = project.compile(flow)
        if not compiled.is_ok:
            return _refuse(compiled, as_json=as_json)
        warnings = [d for d in compiled.diagnostics if d.severity is Severity.WARNING]
        if warnings and not as_json and not quiet:
            show_findings(warnings)
        ir = compiled.checked()
    if until is not None and until not in ir.steps:
        raise CommandFailed(f"flow `{ir.name}` has no step `{until}`; it has {', '.join(ir.steps)}", Exit.USAGE)
    from orchestrator.cli.asking import Answers
    from orchestrator.cli.continuing import report_stored
    from orchestrator.cli.granting import ask_for_grants
    from orchestrator.cli.running import EndedElsewhere, Session, groups_of, report, run_session
    from orchestrator.cli.values import mock_calls, parse_inputs

    values = parse_inputs(inputs, ir.inputs)
    if not as_json and not quiet and ir.secrets and ask_for_grants(project, ir):
        project = open_project((flow,), fake_llm=fake_llm)
        ir = project.compile(flow).checked()
    if mocks and target is not None:
        raise CommandFailed("--mock is for the steps of flow files; a Python workflow is its own code", Exit.USAGE)
    if mocks:
        project.intercept, project.replaced = mock_calls(mocks, ir.steps)
    given = Answers.parse(answers, answers_file, groups_of(project), set(ir.steps))
    url = MEMORY if mocks and store is None else store_url(project, store)
    session = Session(project, url, given, user, until=until, is_quiet=quiet or as_json, shows_text=verbose)
    plan = project.plan(ir) if target is None else python_plan(project, target)
    try:
        ended = run_session(session, lambda front: front.service.start(plan, values, run_id=run_id, pin=True))
    except EndedElsewhere as error:
        return report_stored(project, url, error.run_id, command="run", as_json=as_json)
    return report(ended, command="run", as_json=as_json, is_kept=session.is_durable)


def _refuse(compiled: Compiled, *, as_json: bool) -> int:
    if as_json:
        print_json("run", ok=False, diagnostics=compiled.diagnostics)
    else:
        show_findings(compiled.diagnostics)
    return Exit.DIAGNOSTICS
