"""Fires cron triggers, and keeps the list of all triggers in the store, where they can be paused.

A run of a cron trigger has an id made of the trigger and the time that was due, so however many servers fire it there is one
run. Times that passed while no server ran are made up for by one run, not by all of them. A time that was worked out by a clock
that ran ahead is worked out anew; since its run has the id of that time, it is not started twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Any

from orchestrator.errors import AdmissionRefused, JournalConflict, OrchestratorError, StoreBusy, StoreError
from orchestrator.ir.codec import flow_hash
from orchestrator.ir.model import FlowIR, TriggerIR
from orchestrator.journal.memory import MemoryJournal
from orchestrator.journal.store import Store, TriggerRow
from orchestrator.server.operations import Begun, StartOrder, start_run
from orchestrator.server.problems import Refused
from orchestrator.server.shelf import Served
from orchestrator.server.triggers import next_fire, trigger_inputs

if TYPE_CHECKING:  # the desk owns one of these
    from orchestrator.server.desk import Desk

LOG = logging.getLogger("orchestrator.server")
Json = Any  # plain JSON
LONGEST_PAUSE_S = 20.0
AGAIN_S = 1.0  # until the store may be well again
STARTED_BY = "schedule"


class Scheduler:
    """The triggers of the served flows."""

    def __init__(self, desk: Desk, store: Store | None = None) -> None:
        self._desk = desk
        self._store: Store = store or MemoryJournal()
        self._woken = asyncio.Event()
        self._triggers: dict[str, tuple[Served, TriggerIR]] = {}

    async def register(self) -> None:
        """Put the triggers of the flows that are served now into the store."""
        now = self._desk.clock.now()
        self._triggers = {}
        for served in self._desk.shelf:
            if served.ir is None or served.kind != "yaml" or not served.is_ok:
                continue
            rows = []
            for number, trigger in enumerate(served.ir.triggers):
                key = f"{served.name}/{number}"
                self._triggers[key] = (served, trigger)
                due = next_fire(trigger, served.ir, now) if trigger.kind == "cron" else None
                rows.append(TriggerRow(key, served.name, flow_hash(served.ir), trigger.kind, _spec(trigger), due))
            await self._store.set_triggers(served.name, rows)
        self._woken.set()

    async def run(self) -> None:
        """Fire what is due, until cancelled."""
        while True:
            self._woken.clear()
            try:
                pause = await self.fire_due()
            except OrchestratorError as error:
                LOG.warning("schedules wait for the store: %s", error)
                pause = 1.0
            try:
                async with asyncio.timeout(min(LONGEST_PAUSE_S, max(0.05, pause))):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def fire_due(self) -> float:
        """Start a run of every cron trigger that is due; gives the seconds until the next one is."""
        now = self._desk.clock.now()
        upcoming = [now + LONGEST_PAUSE_S]
        for row in await self._store.triggers(kind="cron"):
            known = self._triggers.get(row.id)
            if known is None or row.next_at is None or row.is_paused:
                continue  # another server's flow, or one that has errors now
            due, last = next_fire(known[1], _ir(known[0]), now), row.last_at
            if row.next_at <= now:
                if not await self._fire(row, *known):
                    upcoming.append(now + AGAIN_S)
                    continue
                last = now
            elif due is None or row.next_at <= due:
                upcoming.append(row.next_at)
                continue
            await self._store.advance_trigger(row.id, was=row.next_at, next_at=due, last_at=last)
            self._desk.bus.publish("schedules", {"id": row.id})
            if due is not None:
                upcoming.append(due)
        return min(upcoming) - now

    async def _fire(self, row: TriggerRow, served: Served, trigger: TriggerIR) -> bool:
        """Start the run of a time that was due; False if the store does not take it now, so that it stays due."""
        key = hashlib.sha256(f"{row.id}@{row.next_at}".encode()).hexdigest()[:20]
        try:
            inputs = trigger_inputs(trigger, self._desk.clock.now())
            if inputs is not None:
                await start_run(self._desk, served, StartOrder(inputs, STARTED_BY, f"cron-{key}"))
        except AdmissionRefused as error:
            LOG.info("trigger %s starts no run: %s", row.id, error)
        except JournalConflict:
            return True  # another server was faster
        except (OrchestratorError, Refused) as error:
            LOG.warning("trigger %s could not start a run: %s", row.id, error)
            return type(error) not in (StoreBusy, StoreError)
        return True

    async def fire(self, key: str, by: str) -> Begun | None:
        """Start a run of a trigger now; None if its condition is false. Raises: Refused 404."""
        served, trigger = self._known(key)
        inputs = trigger_inputs(trigger, self._desk.clock.now())
        return None if inputs is None else await start_run(self._desk, served, StartOrder(inputs, by))

    async def pause(self, key: str, *, is_paused: bool) -> None:
        """Pause a trigger or let it go on. Raises: Refused 404."""
        self._known(key)
        await self._store.pause_trigger(key, is_paused=is_paused)
        self._woken.set()
        self._desk.bus.publish("schedules", {"id": key})

    def _known(self, key: str) -> tuple[Served, TriggerIR]:
        known = self._triggers.get(key)
        if known is None:
            raise Refused(
                404, "schedule.unknown", f"there is no trigger {key[:100]!r}", "GET /api/schedules lists them"
            )
        return known

    async def rows(self) -> list[TriggerRow]:
        """Every trigger of the served flows."""
        return [row for row in await self._store.triggers() if row.id in self._triggers]

    async def active(self, kind: str) -> list[tuple[TriggerRow, Served, TriggerIR]]:
        """The triggers of a kind that are not paused."""
        rows = await self._store.triggers(kind=kind)
        return [(row, *self._triggers[row.id]) for row in rows if row.id in self._triggers and not row.is_paused]


def _ir(served: Served) -> FlowIR:
    assert served.ir is not None  # it was registered
    return served.ir


def _spec(trigger: TriggerIR) -> Json:
    spec = {
        "cron": trigger.cron,
        "timezone": trigger.timezone,
        "path": trigger.path,
        "method": trigger.method,
        "event": trigger.event,
    }
    return {name: value for name, value in spec.items() if value} | {"when": trigger.when}


def trigger_view(row: TriggerRow) -> dict[str, Json]:
    """A trigger as clients see it."""
    return {
        "id": row.id,
        "flow": row.flow,
        "kind": row.kind,
        **{name: row.spec.get(name) for name in ("cron", "timezone", "path", "method", "event")},
        "next_at": row.next_at,
        "last_at": row.last_at,
        "is_paused": row.is_paused,
    }
