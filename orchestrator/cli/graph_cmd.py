"""`orchestrator graph`: a flow as a picture or as text for one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import complete_flows, one_flow, open_project
from orchestrator.cli.output import print_json, say, show_findings
from orchestrator.cli.python_flow import python_plan, python_target

if TYPE_CHECKING:  # loaded when a flow is read
    from collections.abc import Sequence

    from orchestrator.diagnostics import Diagnostic
    from orchestrator.ir.model import FlowIR

FORMS = ("ascii", "mermaid", "dot", "svg", "html", "json")
ENDINGS = {
    ".mmd": "mermaid",
    ".md": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".svg": "svg",
    ".html": "html",
    ".json": "json",
    ".txt": "ascii",
}


@click.command("graph")
@click.argument("flow", type=click.Path(path_type=Path), shell_complete=complete_flows)
@click.option("--format", "form", type=click.Choice(FORMS), help="By the ending of -o; ascii by default.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the flow's IR.")
def command(flow: Path, form: str | None, output: Path | None, as_json: bool) -> int:
    """Draw FLOW: a file, or MODULE:NAME of a module that the project allows. One with errors is drawn as far as it goes."""
    target = python_target(flow)
    diagnostics: Sequence[Diagnostic] = ()
    if target is not None:
        drawn: FlowIR | None = python_plan(open_project(), target).stored_ir
    else:
        compiled = open_project((one_flow(flow),)).compile(flow)
        drawn, diagnostics = compiled.flow, compiled.diagnostics
    if drawn is None:
        if as_json:
            print_json("graph", ok=False, diagnostics=diagnostics)
        else:
            show_findings(diagnostics)
        return Exit.DIAGNOSTICS
    if as_json:
        from orchestrator.ir.codec import flow_to_json

        print_json("graph", ok=True, data=flow_to_json(drawn), diagnostics=diagnostics)
        return Exit.OK
    chosen = form or (ENDINGS.get(output.suffix, "ascii") if output is not None else "ascii")
    text = draw(drawn, chosen)
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
        return Exit.OK
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise CommandFailed(f"{output}: {error.strerror or error}", Exit.ENVIRONMENT) from error
    say(f"wrote {output}")
    return Exit.OK


def draw(flow: FlowIR, form: str) -> str:
    """A flow in one of `FORMS`."""
    match form:
        case "mermaid":
            from orchestrator.draw.mermaid import to_mermaid

            return to_mermaid(flow)
        case "dot":
            from orchestrator.draw.dot import to_dot

            return to_dot(flow)
        case "svg":
            from orchestrator.draw.svg import to_svg

            return to_svg(flow)
        case "html":
            from orchestrator.draw.html import to_html

            return to_html(flow)
        case "json":
            from orchestrator.ir.codec import flow_to_json

            return json.dumps(flow_to_json(flow), ensure_ascii=False, indent=2)
    from orchestrator.draw.terminal import to_ascii

    return to_ascii(flow, width=_columns())


def _columns() -> int:
    return shutil.get_terminal_size((160, 24)).columns if sys.stdout.isatty() else 160
