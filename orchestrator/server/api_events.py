"""REST: what happened in runs, as pages, server-sent events and NDJSON, and the one stream of a tab."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.server import models as m
from orchestrator.server.access import Role, identity_of, need
from orchestrator.server.api_runs import SEES, desk_of
from orchestrator.server.book import ENDED
from orchestrator.server.endpoints import Operation, Param
from orchestrator.server.problems import Refused
from orchestrator.server.reading import query_flag, query_int, query_list
from orchestrator.server.streams import MAX_FOLLOWED, TOPICS, LiveStream, Place, run_ndjson, run_sse, tab_stream

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
MOST = 2**53


async def read_events(request: Request) -> Response:
    """The log of a run: JSON, or with `Accept: text/event-stream` or `application/x-ndjson` a live stream."""
    desk, run_id = desk_of(request), request.path_params["run_id"]
    book = await desk.book_of(run_id)
    after = _after(request)
    accept = request.headers.get("accept", "")
    if SSE in accept:
        return LiveStream(desk, run_sse(desk, book, run_id, after), SSE)
    if NDJSON in accept:
        return LiveStream(desk, run_ndjson(desk, book, run_id, after), NDJSON)
    limit = query_int(request, "limit", 500, low=1, high=5_000)
    status = await book.status(run_id)
    entries = await book.log(run_id, after, limit, is_whole=query_flag(request, "full"))
    return JSONResponse({"events": entries, "is_over": status in ENDED and len(entries) < limit})


async def show_event(request: Request) -> Response:
    """One entry of the log in full, however large."""
    desk, run_id = desk_of(request), request.path_params["run_id"]
    book = await desk.book_of(run_id)
    try:
        seq = int(request.path_params["seq"])
    except ValueError:
        raise Refused(404, "event.unknown", "entries of a log are numbered") from None
    entries = await book.log(run_id, seq - 1, 1, is_whole=True)
    if not entries or entries[0]["seq"] != seq:
        raise Refused(404, "event.unknown", f"the log of this run has no entry {seq}")
    return JSONResponse(entries[0])


async def tab(request: Request) -> Response:
    """Everything that changes, for one open page: `run=ID` or `run=ID:SEQ` follows the log of a run too."""
    desk, identity = desk_of(request), identity_of(request)
    sees_runs = identity.may(Role.VIEWER, Role.STARTER, Role.EDITOR)
    topics = frozenset(query_list(request, "topics", TOPICS) or TOPICS) & (
        frozenset(TOPICS) if sees_runs else {"request"}
    )
    given = request.headers.get("last-event-id") or request.query_params.get("after", "")
    place = Place.parse(given) if given else Place(runs=_followed(request))
    if len(place.runs) > MAX_FOLLOWED:
        raise Refused(422, "query", f"one stream follows at most {MAX_FOLLOWED} runs")
    if place.runs and not sees_runs:
        raise Refused(403, "auth.role", "following runs needs the role viewer")
    return LiveStream(desk, tab_stream(desk, place, topics, shows_details=sees_runs), SSE)


def _after(request: Request) -> int:
    last = request.headers.get("last-event-id")
    if last is not None and last.lstrip("-").isdigit() and len(last) < 17:
        return max(-1, int(last))
    return query_int(request, "after", -1, low=-1, high=MOST)


def _followed(request: Request) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in request.query_params.getlist("run"):
        run_id, mark, seq = text.rpartition(":")
        if mark and (seq.isdigit() or seq == "-1") and len(seq) < 17:
            found[run_id] = int(seq)
        elif text:
            found[text] = -1
    return found


INTEGER = {"type": "integer"}
AFTER = Param("after", "Only what has a higher sequence number", INTEGER)
LAST = Param("Last-Event-ID", "The same, as browsers send it when they connect again", place="header")

OPERATIONS = (
    Operation(
        "GET",
        "/api/runs/{run_id}/events",
        read_events,
        SEES,
        "Read the log of a run, or follow it as text/event-stream or application/x-ndjson",
        "events",
        None,
        m.EventsAnswer,
        params=(
            AFTER,
            Param("limit", "How many, 1 to 5000", INTEGER),
            Param("full", "Large values too, not their previews", {"type": "boolean"}),
            LAST,
        ),
        problems=(404,),
    ),
    Operation(
        "GET",
        "/api/runs/{run_id}/events/{seq}",
        show_event,
        SEES,
        "Show one entry in full",
        "events",
        None,
        m.EventAnswer,
        problems=(404,),
    ),
    Operation(
        "GET",
        "/api/stream",
        tab,
        need(Role.VIEWER, Role.STARTER, Role.APPROVER, Role.EDITOR),
        "Follow everything that changes, on one connection",
        "events",
        None,
        SSE,
        params=(
            Param("topics", "Only these", {"type": "array", "items": {"enum": list(TOPICS)}}),
            Param(
                "run",
                "Follow the log of this run, from a number with ID:SEQ",
                {"type": "array", "items": {"type": "string"}},
            ),
            Param("after", "Go on after this event id"),
            LAST,
        ),
    ),
)
