"""Opens a store by its URL: `memory:`, `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://user@host/database`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlencode, urlsplit, urlunsplit

from orchestrator.errors import StoreBusy, StoreError, UsageError
from orchestrator.journal.memory import MemoryJournal
from orchestrator.journal.sqlite import SqliteJournal

if TYPE_CHECKING:  # its driver is an extra
    from orchestrator.journal.postgres import PostgresJournal

POSTGRES_SCHEMES = ("postgresql", "postgres")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,40}")


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """What a store's URL says. scheme: memory, sqlite or postgresql; `is_strict`: `?durability=strict` (the default) or relaxed.

    `dsn` is the address without what is ours; `schema` (`?schema=`) is where the tables of a PostgreSQL store stand.
    """

    scheme: str
    path: Path | None
    is_strict: bool
    dsn: str = ""
    schema: str = "orchestrator"


def parse_store_url(url: str) -> StoreUrl:
    """Take a store's URL apart.

    Raises: UsageError that shows the forms there are.
    """
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    durability = options.pop("durability", ["strict"])[-1]
    if durability in ("strict", "relaxed") and parts.scheme in POSTGRES_SCHEMES:
        schema = options.pop("schema", ["orchestrator"])[-1]
        if _SCHEMA.fullmatch(schema) is None:
            raise UsageError(f"store: schema={schema}: a schema is named with small letters, digits and `_`")
        dsn = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(options, doseq=True), ""))
        return StoreUrl("postgresql", None, durability == "strict", dsn, schema)
    if durability not in ("strict", "relaxed") or options:
        odd = ", ".join(sorted(options)) or f"durability={durability}"
        raise UsageError(f"store {url!r}: {odd} is unknown; the one option is `durability=strict` or `relaxed`")
    is_strict = durability == "strict"
    if parts.scheme == "memory":
        return StoreUrl("memory", None, is_strict)
    if parts.scheme == "sqlite" and parts.netloc == "" and len(parts.path) > 1:
        return StoreUrl("sqlite", Path(unquote(parts.path[1:])), is_strict)
    raise UsageError(
        f"{url!r} names no store; write `memory:`, `sqlite:///runs.db` (beside you), `sqlite:////var/lib/runs.db` or "
        "`postgresql://user@host/database`"
    )


def open_journal(
    url: str, *, at_commit: Callable[[str], None] | None = None
) -> SqliteJournal | MemoryJournal | PostgresJournal:
    """The journal at a URL; a SQLite file is made if it is not there, and so are the tables in a PostgreSQL database.

    Raises: UsageError for a URL that names none; StoreError for a file or database that cannot be used, or whose driver is
    not installed.
    Example: open_journal("memory:")
    """
    parsed = parse_store_url(url)
    if parsed.scheme == "postgresql":
        return _open_postgres(parsed, at_commit)
    if parsed.path is None:
        return MemoryJournal()
    return SqliteJournal(parsed.path, at_commit=at_commit)


def open_when_up(
    url: str, *, wait_s: float, say: Callable[[str], None]
) -> SqliteJournal | MemoryJournal | PostgresJournal:
    """The same for a process that may start before its database does: waits up to `wait_s` until that can be reached.

    Blocks. `say` is told once why. Raises: as `open_journal`.
    """
    give_up_at, pause, has_said = time.monotonic() + wait_s, 0.05, False
    while True:
        try:
            return open_journal(url)
        except StoreError as error:
            is_away = isinstance(error, StoreBusy) or error.code == "store.cannot_open"
            if parse_store_url(url).scheme != "postgresql" or not is_away or time.monotonic() > give_up_at:
                raise
            if not has_said:
                has_said = True
                say(f"waiting for the database: {error}")
        time.sleep(pause)
        pause = min(1.0, pause * 2)


def _open_postgres(parsed: StoreUrl, at_commit: Callable[[str], None] | None) -> PostgresJournal:
    try:
        from orchestrator.journal.postgres import PostgresJournal
    except ImportError as error:
        raise StoreError(
            f"a PostgreSQL store needs its driver ({error}); `pip install 'orchestrator-flows[postgres]'`",
            code="store.no_driver",
        ) from error
    return PostgresJournal(parsed.dsn, schema=parsed.schema, at_commit=at_commit)
