"""`orchestrator serve`: serve a project in production."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.output import say
from orchestrator.cli.store import make_folder, store_option, store_url

if TYPE_CHECKING:  # loads starlette
    from orchestrator.server.desk import Desk

PORT = 8000


@click.command("serve")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default=".")
@click.option("--host", default="127.0.0.1", show_default=True, help="Another address needs accounts.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes any free one.")
@store_option
@click.option("--no-workers", is_flag=True, help="Leave runs that are due to `orchestrator worker`.")
@click.option("--accounts", type=click.Path(path_type=Path, dir_okay=False), help="The file of users and keys.")
@click.option(
    "--allow-host", "hosts", multiple=True, metavar="NAME", help="A name that the server is reached by; repeat."
)
@click.option("--allow-origin", "origins", multiple=True, metavar="URL", help="Another site that may call it; repeat.")
@click.option("--url", default="", metavar="URL", help="How people reach it, for links in mails.")
@click.option(
    "--proxy", "trusts_proxy", is_flag=True, help="Trust X-Forwarded-For and -Proto of a proxy on this machine."
)
@click.option("--allow-edit", is_flag=True, help="Let editors save flow files.")
@click.option("--llama-routes", is_flag=True, help="Serve the routes of llama-agents-client too.")
def command(
    folder: Path,
    host: str,
    port: int,
    store: str | None,
    no_workers: bool,
    accounts: Path | None,
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    url: str,
    trusts_proxy: bool,
    allow_edit: bool,
    llama_routes: bool,
) -> int:
    """Serve a project. SIGTERM lets runs come to rest and gives them up before the process ends.

    With accounts everybody signs in. Without any, only this machine can be served, and nobody needs to.
    """
    from orchestrator.authoring.project import Project
    from orchestrator.cli.serving import open_accounts, serve_desk
    from orchestrator.server.desk import ServerSettings
    from orchestrator.server.llama_adapter import Adapter
    from orchestrator.server.opening import open_desk

    project = Project.open(folder)
    place = store_url(project, store)
    make_folder(place)
    people = open_accounts(project, accounts)
    settings = ServerSettings(
        is_open=people.is_empty() and not project.config.oidc.is_set,
        allows_edit=allow_edit,
        hosts=(host, *hosts),
        origins=origins,
        url=url,
        is_secure=url.startswith("https://"),
    )
    desk = open_desk(project, place, accounts=people, settings=settings, serves_runs=not no_workers)
    _check_groups(desk)
    if settings.is_open:
        say("there are no accounts: everybody on this machine may do everything (`orchestrator users add` makes one)")
    more = Adapter(desk).routes() if llama_routes else ()
    return serve_desk(desk, host, port, more=more, trusts_proxy=trusts_proxy)


def _check_groups(desk: Desk) -> None:
    """Refuse flows that name groups where nobody says who is in them."""
    from orchestrator.server.shelf import groups_named

    desk.shelf.scan()
    for served in desk.shelf:
        if served.is_ok:
            continue
        say(f"warning: flow `{served.name}` has errors and cannot be started; `orchestrator check` shows them")
    if desk.knows_people():
        return
    for served in desk.shelf:
        named = groups_named(served.ir) if served.ir is not None else {}
        for group, step in named.items():
            raise CommandFailed(
                f"step `{step}` of flow `{served.name}` asks the group {group!r}, and nobody says who is in it; "
                "name people in [people] of orchestrator.toml, or with `orchestrator users add NAME --group ...`",
                Exit.AUTH,
            )
