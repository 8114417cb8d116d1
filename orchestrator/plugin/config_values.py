"""What one value of the config may be: from what TOML or an environment variable gives, to what the program keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.plugin.secrets import SECRET_NAME

Toml = Any  # a value as tomllib gives it


@dataclass(frozen=True, slots=True)
class McpServer:
    """`[mcp.servers.NAME]`: a program that speaks MCP over its standard streams, or a URL. `secrets` go into its environment.

    `bearer` is the name of the secret that a URL is called with.
    """

    name: str
    command: tuple[str, ...] = ()
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    bearer: str = ""
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class LlmProvider:
    """`[llm.providers.NAME]`: one more endpoint; `model: NAME/llama-3` asks it, `model: NAME` asks its own default."""

    base_url: str = ""
    model: str = ""
    api_key: str = ""
    timeout_s: float = 300.0
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OidcConfig:
    """`[oidc]`: who signs people in. `client_secret` is the name of a secret, empty for a public client.

    `roles`: group of the provider -> roles here; `*` is everybody who signs in. `label` is what the button says.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret: str = ""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    name_claim: str = "email"
    groups_claim: str = "groups"
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    label: str = "single sign-on"

    @property
    def is_set(self) -> bool:
        """Whether the project says anything of it; then nobody gets in without an account."""
        return bool(self.issuer or self.client_id or self.roles)


class WrongValue(Exception):
    """A value of the wrong kind; the message says what is wanted."""


def text(value: Toml) -> str:
    if not isinstance(value, str):
        raise WrongValue('text in quotes, such as "…"')
    return value


def flag(value: Toml) -> bool:
    if isinstance(value, str) and value.lower() in ("1", "true", "yes", "0", "false", "no"):
        return value.lower() in ("1", "true", "yes")
    if not isinstance(value, bool):
        raise WrongValue("true or false")
    return value


def number(value: Toml) -> float:
    if isinstance(value, str):
        try:
            return float(value.replace("_", ""))
        except ValueError:
            raise WrongValue("a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise WrongValue("a number that is not negative")
    return value


def days(value: Toml) -> float:
    given = number(value)
    if not 1 <= given <= 36_500:
        raise WrongValue("days, from 1 to 36,500")
    return given


def port(value: Toml) -> int:
    given = number(value)
    if not (0 < given < 65536 and given == int(given)):
        raise WrongValue("a port from 1 to 65535")
    return int(given)


def texts(value: Toml) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise WrongValue('a list of texts, such as ["a", "b"]')
    return tuple(value)


def lists(value: Toml) -> Mapping[str, tuple[str, ...]]:
    return {name: texts(inner) for name, inner in table(value).items()}


def table(value: Toml) -> dict[str, Toml]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise WrongValue("a JSON object") from None
    if not isinstance(value, dict):
        raise WrongValue("a table")
    return value


def prices(value: Toml) -> Mapping[str, tuple[float, float]]:
    found = {}
    for model, pair in table(value).items():
        if not isinstance(pair, list) or len(pair) != 2:
            raise WrongValue('a pair for each model, such as "gpt-x" = [0.5, 1.5]')
        found[model] = (number(pair[0]), number(pair[1]))
    return found


def users(value: Toml) -> Mapping[str, Mapping[str, str]]:
    if isinstance(value, list):
        return {name: {} for name in texts(value)}
    found = {}
    for name, facts in table(value).items():
        if isinstance(facts, str):
            facts = {"email": facts}
        found[name] = {key: text(fact) for key, fact in table(facts).items()}
    return found


def secret_name(value: Toml) -> str:
    name = text(value)
    if name and not SECRET_NAME.match(name):
        raise WrongValue("the name of a secret, such as OPENAI_API_KEY, never its value")
    return name


_PROVIDER_KEYS = {
    "base_url": text,
    "model": text,
    "api_key": secret_name,
    "timeout_s": number,
    "prices": prices,
}


def llm_providers(value: Toml) -> Mapping[str, LlmProvider]:
    found = {}
    for name, content in table(value).items():
        given = table(content)
        odd = next((key for key in given if key not in _PROVIDER_KEYS), None)
        if odd is not None:
            raise WrongValue(f'tables with {", ".join(_PROVIDER_KEYS)}; "{name}" has "{odd}"')
        if "/" in name or not given.get("base_url"):
            raise WrongValue(f'tables with a base_url, under names without "/"; see "{name}"')
        values: dict[str, Any] = {key: _PROVIDER_KEYS[key](inner) for key, inner in given.items()}
        found[name] = LlmProvider(**values)
    return found


def mcp_servers(value: Toml) -> Mapping[str, McpServer]:
    found = {}
    for name, content in table(value).items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise WrongValue(f'tables whose names can stand in `call:`, in lower case, unlike "{name}"')
        found[name] = _mcp_server(name, table(content))
    return found


_MCP_KEYS = {"command": texts, "url": text, "secrets": texts, "bearer": secret_name, "timeout_s": number}


def _mcp_server(name: str, content: dict[str, Toml]) -> McpServer:
    values: dict[str, Any] = {}
    for key, given in content.items():
        if key == "env":
            values[key] = {variable: text(inner) for variable, inner in table(given).items()}
        elif key in _MCP_KEYS:
            values[key] = _MCP_KEYS[key](given)
        else:
            raise WrongValue(f'tables with command, url, env, secrets, bearer, timeout_s; "{name}" has "{key}"')
    server = McpServer(name, **values)
    if bool(server.command) == bool(server.url):
        raise WrongValue(f'tables with either `command = ["program", "argument"]` or `url = "https://…"`; see "{name}"')
    return server
