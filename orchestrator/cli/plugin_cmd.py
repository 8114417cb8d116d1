"""`orchestrator plugin`: make, list, show, check and document plugins, all from the one description of each callable."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.call_step import find_callable, told
from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.files import exists, open_project
from orchestrator.cli.output import plural, print_json, say
from orchestrator.cli.screen import inert, one_line

if TYPE_CHECKING:  # loaded when plugins are read
    from orchestrator.authoring.project import Project
    from orchestrator.plugin.catalog import PluginProblem
    from orchestrator.plugin.info import CallableInfo

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def complete_callables(ctx: Any, param: Any, incomplete: str) -> list[str]:  # click's own types
    """Namespaces and callables of the project that begin like this."""
    names = open_project().catalog.names()
    found = [*names, *sorted({name.partition(".")[0] for name in names})]
    return [name for name in found if name.startswith(incomplete)]


@click.group("plugin")
def command() -> None:
    """Make, list, show, check and document plugins."""


@command.command("new")
@click.argument("name")
@click.option("--local", is_flag=True, help="One file in the project's plugin folder instead of a package.")
@json_option
def new(name: str, local: bool, as_json: bool) -> int:
    """Make a plugin NAME, such as acme-crm: a package to publish, with tests and docs, or with --local one file."""
    from orchestrator.plugin.scaffold import local_file, package_files

    if local:
        project = open_project()
        target = project.config.plugins_path
        if target is None:
            raise CommandFailed(
                'the project has no plugin folder; write `[plugins] folder = "plugins"` into orchestrator.toml',
                Exit.USAGE,
            )
        files = local_file(name)
        taken = next((target / file for file in files if exists(target / file)), None)
    else:
        target, files = Path(name), package_files(name)
        taken = target if exists(target) else None
    if taken is not None:
        raise CommandFailed(f"{taken} exists; nothing was changed", Exit.CONFLICT)
    for path, text in files.items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    if not local:
        _write_manifests(target)
    if as_json:
        print_json("plugin new", ok=True, data={"folder": str(target), "files": sorted(files)})
        return Exit.OK
    say(f"made {target if not local else target / next(iter(files))}; next:\n")
    if not local:
        say(f"  cd {target}")
    namespace = next(iter(local_file(name))).removesuffix(".py")
    say(f"  orchestrator run --step {namespace}.greet -i text=Hello")
    say("  orchestrator plugin check")
    return Exit.OK


@command.command("list")
@click.option("--all", "shows_all", is_flag=True, help="The bundled plugins' callables too.")
@click.option("--pins", is_flag=True, help="The installed packages as [plugins] allow pins them, by version and hash.")
@json_option
def list_(shows_all: bool, pins: bool, as_json: bool) -> int:
    """Every callable that flows of this project may use, and what is broken."""
    if pins:
        from orchestrator.plugin.packages import pins_of_installed

        entries = pins_of_installed()
        if as_json:
            print_json("plugin list", ok=True, data={"pins": entries})
        else:
            click.echo("".join(f"{entry}\n" for entry in entries), nl=False)
        return Exit.OK
    catalog = open_project().catalog
    infos = [info for name in catalog.names() if (info := catalog.get(name)) is not None]
    problems = catalog.problems()
    if as_json:
        data = {
            "callables": [
                {"name": i.name, "summary": i.summary, "provider": i.provider, "effect": i.effect} for i in infos
            ],
            "problems": [p.to_json() for p in problems],
        }
        print_json("plugin list", ok=not problems, data=data)
        return Exit.OK
    width = max((len(info.name) for info in infos), default=0)
    shown = [info for info in infos if shows_all or info.provider != "bundled"]
    for info in shown:
        click.echo(f"{info.name:<{width}}  {one_line(info.summary, 90)}  [{info.provider}]")
    if not shows_all:
        bundled: dict[str, list[str]] = {}
        for info in infos:
            if info.provider == "bundled":
                bundled.setdefault(info.namespace, []).append(info.name.partition(".")[2])
        for namespace, verbs in bundled.items():
            click.echo(f"{namespace:<8}  {', '.join(verbs)}  [bundled]")
    for problem in problems:
        say(
            f"{problem.code} {problem.name}: {inert(problem.message)}"
            + (f" ({problem.origin})" if problem.origin else "")
        )
    return Exit.OK


@command.command("show")
@click.argument("name", shell_complete=complete_callables)
@json_option
def show(name: str, as_json: bool) -> int:
    """The help of a callable (ns.verb), or of all of a namespace."""
    from orchestrator.plugin.help_text import callable_markdown

    infos = find_callables(open_project(), (name,))
    if as_json:
        print_json("plugin show", ok=True, data=[_info_data(info) for info in infos])
    else:
        click.echo("\n".join(inert(callable_markdown(info)) for info in infos), nl=False)
    return Exit.OK


def _info_data(info: CallableInfo) -> dict[str, Any]:  # plain JSON
    return info.to_json() | {"provider": info.provider, "at": str(info.origin) if info.origin else None}


@command.command("docs")
@click.argument("names", nargs=-1, shell_complete=complete_callables)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file; else to standard output.")
@json_option
def docs(names: tuple[str, ...], output: Path | None, as_json: bool) -> int:
    """Markdown pages of NAMES (namespaces or callables); by default of what the project itself provides."""
    from orchestrator.plugin.help_text import plugin_markdown

    project = open_project()
    infos = find_callables(project, names)
    for problem in () if names else _broken(project):
        say(f"{problem.name}: {told(problem)}")
    pages = {}
    for namespace in dict.fromkeys(info.namespace for info in infos):
        pages[namespace] = plugin_markdown(namespace, "", [i for i in infos if i.namespace == namespace])
    text = "\n".join(pages.values())
    if output is not None:
        try:
            output.write_text(text, "utf-8")
        except OSError as error:
            raise CommandFailed(f"{output}: {error.strerror or error}", Exit.ENVIRONMENT) from error
        say(f"wrote {output}")
    if as_json:
        print_json("plugin docs", ok=True, data=pages if output is None else {"file": str(output)})
    elif output is None:
        click.echo(text, nl=False)
    return Exit.OK


@command.command("check")
@click.argument("names", nargs=-1, shell_complete=complete_callables)
@click.option("--fix", "fixes", is_flag=True, help="In a plugin package: write the manifest anew.")
@json_option
def check(names: tuple[str, ...], fixes: bool, as_json: bool) -> int:
    """Hold plugins to their contract: help, schemas, examples that run, cheap and harmless import, no secret in sight.

    NAMES are callables, namespaces, or folders of plugin packages. By default the package in this folder is checked, or
    else what the project's plugin folder provides. This imports the plugins and runs their examples.
    """
    from orchestrator.cli.plugin_check import check_callables, check_package, is_package
    from orchestrator.plugin.contract import Breach

    folders = [Path(name) for name in names if is_package(Path(name))]
    rest = tuple(name for name in names if Path(name) not in folders)
    if not names and is_package(Path(".")):
        folders = [Path(".")]
    breaches: list[Any] = []
    checked: list[str] = []
    for folder in folders:
        if fixes:
            _write_manifests(folder)
        found, seen = check_package(folder)
        breaches += found
        checked += seen
    if rest or not folders:
        project = open_project()
        if not rest:  # what is broken is named, and the others are checked all the same
            breaches += [
                Breach(p.name, p.code, told(p)) for p in _broken(project) if p.code != "PLG006"
            ]  # told by callable
        infos = find_callables(project, rest, is_broken_fine=bool(breaches))
        breaches += check_callables(infos, project)
        checked += [info.name for info in infos]
    if as_json:
        data = {
            "checked": checked,
            "breaches": [{"name": b.name, "rule": b.rule, "message": b.message} for b in breaches],
        }
        print_json("plugin check", ok=not breaches, data=data)
    else:
        for breach in breaches:
            click.echo(inert(str(breach)))
        kept = plural(len(breaches), "breach", "breaches") if breaches else "all kept"
        say(f"{plural(len(checked), 'callable')} checked: {kept}")
    return Exit.DIAGNOSTICS if breaches else Exit.OK


def _broken(project: Project) -> list[PluginProblem]:
    """What is wrong with plugins; one that the project does not allow is not broken."""
    return [problem for problem in project.catalog.problems() if problem.code != "PLG004"]


def _write_manifests(folder: Path) -> None:
    from orchestrator.cli.plugin_check import write_manifests

    for file in write_manifests(folder):
        say(f"wrote {file}")


def find_callables(project: Project, names: Iterable[str], *, is_broken_fine: bool = False) -> list[CallableInfo]:
    """The callables of these names or namespaces; without any, those that the project itself provides.

    Raises: CommandFailed for a name that is unknown or broken; without names, when there is nothing to take.
    """
    catalog = project.catalog
    wanted = list(names)
    if not wanted:
        infos = [info for name in catalog.names() if (info := catalog.get(name)) is not None]
        own = [i for i in infos if i.provider != "bundled" and i.namespace not in project.config.mcp_servers]
        if own or is_broken_fine:
            return own
        for broken in _broken(project):
            raise CommandFailed(f"{broken.name}: {broken.message}", Exit.DIAGNOSTICS)
        raise CommandFailed(
            "the project provides no callables of its own; name one, such as `text.slug` or `http`", Exit.NOT_FOUND
        )
    found: dict[str, CallableInfo] = {}
    for name in wanted:
        members = [n for n in catalog.names() if n.partition(".")[0] == name] if "." not in name else [name]
        for member in members or [name]:
            found[member] = find_callable(project, member)
    return list(found.values())
