"""Routes of flows: the list, and one with its picture, run form, documentation and history."""

from __future__ import annotations

import secrets
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.errors import OrchestratorError
from orchestrator.plugin.schema_check import SchemaRefused, compile_schema
from orchestrator.server.access import Role, identity_of, need
from orchestrator.server.api_flows import flow_view
from orchestrator.server.api_runs import desk_of
from orchestrator.server.book import ENDED, STATUSES, RunQuery
from orchestrator.server.operations import StartOrder, start_run
from orchestrator.server.pages import PageRoute, render
from orchestrator.server.problems import Refused, refused_by
from orchestrator.server.scheduler import trigger_view
from orchestrator.server.shelf import Served
from orchestrator.server.views.flow_view import event_rows, flow_rows, run_line, visits_of
from orchestrator.server.views.forms import Filled, errors_of, fields_of, read_form
from orchestrator.server.views.pictures import picture_now, step_cards
from orchestrator.server.views.schedule_view import schedule_rows

SEES = need(Role.VIEWER, Role.STARTER, Role.EDITOR)
RECENT = 400
OPEN = tuple(status for status in STATUSES if status not in ENDED)


def base_of(request: Request) -> str:
    """The path prefix of the app."""
    return str(request.scope.get("root_path", ""))


async def show_flows(request: Request) -> Response:
    """Every flow, with how its recent runs went."""
    desk = desk_of(request)
    runs, _ = await desk.runs(RunQuery(limit=RECENT))
    served = [one.to_json(desk.root) for one in desk.shelf]
    rows = flow_rows(served, runs, desk.clock.now(), base_of(request))
    return render(request, "flows.html", flows=rows)


async def show_flow(request: Request) -> Response:
    """One flow."""
    served = desk_of(request).shelf.find(request.path_params["name"])
    return await _flow_page(request, served, Filled({}, {}))


async def post_run(request: Request) -> Response:
    """Start a run from the form; what does not fit is shown beside its field."""
    desk = desk_of(request)
    served = desk.shelf.find(request.path_params["name"])
    form = await request.form(max_files=0, max_fields=500)
    filled, tags = read_form(served.input_schema, form), str(form.get("_tags") or "")
    errors, others = dict(filled.errors), list[str]()
    try:
        found, others = errors_of(compile_schema(served.input_schema).problems(filled.values))
        errors = {**found, **errors}
    except SchemaRefused as refused:
        others = [str(refused)]
    if errors or others:
        problem = Refused(422, "inputs", "The inputs do not fit", "; ".join(others) or None)
        return await _flow_page(request, served, Filled(filled.values, errors), problem, tags)
    token = form.get("once")
    key = token if isinstance(token, str) and 0 < len(token) < 100 else None
    try:
        order = StartOrder(filled.values, identity_of(request).user, idem_key=key, tags=tuple(tags.split(",")))
        begun = await start_run(desk, served, order)
    except Refused as problem:
        return await _flow_page(request, served, filled, problem, tags)
    except OrchestratorError as error:
        return await _flow_page(request, served, filled, refused_by(error), tags)
    return RedirectResponse(f"{base_of(request)}/runs/{quote(begun.run_id, safe='')}", 303)


async def _flow_page(
    request: Request, served: Served, filled: Filled, problem: Refused | None = None, tags: str = ""
) -> Response:
    desk, now, base = desk_of(request), desk_of(request).clock.now(), base_of(request)
    runs, _ = await desk.runs(RunQuery(flows=(served.name,), limit=20))
    waiting, _ = await desk.runs(RunQuery(flows=(served.name,), statuses=OPEN, limit=500))
    ir = served.ir
    view = flow_view(desk, served)
    triggers = [row for row in await desk.scheduler.rows() if row.flow == served.name]
    return render(
        request,
        "flow.html",
        status=problem.status if problem is not None else 200,
        flow=view
        | {"title": (ir.title if ir is not None else "") or served.name, "events": event_rows(view["events"])},
        svg=await picture_now(ir, visits_of(waiting)) if ir is not None else "",
        steps=await step_cards(ir) if ir is not None else [],
        fields=fields_of(served.input_schema, values=filled.values, errors=filled.errors),
        problem=None if problem is None else {"message": problem.message, "help": problem.help},
        once=secrets.token_hex(12),
        tags=tags[:600],
        runs=[run_line(run, now, base, (await desk.costs.of(run)).text) for run in runs],
        waiting=len(waiting),
        triggers=schedule_rows([trigger_view(row) for row in triggers], now, base),
        may_edit_file=served.file is not None and desk.project is not None,
    )


def routes() -> list[PageRoute]:
    """The routes of these pages."""
    return [
        PageRoute("/flows", show_flows, access=SEES, name="flows_page"),
        PageRoute("/flows/{name}", show_flow, access=SEES, name="flow_page"),
        PageRoute(
            "/flows/{name}/runs", post_run, access=need(Role.STARTER, form=True), methods=["POST"], name="run_form"
        ),
    ]
