"""Admits requests: rate limit, who it is, cross-site protection of what a browser sends by itself, and the needed role."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable, Mapping

from starlette.requests import Request

from orchestrator.server.access import ALL_ROLES, NOBODY, Access, Identity
from orchestrator.server.accounts import Accounts, User
from orchestrator.server.limits import RateLimiter
from orchestrator.server.passwords import hash_token, is_same
from orchestrator.server.problems import Refused

SESSION_COOKIE = "orchestrator_session"
ACTING_COOKIE = "orchestrator_as"
CSRF_FIELD = "_csrf"
CSRF_HEADER = "x-csrf-token"
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
REMEMBER_S = 5.0
LOCAL_USER = "local"


class Gate:
    """Who may pass. With `is_open`, clients on this machine need no account and have every role.

    `groups_of` gives the groups of a person by the project's `[people]`, beside those of the accounts. With `is_secure`, people
    reach the server over https, and its cookies have names that no other host of the domain can set (`__Host-`).
    """

    def __init__(
        self,
        accounts: Accounts,
        *,
        is_open: bool,
        is_secure: bool = False,
        limiter: RateLimiter | None = None,
        groups_of: Callable[[str], tuple[str, ...]] = lambda _: (),
    ) -> None:
        self.accounts = accounts
        self.is_open = is_open
        self.limiter = limiter or RateLimiter()
        self.is_secure = is_secure
        self._groups_of = groups_of
        self._known: dict[str, tuple[float, Identity]] = {}

    async def admit(self, request: Request, access: Access) -> Identity:
        """Who a request comes from, if they may do what it asks. Raises: Refused."""
        self._count(request, access.rate)
        identity = await self._identify(request)
        if access.is_public:
            if access.reads_form and request.method in UNSAFE:
                _check_told(request, identity)
                await self._check_form(request, identity)
            return identity
        if not identity.is_known:
            raise Refused(
                401,
                "auth.needed",
                "you need to sign in",
                "send an API key as `Authorization: Bearer …`, or sign in in the browser",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if request.method in UNSAFE and identity.how != "key":
            await self._check_origin(request, identity, access)
        if not access.needs_session and not (identity.roles & access.roles):
            needed = " or ".join(sorted(role for role in access.roles if role != "operator")) or "operator"
            raise Refused(
                403,
                "auth.role",
                f"{identity.user} may not do this; it needs the role {needed}",
                "ask an operator for it",
            )
        return identity

    def cookie(self, name: str) -> str:
        """The name of a cookie; one with the prefix must come from this very host, over https, for all of its paths."""
        return f"__Host-{name}" if self.is_secure else name

    def token_for(self, identity: Identity) -> str:
        """The CSRF token of a session, for forms and scripts of our pages."""
        bound = identity.session or identity.how  # without a session it outlives a restart, as an open form does
        return hmac.new(self.accounts.secret.encode(), f"csrf:{bound}".encode(), hashlib.sha256).hexdigest()

    def forget(self) -> None:
        """Look accounts up anew: they were changed here."""
        self._known.clear()

    def identity_of_user(self, user: User, how: str, session: str = "") -> Identity:
        """An account as the one who asks."""
        groups = tuple(dict.fromkeys((*user.groups, *self._groups_of(user.name))))
        return Identity(user.name, user.roles, groups, how, session, user.email)

    def person(self, name: str) -> Identity:
        """Somebody by name, with their groups and no role: for links and for acting as somebody on this machine."""
        groups = [*self._groups_of(name)]
        for group, members in self.accounts.groups().items():
            if name in members:
                groups.append(group)
        return Identity(name, frozenset(), tuple(dict.fromkeys(groups)), "person")

    # Inside.

    def _count(self, request: Request, rate: str) -> None:
        client = request.client.host if request.client is not None else "local"
        wait = self.limiter.take(rate, client)
        if wait > 0:
            raise Refused(
                429,
                "rate.limited",
                "too many requests; slow down",
                f"try again in {wait:.1f} s",
                headers={"Retry-After": str(max(1, round(wait)))},
            )

    async def _identify(self, request: Request) -> Identity:
        given = request.headers.get("authorization", "")
        if given:
            scheme, _, key = given.partition(" ")
            if scheme.lower() != "bearer" or not key.strip():
                raise Refused(
                    401,
                    "auth.scheme",
                    "the Authorization header must be `Bearer <API key>`",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            found = await self._remembered("key", key.strip(), self.accounts.user_of_key)
            if not found.is_known:
                raise Refused(
                    401,
                    "auth.key",
                    "this API key is unknown, expired or revoked",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            return found
        token = request.cookies.get(self.cookie(SESSION_COOKIE))
        if token:
            found = await self._remembered("session", token, self.accounts.user_of_session)
            if found.is_known:
                return found
        if self.is_open and is_local(request) and not _is_passed_on(request.headers):
            return self._local(request)
        return NOBODY

    def _local(self, request: Request) -> Identity:
        acting = request.cookies.get(ACTING_COOKIE, "")
        groups = self.person(acting).groups if acting else ()
        return Identity(acting or LOCAL_USER, ALL_ROLES, groups, "open")

    async def _remembered(self, how: str, token: str, look_up: Callable[[str], User | None]) -> Identity:
        digest = hash_token(f"{how}:{token}")
        now = time.monotonic()
        known = self._known.get(digest)
        if known is not None and now - known[0] < REMEMBER_S:
            return known[1]
        user = await asyncio.to_thread(look_up, token)
        identity = NOBODY if user is None else self.identity_of_user(user, how, digest if how == "session" else "")
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[digest] = (now, identity)
        return identity

    async def _check_origin(self, request: Request, identity: Identity, access: Access) -> None:
        """What a browser sends by itself must come from one of our own pages."""
        if access.reads_form and _is_form(request.headers):
            await self._check_form(request, identity)
            return
        token = request.headers.get(CSRF_HEADER)
        if token is not None:
            if not is_same(token, self.token_for(identity)):
                raise _bad_token()
            return
        if identity.how == "session" and not _is_told(request):
            raise _bad_token()

    async def _check_form(self, request: Request, identity: Identity) -> None:
        if not _is_form(request.headers):
            return
        form = await request.form(max_files=0, max_fields=500)
        given = form.get(CSRF_FIELD)
        if not isinstance(given, str) or not is_same(given, self.token_for(identity)):
            raise _bad_token()


def is_local(request: Request) -> bool:
    """Whether the client is on this machine; a client in this process has no address at all."""
    if request.client is None:
        return True
    try:
        address = ipaddress.ip_address(request.client.host.partition("%")[0])
    except ValueError:
        return True  # not from a network: a test client or a Unix socket
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_passed_on(headers: Mapping[str, str]) -> bool:
    """Whether a proxy on this machine brings a request of somebody elsewhere; they are not at this machine."""
    return any(name in headers for name in ("forwarded", "x-forwarded-for", "x-real-ip"))


def _is_told(request: Request) -> bool:
    """Whether the browser says where a request comes from; the shield has judged what it says."""
    return "sec-fetch-site" in request.headers or "origin" in request.headers


def _check_told(request: Request, identity: Identity) -> None:
    """Without a session anybody can fetch a token that fits, so the sign-in form (login CSRF) needs the browser's word too."""
    if not identity.session and not _is_told(request):
        raise _bad_token()


def _is_form(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() in FORM_TYPES


def _bad_token() -> Refused:
    return Refused(
        403,
        "csrf",
        "this request did not come from a page of this server, or the page is too old",
        "load the page again and repeat",
    )
