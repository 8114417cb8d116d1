"""Where pages meet the server: their routes, one hardened template environment, and what every template is given.

A page is a `PageRoute` in `page_routes()` whose endpoint returns `render(request, "name.html", **context)`. Templates see
plain data only (dicts, lists, text, numbers), never objects: pass views, not records.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from orchestrator.server.access import NOBODY, Access, Endpoint, GuardedRoute, Identity, identity_of, public
from orchestrator.server.problems import Refused
from orchestrator.server.streams import Place

HERE = Path(__file__).parent
STATIC = HERE / "static"
TEMPLATES = HERE / "templates"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".map": "application/json",
}


class PageRoute(GuardedRoute):
    """A route of a page. The page's stream goes on from where the changes were before its endpoint looked: none is missed."""

    def __init__(
        self, path: str, endpoint: Endpoint, *, access: Access, methods: Sequence[str] = ("GET",), name: str = ""
    ) -> None:
        async def placed(request: Request) -> Response:
            bus = request.app.state.desk.bus
            request.state.place = str(Place(bus.boot, bus.number))
            return await endpoint(request)

        placed.__name__ = name or getattr(endpoint, "__name__", "page")
        super().__init__(path, placed, access=access, methods=methods, name=name)


def page_routes() -> list[GuardedRoute]:
    """The routes of all pages, and of the files that they load."""
    from orchestrator.server.views.routes import all_routes

    static = GuardedRoute("/static/{path:path}", static_file, access=public(rate="static"), name="static")
    return [*all_routes(), static]


@functools.cache
def environment() -> Any:  # a jinja2 environment
    """The one environment of all pages: sandboxed, escaping, strict about undefined names.

    Two filters give markup: `markdown` from any text, and `picture` from what `orchestrator.draw` drew, which is escaped there.
    """
    from jinja2 import FileSystemLoader
    from markupsafe import Markup

    from orchestrator.expr.sandbox import hardened_environment
    from orchestrator.server.views.markdown import render_markdown

    made = hardened_environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    made.trim_blocks = made.lstrip_blocks = True
    made.filters["markdown"] = render_markdown
    made.filters["picture"] = Markup
    return made


def render(
    request: Request, template: str, *, status: int = 200, headers: dict[str, str] | None = None, **context: Any
) -> HTMLResponse:
    """A page. Beside `context` every template has `user`, `csrf`, `base` (path prefix), `assets`, `place` and `path`.

    Shape: user is {name, roles, groups, how, is_known, may_start, may_answer, may_edit, may_operate}; `assets` changes whenever
    a static file does, for `{{ base }}/static/{{ assets }}/app.css`: modules import each other within the version.
    """
    identity = identity_of(request)
    given = {
        "user": user_context(identity),
        "csrf": request.app.state.gate.token_for(identity),
        "base": request.scope.get("root_path", ""),
        "assets": assets_version(),
        "place": getattr(request.state, "place", ""),
        "path": request.url.path,
        "settings": {
            "is_dev": request.app.state.desk.settings.is_dev,
            "allows_edit": request.app.state.desk.settings.allows_edit,
        },
    }
    text = environment().get_template(template).render(**given, **context)
    return HTMLResponse(text, status, headers)


def user_context(identity: Identity) -> dict[str, Any]:
    """Who looks, as templates see it."""
    from orchestrator.server.access import Role

    return {
        "name": identity.user,
        "roles": sorted(str(role) for role in identity.roles),
        "groups": list(identity.groups),
        "how": identity.how,
        "is_known": identity.is_known,
        "may_see": identity.may(Role.VIEWER, Role.STARTER, Role.EDITOR),
        "may_start": identity.may(Role.STARTER),
        "may_answer": identity.may(Role.APPROVER),
        "may_edit": identity.may(Role.EDITOR),
        "may_operate": identity.may(),
    }


@functools.cache
def assets_version() -> str:
    """A short name of the content of all static files."""
    digest = hashlib.sha256()
    for file in sorted(path for path in STATIC.rglob("*") if path.is_file()):
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


async def static_file(request: Request) -> Response:
    """A file of the pages; cached for good when its version is in the address."""
    if "\0" in request.path_params["path"]:
        raise Refused(404, "not_found", "there is no such file")
    version, _, rest = request.path_params["path"].partition("/")
    is_versioned = version == assets_version()
    path = (STATIC / (rest if is_versioned else request.path_params["path"])).resolve()
    kind = TYPES.get(path.suffix)
    if kind is None or not path.is_relative_to(STATIC.resolve()) or not path.is_file():
        raise Refused(404, "not_found", "there is no such file")
    cached = "public, max-age=31536000, immutable" if is_versioned else "no-cache"
    return FileResponse(path, media_type=kind, headers={"Cache-Control": cached})


def problem_page(request: Request, problem: Refused) -> Response:
    """What a browser shows when something is refused: sign in, or a page that says what to do."""
    base = request.scope.get("root_path", "")
    if problem.status == 401 and request.method == "GET" and (TEMPLATES / "sign_in.html").is_file():
        from urllib.parse import quote

        return RedirectResponse(f"{base}/sign-in?next={quote(request.url.path)}", 303)
    if not hasattr(request.state, "identity"):
        request.state.identity = NOBODY
    if not (TEMPLATES / "problem.html").is_file():
        return _plain_problem(problem)
    shown = {"status": problem.status, "code": problem.code, "message": problem.message, "help": problem.help}
    return render(request, "problem.html", status=problem.status, headers=problem.headers, problem=shown)


def _plain_problem(problem: Refused) -> Response:
    from html import escape

    text = f"<!doctype html><title>{problem.status}</title><h1>{escape(problem.message)}</h1><p>{escape(problem.help or '')}</p>"
    return HTMLResponse(text, problem.status, problem.headers)
