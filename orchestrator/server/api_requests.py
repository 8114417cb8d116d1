"""REST: requests to people. Looking changes nothing; every act is a POST."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.errors import RunParked
from orchestrator.server import models as m
from orchestrator.server.access import Identity, Role, identity_of, need
from orchestrator.server.api_runs import desk_of
from orchestrator.server.book import Reply, RequestRow, parse_public_id
from orchestrator.server.desk import Desk
from orchestrator.server.endpoints import Operation, Param
from orchestrator.server.problems import Refused
from orchestrator.server.reading import query_int, query_list, read_body
from orchestrator.server.request_desk import (
    SCOPES,
    act,
    find_request,
    form_with_verdict,
    list_requests,
    request_detail,
    request_view,
)


def acting_as(desk: Desk, identity: Identity, name: str | None) -> Identity:
    """Who acts: the one who asks, or on a server without accounts whoever they say they are. Raises: Refused 403."""
    if name is None or name == identity.user:
        return identity
    if identity.how != "open":
        raise Refused(403, "auth.as", f"you are {identity.user} and cannot act as {name[:100]!r}")
    person = desk.gate.person(name)
    return Identity(name, identity.roles, person.groups, "open")


def named_request(request: Request) -> tuple[str, str]:
    """The run and request in the path. Raises: Refused 404."""
    return parsed_request(request.path_params["id"])


def parsed_request(public: str) -> tuple[str, str]:
    """The run and request that a public id names. Raises: Refused 404."""
    found = parse_public_id(public)
    if found is None:
        raise Refused(404, "request.unknown", "there is no such request", "its id has the form RUN~REQUEST")
    return found


async def list_open_requests(request: Request) -> Response:
    """Requests that wait for you, your groups or anybody, or that are done."""
    desk, identity = desk_of(request), identity_of(request)
    scope = (query_list(request, "scope", SCOPES) or ("all",))[0]
    person = acting_as(desk, identity, request.query_params.get("as"))
    rows = await list_requests(desk, person, scope, limit=query_int(request, "limit", 200, low=1, high=1_000))
    return JSONResponse({"requests": [request_view(desk, row, person) for row in rows]})


async def show_request(request: Request) -> Response:
    """One request with what is shown to decide."""
    desk, person = desk_of(request), acting_as(desk_of(request), identity_of(request), request.query_params.get("as"))
    row = await find_request(desk, person, *named_request(request))
    return JSONResponse(request_detail(desk, row, person))


async def answer_request(request: Request) -> Response:
    """Answer a request. The same answer again is accepted and changes nothing."""
    body = await read_body(request, m.GiveAnswer)
    desk, person, row = await _open(request, body.as_)
    form = form_with_verdict(row, body.form, body.verdict)
    groups = desk.groups_for(person, row)
    reply = Reply(row.request_id, person.user, groups, "answer", form, body.revision, body.item)
    try:
        return JSONResponse({"status": await act(desk, row, person, reply)})
    except RunParked as kept:
        return JSONResponse({"status": "kept", "message": str(kept)}, 202)


async def claim_request(request: Request) -> Response:
    """Say that you will answer it."""
    body = await read_body(request, m.Acting)
    return await _simple(request, body.as_, "claim")


async def release_request(request: Request) -> Response:
    """Give a claim back."""
    body = await read_body(request, m.Acting)
    return await _simple(request, body.as_, "release")


async def delegate_request(request: Request) -> Response:
    """Let somebody else answer too, where the flow allows it."""
    body = await read_body(request, m.Delegate)
    return await _simple(request, body.as_, "delegate", {"to": body.to})


async def edit_request(request: Request) -> Response:
    """Correct the text, where the flow allows it. It becomes a new revision and clears earlier votes."""
    body = await read_body(request, m.EditText)
    return await _simple(request, body.as_, "edit", {"text": body.text}, body.revision)


async def _open(request: Request, name: str | None) -> tuple[Desk, Identity, RequestRow]:
    desk = desk_of(request)
    person = acting_as(desk, identity_of(request), name)
    return desk, person, await find_request(desk, person, *named_request(request))


async def _simple(
    request: Request, name: str | None, action: str, form: dict[str, str] | None = None, revision: int | None = None
) -> Response:
    desk, person, row = await _open(request, name)
    reply = Reply(row.request_id, person.user, desk.groups_for(person, row), action, form or {}, revision)
    return JSONResponse({"status": await act(desk, row, person, reply)})


LOOKS = need(Role.APPROVER, Role.VIEWER)
ACTS = need(Role.APPROVER)
AS = Param("as", "Look as somebody else; only on a server without accounts")
_SCOPE = Param("scope", "Whose: me, groups, all (open ones) or done", {"enum": list(SCOPES), "default": "all"})
_LIMIT = Param("limit", "How many, 1 to 1000", {"type": "integer", "default": 200})

OPERATIONS = (
    Operation(
        "GET",
        "/api/requests",
        list_open_requests,
        LOOKS,
        "List requests",
        "requests",
        None,
        m.RequestsAnswer,
        params=(_SCOPE, _LIMIT, AS),
    ),
    Operation(
        "GET",
        "/api/requests/{id}",
        show_request,
        LOOKS,
        "Show a request",
        "requests",
        None,
        m.RequestDetailAnswer,
        params=(AS,),
        problems=(404,),
    ),
    Operation(
        "POST",
        "/api/requests/{id}",
        answer_request,
        ACTS,
        "Answer a request",
        "requests",
        m.GiveAnswer,
        m.Accepted,
        problems=(404, 409),
    ),
    *(
        Operation(
            "POST",
            f"/api/requests/{{id}}/{word}",
            endpoint,
            ACTS,
            summary,
            "requests",
            takes,
            m.Accepted,
            problems=(404, 409),
        )
        for word, endpoint, summary, takes in (
            ("claim", claim_request, "Claim a request", m.Acting),
            ("release", release_request, "Give a claim back", m.Acting),
            ("delegate", delegate_request, "Let somebody else answer too", m.Delegate),
            ("edit", edit_request, "Correct the text that is asked about", m.EditText),
        )
    ),
)
