"""The HTTP interface that the published `llama-agents-client` speaks, over our runs: its routes, codes and envelopes.

A handler is a run under a name that may be used again: after it has ended, the same handler id goes on with the state it had.
Nothing else of the server knows this interface.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.authoring.streaming import read_events
from orchestrator.errors import OrchestratorError, RunFinished, UnknownRun, UsageError
from orchestrator.runtime.engine import new_run_id
from orchestrator.server.access import GuardedRoute, Role, identity_of, need, public
from orchestrator.server.book import ENDED, RunQuery
from orchestrator.server.desk import Desk
from orchestrator.server.llama_envelopes import (
    STATUSES,
    entry_envelopes,
    envelope,
    flat,
    graph_view,
    handler_view,
    is_internal,
    read_event,
    result_envelope,
)
from orchestrator.server.memory_book import Record
from orchestrator.server.operations import StartOrder, event_of, send_event, start_class, start_run
from orchestrator.server.problems import Refused, problem_of
from orchestrator.server.reading import query_flag, read_json
from orchestrator.server.shelf import Served, start_class_of
from orchestrator.server.streams import PAGE, SSE_HEADERS, LiveStream, dump, encode_event

Json = Any  # plain JSON
HEARTBEAT_S = 25.0
HEARTBEAT = b": heartbeat\n\n"
SEES, STARTS = need(Role.VIEWER, Role.STARTER), need(Role.STARTER)


@dataclass(slots=True)
class Handler:
    """A handler that a client named, or whose context may be used again."""

    workflow: str
    run_id: str
    live: Any = None  # the WorkflowHandler of a class workflow


class Adapter:
    """The routes, and the handlers that were started through them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._handlers: dict[str, Handler] = {}
        desk.memory.engine.on_drop.append(self._dropped)

    def routes(self) -> list[GuardedRoute]:
        """All routes, at the top of the app."""
        name = "/workflows/{name}"
        return [
            GuardedRoute("/health", self.health, access=public()),
            GuardedRoute("/workflows", self.workflows, access=SEES),
            GuardedRoute(name + "/run", self.run, access=STARTS, methods=["POST"]),
            GuardedRoute(name + "/run-nowait", self.run_nowait, access=STARTS, methods=["POST"]),
            GuardedRoute(name + "/schema", self.schema, access=SEES),
            GuardedRoute(name + "/events", self.event_schemas, access=SEES),
            GuardedRoute(name + "/representation", self.representation, access=SEES),
            GuardedRoute("/handlers", self.handlers, access=SEES),
            GuardedRoute("/handlers/{id}", self.handler, access=SEES),
            GuardedRoute("/handlers/{id}/cancel", self.cancel, access=need(), methods=["POST"]),
            GuardedRoute("/results/{id}", self.result, access=SEES),
            GuardedRoute("/events/{id}", self.events, access=SEES),
            GuardedRoute("/events/{id}", self.send, access=STARTS, methods=["POST"]),
        ]

    def _dropped(self, run_id: str) -> None:
        for handler_id in [key for key, handler in self._handlers.items() if handler.run_id == run_id]:
            del self._handlers[handler_id]

    # Workflows.

    async def health(self, request: Request) -> Response:
        """Whether runs can be started."""
        checks = await self._desk.checks()
        is_well = all(text == "ok" for text in checks.values())
        return JSONResponse({"status": "healthy" if is_well else "unhealthy"}, 200 if is_well else 503)

    async def workflows(self, request: Request) -> Response:
        """The names of all workflows that can be started."""
        return JSONResponse({"workflows": [served.name for served in self._desk.shelf if served.is_ok]})

    def _served(self, request: Request) -> Served:
        return self._desk.shelf.find(request.path_params["name"])

    async def schema(self, request: Request) -> Response:
        """JSON Schemas of the start and stop events."""
        served = self._served(request)
        return JSONResponse({"start": served.input_schema, "stop": served.output_schema})

    async def event_schemas(self, request: Request) -> Response:
        """JSON Schemas of all events."""
        served = self._served(request)
        found = [
            {"title": event.name, **(event.schema if isinstance(event.schema, dict) else {})}
            for event in (served.ir.events.values() if served.ir is not None else ())
        ]
        return JSONResponse({"events": found + [cls.model_json_schema() for cls in served.events]})

    async def representation(self, request: Request) -> Response:
        """The graph of a workflow."""
        served = self._served(request)
        if served.ir is None:
            raise Refused(500, "flow.errors", f"`{served.name}` cannot be read, so it has no graph")
        return JSONResponse({"graph": graph_view(served.name, served.ir)})

    # Starting.

    async def run(self, request: Request) -> Response:
        """Start a run and wait for its end."""
        handler_id = await self._start(request)
        run_id = self._handlers[handler_id].run_id if handler_id in self._handlers else handler_id
        book = await self._desk.book_of(run_id)
        place = -1
        while await book.status(run_id) not in ENDED:
            entries = await book.log(run_id, place, PAGE)
            place = entries[-1]["seq"] if entries else place
            if not entries:
                await book.grown(run_id, place)
        view = await self._view(handler_id)
        return JSONResponse(view, 200 if view["status"] == "completed" else 500)

    async def run_nowait(self, request: Request) -> Response:
        """Start a run."""
        handler_id = await self._start(request)
        return JSONResponse(await self._view(handler_id) | {"status": "running"})

    async def _start(self, request: Request) -> str:
        served = self._served(request)
        body = await _body(request)
        if body.get("context"):
            raise Refused(400, "context", "this server takes no context from clients; use the id of an earlier handler")
        handler_id = body.get("handler_id")
        if handler_id is not None and not (isinstance(handler_id, str) and 0 < len(handler_id) <= 200):
            raise Refused(400, "handler.id", "a handler_id is a text of at most 200 characters")
        known = self._handlers.get(handler_id) if handler_id else None
        if known is not None and await self._status(known.run_id) not in ENDED:
            raise Refused(409, "handler.running", f"handler {handler_id!r} is running")
        try:
            return await self._begin(request, served, body, handler_id, known)
        except UsageError as error:
            raise Refused(400, error.code, error.message) from error

    async def _begin(
        self, request: Request, served: Served, body: Any, handler_id: str | None, known: Handler | None
    ) -> str:
        run_id = new_run_id()
        by = identity_of(request).user
        live = None
        if served.kind == "class":
            context = known.live.ctx if known is not None and known.live is not None else None
            event = self._start_event(served, body)
            live = await start_class(self._desk, served, event, run_id, {"by": by, "flow": served.name}, context)
        else:
            inputs = {**flat(read_event(body.get("start_event") or {}, "Start").value), **(body.get("kwargs") or {})}
            await start_run(self._desk, served, StartOrder(inputs, by, run_id))
        name = handler_id or run_id
        self._handlers[name] = Handler(served.name, run_id, live)
        return name

    def _start_event(self, served: Served, body: Any) -> Any:
        cls = start_class_of(served)
        given = read_event(body.get("start_event") or {}, cls.__name__)
        if given.name not in (None, cls.__name__, "StartEvent"):
            raise Refused(
                400, "event.unknown", f"workflow `{served.name}` starts with a {cls.__name__}, not a {given.name}"
            )
        if not isinstance(given.value, dict):
            raise Refused(400, "event.malformed", "the fields of the start event are a JSON object")
        return event_of(
            served, served.target.flow.names.name_of(cls), {**flat(given.value), **(body.get("kwargs") or {})}
        )

    # Handlers.

    def _run_of(self, handler_id: str) -> str:
        known = self._handlers.get(handler_id)
        return known.run_id if known is not None else handler_id

    async def _status(self, run_id: str) -> str:
        try:
            return (await self._desk.run(run_id)).row.status
        except UnknownRun:
            return "done"

    async def _view(self, handler_id: str) -> dict[str, Json]:
        run_id = self._run_of(handler_id)
        try:
            detail = await self._desk.run(run_id)
        except UnknownRun:
            raise Refused(404, "handler.unknown", f"there is no handler {handler_id[:100]!r}") from None
        record = self._desk.memory.engine.records.get(run_id)
        if record is not None and record.actor.plan.ir.kind == "class":
            ended = record.actor.state.result
            result = result_envelope(ended.value) if ended is not None else None
        else:
            result = result_envelope(detail.outputs)
        return handler_view(handler_id, detail, result)

    async def handlers(self, request: Request) -> Response:
        """Every handler, or those of a status or workflow."""
        statuses = [s for s in request.query_params.getlist("status") if s]
        names = tuple(n for n in request.query_params.getlist("workflow_name") if n)
        handler_of = {handler.run_id: key for key, handler in self._handlers.items()}
        rows, _ = await self._desk.runs(RunQuery(flows=names, limit=10_000))
        views = [await self._view(handler_of.get(row.run_id, row.run_id)) for row in rows if row.parent is None]
        return JSONResponse({"handlers": [view for view in views if not statuses or view["status"] in statuses]})

    async def handler(self, request: Request) -> Response:
        """One handler: 200 completed, 202 running, 500 failed or cancelled."""
        view = await self._view(request.path_params["id"])
        return JSONResponse(view, {"completed": 200, "running": 202}.get(view["status"], 500))

    async def result(self, request: Request) -> Response:
        """One handler, with its result unwrapped."""
        view = await self._view(request.path_params["id"])
        value = (view["result"] or {}).get("value")
        inner = (
            value.get("result", value) if isinstance(value, dict) and view["result"]["type"] == "StopEvent" else value
        )
        return JSONResponse(view | {"result": inner}, {"completed": 200, "running": 202}.get(view["status"], 500))

    async def cancel(self, request: Request) -> Response:
        """Cancel a handler's run; with `purge` also forget it."""
        handler_id = request.path_params["id"]
        view = await self._view(handler_id)
        purges = query_flag(request, "purge")
        run_id = self._run_of(handler_id)
        is_running = view["status"] == "running"
        if not is_running and not purges:
            raise Refused(404, "handler.finished", f"handler {handler_id!r} has ended")
        if is_running:
            try:
                await (await self._desk.book_of(run_id)).cancel(run_id, "cancelled by its client")
            except RunFinished:
                pass  # it ended meanwhile
        if purges:
            self._handlers.pop(handler_id, None)
            await self._desk.drop_run(run_id)
        return JSONResponse({"status": "deleted" if purges else "cancelled"})

    # Events.

    async def events(self, request: Request) -> Response:
        """The events of a handler, as server-sent events or as one JSON object per line."""
        handler_id = request.path_params["id"]
        view = await self._view(handler_id)
        run_id = self._run_of(handler_id)
        shows_internal = query_flag(request, "include_internal")
        names = request.query_params.get("include_qualified_name", "true").lower() != "false"
        after = await self._after(request, run_id)
        if view["status"] != "running" and not [n async for n, _ in self._numbered(run_id, True) if n > after]:
            return Response(status_code=204)
        is_sse = request.query_params.get("sse", "true").lower() != "false"
        body = self._stream(run_id, after, shows_internal, names, is_sse)
        return LiveStream(self._desk, body, "text/event-stream" if is_sse else "application/x-ndjson", SSE_HEADERS)

    async def _after(self, request: Request, run_id: str) -> int:
        text = request.headers.get("last-event-id") or request.query_params.get("after_sequence", "-1")
        if text == "now":
            numbers = [n async for n, _ in self._numbered(run_id, False)]
            return numbers[-1] if numbers else -1
        try:
            return int(text)
        except ValueError:
            raise Refused(400, "query", "`after_sequence` is a number, or `now`") from None

    async def _stream(
        self, run_id: str, after: int, shows_internal: bool, names: bool, is_sse: bool
    ) -> AsyncIterator[bytes]:
        pending = self._numbered(run_id, True, waits=True)
        following = asyncio.ensure_future(anext(pending, None))
        closing = asyncio.ensure_future(self._desk.bus.closed())
        try:
            while not closing.done():
                done, _ = await asyncio.wait(
                    {following, closing}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    yield HEARTBEAT if is_sse else b"\n"
                if following not in done:
                    continue
                item = following.result()
                if item is None:
                    return
                number, event = item
                following = asyncio.ensure_future(anext(pending, None))
                if number > after and (shows_internal or not is_internal(event)):
                    shown = event if isinstance(event, dict) else envelope(event, with_qualified_name=names)
                    yield encode_event(dump(shown), id=str(number)) if is_sse else dump(shown).encode() + b"\n"
        finally:
            following.cancel()
            closing.cancel()
            await asyncio.gather(following, closing, return_exceptions=True)
            await pending.aclose()

    async def _numbered(self, run_id: str, to_end: bool, *, waits: bool = False) -> Any:
        """The events of a run with their numbers; those that are there, or with `waits` all to its end."""
        record = self._desk.memory.engine.records.get(run_id)
        live = next((h.live for h in self._handlers.values() if h.run_id == run_id and h.live is not None), None)
        number = -1
        is_class = record is not None and record.actor.plan.ir.kind == "class"
        if live is not None or is_class:
            events = self._class_events(live, record)
            while True:
                upcoming = asyncio.ensure_future(anext(events, None))
                if not waits:
                    await asyncio.sleep(0)
                    if not upcoming.done():
                        upcoming.cancel()
                        await asyncio.gather(upcoming, return_exceptions=True)
                        return
                event = await upcoming
                if event is None:
                    return
                number += 1
                yield number, event
        async for shown in self._entry_events(run_id, waits):
            number += 1
            yield number, shown

    @staticmethod
    def _class_events(live: Any, record: Record | None) -> AsyncIterator[Any]:
        """The live events of a class workflow: of its handler, which follows a run through its store, or of its record."""
        if live is not None:
            stream: AsyncIterator[Any] = live.stream_events(expose_internal=True)
            return stream
        assert record is not None
        return read_events(record.actor, expose_internal=True)

    async def _entry_events(self, run_id: str, waits: bool) -> AsyncIterator[dict[str, Json]]:
        book = await self._desk.book_of(run_id)
        place = -1
        while True:
            status = await book.status(run_id)
            entries = await book.log(run_id, place, PAGE, is_whole=True)
            for entry in entries:
                place = entry["seq"]
                for shown in entry_envelopes(entry):
                    yield shown
            if not entries and status in ENDED:
                detail = await book.run(run_id)
                if STATUSES[status] != "completed":
                    yield {
                        "value": {"error": detail.row.error},
                        "qualified_name": None,
                        "type": "WorkflowFailedEvent",
                        "types": ["StopEvent"],
                    }
                return
            if not entries:
                if not waits:
                    return
                await book.grown(run_id, place)

    async def send(self, request: Request) -> Response:
        """Send an event into a handler's run."""
        handler_id = request.path_params["id"]
        view = await self._view(handler_id)
        if view["status"] != "running":
            raise Refused(409, "handler.finished", f"handler {handler_id!r} has ended")
        body = await _body(request)
        given = read_event(body.get("event"))
        step = body.get("step")
        if not isinstance(given.value, dict) or not (step is None or isinstance(step, str)):
            raise Refused(400, "event.malformed", "the value of an event is a JSON object, `step` a text")
        try:
            await send_event(self._desk, self._run_of(handler_id), given.name or "", flat(given.value), step)
        except RunFinished as error:
            raise Refused(409, error.code, error.message) from error
        except OrchestratorError as error:
            problem = problem_of(error)
            raise Refused(400 if problem.status == 422 else problem.status, error.code, error.message) from error
        return JSONResponse({"status": "sent"})


async def _body(request: Request) -> dict[str, Json]:
    body = await read_json(request)
    if not isinstance(body, dict):
        raise Refused(400, "body.malformed", "the body must be a JSON object")
    return body
