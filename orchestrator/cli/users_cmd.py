"""`orchestrator users`: the accounts of a project's server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.output import print_json, say
from orchestrator.errors import UsageError

if TYPE_CHECKING:  # loads sqlite
    from orchestrator.server.accounts import Accounts, User

ROLES = ("viewer", "starter", "approver", "editor", "operator")
accounts_option = click.option(
    "--accounts",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file of users and keys; the project's by default.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@contextmanager
def accounts_of(file: Path | None) -> Iterator[Accounts]:
    """The accounts of the project around here."""
    from orchestrator.authoring.project import Project
    from orchestrator.cli.serving import open_accounts

    accounts = open_accounts(Project.open(Path(".")), file)
    try:
        yield accounts
    except UsageError as error:
        if error.code in ("user.unknown", "key.unknown"):
            raise CommandFailed(error.message, Exit.NOT_FOUND) from error
        raise
    finally:
        accounts.close()


def read_password(from_stdin: bool) -> str:
    """A new password: asked for twice on a terminal, or one line of standard input."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise CommandFailed("there is no terminal to ask for a password; give it with --password-stdin", Exit.USAGE)
    asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return asked


@click.group("users")
def command() -> None:
    """Manage people: who may sign in, and what they may do.

    Roles: viewer sees runs, starter starts them, approver answers requests, editor checks and saves flows, operator may do
    everything. Changes hold for a running server within seconds.
    """


@command.command("list")
@accounts_option
@json_option
def list_users(accounts: Path | None, as_json: bool) -> int:
    """List users with their roles and groups."""
    with accounts_of(accounts) as found:
        users = found.users()
    if as_json:
        print_json("users list", ok=True, data={"users": [view(user) for user in users]})
        return Exit.OK
    for user in users:
        notes = ["disabled"] if user.is_disabled else []
        notes += [] if user.has_password else ["no password"]
        groups = f"  groups: {', '.join(user.groups)}" if user.groups else ""
        click.echo(
            f"{user.name}  {', '.join(sorted(user.roles)) or 'no role'}{groups}"
            + (f"  ({', '.join(notes)})" if notes else "")
        )
    if not users:
        say("there are no users; `orchestrator users add NAME --role operator` makes the first one")
    return Exit.OK


def view(user: User) -> dict[str, Any]:
    """A user as JSON."""
    return {
        "name": user.name,
        "roles": sorted(user.roles),
        "groups": list(user.groups),
        "email": user.email,
        "disabled": user.is_disabled,
        "has_password": user.has_password,
    }


@command.command("add")
@click.argument("name")
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(ROLES), help="What they may do; repeat. Approver by default."
)
@click.option("--group", "groups", multiple=True, help="A group they are in; repeat.")
@click.option("--email", default="", help="Where to write to them.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--no-password", is_flag=True, help="They use API keys and signed links only.")
@accounts_option
@json_option
def add_user(
    name: str,
    roles: tuple[str, ...],
    groups: tuple[str, ...],
    email: str,
    password_stdin: bool,
    no_password: bool,
    accounts: Path | None,
    as_json: bool,
) -> int:
    """Add a user."""
    from orchestrator.server.access import Role

    password = None if no_password else read_password(password_stdin)
    chosen = [Role(role) for role in roles or ("approver",)]
    with accounts_of(accounts) as found:
        user = found.add_user(name, roles=chosen, groups=groups, email=email, password=password)
    if as_json:
        print_json("users add", ok=True, data=view(user))
    else:
        say(f"added {user.name}: {', '.join(sorted(user.roles))}")
    return Exit.OK


@command.command("set")
@click.argument("name")
@click.option("--role", "roles", multiple=True, type=click.Choice(ROLES), help="The roles from now on; repeat.")
@click.option("--group", "groups", multiple=True, help="The groups from now on; repeat.")
@click.option("--no-groups", is_flag=True, help="Take them out of every group.")
@click.option("--email", help="Where to write to them.")
@click.option("--password", "asks_password", is_flag=True, help="Ask for a new password; ends their sessions.")
@click.option("--password-stdin", is_flag=True, help="Read the new password from standard input.")
@click.option("--disable/--enable", "is_disabled", default=None, help="Whether they may not sign in, or may again.")
@accounts_option
@json_option
def set_user(
    name: str,
    roles: tuple[str, ...],
    groups: tuple[str, ...],
    no_groups: bool,
    email: str | None,
    asks_password: bool,
    password_stdin: bool,
    is_disabled: bool | None,
    accounts: Path | None,
    as_json: bool,
) -> int:
    """Change a user; what is not named stays."""
    from orchestrator.server.access import Role

    password = read_password(password_stdin) if asks_password or password_stdin else None
    with accounts_of(accounts) as found:
        user = found.change_user(
            name,
            roles=[Role(role) for role in roles] if roles else None,
            groups=() if no_groups else groups or None,
            email=email,
            password=password,
            is_disabled=is_disabled,
        )
    if as_json:
        print_json("users set", ok=True, data=view(user))
    else:
        say(f"changed {user.name}")
    return Exit.OK


@command.command("remove")
@click.argument("name")
@accounts_option
@json_option
def remove_user(name: str, accounts: Path | None, as_json: bool) -> int:
    """Remove a user with their keys and sessions. What they did stays in the audit log."""
    with accounts_of(accounts) as found:
        found.remove_user(name)
    if as_json:
        print_json("users remove", ok=True, data={"name": name})
    else:
        say(f"removed {name}")
    return Exit.OK
