"""`orchestrator diff`: what changed between two versions of a flow, in plain sentences."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import one_flow, open_project
from orchestrator.cli.output import print_json, say, show_findings
from orchestrator.cli.store import open_store, store_option

if TYPE_CHECKING:  # loads the compiler
    from orchestrator.authoring.project import Project
    from orchestrator.ir.model import FlowIR


@click.command("diff")
@click.argument("flow", type=click.Path(path_type=Path))
@click.argument("other", required=False)
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(flow: Path, other: str | None, store: str | None, as_json: bool) -> int:
    """Say what changed from OTHER to FLOW. OTHER is another file, or a version that the store has (the newest by default)."""
    from orchestrator.analysis.difference import difference

    project = open_project((one_flow(flow),))
    compiled = project.compile(flow)
    if compiled.flow is None:
        show_findings(compiled.diagnostics)
        return Exit.DIAGNOSTICS
    old = _other(project, store, compiled.flow, other)
    sentences = difference(old, compiled.flow)
    if as_json:
        print_json("diff", ok=True, data=sentences)
    else:
        for sentence in sentences:
            click.echo(sentence)
        if not sentences:
            say("nothing changed that matters to a run")
    return Exit.OK


def _other(project: Project, store: str | None, flow: FlowIR, other: str | None) -> FlowIR:
    if other is not None and Path(other).exists():
        compiled = project.compile(Path(other))
        if compiled.flow is None:
            raise CommandFailed(f"{other} has errors; `orchestrator check {other}` shows them", Exit.DIAGNOSTICS)
        return compiled.flow
    return asyncio.run(_stored(project, store, flow, other))


async def _stored(project: Project, store: str | None, flow: FlowIR, version: str | None) -> FlowIR:
    from orchestrator.ir.codec import flow_from_json, flow_hash

    journal = open_store(project, store, must_exist=True)
    try:
        here = flow_hash(flow)
        versions = [v for v in await journal.versions(flow.name) if v.flow_hash != here or version is not None]
        found = next((v for v in versions if version is None or v.flow_hash.startswith(version)), None)
        ir = await journal.get_flow(found.flow_hash) if found is not None else None
        if ir is None:
            what = f"version {version}" if version else "another version"
            raise CommandFailed(f"the store has no {what} of flow `{flow.name}`", Exit.NOT_FOUND)
        return flow_from_json(ir)
    finally:
        await journal.aclose()
