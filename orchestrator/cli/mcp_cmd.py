"""`orchestrator mcp`: pin the tools of MCP servers for `call:`, and serve flows as tools over the standard streams."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import open_project
from orchestrator.cli.output import plural, print_json, say
from orchestrator.cli.screen import inert, one_line
from orchestrator.cli.store import make_folder, store_option, store_url
from orchestrator.errors import StepError

if TYPE_CHECKING:  # loaded when a server is asked or flows are served
    from orchestrator.authoring.project import Project
    from orchestrator.server.desk import Desk

Json = Any  # plain JSON


def complete_servers(ctx: Any, param: Any, incomplete: str) -> list[str]:  # click's own types
    """The MCP servers of the project."""
    return [name for name in open_project().config.mcp_servers if name.startswith(incomplete)]


@click.group("mcp")
def command() -> None:
    """Use tools of MCP servers as steps, and serve flows as MCP tools."""


@command.command("pull")
@click.argument("names", nargs=-1, shell_complete=complete_servers)
@click.option("--check", "only_checks", is_flag=True, help="Write nothing; exit 3 if a server's tools have changed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def pull(names: tuple[str, ...], only_checks: bool, as_json: bool) -> int:
    """Start the MCP servers NAMES (all by default) and pin their tools in mcp/, to be reviewed and committed.

    Flows are checked against these files, and calls are held to them: a server that changes a tool is refused until this is
    run again.
    """
    needs_extra()
    project = open_project()
    servers = project.config.mcp_servers
    unknown = next((name for name in names if name not in servers), None)
    if unknown is not None or not servers:
        known = ", ".join(servers) or "none"
        what = f"there is no [mcp.servers.{unknown}]" if unknown else "the project names no MCP servers"
        raise CommandFailed(f"{what} in orchestrator.toml; known: {known}", Exit.NOT_FOUND)
    pinned = asyncio.run(_pull(project, names or tuple(servers)))
    changes = {name: _changes(_read(_file(project, name)), manifest) for name, manifest in pinned.items()}
    if not only_checks:
        for name, manifest in pinned.items():
            file = _file(project, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if as_json:
        print_json("mcp pull", ok=True, data={"changes": changes})
    for name, changed in changes.items():
        if not as_json:
            say(f"{name}: {plural(len(pinned[name]['callables']), 'tool')}" + ("" if changed else ", nothing new"))
            for line in changed:
                click.echo(inert(line))
    return Exit.DIAGNOSTICS if only_checks and any(changes.values()) else Exit.OK


async def _pull(project: Project, names: tuple[str, ...]) -> dict[str, Json]:
    from orchestrator.plugin.mcp import pinned_tools

    try:
        return {name: await pinned_tools(project.hub.mcp, name) for name in names}
    except StepError as error:
        raise CommandFailed(str(error), Exit.ENVIRONMENT) from error
    finally:
        await project.hub.aclose()


def _file(project: Project, name: str) -> Path:
    from orchestrator.plugin.manifest import manifest_path

    return manifest_path(project.config.mcp_path / "-", name)


def _read(file: Path) -> dict[str, Json]:
    try:
        found: dict[str, Json] = json.loads(file.read_text("utf-8"))
        return {entry["name"]: entry for entry in found["callables"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _changes(before: dict[str, Json], manifest: Json) -> list[str]:
    """One line for every tool that is new, gone or not what it was."""
    after = {entry["name"]: entry for entry in manifest["callables"]}
    lines = []
    for name in sorted({*before, *after}):
        if name not in before:
            lines.append(f"+ {name}  {one_line(after[name]['doc'], 90)}")
        elif name not in after:
            lines.append(f"- {name}")
        elif before[name] != after[name]:
            parts = [key for key in ("doc", "input", "result") if before[name].get(key) != after[name].get(key)]
            lines.append(f"~ {name}  {', '.join(parts)}")
    return lines


@command.command("serve")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default=".")
@click.option("--flow", "flows", multiple=True, metavar="NAME", help="Offer only this flow; repeat.")
@click.option("--fake-llm", is_flag=True, help="Answer model calls with a built-in fake, offline.")
@store_option
def serve(folder: Path, flows: tuple[str, ...], fake_llm: bool, store: str | None) -> int:
    """Serve the flows of FOLDER as MCP tools over standard input and output, for any MCP client.

    A client is told of this as a command: `orchestrator mcp serve /path/to/project`. Runs are kept in the project's store;
    what waits for people is in their inbox.
    """
    needs_extra()
    from orchestrator.server.opening import open_desk

    project = open_project((folder,), fake_llm=fake_llm)
    place = store_url(project, store)
    make_folder(place)
    desk = open_desk(project, None if place.startswith("memory:") else place)
    desk.shelf.scan()
    unknown = next((name for name in flows if name not in {s.name for s in desk.shelf if s.is_ok}), None)
    if unknown is not None:
        raise CommandFailed(f"there is no flow `{unknown}` without errors in {folder}", Exit.NOT_FOUND)
    asyncio.run(_serve(desk, flows))
    return Exit.OK


async def _serve(desk: Desk, flows: tuple[str, ...]) -> None:
    from mcp.server.stdio import stdio_server

    from orchestrator.server.mcp_flows import FlowTools

    await desk.start()
    try:
        server = FlowTools(desk, flows=flows).server("orchestrator")
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())
    finally:
        await desk.stop()


def needs_extra() -> None:
    """Raises: CommandFailed if the SDK is not installed."""
    from orchestrator.plugin.mcp import INSTALL

    if importlib.util.find_spec("mcp") is None:
        raise CommandFailed(INSTALL, Exit.ENVIRONMENT)
