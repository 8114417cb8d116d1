"""An event for a run that only its store knows: checked against the stored flow, and written as the run's codec reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.authoring.names import ClassCodec, EventNames
from orchestrator.authoring.serializer import JsonSerializer
from orchestrator.authoring.streaming import plain_fields
from orchestrator.errors import RunFinished, StoreError, UsageError
from orchestrator.events import Event
from orchestrator.ir.codec import flow_from_json
from orchestrator.ir.model import FlowIR
from orchestrator.runtime.engine import new_run_id
from orchestrator.runtime.journal import FINAL, InboxEntry
from orchestrator.runtime.outside import check_outside_event

if TYPE_CHECKING:  # loaded when a store is used
    from orchestrator.journal.store import RunRow, Store
    from orchestrator.runtime.durable import DurableEngine


async def post_entries(engine: DurableEngine, run_id: str, event: Event, step: str | None) -> list[InboxEntry]:
    """The inbox rows of an event: for the run, or for those of its child runs that know the event if it does not.

    What a class waits for inside of its steps is not in the stored flow, so a class gets what nobody else knows.

    Raises: UnknownRun, RunFinished, UsageError.
    """
    any_journal: Any = engine.journal
    store: Store = any_journal
    row = await store.run(run_id)
    if row.status in FINAL:
        raise RunFinished(f"run {run_id!r} has ended ({row.status}) and takes no more events")
    flow = await _flow_of(store, row)
    if step is not None and step not in flow.steps:
        raise UsageError(f"there is no step `{step}`; `{flow.name}` has {', '.join(flow.steps)}", code="step.unknown")
    takers = [(row, flow)]
    if step is None and _name_in(flow, event) not in flow.events:
        takers = await _children_that_know(store, row, event) or takers
    return [_entry(flow, taker.run_id, event, step, engine.clock.now()) for taker, flow in takers]


async def _children_that_know(store: Store, parent: RunRow, event: Event) -> list[tuple[RunRow, FlowIR]]:
    from orchestrator.journal.store import RunFilter

    found: list[tuple[RunRow, FlowIR]] = []
    for row in (await store.runs(RunFilter(parent=parent.run_id), limit=1000)).rows:
        if row.status in FINAL:
            continue
        flow = await _flow_of(store, row)
        if _name_in(flow, event) in flow.events:
            found.append((row, flow))
        else:
            found += await _children_that_know(store, row, event)
    return found


async def _flow_of(store: Store, row: RunRow) -> FlowIR:
    ir = await store.get_flow(row.flow_hash)
    if ir is None and row.meta:
        ir = row.meta.get("ir")
    if ir is None:
        raise StoreError(f"the store lacks version {row.flow_hash[:12]} of flow `{row.flow}`", code="run.unbound")
    return flow_from_json(ir)


def _name_in(flow: FlowIR, event: Event) -> str:
    cls = type(event)
    full = f"{cls.__module__}.{cls.__qualname__}"
    return full if full in flow.events and flow.kind == "class" else cls.__name__


def _entry(flow: FlowIR, run_id: str, event: Event, step: str | None, now: float) -> InboxEntry:
    name = _name_in(flow, event)
    if flow.kind == "yaml":
        value = plain_fields(event)
        check_outside_event(flow, name, value)
    else:
        names = EventNames([])
        names.names[type(event)], names.classes[name] = name, type(event)
        value = ClassCodec(names, JsonSerializer(), None).encode(name, event, "the sent event")
    data = {"type": name, "value": value, "target": step}
    return InboxEntry(run_id, "event", data, f"send/{new_run_id()}", now)
