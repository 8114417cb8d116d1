"""`orchestrator dev`: serve the project here while it is being written."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.kept_runs import kept_runs
from orchestrator.cli.output import say
from orchestrator.cli.store import make_folder, sqlite_file, store_option, store_url

PORT = 7788


@click.command("dev")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default=".")
@click.option("--host", default="127.0.0.1", show_default=True, help="Another address needs accounts.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes any free one.")
@store_option
@click.option("--fake-llm", is_flag=True, help="Answer model calls with a built-in fake, offline.")
@click.option("--no-reload", is_flag=True, help="Do not look for changed flows and plugins.")
@click.option("--llama-routes", is_flag=True, help="Serve the routes of llama-agents-client too.")
def command(
    folder: Path, host: str, port: int, store: str | None, fake_llm: bool, no_reload: bool, llama_routes: bool
) -> int:
    """Serve the pages and the REST interface of a project, and reload flows and plugins when they change.

    On this machine nobody needs an account. Flows may be saved from the editor page.
    """
    from orchestrator.authoring.project import Project
    from orchestrator.cli.serving import open_accounts, serve_desk
    from orchestrator.server.desk import ServerSettings
    from orchestrator.server.llama_adapter import Adapter
    from orchestrator.server.opening import open_desk
    from orchestrator.server.reload import Reloader
    from orchestrator.server.serving import is_loopback

    def reopen() -> Project:
        return Project.open(folder, fake_llm=fake_llm)

    project = reopen()
    url = store_url(project, store)
    make_folder(url)
    is_open = is_loopback(host)
    settings = ServerSettings(is_open=is_open, is_dev=True, allows_edit=True, hosts=(host,))
    desk = open_desk(project, url, accounts=open_accounts(project), settings=settings)
    if not no_reload:

        def tell(text: str) -> None:
            say(text)
            flows = [(x.file, x.ir) for x in desk.shelf if x.file is not None and x.ir is not None and x.is_ok]
            for kept in kept_runs(sqlite_file(project, store), flows):
                say(kept.text)

        reloader = Reloader(desk, reopen, tell)

        async def watch() -> None:
            desk.spawn(reloader.run())

        desk.on_start.append(watch)
    more = Adapter(desk).routes() if llama_routes else ()
    return serve_desk(desk, host, port, more=more)
