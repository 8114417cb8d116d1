"""Signing in with OpenID Connect: authorization code flow with PKCE, state and nonce. Needs the extra `[oidc]`.

Invariants:
I1  Nobody gets a session without an ID token that is signed by a key of the issuer, by an asymmetric algorithm, for this client,
    in time, with the nonce of this browser's own attempt.
I2  An attempt is used once, within ten minutes, by the browser that began it: its secrets are in a signed cookie of that browser.
I3  Somebody whose groups give no role is refused; roles and groups are those that the provider says at this sign-in.
I4  An account belongs to (issuer, subject) for good; a name that another account has is refused, never taken over.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from orchestrator.errors import StepError, UsageError
from orchestrator.plugin.config_values import OidcConfig
from orchestrator.plugin.egress import EgressRules
from orchestrator.plugin.http_client import HttpClient, HttpPool, HttpRequest
from orchestrator.plugin.secrets import Provider
from orchestrator.server.access import Role
from orchestrator.server.passwords import is_same
from orchestrator.server.problems import Refused

if TYPE_CHECKING:  # the extra
    from joserfc.jwk import KeySet

Json = Any  # plain JSON
INSTALL = 'signing in with OpenID Connect needs the extra: pip install "orchestrator-flows[oidc]"'
ATTEMPT_S = 600
FRESH_S = 3600.0
RELOAD_S = 30.0
LEEWAY_S = 60
TIMEOUT_S = 10.0
MAX_BYTES = 1024 * 1024
ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that a browser began; `cookie` is what it keeps meanwhile, `url` where it goes."""

    url: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody the provider knows, and where they wanted to go."""

    issuer: str
    subject: str
    name: str
    email: str
    groups: tuple[str, ...]
    roles: frozenset[Role]
    following: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the issuer says about itself."""

    authorize_url: str
    token_url: str
    keys_url: str
    userinfo_url: str
    algorithms: tuple[str, ...]
    posts_secret: bool
    names_issuer: bool
    loaded_at: float


def check_config(config: OidcConfig) -> None:
    """Whether a server can sign people in like this. Raises: UsageError that says what is missing."""

    def wrong(message: str) -> UsageError:
        return UsageError(f"[oidc] {message}", code="oidc.config")

    if not _is_trusted(config.issuer):
        raise wrong(f"issuer {config.issuer!r} must be an https address (http on this machine only)")
    if not config.client_id:
        raise wrong("client_id is missing; the provider gives it when this server is registered there")
    if not config.roles:
        raise wrong('roles is missing, so nobody could do anything; write [oidc.roles] editors = ["editor"]')
    for group, roles in config.roles.items():
        unknown = [role for role in roles if role not in set(Role)]
        if unknown:
            raise wrong(f"roles of {group!r}: {unknown[0]!r} is no role; the roles are {', '.join(Role)}")
    if "openid" not in config.scopes:
        raise wrong('scopes must hold "openid"')
    try:
        import authlib.oidc.core  # noqa: F401 - only whether it is there
    except ImportError:
        raise wrong(INSTALL) from None


class OidcSignIn:
    """One provider. `key` signs the cookies of attempts; `take` notes that one is used, until a time, False if it was."""

    def __init__(
        self, config: OidcConfig, *, key: str, secret_of: Provider, take: Callable[[str, float], bool]
    ) -> None:
        check_config(config)
        from itsdangerous import URLSafeTimedSerializer

        self.config = config
        self._issuer = config.issuer.rstrip("/")
        self._secret_of = secret_of
        self._take = take
        self._cookies = URLSafeTimedSerializer(key, salt="oidc")
        self._metadata: Metadata | None = None
        self._keys: KeySet | None = None
        self._keys_at = float("-inf")
        self._pools: dict[str, HttpPool] = {}  # by host
        self._lock = asyncio.Lock()

    async def begin(self, following: str, redirect_uri: str) -> Attempt:
        """A new attempt. Raises: Refused 502 if the provider cannot be reached."""
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        metadata = await self._discovered()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        query = {
            "response_type": "code",
            "client_id": self.config.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self.config.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),  # type: ignore[no-untyped-call]  # not in its stubs
            "code_challenge_method": "S256",
        }
        mark = "&" if urlsplit(metadata.authorize_url).query else "?"
        cookie = self._cookies.dumps([state, nonce, verifier, redirect_uri, following])
        return Attempt(f"{metadata.authorize_url}{mark}{urlencode(query)}", str(cookie))

    async def finish(self, cookie: str, answer: Mapping[str, str]) -> Person:
        """Who came back from the provider with `answer`, its query. Raises: Refused."""
        from itsdangerous import BadSignature, SignatureExpired

        try:
            state, nonce, verifier, redirect_uri, following = self._cookies.loads(cookie, max_age=ATTEMPT_S)
        except SignatureExpired:
            raise _refused("it took longer than ten minutes") from None
        except (BadSignature, ValueError):
            raise _refused("this browser did not begin it, or its cookies are off") from None
        if not is_same(answer.get("state", ""), state):
            raise _refused("the answer belongs to another attempt")
        if not self._take(f"oidc:{state}", time.time() + ATTEMPT_S):
            raise _refused("this attempt was used before")
        metadata = await self._discovered()
        named = answer.get("iss")
        if (named is not None or metadata.names_issuer) and (named or "").rstrip("/") != self._issuer:
            raise _refused("the answer comes from another issuer")
        if "error" in answer:
            raise _refused(f"the provider says {answer.get('error_description') or answer['error']}"[:300])
        if not answer.get("code"):
            raise _refused("the provider sent no code")
        tokens = await self._redeem(metadata, answer["code"], verifier, redirect_uri)
        claims = await self._claims(metadata, tokens, nonce)
        return self._person(await self._with_userinfo(metadata, claims, tokens), str(following))

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()

    # Inside.

    async def _discovered(self) -> Metadata:
        async with self._lock:
            if self._metadata is None or time.monotonic() - self._metadata.loaded_at > FRESH_S:
                self._metadata = await self._discover()
            return self._metadata

    async def _discover(self) -> Metadata:
        body = await self._json(HttpRequest("GET", f"{self._issuer}/.well-known/openid-configuration"))
        if str(body.get("issuer", "")).rstrip("/") != self._issuer:
            raise _broken("its configuration names another issuer")
        urls = {name: str(body.get(name) or "") for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        urls["userinfo_endpoint"] = str(body.get("userinfo_endpoint") or "")
        for name, url in urls.items():
            if (url or name != "userinfo_endpoint") and not _is_trusted(url, like=self._issuer):
                raise _broken(f"its {name} {url[:100]!r} is no https address")
        offered = body.get("id_token_signing_alg_values_supported")
        algorithms = tuple(a for a in (offered if isinstance(offered, list) else ["RS256"]) if a in ALGORITHMS)
        if not algorithms:
            raise _broken("it signs by no algorithm that is safe")
        methods = body.get("token_endpoint_auth_methods_supported")
        posts = isinstance(methods, list) and "client_secret_basic" not in methods and "client_secret_post" in methods
        return Metadata(
            urls["authorization_endpoint"],
            urls["token_endpoint"],
            urls["jwks_uri"],
            urls["userinfo_endpoint"],
            algorithms,
            posts,
            body.get("authorization_response_iss_parameter_supported") is True,
            time.monotonic(),
        )

    async def _redeem(self, metadata: Metadata, code: str, verifier: str, redirect_uri: str) -> dict[str, Json]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        basic = None
        if not self.config.client_secret:
            form["client_id"] = self.config.client_id
        else:
            secret = self._secret_of(self.config.client_secret)
            if not secret:
                raise Refused(
                    502, "oidc.secret", f"the secret {self.config.client_secret} ([oidc] client_secret) is not set"
                )
            if metadata.posts_secret:
                form |= {"client_id": self.config.client_id, "client_secret": secret}
            else:
                basic = (_quoted(self.config.client_id), _quoted(secret))
        return await self._json(HttpRequest("POST", metadata.token_url, form=form, basic=basic))

    async def _claims(self, metadata: Metadata, tokens: Mapping[str, Json], nonce: str) -> dict[str, Json]:
        """The claims of the ID token, all checked (I1)."""
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import JoseError

        token = tokens.get("id_token")
        if not isinstance(token, str):
            raise _broken("it sent no ID token")
        try:
            found = await self._decoded(token, metadata)
            params = {"nonce": nonce, "client_id": self.config.client_id, "access_token": tokens.get("access_token")}
            claims = CodeIDToken(
                found.claims,
                found.header,
                options={
                    "iss": {"essential": True, "values": [self.config.issuer, self._issuer]},
                    "aud": {"essential": True, "value": self.config.client_id},
                    "sub": {"essential": True},
                },
                params=params,
            )
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as problem:
            raise _refused(f"its ID token is not good: {str(problem)[:200]}") from None
        return dict(found.claims)

    async def _decoded(self, token: str, metadata: Metadata) -> Any:  # a joserfc Token
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError, MissingKeyError

        if self._keys is None or time.monotonic() - self._keys_at > FRESH_S:
            await self._load_keys(metadata)
        assert self._keys is not None
        try:
            return jwt.decode(token, self._keys, algorithms=list(metadata.algorithms))
        except (InvalidKeyIdError, MissingKeyError):
            if time.monotonic() - self._keys_at < RELOAD_S:
                raise
        await self._load_keys(metadata)  # the provider has changed its keys
        return jwt.decode(token, self._keys, algorithms=list(metadata.algorithms))

    async def _load_keys(self, metadata: Metadata) -> None:
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        body = await self._json(HttpRequest("GET", metadata.keys_url))
        try:
            self._keys = KeySet.import_key_set({"keys": list(body["keys"])})
        except (JoseError, KeyError, TypeError, ValueError) as problem:
            raise _broken(f"its keys cannot be read: {str(problem)[:200]}") from None
        self._keys_at = time.monotonic()

    async def _with_userinfo(
        self, metadata: Metadata, claims: dict[str, Json], tokens: Mapping[str, Json]
    ) -> dict[str, Json]:
        """The claims, with what only the userinfo endpoint tells."""
        needed = {self.config.name_claim, self.config.groups_claim}
        access = tokens.get("access_token")
        if needed <= claims.keys() or not metadata.userinfo_url or not isinstance(access, str):
            return claims
        more = await self._json(HttpRequest("GET", metadata.userinfo_url, bearer=access))
        if more.get("sub") != claims["sub"]:
            raise _refused("its user information is about somebody else")
        return {**more, **claims}

    def _person(self, claims: Mapping[str, Json], following: str) -> Person:
        name = claims.get(self.config.name_claim)
        if not isinstance(name, str) or not name:
            raise _refused(f"it does not tell the {self.config.name_claim} ([oidc] name_claim)")
        email = claims.get("email")
        is_verified = claims.get("email_verified") is True
        if self.config.name_claim == "email" and not is_verified:
            raise _refused("your mail address is not verified there")
        told = claims.get(self.config.groups_claim, [])
        groups = tuple(g for g in (told if isinstance(told, list) else [told]) if isinstance(g, str))
        roles = {role for group in (*groups, EVERYBODY) for role in self.config.roles.get(group, ())}
        if not roles:
            raise Refused(
                403, "oidc.role", f"{name[:100]} may not use this server", "ask an operator for a group with a role"
            )
        return Person(
            self._issuer,
            str(claims["sub"]),
            name,
            email if isinstance(email, str) and is_verified else "",
            groups,
            frozenset(Role(role) for role in roles),
            following,
        )

    async def _json(self, request: HttpRequest) -> dict[str, Json]:
        """A JSON object from the provider. Raises: Refused 502."""
        host = urlsplit(request.url).hostname or ""
        if host not in self._pools:  # named by the operator, or by the issuer that the operator named
            self._pools[host] = HttpPool(EgressRules((host,)))
        request = replace(
            request, headers={"Accept": "application/json"}, timeout_s=TIMEOUT_S, max_bytes=MAX_BYTES, redirects=0
        )
        try:
            response = await HttpClient(self._pools[host]).send(request)
            if response.status != 200:
                raise _broken(f"{urlsplit(request.url).path} answers {response.status}")
            body = response.json()
        except StepError as problem:
            raise _broken(str(problem.message)[:200]) from None
        if not isinstance(body, dict):
            raise _broken("it sent no JSON object")
        return body


def _is_trusted(url: str, like: str = "") -> bool:
    """Whether an address is https; plain http only on this machine, and only if the issuer is so too."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    return parts.scheme == "http" and _is_here(host) and not like.startswith("https:")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _quoted(text: str) -> str:
    from urllib.parse import quote_plus

    return quote_plus(text)  # RFC 6749, 2.3.1


def _refused(why: str) -> Refused:
    return Refused(403, "oidc.refused", f"you could not be signed in: {why}", "begin again from the sign-in page")


def _broken(why: str) -> Refused:
    return Refused(
        502, "oidc.provider", f"the sign-in provider cannot be used: {why}", "try again; else tell an operator"
    )
