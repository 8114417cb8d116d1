"""REST: schedules, webhooks and events from outside that start runs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.errors import AdmissionRefused, StepError
from orchestrator.server import models as m
from orchestrator.server.access import GuardedRoute, Role, identity_of, need, public
from orchestrator.server.api_runs import IDEMPOTENCY, SEES, STARTS, desk_of, idempotency_key
from orchestrator.server.desk import Desk
from orchestrator.server.endpoints import Operation
from orchestrator.server.operations import StartOrder, start_run
from orchestrator.server.problems import LOG, Refused
from orchestrator.server.reading import parse_json, read_body
from orchestrator.server.scheduler import trigger_view
from orchestrator.server.shelf import Served
from orchestrator.server.triggers import check_signature, trigger_inputs

HIDDEN_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
METHODS = ("POST", "PUT", "PATCH", "DELETE")


async def list_schedules(request: Request) -> Response:
    """Every trigger of the served flows, with when it is due next."""
    return JSONResponse({"schedules": [trigger_view(row) for row in await desk_of(request).scheduler.rows()]})


def _key(request: Request) -> str:
    return f"{request.path_params['flow']}/{request.path_params['number']}"


async def pause_schedule(request: Request) -> Response:
    """Start no runs of a trigger until it is resumed."""
    await desk_of(request).scheduler.pause(_key(request), is_paused=True)
    return JSONResponse({"status": "paused"})


async def resume_schedule(request: Request) -> Response:
    """Let a paused trigger go on."""
    await desk_of(request).scheduler.pause(_key(request), is_paused=False)
    return JSONResponse({"status": "resumed"})


async def fire_schedule(request: Request) -> Response:
    """Start a run of a trigger now."""
    begun = await desk_of(request).scheduler.fire(_key(request), identity_of(request).user)
    return JSONResponse({"run_ids": [] if begun is None else [begun.run_id]}, 202)


async def emit_event(request: Request) -> Response:
    """Tell of an event: every flow that has it as a trigger starts, but one that runs one at a time and is under way.

    Sent again with the same Idempotency-Key it starts nothing new, and what did not start the first time.
    """
    desk, key, user = desk_of(request), idempotency_key(request), identity_of(request).user
    body = await read_body(request, m.EmitEvent)
    orders: list[tuple[Served, StartOrder]] = []
    for row, served, trigger in await desk.scheduler.active("event"):
        if trigger.event != body.event:
            continue
        inputs = trigger_inputs(trigger, desk.clock.now(), dict(body.data), {"event": body.event})
        if inputs is not None:
            idem_key = None if key is None else f"{row.id}#{key}"
            orders.append((served, StartOrder(inputs, user, idem_key=idem_key)))
    run_ids = []
    for served, order in orders:
        try:
            run_ids.append((await start_run(desk, served, order)).run_id)
        except AdmissionRefused as error:
            LOG.info("event %s starts no run: %s", body.event, error)
    return JSONResponse({"run_ids": run_ids}, 202)


async def take_webhook(request: Request) -> Response:
    """A signed webhook starts the flows that listen at its path. The same id again starts nothing new."""
    desk = desk_of(request)
    path, body = "/" + request.path_params["path"], await request.body()
    hooks = [h for h in await desk.scheduler.active("webhook") if h[2].path == path]
    if not hooks:
        raise Refused(404, "webhook.unknown", "no flow listens here")
    fitting = [h for h in hooks if h[2].method == request.method]
    if not fitting:
        allowed = ", ".join(sorted({h[2].method for h in hooks}))
        raise Refused(405, "method", f"this webhook takes {allowed}", headers={"Allow": allowed})
    refused: Refused | None = None
    run_ids = []
    for row, served, trigger in fitting:
        try:
            secret = _secret(desk, served, str(trigger.verify.get("hmac", "")))
            message_id = check_signature(
                secret, request.headers, str(trigger.verify.get("header", "")), body, desk.clock.now()
            )
        except Refused as problem:
            refused = problem
            continue
        meta = {
            "headers": {name: value for name, value in request.headers.items() if name not in HIDDEN_HEADERS},
            "query": dict(request.query_params),
        }
        inputs = trigger_inputs(trigger, desk.clock.now(), parse_json(body) if body.strip() else {}, meta)
        if inputs is not None:
            begun = await start_run(desk, served, StartOrder(inputs, "webhook", idem_key=f"{row.id}#{message_id}"))
            run_ids.append(begun.run_id)
        refused = None
    if refused is not None and not run_ids:
        raise refused
    return JSONResponse({"run_ids": run_ids}, 202)


def _secret(desk: Desk, served: Served, name: str) -> str:
    assert desk.project is not None
    try:
        return desk.project.hub.vault(served.name).get(name).reveal()
    except StepError as error:
        LOG.warning("a webhook of flow %s cannot be verified: %s", served.name, error)
        raise Refused(
            503, "webhook.secret", "this webhook cannot be verified now", "the server's log says why"
        ) from error


def hook_routes() -> list[GuardedRoute]:
    """Where webhooks come in."""
    return [
        GuardedRoute("/hooks/{path:path}", take_webhook, access=public(rate="hook"), methods=METHODS, name="webhook")
    ]


ONE = "/api/schedules/{flow}/{number}"
OPERATIONS = (
    Operation(
        "GET",
        "/api/schedules",
        list_schedules,
        SEES,
        "List schedules and other triggers",
        "schedules",
        None,
        m.SchedulesAnswer,
    ),
    Operation(
        "POST",
        ONE + "/pause",
        pause_schedule,
        need(),
        "Pause a trigger",
        "schedules",
        None,
        m.Accepted,
        problems=(404,),
    ),
    Operation(
        "POST",
        ONE + "/resume",
        resume_schedule,
        need(),
        "Resume a trigger",
        "schedules",
        None,
        m.Accepted,
        problems=(404,),
    ),
    Operation(
        "POST",
        ONE + "/fire",
        fire_schedule,
        need(Role.STARTER),
        "Fire a trigger now",
        "schedules",
        None,
        m.RunIdsAnswer,
        202,
        problems=(404,),
    ),
    Operation(
        "POST",
        "/api/events",
        emit_event,
        STARTS,
        "Tell of an event that starts flows",
        "schedules",
        m.EmitEvent,
        m.RunIdsAnswer,
        202,
        (IDEMPOTENCY,),
    ),
)
