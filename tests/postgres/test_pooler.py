"""PgBouncer between a process and its database: session mode works, transaction mode is refused before anything is written."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestrator.errors import StoreError
from orchestrator.journal.postgres import PostgresJournal
from orchestrator.runtime.journal import Batch
from orchestrator.testing.conformance_kit import NOW, WORKER, new_run, tick
from tests.support.postgres import Server

SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
PGBOUNCER = shutil.which("pgbouncer", path=SEARCH) or ""
pytestmark = pytest.mark.skipif(not PGBOUNCER, reason="pgbouncer is not installed")


@pytest.fixture
def pooled(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = parse_qs(urlsplit(server.url()).query)["host"][0]
    (tmp_path / "pool.ini").write_text(
        f"[databases]\npostgres = host={folder} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {request.param}\n"
    )
    command = [PGBOUNCER, *(("-u", Path(folder).owner()) if os.getuid() == 0 else ()), "/dev/stdin"]
    with (tmp_path / "pool.ini").open() as settings:
        started = subprocess.Popen(command, stdin=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        started.kill()
        started.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "pgbouncer did not start"
            time.sleep(0.05)


@pytest.mark.parametrize("pooled", ["transaction", "statement"], indirect=True)
def test_a_pooler_that_deals_out_connections_anew_is_refused(pooled: str) -> None:
    with pytest.raises(StoreError, match="pool_mode = session") as refused:
        PostgresJournal(pooled, schema="pooled_transaction")
    assert refused.value.code == "store.pooler"


@pytest.mark.parametrize("pooled", ["session"], indirect=True)
def test_a_pooler_in_session_mode_works(pooled: str) -> None:
    async def use() -> int:
        journal = PostgresJournal(pooled, schema="pooled_session")
        await journal.renew(WORKER, now=NOW, lease_s=15)
        await journal.commit(Batch("r", 1, 0, NOW, WORKER, [tick(0)], create=new_run("r")))
        found = len(await journal.ticks("r", -1, 9))
        await journal.aclose()
        return found

    assert asyncio.run(use()) == 1
