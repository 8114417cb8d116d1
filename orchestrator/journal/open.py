"""Opens a store by its URL: `memory:`, `sqlite:///relative.db`, `sqlite:////absolute.db`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from orchestrator.errors import UsageError
from orchestrator.journal.memory import MemoryJournal
from orchestrator.journal.sqlite import SqliteJournal


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """What a store's URL says. scheme: memory or sqlite; `is_strict`: `?durability=strict` (the default) or relaxed."""

    scheme: str
    path: Path | None
    is_strict: bool


def parse_store_url(url: str) -> StoreUrl:
    """Take a store's URL apart.

    Raises: UsageError that shows the forms there are.
    """
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    durability = options.pop("durability", ["strict"])[-1]
    if durability not in ("strict", "relaxed") or options:
        odd = ", ".join(sorted(options)) or f"durability={durability}"
        raise UsageError(f"store {url!r}: {odd} is unknown; the one option is `durability=strict` or `relaxed`")
    is_strict = durability == "strict"
    if parts.scheme == "memory":
        return StoreUrl("memory", None, is_strict)
    if parts.scheme == "sqlite" and parts.netloc == "" and len(parts.path) > 1:
        return StoreUrl("sqlite", Path(unquote(parts.path[1:])), is_strict)
    raise UsageError(
        f"{url!r} names no store; write `memory:`, `sqlite:///runs.db` (beside you) or `sqlite:////var/lib/runs.db`"
    )


def open_journal(url: str, *, at_commit: Callable[[str], None] | None = None) -> SqliteJournal | MemoryJournal:
    """The journal at a URL; a SQLite file is made if it is not there.

    Raises: UsageError for a URL that names none; StoreError for a file that cannot be used.
    Example: open_journal("memory:")
    """
    parsed = parse_store_url(url)
    if parsed.path is None:
        return MemoryJournal()
    return SqliteJournal(parsed.path, at_commit=at_commit)
