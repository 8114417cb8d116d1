"""REST: signed decision links. GET shows, POST decides."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.server import models as m
from orchestrator.server.access import identity_of, need, public
from orchestrator.server.api_requests import named_request
from orchestrator.server.api_runs import desk_of
from orchestrator.server.endpoints import Operation
from orchestrator.server.links import decide, make_link, person_of, read_link, request_of
from orchestrator.server.reading import read_body
from orchestrator.server.request_desk import find_request, request_detail

SHOWN = (
    "title",
    "show",
    "form",
    "verdicts",
    "verdict_field",
    "state",
    "due_at",
    "revision",
    "outcome",
    "items",
    "shows",
    "closed_at",
)


async def make_request_link(request: Request) -> Response:
    """A link for one person, to be sent to nobody else."""
    desk = desk_of(request)
    body = await read_body(request, m.MakeLink)
    row = await find_request(desk, identity_of(request), *named_request(request))
    token, expires = make_link(desk, row, body.person, tuple(body.verdicts), body.lasts_s)
    base = desk.settings.url or str(request.base_url)
    return JSONResponse({"url": f"{base.rstrip('/')}/d/{token}", "token": token, "expires_at": expires}, 201)


async def show_link(request: Request) -> Response:
    """What a link is about; nothing of the run around it."""
    desk = desk_of(request)
    link = read_link(desk, request.path_params["token"])
    person = person_of(desk, link)
    row = await request_of(desk, link)
    detail = request_detail(desk, row, person)
    return JSONResponse(
        {
            "person": link.person,
            "expires_at": link.expires_at,
            "verdicts": list(link.verdicts) or detail["verdicts"],
            "is_used": desk.accounts.is_link_used(link.nonce),
            "is_stale": row.revision != link.revision,
            "request": {name: detail[name] for name in SHOWN},
        }
    )


async def decide_link(request: Request) -> Response:
    """Decide, once."""
    desk = desk_of(request)
    link = read_link(desk, request.path_params["token"])
    body = await read_body(request, m.DecideLink)
    return JSONResponse({"status": await decide(desk, link, body.form, body.verdict, body.item)})


ONE = "/api/links/{token}"
OPERATIONS = (
    Operation(
        "POST",
        "/api/requests/{id}/links",
        make_request_link,
        need(),
        "Make a signed link for one person",
        "requests",
        m.MakeLink,
        m.LinkAnswer,
        201,
        problems=(404, 409),
    ),
    Operation(
        "GET",
        ONE,
        show_link,
        public(rate="link"),
        "What a link is about",
        "requests",
        None,
        m.LinkShown,
        problems=(404, 410),
    ),
    Operation(
        "POST",
        ONE,
        decide_link,
        public(rate="link"),
        "Decide with a link",
        "requests",
        m.DecideLink,
        m.Accepted,
        problems=(404, 409, 410),
    ),
)
