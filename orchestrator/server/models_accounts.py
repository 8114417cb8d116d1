"""Bodies about accounts, health and the store; see `models` for the rest."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from orchestrator.server.models import Answer, Body

Json = Any  # plain JSON


class UserAnswer(Answer):
    """An account."""

    name: str
    roles: list[str]
    groups: list[str]
    email: str
    is_disabled: bool
    has_password: bool


class UsersAnswer(Answer):
    """All accounts and groups."""

    users: list[UserAnswer]
    groups: dict[str, list[str]]


class NewUser(Body):
    """A new account."""

    name: str
    roles: list[str] = Field(default_factory=list)
    groups: list[str] = Field(default_factory=list)
    password: str | None = None
    email: str = ""


class ChangeUser(Body):
    """Changes of an account; what is left out stays."""

    roles: list[str] | None = None
    groups: list[str] | None = None
    password: str | None = None
    email: str | None = None
    is_disabled: bool | None = None


class NewKey(Body):
    """A new API key."""

    user: str
    label: str = ""
    lasts_s: float | None = Field(None, gt=0)


class KeyAnswer(Answer):
    """An API key, without the key."""

    id: str
    user: str
    label: str
    created_at: float
    expires_at: float | None
    used_at: float | None


class NewKeyAnswer(KeyAnswer):
    """A new API key; the key is shown this once."""

    key: str


class KeysAnswer(Answer):
    """All API keys."""

    keys: list[KeyAnswer]


class SignIn(Body):
    """Sign in with a name and password."""

    name: str
    password: str


class MeAnswer(Answer):
    """Who you are."""

    user: str
    roles: list[str]
    groups: list[str]
    how: str
    csrf: str


class HealthAnswer(Answer):
    """The process answers."""

    status: Literal["ok"]


class ReadyAnswer(Answer):
    """Whether requests can be served."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, str]


class StoreAnswer(Answer):
    """How full the store is, who works on it, and what is stuck. A server without a store gives its memory's runs."""

    is_durable: bool
    by_status: dict[str, int]
    open_requests: int
    audit_lines: int
    size_bytes: int
    workers: list[Json]
    overdue: list[Json]
    parked: list[Json]
