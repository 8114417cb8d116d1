"""Puts a new run into a store for the workers, without beginning it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.runtime.admission import admission_of
from orchestrator.runtime.codec import PLAIN, encode_tick
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.engine import new_run_id
from orchestrator.runtime.flow_bind import start_tick
from orchestrator.runtime.journal import Batch, NewRun
from orchestrator.runtime.plan import FlowPlan


async def submit_run(
    engine: DurableEngine,
    plan: FlowPlan,
    inputs: Mapping[str, Any],
    *,
    run_id: str | None = None,
    meta: dict[str, Any] | None = None,
) -> str:
    """The id of a run of a YAML flow that is in the store, and due, when this returns; whoever serves the store takes it.

    Raises: UsageError for wrong inputs; JournalConflict for a run id that exists; AdmissionRefused.
    """
    name, now = run_id or new_run_id(), engine.clock.now()
    tick = start_tick(plan, inputs, now, **(meta or {}))
    tick.at = now
    await engine.keeper.open()
    await engine.keep_flow(plan)
    start = encode_tick(tick, plan.codec or PLAIN, lambda _: "?")
    rule = admission_of(plan.ir, tick.inputs, now)
    new = NewRun(name, plan.ir.name, plan.hash, plan.ir.kind, now, start=start, root=name, meta=meta, is_claimed=False)
    new = replace(new, admission=rule)
    await engine.journal.commit(Batch(name, 0, 0, now, engine.worker, create=new))
    engine.keeper.wake()
    return name
