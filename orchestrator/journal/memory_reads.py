"""What the runtime looks up in a journal in memory: ticks and inboxes, versions of flows, `id` and `cache` entries."""

from __future__ import annotations

import json

from orchestrator.journal.memory_rows import MemoryRows, same_key
from orchestrator.runtime.journal import FINAL, InboxEntry, Json, Loaded, Reserved


class MemoryReads(MemoryRows):
    """Reading over rows in memory."""

    # Runs.

    async def load(self, run_id: str) -> Loaded:
        """What a claimer needs to go on. Raises: UnknownRun."""
        run = self.find(run_id)
        base = run.snapshot[0] if run.snapshot is not None else 0
        ticks = [(seq, json.loads(text)) for seq, text in enumerate(run.ticks[base:], base)]
        return Loaded(run.snapshot, ticks, await self.inbox(run_id), sum(map(len, run.ticks[base:])))

    async def inbox(self, run_id: str) -> list[InboxEntry]:
        """What has come for a run and is not consumed, oldest first."""
        return sorted((i.entry for i in self.find(run_id).inbox.values() if not i.is_done), key=lambda e: e.id)

    async def mail(self, worker: str) -> list[str]:
        """The runs that a worker holds and for which something has come."""
        held = [r for r in self.rows.values() if r.owner == worker]
        return [r.new.run_id for r in held if any(not i.is_done for i in r.inbox.values())]

    async def ahead(self, run_id: str) -> list[str]:
        """The runs that count in its flow's concurrency before a run that queues, the longest there first."""
        run = self.rows.get(run_id)
        if run is None or run.is_admitted is not False:
            return []
        others = [r for r in self.rows.values() if r.is_admitted is not None and r.rk < run.rk]
        return [r.new.run_id for r in sorted(others, key=lambda r: r.rk) if same_key(r.new, run.new)]

    async def reply(self, run_id: str, dedup: str) -> tuple[bool, Json]:
        """Whether an inbox row was consumed, and what its consumer left for the sender."""
        item = self.find(run_id).inbox.get(dedup)
        return (False, None) if item is None else (item.is_done, item.reply)

    async def ticks(self, run_id: str, after: int, limit: int) -> list[tuple[int, Json]]:
        """Committed ticks with a seq greater than `after`, oldest first. Raises: UnknownRun."""
        part = self.find(run_id).ticks[after + 1 : after + 1 + limit]
        return [(seq, json.loads(text)) for seq, text in enumerate(part, after + 1)]

    async def changes(self) -> int:
        """A number that is another whenever somebody may have written."""
        return self._changes

    # Flows, ids, caches.

    async def put_flow(self, flow_hash: str, ir: Json, *, now: float) -> None:
        """Keep a version of a flow."""
        self.flows.setdefault(flow_hash, (json.loads(json.dumps(ir)), now))

    async def get_flow(self, flow_hash: str) -> Json | None:
        """A version of a flow."""
        found = self.flows.get(flow_hash)
        return None if found is None else found[0]

    async def reserve(self, flow: str, key: str, digest: str, holder: str, *, now: float) -> Reserved:
        """Take an `id` for a call, or learn what is known under it."""
        known = self.ids.get((flow, key))
        if known is not None and known[0] != digest:
            return Reserved("conflict")
        if known is not None and known[2] is not None:
            return Reserved("done", known[2][0])
        if known is not None and known[1] != holder:
            run = self.rows.get(str(known[1]).partition("/")[0])
            if run is not None and run.status not in FINAL:
                return Reserved("running")
        self.ids[(flow, key)] = [digest, holder, None, now]
        return Reserved("mine")

    async def settle(self, flow: str, key: str, holder: str, result: Json, *, has_failed: bool = False) -> None:
        """Record the result under an `id`, or free it."""
        known = self.ids.get((flow, key))
        if known is None or known[1] != holder:
            return
        if has_failed:
            del self.ids[(flow, key)]
        else:
            known[2] = (json.loads(json.dumps(result)),)

    async def recall(self, scope: str, key: str, *, now: float) -> tuple[Json] | None:
        """What is cached under a key and has not expired."""
        known = self.cached.get((scope, key))
        if known is None or (known[1] is not None and known[1] <= now):
            return None
        return (known[0],)

    async def keep(self, scope: str, key: str, value: Json, *, expires_at: float | None) -> None:
        """Cache a value; the newest one stays."""
        self.cached[(scope, key)] = (json.loads(json.dumps(value)), expires_at)
