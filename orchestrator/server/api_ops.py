"""REST: health, readiness, metrics, plugins, and the description of the interface itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from orchestrator.server import models as m
from orchestrator.server import models_accounts as a
from orchestrator.server.access import Role, need, public
from orchestrator.server.api_runs import desk_of
from orchestrator.server.book import RunQuery
from orchestrator.server.desk import Desk
from orchestrator.server.endpoints import Operation
from orchestrator.server.shelf import relative

if TYPE_CHECKING:  # only named
    from orchestrator.plugin.catalog import PluginProblem


async def health(request: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """Whether runs can be started: the store answers and the server is not stopping."""
    desk = desk_of(request)
    checks = await desk.checks()
    is_ready = all(text == "ok" for text in checks.values())
    return JSONResponse({"status": "ready" if is_ready else "not_ready", "checks": checks}, 200 if is_ready else 503)


async def metrics(request: Request) -> Response:
    """Counters and gauges in the text form that Prometheus reads."""
    desk = desk_of(request)
    return PlainTextResponse(
        desk.metrics.render({"runs_live": desk.live_runs(), "streams_open": desk.streams}),
        media_type="text/plain; version=0.0.4; charset=utf-8",
    )


async def list_plugins(request: Request) -> Response:
    """Every callable that flows can use, with schemas, and what is broken."""
    desk = desk_of(request)
    if desk.project is None:
        return JSONResponse({"callables": [], "problems": []})
    catalog = desk.project.catalog
    infos = [info for name in catalog.names() if (info := catalog.get(name)) is not None]
    problems = [plugin_problem(p, desk.project.root) for p in catalog.problems()]
    return JSONResponse(
        {"callables": [info.to_json() | {"provider": info.provider} for info in infos], "problems": problems}
    )


def plugin_problem(problem: PluginProblem, root: Path | None) -> dict[str, str | None]:
    """A broken plugin, with its place named from the project's folder on."""
    at = problem.origin
    return problem.to_json() | {"at": None if at is None else f"{relative(at.file, root)}:{at.line}"}


async def show_store(request: Request) -> Response:
    """How full the store is, who works on it, and which runs are stuck."""
    return JSONResponse(await store_view(desk_of(request)))


async def store_view(desk: Desk) -> dict[str, object]:
    """The store as operators see it: `overdue` runs wait for a worker, `parked` ones for somebody to mend their reason."""
    parked, _ = await desk.runs(RunQuery(statuses=("parked",), limit=200))
    view: dict[str, object] = {"parked": [row.to_json() for row in parked]}
    if desk.store is None:
        by_status: dict[str, int] = {}
        for record in desk.memory.engine.records.values():
            status = desk.memory.row(record).status
            by_status[status] = by_status.get(status, 0) + 1
        empty = {"is_durable": False, "audit_lines": 0, "size_bytes": 0, "workers": [], "overdue": []}
        return view | empty | {"by_status": by_status, "open_requests": len(await desk.requests())}
    store = desk.store.store
    stats = await store.stats()
    overdue = await store.overdue(now=desk.clock.now(), by_s=OVERDUE_S)
    return view | {
        "is_durable": True,
        "by_status": stats.by_status,
        "open_requests": stats.open_requests,
        "audit_lines": stats.audit_lines,
        "size_bytes": stats.size_bytes,
        "workers": [{"name": w.name, "lease_until": w.lease_until, "runs": w.runs} for w in stats.workers],
        "overdue": [
            {"run_id": row.run_id, "flow": row.flow, "status": row.status, "due_at": row.due_at} for row in overdue
        ],
    }


async def openapi(request: Request) -> Response:
    """This interface as OpenAPI 3.1."""
    document = request.app.state.openapi()
    return JSONResponse(document)


OVERDUE_S = 30.0
SEES = need(Role.VIEWER, Role.EDITOR, Role.STARTER)
OPERATIONS = (
    Operation("GET", "/api/health", health, public(), "Whether the process answers", "operate", None, a.HealthAnswer),
    Operation(
        "GET",
        "/api/ready",
        ready,
        public(),
        "Whether requests can be served",
        "operate",
        None,
        a.ReadyAnswer,
        problems=(503,),
    ),
    Operation("GET", "/api/metrics", metrics, need(Role.VIEWER), "Counters and gauges", "operate", None, "text/plain"),
    Operation(
        "GET", "/api/plugins", list_plugins, SEES, "Callables that flows can use", "plugins", None, m.PluginsAnswer
    ),
    Operation(
        "GET",
        "/api/store",
        show_store,
        need(),
        "How full the store is, and what is stuck",
        "operate",
        None,
        a.StoreAnswer,
    ),
    Operation("GET", "/api/openapi.json", openapi, public(), "This description", "operate", None, "application/json"),
)
