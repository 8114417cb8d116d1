"""Starting runs of the three kinds of workflows, and sending events into them: from plain JSON to what each kind takes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from orchestrator.errors import JournalConflict, OrchestratorError, RunFinished, UnknownRun, UsageError
from orchestrator.ir.model import FlowIR
from orchestrator.plugin.schema_check import compile_schema
from orchestrator.runtime.engine import new_run_id
from orchestrator.server.book import RunDetail
from orchestrator.server.problems import Refused
from orchestrator.server.shelf import Served, finding_view, start_class_of

if TYPE_CHECKING:  # the desk owns what is started
    from orchestrator.authoring.handler import WorkflowHandler
    from orchestrator.runtime.durable import DurableEngine
    from orchestrator.server.desk import Desk

Json = Any  # plain JSON
MOST_TAGS = 20
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,119}\Z")


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that was started, or that an earlier request with the same key had started."""

    run_id: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class StartOrder:
    """What a client asks for. `idem_key` makes a repeated request harmless; `value` replaces `inputs` for a live event."""

    inputs: Mapping[str, Json]
    by: str
    run_id: str | None = None
    idem_key: str | None = None
    tags: tuple[str, ...] = ()


async def start_run(desk: Desk, served: Served, order: StartOrder) -> Begun:
    """Start a run.

    Raises: Refused for a workflow with errors, UsageError for wrong inputs, JournalConflict for a run id that exists or a key
    that was used with other inputs.
    """
    if not served.is_ok or served.ir is None:
        raise Refused(
            422,
            "flow.errors",
            f"workflow `{served.name}` has errors and cannot be started",
            "see `details`; `orchestrator check` shows them too",
            details=[finding_view(d, desk.root) for d in served.findings],
        )
    if order.run_id is not None and not RUN_ID.match(order.run_id):
        raise UsageError("a run id has letters, digits and . _ : - only, at most 120 of them", code="run.id")
    digest = _digest(order.inputs)
    run_id = order.run_id
    if order.idem_key is not None:
        run_id = run_id or _id_of_key(served.name, order)
        known = await _known(desk, run_id)
        if known is not None:
            return _again(known, digest)
    run_id = run_id or new_run_id()
    meta: dict[str, Any] = {"by": order.by, "idem": digest, "flow": served.name}
    if order.tags:
        meta["tags"] = tags_of(order.tags)
    try:
        await _start(desk, served, order.inputs, run_id, meta)
    except JournalConflict:
        known = await _known(desk, run_id) if order.idem_key is not None else None
        if known is None:
            raise
        return _again(known, digest)
    return Begun(run_id, True)


def tags_of(given: Iterable[str]) -> list[str]:
    """Tags as they are kept: trimmed, each once. Raises: UsageError."""
    tags = list(dict.fromkeys(tag for text in given if (tag := text.strip())))
    if len(tags) > MOST_TAGS or any(len(tag) > 60 or not tag.isprintable() for tag in tags):
        raise UsageError(f"a run has at most {MOST_TAGS} tags, each of 1 to 60 printable characters", code="run.tags")
    return tags


def _id_of_key(flow: str, order: StartOrder) -> str:
    text = json.dumps([order.by, flow, order.idem_key])
    return "k" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


async def _known(desk: Desk, run_id: str) -> RunDetail | None:
    try:
        return await desk.run(run_id)
    except UnknownRun:
        return None


def _again(known: RunDetail, digest: str) -> Begun:
    if known.idem and known.idem != digest:
        raise JournalConflict(
            f"this Idempotency-Key started run {known.row.run_id!r} with other inputs; use a new key",
            code="idempotency.conflict",
        )
    return Begun(known.row.run_id, False)


def _digest(inputs: Mapping[str, Json]) -> str:
    text = json.dumps(dict(inputs), sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


async def _start(desk: Desk, served: Served, inputs: Mapping[str, Json], run_id: str, meta: dict[str, Any]) -> None:
    if served.kind == "yaml":
        await desk.start_flow(served, inputs, run_id, meta)
    elif served.kind == "class":
        await start_class(desk, served, _start_event(served, inputs), run_id, meta)
    else:
        await _start_function(desk, served, inputs, run_id, meta)


def _start_event(served: Served, inputs: Mapping[str, Json]) -> Any:
    cls = start_class_of(served)
    try:
        return cls.model_validate(dict(inputs))
    except ValidationError as error:
        raise UsageError(f"workflow `{served.name}` cannot start: {describe(error)}", code="inputs") from error


async def start_class(
    desk: Desk, served: Served, event: Any, run_id: str, meta: dict[str, Any], context: Any = None
) -> WorkflowHandler:
    """Start a run of a class workflow with its start event, perhaps with the context of an earlier run; gives its handler.

    Over a store it is committed when this returns.
    """
    if desk.store is not None:
        with _noted(desk.store.engine, run_id, meta):
            handler: WorkflowHandler = served.target.run(context, event, store=desk.store.engine, run_id=run_id)
            await handler.begun()
        return handler
    engine = desk.memory.engine
    if run_id in engine.records and context is None:
        raise JournalConflict(f"there is a run {run_id!r} already", code="run.exists")
    desk.memory.meta[run_id] = meta
    handler = served.target.run(context, event, store=engine, run_id=run_id)
    desk.memory.expect(run_id, served.name, handler)
    return handler


@contextmanager
def _noted(engine: DurableEngine, run_id: str, meta: dict[str, Any]) -> Iterator[None]:
    """While a Python workflow begins its run, the engine knows what to note of it."""
    engine.notes[run_id] = meta
    try:
        yield
    finally:
        engine.notes.pop(run_id, None)


async def _start_function(
    desk: Desk, served: Served, inputs: Mapping[str, Json], run_id: str, meta: dict[str, Any]
) -> None:
    problems = compile_schema(served.input_schema).problems(dict(inputs))
    if problems:
        raise UsageError(f"workflow `{served.name}` cannot start: {'; '.join(map(str, problems[:8]))}", code="inputs")
    shape = served.target.shape
    message = (inputs[shape.input],) if shape.input is not None and shape.input in inputs else ()
    if desk.store is not None and not keeps_its_own(served):
        with _noted(desk.store.engine, run_id, meta):
            await desk.drain(served.target.run(*message, stream=True, run_id=run_id, store=desk.store.engine))
        return
    if run_id in desk.memory.engine.records:
        raise JournalConflict(f"there is a run {run_id!r} already", code="run.exists")
    desk.memory.meta[run_id] = meta
    await desk.drain(served.target.run(*message, stream=True, run_id=run_id))


def keeps_its_own(served: Served) -> bool:
    """Whether a functional workflow says itself where its runs are kept."""
    return served.target.storage is not None or served.target.store is not None


async def answer_question(desk: Desk, run_id: str, request_id: str, value: Json) -> None:
    """Answer a question of a functional run; its run goes on. Raises: UsageError for a wrong answer."""
    served = desk.shelf.find(desk.memory.note(desk.memory.record(run_id), "flow"))
    await desk.drain(served.target.run(responses={request_id: value}, stream=True, run_id=run_id))


async def send_event(desk: Desk, run_id: str, event: str, data: Mapping[str, Json], step: str | None = None) -> None:
    """Send an event into a run. Raises: UsageError for one that it does not take, UnknownRun, RunFinished."""
    record = desk.memory.engine.records.get(run_id)
    if record is None and desk.store is not None:
        stored = await desk.store.store.run(run_id)
        if stored.kind == "class":
            await _send_to_stored(desk, run_id, event_of(desk.shelf.class_named(stored.flow), event, data), step)
            return
    if record is None or record.actor.plan.ir.kind == "yaml":
        await desk.send_flow_event(run_id, event, data, step)
        return
    if record.actor.is_over:
        raise RunFinished(f"run {run_id!r} has ended ({record.actor.state.status.value}) and takes no more events")
    if record.actor.plan.ir.kind == "function":
        raise UsageError(
            "a functional workflow takes answers to its questions, no events; see GET /api/requests",
            code="event.unknown",
        )
    from orchestrator.authoring.delivery import deliver

    served = desk.shelf.find(desk.memory.note(record, "flow"))
    deliver(record.actor, event_of(served, event, data), step)


async def _send_to_stored(desk: Desk, run_id: str, event: Any, step: str | None) -> None:
    from orchestrator.authoring.outside_events import post_entries

    assert desk.store is not None
    engine = desk.store.engine
    for entry in await post_entries(engine, run_id, event, step):
        await engine.deliver(entry)


def event_classes(served: Served) -> dict[str, Any]:
    """The event classes that clients of a class workflow may send, by name."""
    classes: dict[str, Any] = dict(served.target.flow.names.classes)
    for cls in (*served.target.external, *served.events):
        classes.setdefault(cls.__name__, cls)
    return classes


def event_of(served: Served, name: str, data: Any) -> Any:
    """An event of a class workflow from its name and fields. Raises: UsageError."""
    classes = event_classes(served)
    cls = classes.get(name) or served.target.flow.names.find(name)
    if cls is None:
        raise UsageError(
            f"workflow `{served.name}` has no event {name[:100]!r}; it has {', '.join(sorted(classes))}",
            code="event.unknown",
        )
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise UsageError(f"event `{name}`: {describe(error)}", code="type.payload") from error


def check_flow_event(ir: FlowIR, event: str, data: Mapping[str, Json], step: str | None) -> None:
    """Whether a YAML flow takes an event from outside. Raises: UsageError."""
    declared = ir.events.get(event)
    external = sorted(name for name, e in ir.events.items() if e.external)
    if declared is None or not declared.external:
        known = ", ".join(external) or "none"
        raise UsageError(
            f"flow `{ir.name}` takes no event {event[:100]!r} from outside; those with `external: true`: {known}",
            code="event.unknown",
        )
    schema = declared.schema
    problems = compile_schema(schema).problems(dict(data)) if schema is not True and schema else ()
    if problems:
        raise UsageError(f"event `{event}`: {'; '.join(map(str, problems[:8]))}", code="type.payload")
    if step is not None and (step not in ir.steps or event not in ir.steps[step].accepts):
        raise UsageError(f"flow `{ir.name}` has no step {step[:100]!r} that takes `{event}`", code="event.step")


def describe(error: ValidationError) -> str:
    """What pydantic found, in one line."""
    parts = []
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:8]:
        place = ".".join(str(part) for part in item["loc"])
        parts.append(f"{place}: {item['msg']}" if place else item["msg"])
    return "; ".join(parts)


async def drained(stream: Any) -> None:
    """Read a stream to its end; how the run ended is in its record."""
    try:
        async for _ in stream:
            pass
    except (OrchestratorError, asyncio.CancelledError):
        raise
    except Exception:  # the workflow's own error: it is the run's, and recorded there
        return
