"""What the workers of one store tell each other: which runs a process takes, what it offers, what nobody took. No driver here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from orchestrator.runtime.journal import Claim


@dataclass(slots=True)
class Scope:
    """What the runs of one process are: those of flows that it `can` run (None: all), in its pools (None: all).

    `cannot` says of flow versions that were looked at why not.
    """

    can: set[str] | None = None
    cannot: dict[str, str] = field(default_factory=dict)
    pools: frozenset[str] | None = None

    def claimable(self) -> tuple[str, list[Any]]:
        """The condition of a row that may be taken."""
        where, values = self._in_pools()
        if self.can is not None:
            where += " AND flow_hash = ANY(?)"
            values.append(sorted(self.can))
        return where, values

    def possible(self) -> tuple[str, list[Any]]:
        """The condition of a row that may be taken, now or once its flow was looked at."""
        where, values = self._in_pools()
        if self.cannot:
            where += " AND flow_hash <> ALL(?)"
            values.append(sorted(self.cannot))
        return where, values

    def _in_pools(self) -> tuple[str, list[Any]]:
        if self.pools is None:
            return "", []
        return " AND (pool IS NULL OR pool = ANY(?))", [sorted(self.pools)]


@dataclass(frozen=True, slots=True)
class Ring:
    """A due run that a dispatcher is asked to wake, as `run:epoch:ring`."""

    run_id: str
    epoch: int
    ring: int
    pool: str | None
    delay_s: float

    @property
    def activation(self) -> str:
        """The id of the activation; no two rings have the same."""
        return f"{self.run_id}:{self.epoch}:{self.ring}"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a live worker says that it can run."""

    worker: str
    can: frozenset[str]
    cannot: dict[str, str]
    pools: frozenset[str]

    def may_take(self, flow_hash: str, pool: str | None) -> bool:
        """Whether it would take such a run, or has not looked at its flow yet."""
        return (pool is None or pool in self.pools) and flow_hash not in self.cannot


@dataclass(frozen=True, slots=True)
class Stranded:
    """Due runs of one flow version and pool that nobody has taken for a while."""

    flow: str
    flow_hash: str
    pool: str | None
    run_ids: tuple[str, ...]


@runtime_checkable
class Shared(Protocol):
    """A journal that many workers of different abilities share."""

    scope: Scope

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, from another thread, whenever somebody may have written."""
        ...

    async def claim_if_due(self, worker: str, run_id: str, *, now: float, lease_s: float) -> list[Claim]:
        """Take one run if it is due, nobody holds it, and it is in this process's scope."""
        ...

    async def decline(self, run_id: str, *, now: float) -> None:
        """A wake-up came to a process that cannot take the run: whoever can need not wait for the next ring."""
        ...

    async def claim_rung(
        self, worker: str, *, now: float, lease_s: float, rung_before: float, limit: int
    ) -> list[Claim]:
        """Take due runs whose dispatcher was asked before a time, in vain."""
        ...

    async def take_rings(self, *, now: float, limit: int, again_s: float, ahead_s: float) -> list[Ring]:
        """Runs due within `ahead_s` that no dispatcher was asked for, or in vain for `again_s`; each gets a new ring number."""
        ...

    async def offer(self, worker: str) -> None:
        """Say what this process can run."""
        ...

    async def offers(self, *, now: float) -> list[Offer]:
        """What the live workers say that they can run."""
        ...

    async def unseen_flows(self, *, now: float) -> list[str]:
        """Flow versions of due runs that this process has not looked at."""
        ...

    async def stranded(self, *, before: float, limit: int = 1000) -> list[Stranded]:
        """What has been due since before a time and this process cannot take."""
        ...
