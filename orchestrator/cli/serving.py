"""What `dev` and `serve` share: options, the accounts of a project, and running the server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.output import say
from orchestrator.cli.store import FOLDER, hide_folder

if TYPE_CHECKING:  # loads sqlite and starlette
    from orchestrator.authoring.project import Project
    from orchestrator.server.accounts import Accounts
    from orchestrator.server.desk import Desk


def accounts_file(project: Project, option: Path | None) -> Path:
    """Where the accounts of a project are."""
    return option or project.root.resolve() / FOLDER / "accounts.db"


def open_accounts(project: Project, option: Path | None = None) -> Accounts:
    """The accounts of a project; the file is made if it is not there."""
    from orchestrator.server.accounts import Accounts

    file = accounts_file(project, option)
    if file.parent.name == FOLDER:
        hide_folder(file.parent)
    return Accounts(file)


def serve_desk(desk: Desk, host: str, port: int, *, more: Any = (), trusts_proxy: bool = False) -> int:
    """Serve until told to stop; gives the exit code."""
    from orchestrator.server.app import create_app
    from orchestrator.server.serving import BindError, UnsafeBind, bind, check_bind, run_server, url_of

    try:
        if desk.oidc is None:
            check_bind(host, desk.accounts)
        listener = bind(host, port)
    except UnsafeBind as error:
        raise CommandFailed(str(error), Exit.AUTH) from error
    except BindError as error:
        raise CommandFailed(str(error), Exit.ENVIRONMENT) from error
    app = create_app(desk=desk, more=more)
    say(f"serving on {url_of(host, listener)}")
    try:
        run_server(app, listener, trusts_proxy=trusts_proxy)
    finally:
        listener.close()
        desk.accounts.close()
    return Exit.OK
