"""A schema of an earlier release is brought up to date by whoever opens it first, and keeps what it holds."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from orchestrator.journal import postgres_schema
from orchestrator.journal.open import open_journal, parse_store_url
from orchestrator.journal.postgres import PostgresJournal
from orchestrator.journal.postgres_schema import MIGRATIONS, VERSION, migrate
from orchestrator.testing.conformance_kit import LEASE_S, NOW, WORKER, batch, seqs, start


def tables_of(url: str) -> list[tuple[str, ...]]:
    """Every column, constraint and index of the schema."""
    parsed = parse_store_url(url)
    with psycopg.connect(parsed.dsn) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable, coalesce(column_default, '') FROM information_schema.columns"
            " WHERE table_schema = %s",
            (parsed.schema,),
        ).fetchall()
        indexes = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE schemaname = %s", (parsed.schema,)
        ).fetchall()
    return sorted(tuple(str(part).replace(parsed.schema, "S") for part in row) for row in (*columns, *indexes))


def make_old(url: str, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema as a release that knew fewer versions made it."""
    parsed = parse_store_url(url)
    with monkeypatch.context() as release, psycopg.connect(parsed.dsn, autocommit=True) as connection:
        release.setattr(postgres_schema, "VERSION", version)
        release.setattr(postgres_schema, "MIGRATIONS", MIGRATIONS[:version])
        connection.execute(f"SET search_path TO {parsed.schema}, pg_catalog".encode())
        migrate(connection, parsed.schema, "here")


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_older_schema_becomes_the_newest_one_and_keeps_its_runs(
    version: int, url: str, server: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(url, version, monkeypatch)
    parsed = parse_store_url(url)
    with psycopg.connect(parsed.dsn, autocommit=True) as connection:
        connection.execute(
            f"INSERT INTO {parsed.schema}.runs (id, flow, flow_hash, kind, status, epoch, created_at, root)"
            " VALUES ('old', 'f', 'h', 'yaml', 'waiting', 1, 0, 'old')".encode()
        )

    async def main() -> None:
        with ThreadPoolExecutor(4) as pool:  # processes of the new release that start together
            journals = list(pool.map(lambda _: open_journal(url), range(4)))
        assert all(isinstance(journal, PostgresJournal) for journal in journals)
        first = journals[0]
        await first.renew(WORKER, now=NOW, lease_s=LEASE_S)
        await start(first, "new")
        await first.commit(batch("new", 1))
        assert await seqs(first, "new") == [0, 1]
        assert (await first.stats()).by_status == {"running": 1, "waiting": 1}
        for journal in journals:
            await journal.aclose()

    asyncio.run(main())
    fresh = f"{url}x"
    open_journal(fresh).close()
    assert tables_of(url) == tables_of(fresh)
