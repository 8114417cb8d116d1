"""Routes around the account: the start, signing in and out, and acting as somebody on a server without accounts."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.errors import UsageError
from orchestrator.server.access import Role, identity_of, public, signed_in
from orchestrator.server.accounts import NAME
from orchestrator.server.api_accounts import open_session, set_session_cookie
from orchestrator.server.api_runs import desk_of
from orchestrator.server.gate import ACTING_COOKIE, LOCAL_USER, SESSION_COOKIE
from orchestrator.server.pages import PageRoute, render
from orchestrator.server.problems import Refused


def _base(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


async def start(request: Request) -> Response:
    """Flows for those who see them, the inbox for everybody else."""
    place = "/flows" if identity_of(request).may(Role.VIEWER, Role.STARTER, Role.EDITOR) else "/inbox"
    return RedirectResponse(_base(request) + place, 303)


def safe_next(text: str) -> str:
    """Where to go after signing in: a path of this server, or the start."""
    is_path = text.startswith("/") and not text.startswith(("//", "/\\")) and len(text) < 500
    return text if is_path and all(32 < ord(char) < 127 for char in text) else ""


async def show_sign_in(request: Request) -> Response:
    """The form to sign in with."""
    following = safe_next(request.query_params.get("next", ""))
    return render(request, "sign_in.html", wrong="", name="", next=following)


async def post_sign_in(request: Request) -> Response:
    """Open a session and go where one wanted to."""
    desk = desk_of(request)
    form = await request.form(max_files=0, max_fields=20)
    name, password, following = (str(form.get(field) or "") for field in ("name", "password", "next"))
    try:
        token = await open_session(desk, name, password)
    except Refused as problem:
        wrong = problem.message[:1].upper() + problem.message[1:] + "."
        return render(
            request, "sign_in.html", status=problem.status, wrong=wrong, name=name[:100], next=safe_next(following)
        )
    answer = RedirectResponse(safe_next(following) or f"{_base(request)}/", 303)
    set_session_cookie(desk, answer, token)
    return answer


async def post_sign_out(request: Request) -> Response:
    """End the session."""
    desk = desk_of(request)
    token = request.cookies.get(SESSION_COOKIE)
    if token:
        desk.accounts.close_session(token)
        desk.gate.forget()
    answer = RedirectResponse(f"{_base(request)}/sign-in", 303)
    answer.delete_cookie(SESSION_COOKIE, path="/")
    return answer


async def act_as(request: Request) -> Response:
    """Be somebody else from now on; only where nobody has an account."""
    if identity_of(request).how != "open":
        raise Refused(403, "auth.as", "this server knows who you are; sign in as somebody else")
    form = await request.form(max_files=0, max_fields=20)
    name = str(form.get("name") or "").strip() or LOCAL_USER
    if not NAME.match(name):
        raise UsageError("a name has letters, digits and . _ @ + - only, at most 100 of them", code="user.name")
    answer = RedirectResponse(f"{_base(request)}/inbox", 303)
    answer.set_cookie(ACTING_COOKIE, name, httponly=True, samesite="lax", path="/")
    return answer


def routes() -> list[PageRoute]:
    """The routes of these pages."""
    return [
        PageRoute("/", start, access=signed_in(), name="start"),
        PageRoute("/sign-in", show_sign_in, access=public(), name="sign_in_page"),
        PageRoute(
            "/sign-in", post_sign_in, access=public(rate="sign_in", form=True), methods=["POST"], name="sign_in_form"
        ),
        PageRoute("/sign-out", post_sign_out, access=signed_in(form=True), methods=["POST"], name="sign_out_form"),
        PageRoute("/act-as", act_as, access=signed_in(form=True), methods=["POST"], name="act_as"),
    ]
