"""`orchestrator keys`: API keys of users. A key is printed once, when it is made; only its hash is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.cli.exits import CommandFailed, Exit
from orchestrator.cli.output import print_json, say
from orchestrator.cli.users_cmd import accounts_of, accounts_option, json_option


@click.group("keys")
def command() -> None:
    """Manage API keys. A key has the roles of its user."""


@command.command("list")
@accounts_option
@json_option
def list_keys(accounts: Path | None, as_json: bool) -> int:
    """List keys, without the keys themselves."""
    with accounts_of(accounts) as found:
        keys = found.api_keys()
    if as_json:
        rows = [
            {"id": k.id, "user": k.user, "label": k.label, "created_at": k.created_at, "expires_at": k.expires_at}
            for k in keys
        ]
        print_json("keys list", ok=True, data={"keys": rows})
        return Exit.OK
    for key in keys:
        ends = f"  until {_day(key.expires_at)}" if key.expires_at is not None else ""
        used = f"  last used {_day(key.used_at)}" if key.used_at is not None else "  never used"
        click.echo(f"{key.id}  {key.user}  {key.label or '-'}{ends}{used}")
    if not keys:
        say("there are no keys; `orchestrator keys create USER` makes one")
    return Exit.OK


@command.command("create")
@click.argument("user")
@click.option("--label", default="", help="What it is for.")
@click.option("--for", "lasts", metavar="DURATION", help="How long it holds, such as 90d; for good by default.")
@accounts_option
@json_option
def create_key(user: str, label: str, lasts: str | None, accounts: Path | None, as_json: bool) -> int:
    """Make a key and print it, this once."""
    with accounts_of(accounts) as found:
        key, kept = found.add_key(user, label, lasts_s=_seconds(lasts))
    if as_json:
        print_json(
            "keys create", ok=True, data={"id": kept.id, "user": user, "key": key, "expires_at": kept.expires_at}
        )
    else:
        click.echo(key)
        say(f"key {kept.id} of {user}; keep it now, it cannot be shown again")
    return Exit.OK


@command.command("revoke")
@click.argument("key_id")
@accounts_option
@json_option
def revoke_key(key_id: str, accounts: Path | None, as_json: bool) -> int:
    """Revoke a key by its id (the part between `orc_` and the next `_`). A running server refuses it within seconds."""
    with accounts_of(accounts) as found:
        found.remove_key(key_id)
    if as_json:
        print_json("keys revoke", ok=True, data={"id": key_id})
    else:
        say(f"revoked {key_id}")
    return Exit.OK


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    from orchestrator.ir.durations import BadTime, Duration, parse_time

    try:
        parsed = parse_time(text)
    except BadTime:
        parsed = None
    if not isinstance(parsed, Duration):
        raise CommandFailed(f"{text!r} is no duration such as 90d or 12h", Exit.USAGE)
    return parsed.seconds


def _day(at: float | None) -> str:
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
