"""Wakes runs through DBOS queues, which hold them back, delay them and spread them over worker processes.

Theory. DBOS is a doorbell and the journal is the truth. An activation is a DBOS workflow without steps, named `run:epoch:ring`:
it takes the run if it is due, works until the run rests or its turn is over, and leaves nothing behind that matters. The ring
number is raised whenever one is asked for, so a lost activation is never taken for its successor. Every worker's sweep asks for
what is due; what was asked for `HELP_S` ago and still waits it starts itself, and after `AGAIN_S` it asks again. So nothing
depends on DBOS recovering what was pending on a dead process, which its open part does not do.

Only public names of `dbos` are used. One DBOS per process is all there can be, and so one such dispatcher. The queues have no
limit per partition: what a dead process left pending would hold its partition for ever.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.dispatch.dispatcher import BITE
from orchestrator.dispatch.worker import Turn
from orchestrator.errors import StoreError, UsageError
from orchestrator.journal.postgres_scope import Ring

try:
    from dbos import DBOS, DBOSConfig, EnqueueOptions, WorkflowSerializationFormat
except ImportError as missing:
    raise StoreError(
        f"the DBOS dispatcher needs its package ({missing}); `pip install 'orchestrator-flows[dbos]'`",
        code="store.no_driver",
    ) from missing

if TYPE_CHECKING:  # only its type
    from orchestrator.dispatch.worker import Worker

T = TypeVar("T")
VERSION = "orchestrator-engine-1"  # of what an activation means; never of this package, or upgrades would strand what is queued
QUEUE = "orchestrator"
ACTIVATION = "orchestrator.activate"
RINGS, THREADS = 200, 4
HELP_S = 1.0
AGAIN_S = 15.0
AHEAD_S = 5.0
POLL_S = 0.5  # what idle workers cost grows with it: at ten looks a second 4.5 % of a core
UNUSED_S = 3600.0  # how often DBOS looks for what is never there: schedules, messages, events
TURN_S, TURN_TICKS = 5.0, 10_000
CLEAN_EVERY_S, KEPT_S = 60.0, 600.0
log = logging.getLogger("orchestrator.dbos")
_one_dbos = threading.Lock()
_current: DbosDispatcher | None = None


def queue_of(pool: str | None) -> str:
    """The queue of a pool's runs."""
    return QUEUE if pool is None else f"{QUEUE}.{pool}"


class DbosDispatcher:
    """Wakes runs through DBOS on the database at `dsn`, in a schema of its own beside the journal's.

    `poll_s` is how often DBOS looks at its queues; after `turn_s` a run is given up and queues again.
    """

    def __init__(self, dsn: str, *, schema: str = "dbos", poll_s: float = POLL_S, turn_s: float = TURN_S) -> None:
        self._dsn = dsn
        self._schema = schema
        self._poll_s = poll_s
        self._turn = Turn(turn_s, TURN_TICKS)
        self._worker: Worker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cleaned_at = time.monotonic()
        self._is_up = False
        self._threads = ThreadPoolExecutor(THREADS, "orchestrator-dbos")
        self.rung = self.helped = self.activated = 0

    async def start(self, worker: Worker) -> None:
        """Launch DBOS for this worker, as soon as it can be: until then the worker takes what is due by itself.

        Raises: UsageError if this process has one already, or the store is no PostgreSQL.
        """
        global _current
        if worker.shared is None:
            raise UsageError("the DBOS dispatcher needs a PostgreSQL store")
        if _current is not None:
            raise UsageError("one process can have one DBOS dispatcher")
        _current, self._worker, self._loop = self, worker, asyncio.get_running_loop()
        queues = [queue_of(pool) for pool in (None, *sorted(worker.pools or ()))]
        while _current is self and not self._is_up:
            try:
                await self._do(self._launch, worker, queues)
            except Exception as error:  # whatever DBOS or its database raises
                log.warning("DBOS cannot be launched yet (%s: %s)", type(error).__name__, error)
                await self._do(_destroy)
                await asyncio.sleep(HELP_S)
            else:
                self._is_up = True
        worker.keeper.wake()

    def _launch(self, worker: Worker, queues: list[str]) -> None:
        config: DBOSConfig = {
            "name": "orchestrator",
            "system_database_url": self._dsn,
            "dbos_system_schema": self._schema,
            "application_version": VERSION,
            "executor_id": worker.worker,
            "max_executor_threads": 16,
            "sys_db_pool_size": 5,
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": UNUSED_S,
            "scheduler_polling_interval_sec": UNUSED_S,
            "enable_otlp": False,
            "log_level": "WARNING",
        }
        with _one_dbos:
            DBOS(config=config)
            DBOS.workflow(name=ACTIVATION, serialization_type=WorkflowSerializationFormat.PORTABLE)(_activate)
            DBOS.listen_queues(queues)
            DBOS.launch()
            for queue in queues:
                DBOS.register_queue(
                    queue,
                    worker_concurrency=worker.concurrency,
                    polling_interval_sec=self._poll_s,
                    on_conflict="always_update",
                )

    async def _do(self, call: Callable[..., T], *args: Any) -> T:
        """Call DBOS in a thread of ours: its own asynchronous functions put the event loop's calls into its thread pool."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args))

    async def sweep(self, worker: Worker, room: int) -> int:
        """Ask for what is due; start here what was asked for in vain."""
        if not self._is_up or worker.shared is None:
            return await worker.take_due(min(room, BITE)) if _current is self else 0
        now = worker.clock.now()
        helped = await worker.take_rung(room, rung_before=now - HELP_S, turn=self._turn)
        self.helped += helped
        rings = await worker.shared.take_rings(now=now, limit=RINGS, again_s=AGAIN_S, ahead_s=AHEAD_S)
        if rings:
            await asyncio.gather(*map(self._ring, rings))
        if time.monotonic() - self._cleaned_at > CLEAN_EVERY_S:
            self._cleaned_at = time.monotonic()
            worker.keeper.spawn(self.clean(older_than_s=KEPT_S))
        return helped

    async def _ring(self, ring: Ring) -> None:
        options: EnqueueOptions = {
            "workflow_name": ACTIVATION,
            "queue_name": queue_of(ring.pool),
            "workflow_id": ring.activation,
            "app_version": VERSION,
            "serialization_type": WorkflowSerializationFormat.PORTABLE,
        }
        if ring.delay_s > 0:
            options["delay_seconds"] = ring.delay_s
        try:
            await self._do(DBOS.enqueue_workflow_with_options, options, ring.run_id)
        except Exception as error:  # whatever DBOS or its database raises: the sweep asks again
            log.warning("run %s was not queued (%s: %s)", ring.run_id, type(error).__name__, error)
        else:
            self.rung += 1

    async def wake(self, run_id: str) -> None:
        """What an activation does: take the run if it is due, until it rests or its turn is over."""
        worker = self._worker
        if worker is None or worker.shared is None:
            return
        self.activated += 1
        if not await worker.activate(run_id, self._turn):
            await worker.shared.decline(run_id, now=worker.clock.now())

    def wake_from(self, run_id: str) -> asyncio.Future[None]:
        """The same, asked for in another event loop."""
        assert self._loop is not None
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.wake(run_id), self._loop))

    async def clean(self, *, older_than_s: float) -> int:
        """Remove activations that are over, or were queued or begun long ago and can matter to nobody; gives how many."""
        before = datetime.fromtimestamp(time.time() - older_than_s, UTC).isoformat()
        return await self._do(_clean, before)

    async def aclose(self) -> None:
        """Take no more activations; those under way end with their runs."""
        global _current
        if _current is self:
            _current = None
            self._is_up = False
            await self._do(_destroy)  # waits for a launch that is under way
            self._threads.shutdown(wait=False)


def _clean(before: str) -> int:
    found = DBOS.list_workflows(name=ACTIVATION, end_time=before, limit=1000, load_input=False, load_output=False)
    if found:
        DBOS.delete_workflows([status.workflow_id for status in found])
    return len(found)


def _destroy() -> None:
    with _one_dbos:
        DBOS.destroy(destroy_registry=True)


async def _activate(run_id: str) -> None:
    """An activation, in whatever loop DBOS runs it."""
    dispatcher: Any = _current
    if dispatcher is not None:
        await dispatcher.wake_from(run_id)
