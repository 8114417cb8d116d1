"""A run's state from what the journal holds of it. Pure; whatever is wrong with the rows is one kind of error."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import OrchestratorError, StoreError
from orchestrator.runtime.codec import PLAIN, decode_tick
from orchestrator.runtime.journal import Claim, Loaded
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.snapshot import decode_state, fold
from orchestrator.runtime.state import RunState


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A state as of `seq`; `ticks` are those from `base` on, which is where the snapshot stands."""

    state: RunState
    ticks: list[Any]
    base: int
    seq: int
    tail_bytes: int
    snapshot_bytes: int


def rebuild(claim: Claim, plan: FlowPlan, loaded: Loaded) -> Rebuilt:
    """The state after the last committed tick.

    Raises: StoreError `store.unreadable` for rows that cannot be read; `effect.unknown` for a step that must run at most
    once and may have run.
    """
    codec = plan.codec or PLAIN
    try:
        if loaded.snapshot is not None:
            state = decode_state(json.loads(loaded.snapshot[1]), plan, codec)
            base = loaded.snapshot[0]
        else:
            state, base = RunState(), 0
        ticks = [decode_tick(seq, row, codec) for seq, row in loaded.ticks if seq >= base]
        fold(plan, state, ticks)
    except OrchestratorError:
        raise
    except Exception as error:  # rows that somebody or something damaged: whatever they break, the run is set aside
        raise StoreError(
            f"the rows of run {claim.run_id!r} cannot be read: {type(error).__name__}: {error}", code="store.unreadable"
        ) from error
    redone = {name for entry in loaded.inbox if entry.kind == "redo" for name in entry.data.get("steps", ())}
    if not any(entry.kind == "cancel" for entry in loaded.inbox):  # it is applied before anything runs
        _check_effects(claim.run_id, state, redone)
    snapshot_bytes = len(loaded.snapshot[1]) if loaded.snapshot is not None else 0
    return Rebuilt(state, ticks, base, base + len(ticks), loaded.tail_bytes, snapshot_bytes)


def _check_effects(run_id: str, state: RunState, redone: Collection[str]) -> None:
    for act in state.acts.values():
        if (
            act.is_running
            and act.waits == 0
            and act.step.ir.policy.effect == "at_most_once"
            and act.step.name not in redone
        ):
            raise StoreError(
                f"step `{act.step.name}` may or may not have had its effect when its process ended, and it is "
                f"`effect: at_most_once`; look, then `orchestrator retry {run_id} --from {act.step.name}` or cancel",
                code="effect.unknown",
            )
