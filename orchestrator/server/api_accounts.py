"""REST: signing in and out, who you are, users, groups and API keys."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.errors import UsageError
from orchestrator.server import models as m
from orchestrator.server import models_accounts as a
from orchestrator.server.access import Role, identity_of, need, public, signed_in
from orchestrator.server.accounts import SESSION_S, ApiKey, User
from orchestrator.server.api_runs import desk_of
from orchestrator.server.desk import Desk
from orchestrator.server.endpoints import Operation
from orchestrator.server.gate import SESSION_COOKIE
from orchestrator.server.problems import Refused
from orchestrator.server.reading import read_body


async def sign_in(request: Request) -> Response:
    """Open a session; the answer sets its cookie."""
    body = await read_body(request, a.SignIn)
    desk = desk_of(request)
    token = await open_session(desk, body.name, body.password)
    identity = desk.gate.identity_of_user(desk.accounts.user(body.name), "session")
    answer = JSONResponse({"user": identity.user, "roles": sorted(identity.roles), "groups": list(identity.groups)})
    set_session_cookie(request, answer, token)
    return answer


async def open_session(desk: Desk, name: str, password: str) -> str:
    """The token of a new session. Raises: Refused 401; it does not tell whether the user exists."""
    user = await asyncio.to_thread(desk.accounts.check_password, name, password)
    if user is None:
        raise Refused(401, "auth.password", "the name or the password is wrong")
    return desk.accounts.open_session(user.name)


def set_session_cookie(request: Request, answer: Response, token: str) -> None:
    """Give a browser its new session; the one that it came with ends."""
    desk = desk_of(request)
    end_session(request)
    answer.set_cookie(
        desk.gate.cookie(SESSION_COOKIE),
        token,
        max_age=int(SESSION_S),
        path="/",
        httponly=True,
        samesite="lax",
        secure=desk.settings.is_secure,
    )


def end_session(request: Request, answer: Response | None = None) -> None:
    """End the session that a browser came with, and take its cookie away."""
    desk = desk_of(request)
    name = desk.gate.cookie(SESSION_COOKIE)
    if token := request.cookies.get(name):
        desk.accounts.close_session(token)
        desk.gate.forget()
    if answer is not None:
        answer.delete_cookie(name, path="/", secure=desk.settings.is_secure, httponly=True, samesite="lax")


async def sign_out(request: Request) -> Response:
    """End the session."""
    answer = JSONResponse({"status": "signed_out"})
    end_session(request, answer)
    return answer


async def show_me(request: Request) -> Response:
    """Who you are, and the token that changes from a page need."""
    identity = identity_of(request)
    return JSONResponse(
        {
            "user": identity.user,
            "roles": sorted(identity.roles),
            "groups": list(identity.groups),
            "how": identity.how,
            "csrf": desk_of(request).gate.token_for(identity),
        }
    )


def user_view(user: User) -> dict[str, object]:
    """An account as operators see it."""
    return {
        "name": user.name,
        "roles": sorted(user.roles),
        "groups": list(user.groups),
        "email": user.email,
        "is_disabled": user.is_disabled,
        "has_password": user.has_password,
    }


def key_view(key: ApiKey) -> dict[str, object]:
    """An API key, without the key."""
    return {
        "id": key.id,
        "user": key.user,
        "label": key.label,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "used_at": key.used_at,
    }


async def list_users(request: Request) -> Response:
    """All accounts, and every group with its members."""
    desk = desk_of(request)
    return JSONResponse({"users": [user_view(user) for user in desk.accounts.users()], "groups": desk.people()})


async def add_user(request: Request) -> Response:
    """A new account."""
    body = await read_body(request, a.NewUser)
    accounts = desk_of(request).accounts
    user = await asyncio.to_thread(
        accounts.add_user,
        body.name,
        roles=roles_of(body.roles),
        password=body.password,
        groups=body.groups,
        email=body.email,
    )
    desk_of(request).people_changed()
    return JSONResponse(user_view(user), 201)


async def change_user(request: Request) -> Response:
    """Change an account."""
    body = await read_body(request, a.ChangeUser)
    accounts = desk_of(request).accounts
    name = _known_user(request)
    roles = roles_of(body.roles) if body.roles is not None else None
    user = await asyncio.to_thread(
        accounts.change_user,
        name,
        roles=roles,
        password=body.password,
        groups=body.groups,
        email=body.email,
        is_disabled=body.is_disabled,
    )
    desk_of(request).people_changed()
    return JSONResponse(user_view(user))


async def remove_user(request: Request) -> Response:
    """Remove an account with its keys and sessions."""
    desk_of(request).accounts.remove_user(_known_user(request))
    desk_of(request).people_changed()
    return Response(status_code=204)


def _known_user(request: Request) -> str:
    name: str = request.path_params["name"]
    try:
        return desk_of(request).accounts.user(name).name
    except UsageError as error:
        raise Refused(404, error.code, error.message) from error


async def list_keys(request: Request) -> Response:
    """All API keys, without the keys."""
    return JSONResponse({"keys": [key_view(key) for key in desk_of(request).accounts.api_keys()]})


async def add_key(request: Request) -> Response:
    """A new API key; this answer is the only place where it is shown."""
    body = await read_body(request, a.NewKey)
    key, kept = desk_of(request).accounts.add_key(body.user, body.label, lasts_s=body.lasts_s)
    return JSONResponse(key_view(kept) | {"key": key}, 201)


async def remove_key(request: Request) -> Response:
    """Revoke an API key, at once."""
    try:
        desk_of(request).accounts.remove_key(request.path_params["id"])
    except UsageError as error:
        raise Refused(404, error.code, error.message) from error
    desk_of(request).people_changed()
    return Response(status_code=204)


def roles_of(names: list[str]) -> frozenset[Role]:
    """Roles by name. Raises: UsageError."""
    for name in names:
        if name not in set(Role):
            raise UsageError(f"there is no role {name[:40]!r}; roles are {', '.join(Role)}", code="role.unknown")
    return frozenset(Role(name) for name in names)


OPERATES = need()
USERS, KEYS = "/api/users", "/api/keys"
OPERATIONS = (
    Operation(
        "POST",
        "/api/session",
        sign_in,
        public(rate="sign_in"),
        "Sign in",
        "accounts",
        a.SignIn,
        m.Accepted,
        problems=(401,),
    ),
    Operation("DELETE", "/api/session", sign_out, signed_in(), "Sign out", "accounts", None, m.Accepted),
    Operation("GET", "/api/me", show_me, signed_in(), "Who you are", "accounts", None, a.MeAnswer),
    Operation("GET", USERS, list_users, OPERATES, "List users and groups", "accounts", None, a.UsersAnswer),
    Operation(
        "POST", USERS, add_user, OPERATES, "Add a user", "accounts", a.NewUser, a.UserAnswer, 201, problems=(409,)
    ),
    Operation(
        "PATCH",
        USERS + "/{name}",
        change_user,
        OPERATES,
        "Change a user",
        "accounts",
        a.ChangeUser,
        a.UserAnswer,
        problems=(404,),
    ),
    Operation(
        "DELETE",
        USERS + "/{name}",
        remove_user,
        OPERATES,
        "Remove a user",
        "accounts",
        None,
        None,
        204,
        problems=(404,),
    ),
    Operation("GET", KEYS, list_keys, OPERATES, "List API keys", "accounts", None, a.KeysAnswer),
    Operation("POST", KEYS, add_key, OPERATES, "Make an API key", "accounts", a.NewKey, a.NewKeyAnswer, 201),
    Operation(
        "DELETE",
        KEYS + "/{id}",
        remove_key,
        OPERATES,
        "Revoke an API key",
        "accounts",
        None,
        None,
        204,
        problems=(404,),
    ),
)
