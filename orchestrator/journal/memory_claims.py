"""Who holds a run of a journal in memory: claims, leases, what is due."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.errors import RunFinished
from orchestrator.journal.memory_rows import MemoryRows, MemoryRun
from orchestrator.runtime.journal import FINAL, Claim


class MemoryClaims(MemoryRows):
    """Claims over rows in memory."""

    async def claim(
        self, worker: str, *, now: float, lease_s: float, run_id: str | None = None, limit: int = 1
    ) -> list[Claim]:
        """Take runs that are due, or one by its id. Raises: UnknownRun, RunFinished."""
        self.leases[worker] = now + lease_s
        if run_id is None:
            due = [r for r in self.rows.values() if r.owner is None and r.ready_at is not None and r.ready_at <= now]
            due.sort(key=lambda r: (r.ready_at, r.rk))
            lost = [r for r in self.rows.values() if r.owner not in (None, worker) and self._is_lost(r, now)]
            return [self._take(r, worker) for r in (*due, *lost)[:limit]]
        run = self.find(run_id)
        if run.status in FINAL:
            raise RunFinished(f"run {run_id!r} has ended ({run.status})")
        if run.status in ("parked", "queued"):
            return []
        if run.owner in (None, worker) or self._is_lost(run, now):
            return [self._take(run, worker)]
        return []

    def _is_lost(self, run: MemoryRun, now: float) -> bool:
        return run.owner is not None and self.leases.get(run.owner, 0.0) < now

    def _take(self, run: MemoryRun, worker: str) -> Claim:
        run.epoch += 1
        run.owner, run.ready_at = worker, None
        new = run.new
        return Claim(new.run_id, run.epoch, new.flow, run.flow_hash, new.kind, run.status, new.parent, new.meta)

    async def renew(self, worker: str, *, now: float, lease_s: float) -> None:
        """Extend every claim of a worker."""
        self.leases[worker] = now + lease_s

    async def leave(self, worker: str) -> None:
        """Forget a worker; what it still holds is due at once."""
        self.leases.pop(worker, None)
        for run in self.rows.values():
            if run.owner == worker:
                run.owner, run.ready_at = None, 0.0

    async def release(self, run_id: str, epoch: int, *, wake_at: float | None) -> None:
        """Give up a claim; a claim that was taken over already is left alone."""
        run = self.rows.get(run_id)
        if run is not None and run.epoch == epoch:
            self._release(run, wake_at, 0.0)

    def _release(self, run: MemoryRun, wake_at: float | None, now: float) -> None:
        run.owner = None
        if run.status in FINAL or run.status == "parked":
            run.ready_at = None
        elif any(not item.is_done for item in run.inbox.values()):
            run.ready_at = now
        else:
            run.ready_at = wake_at

    async def unpark(self, codes: Sequence[str], *, now: float) -> int:
        """Make runs due that were parked with one of these codes."""
        found = [r for r in self.rows.values() if r.status == "parked" and r.outcome["parked"]["code"] in codes]
        for run in found:
            run.status, run.ready_at, run.outcome = "waiting", now, None
        return len(found)

    async def next_due(self, *, now: float) -> float | None:
        """When the next run is due that nobody holds, or the next lease ends."""
        due = [r.ready_at for r in self.rows.values() if r.owner is None and r.ready_at is not None]
        due += [self.leases.get(r.owner, 0.0) for r in self.rows.values() if r.owner is not None]
        return min(due, default=None)
