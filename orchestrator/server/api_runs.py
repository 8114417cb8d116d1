"""REST: runs. Starting takes a workflow's name and inputs, never its definition."""

from __future__ import annotations

import base64
import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.server import models as m
from orchestrator.server.access import Role, identity_of, need
from orchestrator.server.book import STATUSES, RunQuery
from orchestrator.server.desk import Desk
from orchestrator.server.endpoints import Operation, Param
from orchestrator.server.operations import StartOrder, send_event, start_run
from orchestrator.server.problems import Refused
from orchestrator.server.reading import query_float, query_int, query_list, read_body

IDEMPOTENCY = Param("Idempotency-Key", "A repeated request with the same key starts no second run", place="header")


def desk_of(request: Request) -> Desk:
    """The desk of the app that a request came to."""
    desk: Desk = request.app.state.desk
    return desk


def idempotency_key(request: Request) -> str | None:
    """What makes a repeated request harmless. Raises: Refused 422."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:
        raise Refused(422, "idempotency.key", "an Idempotency-Key has 1 to 255 characters")
    return key


async def start_flow_run(request: Request) -> Response:
    """Start a run of a workflow by its name."""
    desk = desk_of(request)
    body = await read_body(request, m.StartRun)
    served = desk.shelf.find(request.path_params["name"])
    order = StartOrder(body.inputs, identity_of(request).user, body.run_id, idempotency_key(request), tuple(body.tags))
    begun = await start_run(desk, served, order)
    answer = {"run_id": begun.run_id, "flow": served.name, "is_new": begun.is_new}
    location = f"{request.scope.get('root_path', '')}/api/runs/{begun.run_id}"
    return JSONResponse(answer, 201 if begun.is_new else 200, {"Location": location})


async def list_runs(request: Request) -> Response:
    """Runs, newest first, a page at a time."""
    page, following = await desk_of(request).runs(read_run_query(request))
    return JSONResponse({"runs": [row.to_json() for row in page], "next": cursor_text(following)})


def read_run_query(request: Request) -> RunQuery:
    """The filters in a query string. Raises: Refused 422."""
    query = request.query_params
    return RunQuery(
        flows=query_list(request, "flow"),
        statuses=query_list(request, "status", STATUSES),
        started_by=query.get("by", ""),
        parent=query.get("parent"),
        since=query_float(request, "since"),
        until=query_float(request, "until"),
        text=query.get("text", "")[:200],
        tag=query.get("tag", "")[:100],
        before=_parse_cursor(query.get("cursor", "")),
        limit=query_int(request, "limit", 50, low=1, high=500),
    )


async def show_run(request: Request) -> Response:
    """One run with its inputs and outputs."""
    detail = await desk_of(request).run(request.path_params["run_id"])
    return JSONResponse(detail.to_json())


async def cancel_run(request: Request) -> Response:
    """Cancel a run, also one that only waits."""
    desk, run_id = desk_of(request), request.path_params["run_id"]
    body = await read_body(request, m.Reason)
    book = await desk.book_of(run_id)
    by = identity_of(request).user
    await book.cancel(run_id, body.reason or f"cancelled by {by}")
    return JSONResponse({"status": "cancelled"})


async def send_run_event(request: Request) -> Response:
    """Send an event into a run."""
    body = await read_body(request, m.SendEvent)
    await send_event(desk_of(request), request.path_params["run_id"], body.event, body.data, body.step)
    return JSONResponse({"status": "sent"}, 202)


async def show_state(request: Request) -> Response:
    """What a run holds, now or after the entry `at` of its log."""
    desk, run_id = desk_of(request), request.path_params["run_id"]
    book = await desk.book_of(run_id)
    at = query_int(request, "at", -1, low=-1, high=2**53)
    return JSONResponse(await book.state(run_id, None if at < 0 else at))


def cursor_text(place: tuple[int | None, ...] | None) -> str | None:
    if place is None:
        return None
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _parse_cursor(text: str) -> tuple[int | None, ...]:
    if not text:
        return ()
    try:
        place = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if isinstance(place, list) and all(p is None or type(p) is int for p in place):
            return tuple(place)
    except ValueError:
        pass
    raise Refused(422, "query", "`cursor` is not one that this server gave", "take it from `next` of the page before")


NUMBER = {"type": "number"}
PAGE = (
    Param("flow", "Only these workflows", {"type": "array", "items": {"type": "string"}}),
    Param("status", "Only these statuses", {"type": "array", "items": {"enum": list(STATUSES)}}),
    Param("by", "Only those this user started"),
    Param("parent", "Only children of this run"),
    Param("since", "Only those created at or after this time", NUMBER),
    Param("until", "Only those created at or before this time", NUMBER),
    Param("tag", "Only those with this tag"),
    Param("text", "Only those with this in their id or workflow"),
    Param("cursor", "Where to go on: `next` of the page before"),
    Param("limit", "How many, 1 to 500", {"type": "integer", "default": 50}),
)
SEES = need(Role.VIEWER, Role.STARTER, Role.EDITOR)
STARTS = need(Role.STARTER)
OPERATES = need()

OPERATIONS = (
    Operation(
        "POST",
        "/api/flows/{name}/runs",
        start_flow_run,
        STARTS,
        "Start a run",
        "runs",
        m.StartRun,
        m.StartedAnswer,
        201,
        (IDEMPOTENCY,),
        (404, 409),
    ),
    Operation("GET", "/api/runs", list_runs, SEES, "List runs", "runs", None, m.RunsAnswer, params=PAGE),
    Operation(
        "GET", "/api/runs/{run_id}", show_run, SEES, "Show a run", "runs", None, m.RunDetailAnswer, problems=(404,)
    ),
    Operation(
        "POST",
        "/api/runs/{run_id}/cancel",
        cancel_run,
        OPERATES,
        "Cancel a run",
        "runs",
        m.Reason,
        m.Accepted,
        problems=(404, 409),
    ),
    Operation(
        "POST",
        "/api/runs/{run_id}/events",
        send_run_event,
        STARTS,
        "Send an event into a run",
        "runs",
        m.SendEvent,
        m.Accepted,
        202,
        problems=(404, 409),
    ),
    Operation(
        "GET",
        "/api/runs/{run_id}/state",
        show_state,
        SEES,
        "Show what a run holds, now or at a point",
        "runs",
        None,
        None,
        params=(Param("at", "After this entry of the log", {"type": "integer"}),),
        problems=(404,),
    ),
)
