"""What a stored run waits for, in words: events, times, other runs, its turn. Requests to people have rows of their own."""

from __future__ import annotations

from orchestrator.dispatch.operate import BindFlow, history_of
from orchestrator.errors import OrchestratorError
from orchestrator.journal.store import RunRow, Store
from orchestrator.runtime.snapshot import fold
from orchestrator.runtime.state import Activation, RunState


async def waits_of(store: Store, row: RunRow, bind: BindFlow) -> list[tuple[str, str]]:
    """(step, what it waits for) of a run that has not ended; nothing of one that cannot be bound here."""
    if row.status == "queued":
        ahead = await store.ahead(row.run_id)
        return [("", f"its turn, behind {', '.join(ahead[:5])} (`concurrency` of `{row.flow}`)")] if ahead else []
    if row.status not in ("waiting", "running", "cleaning", "stopping"):
        return []
    try:
        _, plan, ticks = await history_of(store, row.run_id, bind, None)
    except OrchestratorError:
        return []
    state = fold(plan, RunState(), ticks)
    found = [(act.step.name, what) for act in state.acts.values() if (what := _wait_of(act))]
    for child, act_id in state.children.items():
        act = state.acts.get(act_id)
        found.append((act.step.name if act is not None else "", f"run {child}"))
    return found


def _wait_of(act: Activation) -> str:
    wait = act.step.ir.body.wait
    if wait is None:
        return ""
    return f"the event {wait.event}" if wait.event is not None else "a time"
