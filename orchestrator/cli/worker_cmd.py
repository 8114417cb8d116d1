"""`orchestrator worker`: work off the runs of a store in this process, until it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.exits import Exit
from orchestrator.cli.files import open_project
from orchestrator.cli.output import say
from orchestrator.cli.store import open_store, store_option, store_url

if TYPE_CHECKING:  # loads the runtime
    from orchestrator.authoring.project import Project
    from orchestrator.dispatch.dispatcher import Dispatcher
    from orchestrator.dispatch.worker import Worker
    from orchestrator.journal.store import Store

GRACE_S = 30.0
WAIT_S = 60.0  # for a database that starts later than this process


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What a worker's command line says."""

    store: str
    pools: tuple[str, ...]
    concurrency: int
    dispatcher: str
    name: str | None
    grace_s: float
    metrics: str | None


@click.command("worker")
@click.argument("project_path", metavar="[PROJECT]", type=click.Path(path_type=Path), required=False)
@store_option
@click.option(
    "--pool", "pools", multiple=True, metavar="NAME", help="Take the steps that are placed in this pool; repeatable."
)
@click.option(
    "--concurrency", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Runs held at a time."
)
@click.option(
    "--dispatcher",
    type=click.Choice(["local", "dbos"]),
    default="local",
    show_default=True,
    help="Who spreads the runs.",
)
@click.option("--name", help="What the worker's name begins with; the host otherwise.")
@click.option("--grace", "grace_s", default=GRACE_S, show_default=True, help="Seconds that calls may go on at SIGTERM.")
@click.option("--metrics", metavar="HOST:PORT", help="Serve /metrics and /healthz here.")
@click.option("--fake-llm", is_flag=True, help="Answer model calls with a built-in fake, offline.")
def command(
    project_path: Path | None,
    store: str | None,
    pools: tuple[str, ...],
    concurrency: int,
    dispatcher: str,
    name: str | None,
    grace_s: float,
    metrics: str | None,
    fake_llm: bool,
) -> int:
    """Work off the runs of a store: those that are due, that others left behind, and that are started from now on.

    Any number of workers may share a PostgreSQL store, on any number of hosts and with different versions of the code: each
    takes the runs whose steps and secrets it has. SIGTERM lets calls that are under way end and gives everything else back.
    """
    project = open_project((project_path,) if project_path is not None else (), fake_llm=fake_llm)
    options = WorkerOptions(store_url(project, store), pools, concurrency, dispatcher, name, grace_s, metrics)
    _check(options)
    return asyncio.run(_work(project, options))


def _check(options: WorkerOptions) -> None:
    is_postgres = options.store.startswith(("postgresql://", "postgres://"))
    if options.store.startswith("memory:"):
        raise click.UsageError("a worker needs a store that others can reach: sqlite:///FILE or postgresql://…")
    if options.pools and not is_postgres:
        raise click.UsageError("--pool needs a PostgreSQL store; over a SQLite file every worker takes every step")
    if options.dispatcher == "dbos" and not is_postgres:
        raise click.UsageError("--dispatcher dbos needs a PostgreSQL store")


def make_worker(project: Project, options: WorkerOptions) -> Worker:
    """A worker over a project and its store. Raises: StoreError, CommandFailed, UsageError."""
    from orchestrator.dispatch.capability import lack_of
    from orchestrator.dispatch.worker import Worker
    from orchestrator.journal.open import open_when_up, parse_store_url
    from orchestrator.plugin.providers import configured_provider

    def is_secret_set(name: str) -> bool:
        if project.config.secrets.provider not in ("", "env"):
            return True  # only asking it would tell, and that is done by the call
        return configured_provider(project.config)(name) is not None

    parsed = parse_store_url(options.store)
    dispatcher: Dispatcher | None = None
    if options.dispatcher == "dbos":
        from orchestrator.dispatch.dbos import DbosDispatcher

        # activations are named after runs, so every journal has queues of its own
        schema = "dbos" if parsed.schema == "orchestrator" else f"{parsed.schema}_dbos"
        dispatcher = DbosDispatcher(parsed.dsn, schema=schema)
    if parsed.scheme == "postgresql":
        journal: Store = open_when_up(options.store, wait_s=WAIT_S, say=say)
    else:
        journal = open_store(project, options.store)
    return Worker(
        journal,
        project.plan,
        can_run=lambda flow: lack_of(flow, project.catalog, is_secret_set),
        learn=project.know,
        dispatcher=dispatcher,
        pools=frozenset(options.pools),
        concurrency=options.concurrency,
        is_strict=parsed.is_strict,
        worker=own_name(options.name),
    )


async def _work(project: Project, options: WorkerOptions) -> int:
    from orchestrator.authoring.notices import Notices

    worker = make_worker(project, options)
    notices = Notices(lambda: project)
    notices.attach(worker)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await _serve_metrics(worker, options.metrics) if options.metrics is not None else None
    worker.serve()
    notices.look()
    pools = f", pools {', '.join(options.pools)}" if options.pools else ""
    say(f"worker {worker.worker} takes up to {options.concurrency} runs{pools}; Ctrl-C ends it")
    try:
        await ended.wait()
        say(f"ending: calls under way have {options.grace_s:g} s")
    finally:
        if server is not None:
            server.close()
        await worker.aclose(grace_s=options.grace_s)
        await notices.aclose()
        await worker.journal.aclose()
        await project.hub.aclose()
    return Exit.OK


async def _serve_metrics(worker: Worker, address: str) -> asyncio.Server:
    from orchestrator.dispatch.worker_metrics import render_metrics

    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise click.UsageError(f"--metrics {address}: write HOST:PORT, such as 127.0.0.1:9464")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                head = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)
            path = head[1] if head[0] == b"GET" and len(head) > 1 else b""
            body = {b"/metrics": render_metrics(worker), b"/healthz": "ok\n"}.get(path)
            status = "200 OK" if body is not None else "404 Not Found"
            data = (body or "there is /metrics and /healthz\n").encode()
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode()
                + data
            )
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    return await asyncio.start_server(answer, host or "127.0.0.1", int(port), limit=16_384)


def own_name(given: str | None) -> str | None:
    """A name that no other process has or had: runs are held under it, and a dead process's are taken over by it."""
    return None if given is None else f"{given}:{os.getpid()}:{os.urandom(4).hex()}"
