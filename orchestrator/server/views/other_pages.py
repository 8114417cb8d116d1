"""Routes of schedules and plugins."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.server.access import Role, identity_of, need
from orchestrator.server.api_ops import plugin_problem
from orchestrator.server.api_runs import desk_of
from orchestrator.server.pages import PageRoute, render
from orchestrator.server.scheduler import trigger_view
from orchestrator.server.views.flow_pages import base_of
from orchestrator.server.views.plugin_view import plugin_groups
from orchestrator.server.views.schedule_view import schedule_rows

SEES = need(Role.VIEWER, Role.STARTER, Role.EDITOR)
SAID = {
    "fire": "A run was started.",
    "skipped": "Its condition does not hold now, so no run was started.",
    "pause": "It is paused.",
    "resume": "It goes on.",
}


async def show_schedules(request: Request) -> Response:
    """Every trigger with when it is due."""
    desk = desk_of(request)
    rows = schedule_rows([trigger_view(row) for row in await desk.scheduler.rows()], desk.clock.now(), base_of(request))
    return render(request, "schedules.html", rows=rows, said=SAID.get(request.query_params.get("done", ""), ""))


async def post_schedule(request: Request) -> Response:
    """Fire, pause or resume a trigger."""
    desk, act = desk_of(request), request.path_params["act"]
    key = f"{request.path_params['flow']}/{request.path_params['number']}"
    done = act
    if act == "fire":
        begun = await desk.scheduler.fire(key, identity_of(request).user)
        done = "fire" if begun is not None else "skipped"
    else:
        await desk.scheduler.pause(key, is_paused=act == "pause")
    return RedirectResponse(f"{base_of(request)}/schedules?done={done}", 303)


async def fire_form(request: Request) -> Response:
    """Start a run of a trigger now."""
    request.path_params["act"] = "fire"
    return await post_schedule(request)


async def pause_form(request: Request) -> Response:
    """Pause a trigger."""
    request.path_params["act"] = "pause"
    return await post_schedule(request)


async def resume_form(request: Request) -> Response:
    """Let a trigger go on."""
    request.path_params["act"] = "resume"
    return await post_schedule(request)


async def show_plugins(request: Request) -> Response:
    """Every callable that flows can use."""
    desk = desk_of(request)
    text = request.query_params.get("text", "").strip()
    if desk.project is None:
        return render(request, "plugins.html", groups=[], problems=[], text=text, count=0)
    catalog = desk.project.catalog
    infos = [info for name in catalog.names() if (info := catalog.get(name)) is not None]
    problems = [plugin_problem(p, desk.project.root) for p in catalog.problems()]
    groups = plugin_groups([info.to_json() | {"provider": info.provider} for info in infos], text)
    return render(request, "plugins.html", groups=groups, problems=problems, text=text, count=len(infos))


def routes() -> list[PageRoute]:
    """The routes of these pages."""
    operates = need(form=True)
    one = "/schedules/{flow}/{number}"
    return [
        PageRoute("/schedules", show_schedules, access=SEES, name="schedules_page"),
        PageRoute(one + "/fire", fire_form, access=need(Role.STARTER, form=True), methods=["POST"], name="fire_form"),
        PageRoute(one + "/pause", pause_form, access=operates, methods=["POST"], name="pause_form"),
        PageRoute(one + "/resume", resume_form, access=operates, methods=["POST"], name="resume_form"),
        PageRoute("/plugins", show_plugins, access=SEES, name="plugins_page"),
    ]
