"""REST: health, readiness, metrics, plugins, and the description of the interface itself."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from orchestrator.server import models as m
from orchestrator.server.access import Role, need, public
from orchestrator.server.api_runs import desk_of
from orchestrator.server.endpoints import Operation


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
    problems = [{"code": p.code, "name": p.name, "message": p.message, "help": p.help} for p in catalog.problems()]
    return JSONResponse(
        {"callables": [info.to_json() | {"provider": info.provider} for info in infos], "problems": problems}
    )


async def openapi(request: Request) -> Response:
    """This interface as OpenAPI 3.1."""
    document = request.app.state.openapi()
    return JSONResponse(document)


SEES = need(Role.VIEWER, Role.EDITOR, Role.STARTER)
OPERATIONS = (
    Operation("GET", "/api/health", health, public(), "Whether the process answers", "operate", None, m.HealthAnswer),
    Operation(
        "GET",
        "/api/ready",
        ready,
        public(),
        "Whether requests can be served",
        "operate",
        None,
        m.ReadyAnswer,
        problems=(503,),
    ),
    Operation("GET", "/api/metrics", metrics, need(Role.VIEWER), "Counters and gauges", "operate", None, "text/plain"),
    Operation(
        "GET", "/api/plugins", list_plugins, SEES, "Callables that flows can use", "plugins", None, m.PluginsAnswer
    ),
    Operation("GET", "/api/openapi.json", openapi, public(), "This description", "operate", None, "application/json"),
)
