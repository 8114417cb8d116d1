"""Routes of schedules, plugins and operating the server."""

from __future__ import annotations

from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.errors import OrchestratorError
from orchestrator.server.access import Role, identity_of, need
from orchestrator.server.api_accounts import key_view, roles_of, user_view
from orchestrator.server.api_ops import plugin_problem
from orchestrator.server.api_runs import desk_of
from orchestrator.server.book import ENDED, STATUSES, RunQuery
from orchestrator.server.desk import Desk
from orchestrator.server.pages import PageRoute, render
from orchestrator.server.problems import Refused, refused_by
from orchestrator.server.scheduler import trigger_view
from orchestrator.server.views.flow_pages import base_of
from orchestrator.server.views.flow_view import run_line
from orchestrator.server.views.plugin_view import plugin_groups
from orchestrator.server.views.schedule_view import schedule_rows
from orchestrator.server.views.wording import moment, size

SEES = need(Role.VIEWER, Role.STARTER, Role.EDITOR)
STUCK_AFTER_S = 3 * 86_400.0
SAID = {
    "fire": "A run was started.",
    "skipped": "Its condition does not hold now, so no run was started.",
    "pause": "It is paused.",
    "resume": "It goes on.",
    "user": "The account is saved.",
    "removed": "It is removed.",
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


async def show_operate(request: Request) -> Response:
    """Accounts, keys, runs that need somebody, the store."""
    return await _operate_page(request)


async def _operate_page(request: Request, *, problem: Refused | None = None, new_key: str = "") -> Response:
    desk, now, base = desk_of(request), desk_of(request).clock.now(), base_of(request)
    return render(
        request,
        "operate.html",
        status=problem.status if problem is not None else 200,
        checks=[{"name": name, "text": text} for name, text in (await desk.checks()).items()],
        numbers=await _numbers(desk),
        parked=await _lines(desk, now, base, statuses=("parked",)),
        stuck=await _lines(desk, now, base, statuses=("waiting", "running", "queued"), until=now - STUCK_AFTER_S),
        versions=await _versions(desk),
        users=[user_view(user) | {"roles": sorted(map(str, user.roles))} for user in desk.accounts.users()],
        groups=[{"name": name, "members": members} for name, members in sorted(desk.people().items())],
        keys=[
            key_view(key) | {"created": moment(key.created_at, now), "used": moment(key.used_at, now)}
            for key in desk.accounts.api_keys()
        ],
        roles=[str(role) for role in Role],
        new_key=new_key,
        said=SAID.get(request.query_params.get("done", ""), ""),
        problem=None if problem is None else {"message": problem.message, "help": problem.help},
    )


async def _numbers(desk: Desk) -> list[dict[str, Any]]:
    if desk.store is None:
        kept: list[dict[str, Any]] = [{"name": "Runs kept in", "value": "memory of this process"}]
    else:
        stats = await desk.store.store.stats()
        kept = [
            {"name": "Size of the store", "value": size(stats.size_bytes)},
            {"name": "Runs in the store", "value": f"{sum(stats.by_status.values()):,}"},
            {"name": "Audit log lines", "value": f"{stats.audit_lines:,}"},
            {"name": "Processes at work", "value": len(stats.workers)},
        ]
    return [
        *kept,
        {"name": "Runs held now", "value": desk.live_runs()},
        {"name": "Open pages and streams", "value": desk.streams},
        {"name": "Open requests", "value": len(await desk.requests("open", 5_000))},
    ]


async def _lines(desk: Desk, now: float, base: str, **query: Any) -> list[Any]:
    rows, _ = await desk.runs(RunQuery(limit=50, **query))
    return [run_line(row, now, base) for row in rows]


async def _versions(desk: Desk) -> list[dict[str, Any]]:
    """Open runs that keep another version of their flow than the one that is served."""
    current = {served.name: served.version for served in desk.shelf}
    rows, _ = await desk.runs(RunQuery(statuses=tuple(s for s in STATUSES if s not in ENDED), limit=500))
    old = Counter((row.flow, row.version) for row in rows if row.version and current.get(row.flow) != row.version)
    return [{"flow": flow, "version": version, "count": count} for (flow, version), count in sorted(old.items())]


async def post_user(request: Request) -> Response:
    """Add an account, or change one."""
    desk = desk_of(request)
    form = await request.form(max_files=0, max_fields=60)
    name, password = str(form.get("name") or "").strip(), str(form.get("password") or "") or None
    roles = roles_of([str(role) for role in form.getlist("roles")])
    groups = [group for group in str(form.get("groups") or "").replace(",", " ").split() if group]
    try:
        if any(user.name == name for user in desk.accounts.users()):
            is_disabled = bool(form.get("is_disabled"))
            desk.accounts.change_user(name, roles=roles, password=password, groups=groups, is_disabled=is_disabled)
        else:
            desk.accounts.add_user(name, roles=roles, password=password, groups=groups)
    except OrchestratorError as error:
        return await _operate_page(request, problem=refused_by(error))
    _forget(desk)
    return RedirectResponse(f"{base_of(request)}/operate?done=user#accounts", 303)


async def post_key(request: Request) -> Response:
    """Make an API key; it is shown once, on the page that answers."""
    desk = desk_of(request)
    form = await request.form(max_files=0, max_fields=20)
    try:
        key, _ = desk.accounts.add_key(str(form.get("user") or ""), str(form.get("label") or "")[:100])
    except OrchestratorError as error:
        return await _operate_page(request, problem=refused_by(error))
    return await _operate_page(request, new_key=key)


async def remove_key(request: Request) -> Response:
    """Revoke an API key."""
    desk = desk_of(request)
    desk.accounts.remove_key(request.path_params["key"])
    _forget(desk)
    return RedirectResponse(f"{base_of(request)}/operate?done=removed#keys", 303)


def _forget(desk: Desk) -> None:
    desk.gate.forget()
    desk.people_changed()


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
        PageRoute("/operate", show_operate, access=need(), name="operate_page"),
        PageRoute("/operate/users", post_user, access=operates, methods=["POST"], name="user_form"),
        PageRoute("/operate/keys", post_key, access=operates, methods=["POST"], name="key_form"),
        PageRoute("/operate/keys/{key}/remove", remove_key, access=operates, methods=["POST"], name="remove_key_form"),
    ]
