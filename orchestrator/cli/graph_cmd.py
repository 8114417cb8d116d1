"""`orchestrator graph`: a flow as a picture or as text for one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from orchestrator.authoring.project import Project
from orchestrator.cli.exits import CommandFailed, Exit

FORMS = ("ascii", "mermaid", "dot", "svg", "html", "json")


@click.command("graph")
@click.argument("flow", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMS), help="By the ending of -o; ascii on a terminal.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json: the flow's IR.")
def command(flow: Path, form: str | None, output: Path | None, as_json: bool) -> int:
    """Draw a flow. A flow with errors is drawn too, as far as it can be read."""
    compiled = Project.open(flow).compile(flow)
    if compiled.flow is None:
        from orchestrator.cli.findings import render_text

        click.echo(render_text(compiled.diagnostics), err=True, nl=False)
        return Exit.DIAGNOSTICS
    endings = {
        ".mmd": "mermaid",
        ".md": "mermaid",
        ".dot": "dot",
        ".gv": "dot",
        ".svg": "svg",
        ".html": "html",
        ".json": "json",
    }
    chosen = "json" if as_json else form
    if chosen is None:
        chosen = endings.get(output.suffix, "ascii") if output is not None else "ascii"
    text = draw(compiled.flow, chosen)
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        try:
            output.write_text(text, "utf-8")
        except OSError as error:
            raise CommandFailed(f"{output}: {error.strerror or error}", Exit.ENVIRONMENT) from error
        click.echo(f"wrote {output}", err=True)
    return Exit.OK


def draw(flow: object, form: str) -> str:
    """A flow in one of `FORMS`."""
    from orchestrator.draw.dot import to_dot
    from orchestrator.draw.html import to_html
    from orchestrator.draw.mermaid import to_mermaid
    from orchestrator.draw.svg import to_svg
    from orchestrator.draw.terminal import to_ascii
    from orchestrator.ir.codec import flow_to_json
    from orchestrator.ir.model import FlowIR

    assert isinstance(flow, FlowIR)
    match form:
        case "mermaid":
            return to_mermaid(flow)
        case "dot":
            return to_dot(flow)
        case "svg":
            return to_svg(flow)
        case "html":
            return to_html(flow)
        case "json":
            return json.dumps(flow_to_json(flow), ensure_ascii=False, indent=2)
    return to_ascii(flow, width=_columns())


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size((160, 24)).columns if sys.stdout.isatty() else 160
