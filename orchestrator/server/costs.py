"""What runs have spent on models, for lists: read from their logs, and from then on only what was added. Knows no HTTP."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:  # the desk owns this
    from orchestrator.server.book import RunBook, RunRow
    from orchestrator.server.desk import Desk

Json = Any  # plain JSON
KEEP = 5_000
MOST_AT_ONCE = 5_000
CHUNK = 1_000
ENDS = ("step.ended", "step.failed", "step.retried")


@dataclass(slots=True)
class Spent:
    """What one run has spent. `is_whole`: its log was read to the end; `cost` is None where no price is known."""

    tokens: int = 0
    cost: float | None = None
    place: int = -1
    is_whole: bool = False
    told: dict[int, bool] = field(
        default_factory=dict
    )  # activations under way: whether their calls were counted singly

    def add(self, entries: list[Json]) -> None:
        """Count the answers of models in entries of the log; a step over items has one in each of its calls."""
        for entry in entries:
            self.place, act, data = entry["seq"], entry["act"], entry["data"]
            if entry["type"] == "step.started":
                self.told[act] = False
            elif entry["type"] == "call.ended" and act in self.told:
                self.told[act] = self._count(data.get("value")) or self.told[act]
            elif entry["type"] in ENDS and not self.told.pop(act, False):
                self._count(data.get("result"))

    def _count(self, result: Json) -> bool:
        if not isinstance(result, dict) or not isinstance(usage := result.get("usage"), dict) or "model" not in result:
            return False
        self.tokens += sum(n for name in ("input_tokens", "output_tokens") if type(n := usage.get(name)) is int)
        cost = result.get("cost")
        if isinstance(cost, int | float) and not isinstance(cost, bool):
            self.cost = (self.cost or 0.0) + cost
        return True

    @property
    def text(self) -> str:
        """For people: the cost, or the tokens where no price is known; a plus sign says that there is more."""
        if not self.tokens and self.cost is None:
            return ""
        amount = f"{self.tokens:,} tokens" if self.cost is None else f"{self.cost:.4f}"
        return amount if self.is_whole else f"{amount} +"


class Costs:
    """What runs of flows that call models have spent. Cost: each log is read once, at most MOST_AT_ONCE entries a time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._known: OrderedDict[str, Spent] = OrderedDict()

    async def of(self, row: RunRow) -> Spent:
        """What a run has spent until now; nothing for a flow that calls nothing."""
        if not self._may_call_models(row.flow):
            return Spent(is_whole=True)
        spent = self._known.setdefault(row.run_id, Spent())
        self._known.move_to_end(row.run_id)
        if len(self._known) > KEEP:
            self._known.popitem(last=False)
        if row.ended_at is not None and spent.is_whole:
            return spent
        try:
            await self._read(await self._desk.book_of(row.run_id), row.run_id, spent)
        except OrchestratorError:
            spent.is_whole = False  # dropped or unreadable: what was seen is told
        return spent

    async def _read(self, book: RunBook, run_id: str, spent: Spent) -> None:
        spent.is_whole = False
        for _ in range(MOST_AT_ONCE // CHUNK):
            entries = await book.log(run_id, spent.place, CHUNK, is_whole=True)
            entries = [entry for entry in entries if entry["seq"] > spent.place]
            spent.add(entries)
            if len(entries) < CHUNK:
                spent.is_whole = True
                return

    def _may_call_models(self, flow: str) -> bool:
        """Whether a flow calls anything; one that only decides and asks has spent nothing, whatever its log holds."""
        flows = (served.ir for served in self._desk.shelf if served.name == flow)
        return any(step.body.call is not None for ir in flows if ir is not None for step in ir.steps.values())
