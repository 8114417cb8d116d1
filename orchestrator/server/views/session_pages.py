"""Routes around the account: the start, signing in and out, and acting as somebody on a server without accounts."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.errors import JournalConflict, UsageError
from orchestrator.server.access import Role, identity_of, public, signed_in
from orchestrator.server.accounts import NAME
from orchestrator.server.api_accounts import end_session, open_session, set_session_cookie
from orchestrator.server.api_runs import desk_of
from orchestrator.server.desk import Desk
from orchestrator.server.gate import ACTING_COOKIE, LOCAL_USER
from orchestrator.server.oidc import ATTEMPT_S, OidcSignIn
from orchestrator.server.pages import PageRoute, render
from orchestrator.server.problems import Refused

ATTEMPT_COOKIE = "orchestrator_sign_in"


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
    return render(request, "sign_in.html", wrong="", name="", next=following, provider=_provider(request))


def _provider(request: Request) -> str:
    """What the button of the sign-in provider says; empty without one."""
    oidc = desk_of(request).oidc
    return "" if oidc is None else oidc.config.label


async def post_sign_in(request: Request) -> Response:
    """Open a session and go where one wanted to."""
    desk = desk_of(request)
    form = await request.form(max_files=0, max_fields=20)
    name, password, following = (str(form.get(field) or "") for field in ("name", "password", "next"))
    try:
        token = await open_session(desk, name, password)
    except Refused as problem:
        wrong = problem.message[:1].upper() + problem.message[1:] + "."
        status, provider, following = problem.status, _provider(request), safe_next(following)
        return render(
            request, "sign_in.html", status=status, wrong=wrong, name=name[:100], next=following, provider=provider
        )
    answer = RedirectResponse(safe_next(following) or f"{_base(request)}/", 303)
    set_session_cookie(request, answer, token)
    return answer


async def begin_oidc(request: Request) -> Response:
    """Go to the sign-in provider."""
    desk = desk_of(request)
    attempt = await _oidc_of(desk).begin(safe_next(request.query_params.get("next", "")), _callback(request))
    answer = RedirectResponse(attempt.url, 303)
    answer.set_cookie(
        desk.gate.cookie(ATTEMPT_COOKIE),
        attempt.cookie,
        max_age=ATTEMPT_S,
        path=_attempt_path(request),
        httponly=True,
        samesite="lax",
        secure=desk.settings.is_secure,
    )
    return answer


async def finish_oidc(request: Request) -> Response:
    """Come back from the provider: open a session for who it is."""
    desk = desk_of(request)
    person = await _oidc_of(desk).finish(
        request.cookies.get(desk.gate.cookie(ATTEMPT_COOKIE), ""), dict(request.query_params)
    )
    try:
        user = desk.accounts.user_of_subject(
            person.issuer,
            person.subject,
            name=person.name,
            roles=person.roles,
            groups=[group for group in person.groups if NAME.match(group)],
            email=person.email,
        )
    except (UsageError, JournalConflict) as error:
        raise Refused(
            403, "oidc.account", f"you could not be signed in: {error.message}", "tell an operator"
        ) from error
    if user.is_disabled:
        raise Refused(403, "oidc.account", f"the account {user.name} is disabled", "ask an operator")
    desk.people_changed()
    answer = RedirectResponse(safe_next(person.following) or f"{_base(request)}/", 303)
    set_session_cookie(request, answer, desk.accounts.open_session(user.name))
    answer.delete_cookie(
        desk.gate.cookie(ATTEMPT_COOKIE), path=_attempt_path(request), secure=desk.settings.is_secure, httponly=True
    )
    return answer


def _attempt_path(request: Request) -> str:
    """The sign-in pages only, except where the cookie's name asks for all paths."""
    return "/" if desk_of(request).gate.is_secure else f"{_base(request)}/sign-in"


def _oidc_of(desk: Desk) -> OidcSignIn:
    if desk.oidc is None:
        raise Refused(404, "not_found", "this server has no sign-in provider")
    return desk.oidc


def _callback(request: Request) -> str:
    """Where the provider sends people back to: by the address that people know, or the one that was asked."""
    asked = f"{request.url.scheme}://{request.headers.get('host', '')}{_base(request)}"
    return f"{(desk_of(request).settings.url or asked).rstrip('/')}/sign-in/oidc/callback"


async def post_sign_out(request: Request) -> Response:
    """End the session."""
    answer = RedirectResponse(f"{_base(request)}/sign-in", 303)
    end_session(request, answer)
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
        PageRoute("/sign-in/oidc", begin_oidc, access=public(rate="link"), name="begin_oidc"),
        PageRoute("/sign-in/oidc/callback", finish_oidc, access=public(rate="link"), name="finish_oidc"),
        PageRoute("/sign-out", post_sign_out, access=signed_in(form=True), methods=["POST"], name="sign_out_form"),
        PageRoute("/act-as", act_as, access=signed_in(form=True), methods=["POST"], name="act_as"),
    ]
