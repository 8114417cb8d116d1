"""Routes of operating the server: accounts, keys, runs that need somebody, the store, how people are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.errors import OrchestratorError
from orchestrator.plugin.mail import is_address
from orchestrator.server.access import Role, identity_of, need
from orchestrator.server.api_accounts import key_view, roles_of, user_view
from orchestrator.server.api_runs import desk_of
from orchestrator.server.book import ENDED, STATUSES, RunQuery
from orchestrator.server.desk import Desk
from orchestrator.server.pages import PageRoute, render
from orchestrator.server.problems import Refused, refused_by
from orchestrator.server.upkeep import DAY_S, prune_runs
from orchestrator.server.views.flow_pages import base_of
from orchestrator.server.views.flow_view import run_line
from orchestrator.server.views.wording import listed, moment, plural, rough, size

STUCK_AFTER_S = 3 * DAY_S
SAID = {"user": "The account is saved.", "removed": "It is removed."}


async def show_operate(request: Request) -> Response:
    """Accounts, keys, runs that need somebody, the store."""
    return await _operate_page(request)


async def _operate_page(
    request: Request, *, problem: Refused | None = None, new_key: str = "", tried: Sequence[Mapping[str, str]] = ()
) -> Response:
    desk, now, base = desk_of(request), desk_of(request).clock.now(), base_of(request)
    return render(
        request,
        "operate.html",
        status=problem.status if problem is not None else 200,
        checks=[{"name": name, "text": text} for name, text in (await desk.checks()).items()],
        numbers=[*await _numbers(desk), *await _fares(desk, now)],
        retention=_retention(desk),
        notices=_notices(desk),
        tried=list(tried),
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
        said=_said(request),
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


async def _fares(desk: Desk, now: float) -> list[dict[str, Any]]:
    """How the last day went: what ended, how much of it failed, and the request that has waited longest."""
    rows, more = await desk.runs(RunQuery(statuses=tuple(ENDED), since=now - DAY_S, limit=500))
    failed = sum(row.status in ("failed", "timeout") for row in rows)
    waiting = [row.opened_at for row in await desk.requests("open", 5_000)]
    return [
        {"name": "Runs begun and ended in a day", "value": f"{len(rows):,}{'+' if more else ''}"},
        {"name": "Of them failed", "value": f"{round(100 * failed / len(rows))} %" if rows else "–"},
        {"name": "Longest waiting request", "value": rough(now - min(waiting)) if waiting else "–"},
    ]


def _retention(desk: Desk) -> dict[str, Any]:
    days = desk.project.config.store_keep_days if desk.project is not None else None
    return {"is_stored": desk.store is not None, "days": "" if days is None else f"{days:g}"}


def _notices(desk: Desk) -> dict[str, Any]:
    """Who tells people of requests, how, and who cannot be reached."""
    url = desk.settings.url
    if desk.project is None or not desk.project.config.people.notify:
        return {"routes": [], "url": url, "smtp": "", "unreached": []}
    config, catalog = desk.project.config, desk.project.catalog
    routes = []
    for name in config.people.notify:
        info = catalog.get(name)
        routes.append({"name": name, "about": "" if info is None else info.summary})
    smtp = (
        f"{config.smtp.host}:{config.smtp.port} as {config.smtp.sender or config.smtp.user}" if config.smtp.host else ""
    )
    mails = {user.name: user.email for user in desk.accounts.users() if not user.is_disabled}
    mails |= {name: facts.get("email", "") or mails.get(name, "") for name, facts in config.people.users.items()}
    for members in desk.people().values():
        for name in members:
            mails.setdefault(name, "")
    unreached = sorted(name for name, mail in mails.items() if not mail and not is_address(name))
    return {"routes": routes, "url": url, "smtp": smtp, "unreached": listed(unreached, 12)}


def _said(request: Request) -> str:
    done, count = request.query_params.get("done", ""), request.query_params.get("count", "")
    if done == "pruned" and count.isascii() and count.isdigit() and len(count) < 10:
        return f"{plural(int(count), 'run')} removed."
    return SAID.get(done, "")


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


async def prune_form(request: Request) -> Response:
    """Remove runs that ended long ago."""
    desk = desk_of(request)
    form = await request.form(max_files=0, max_fields=20)
    try:
        days = float(str(form.get("days") or "").strip())
    except ValueError:
        days = 0.0
    try:
        count = await prune_runs(desk, days, identity_of(request).user)
    except OrchestratorError as error:
        return await _operate_page(request, problem=refused_by(error))
    return RedirectResponse(f"{base_of(request)}/operate?done=pruned&count={count}#retention", 303)


async def try_notices(request: Request) -> Response:
    """Send whoever asks a notice by every route, and say what came of it."""
    desk = desk_of(request)
    url = f"{desk.settings.url.rstrip('/')}/inbox" if desk.settings.url else ""
    found = await desk.notices.try_out(identity_of(request).user, url)
    return await _operate_page(request, tried=[{"name": name, "text": text} for name, text in found.items()])


def _forget(desk: Desk) -> None:
    desk.gate.forget()
    desk.people_changed()


def routes() -> list[PageRoute]:
    """The routes of these pages."""
    operates = need(form=True)
    return [
        PageRoute("/operate", show_operate, access=need(), name="operate_page"),
        PageRoute("/operate/users", post_user, access=operates, methods=["POST"], name="user_form"),
        PageRoute("/operate/keys", post_key, access=operates, methods=["POST"], name="key_form"),
        PageRoute("/operate/keys/{key}/remove", remove_key, access=operates, methods=["POST"], name="remove_key_form"),
        PageRoute("/operate/prune", prune_form, access=operates, methods=["POST"], name="prune_form"),
        PageRoute("/operate/notices", try_notices, access=operates, methods=["POST"], name="try_notices"),
    ]
