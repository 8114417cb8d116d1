"""Who may do what: roles, what each route needs, and the route class that asks before it calls. Denies by default.

Every route of the app is a `GuardedRoute` with an `Access`; `checked_routes` refuses any other, and a test walks over all of
them. A route that needs roles is never called for a request that has none of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from orchestrator.errors import UsageError

Endpoint = Callable[[Request], Awaitable[Response]]


class Role(StrEnum):
    """What an account is for. An account may have several; operator includes all others."""

    VIEWER = "viewer"  # sees flows, runs and their events
    STARTER = "starter"  # starts runs and sends events into them
    APPROVER = "approver"  # answers requests
    EDITOR = "editor"  # checks and saves flows
    OPERATOR = "operator"  # cancels, retries, forks; users, keys, schedules


ALL_ROLES = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request comes from. `how`: open (loopback without accounts), key, session or none."""

    user: str
    roles: frozenset[Role] = frozenset()
    groups: tuple[str, ...] = ()
    how: str = "none"
    session: str = ""  # what the CSRF token is bound to
    email: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is somebody at all."""
        return self.how != "none"

    def may(self, *roles: Role) -> bool:
        """Whether one of the roles, or operator, is held."""
        return Role.OPERATOR in self.roles or not self.roles.isdisjoint(roles)


NOBODY = Identity("")


@dataclass(frozen=True, slots=True)
class Access:
    """What a route needs: one of `roles`, or nothing if it is public. `rate` names its rate limit.

    `reads_form`: takes a form of a page and therefore needs its CSRF token.
    """

    roles: frozenset[Role] = frozenset()
    is_public: bool = False
    rate: str = "api"
    reads_form: bool = False
    needs_session: bool = field(default=False)  # any known account, whatever its roles


def need(*roles: Role, rate: str = "api", form: bool = False) -> Access:
    """One of these roles is needed."""
    return Access(frozenset({*roles, Role.OPERATOR}), rate=rate, reads_form=form)


def public(*, rate: str = "api", form: bool = False) -> Access:
    """Anybody may; the route itself checks what it takes (a signature, a password) or shows nothing of value."""
    return Access(is_public=True, rate=rate, reads_form=form)


def signed_in(*, form: bool = False) -> Access:
    """Any known account may."""
    return Access(needs_session=True, reads_form=form)


class Gatekeeper(Protocol):
    """Admits requests; `orchestrator.server.gate.Gate` is the real one."""

    async def admit(self, request: Request, access: Access) -> Identity:
        """Who it is, if they may. Raises: Refused."""
        ...


class GuardedRoute(Route):
    """A route that admits a request before its endpoint sees it; the endpoint finds who it is with `identity_of`."""

    def __init__(
        self, path: str, endpoint: Endpoint, *, access: Access, methods: Sequence[str] = ("GET",), name: str = ""
    ) -> None:
        self.access = access
        self.plain_endpoint = endpoint

        async def guarded(request: Request) -> Response:
            gate: Gatekeeper = request.app.state.gate
            request.state.identity = await gate.admit(request, access)
            return await endpoint(request)

        guarded.__name__ = name or getattr(endpoint, "__name__", "endpoint")
        super().__init__(path, guarded, methods=list(methods), name=name or None)


def identity_of(request: Request) -> Identity:
    """Who an admitted request comes from."""
    found: Identity = getattr(request.state, "identity", NOBODY)
    return found


def checked_routes(routes: Sequence[BaseRoute]) -> list[BaseRoute]:
    """The routes, if every one says who may use it.

    Raises: UsageError for one that does not.
    """
    for route in routes:
        access: Any = getattr(route, "access", None)  # a BaseRoute has none
        if not isinstance(route, GuardedRoute) or not isinstance(access, Access):
            raise UsageError(
                f"route {getattr(route, 'path', route)!r} does not say who may use it; make it a GuardedRoute"
            )
        if not (access.is_public or access.roles or access.needs_session):
            raise UsageError(f"route {route.path!r} can be used by nobody; give it roles")
    return list(routes)
