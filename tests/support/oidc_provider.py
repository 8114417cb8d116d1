"""An OpenID Connect provider on loopback: code flow with PKCE, signed ID tokens, userinfo; and everything it can do wrong."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus, urlencode

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

Json = Any  # plain JSON
ADA: dict[str, Json] = {
    "sub": "u-1",
    "email": "ada@example.org",
    "email_verified": True,
    "groups": ["editors", "everyone"],
}


@dataclass
class Provider:
    """Signs in whoever `user` is. `claims` changes the ID token, `sign` makes it; the other switches say themselves."""

    client_id: str = "orchestrator"
    client_secret: str = "client-s3cret"
    user: dict[str, Json] = field(default_factory=lambda: dict(ADA))
    url: str = ""
    claims: Callable[[dict[str, Json]], dict[str, Json]] = lambda claims: claims
    sign: Callable[[Provider, dict[str, Json]], str] | None = None
    metadata: dict[str, Json] = field(default_factory=dict)
    callback: dict[str, str] = field(default_factory=dict)  # put into the answer to the browser
    in_userinfo: tuple[str, ...] = ()  # claims that only userinfo tells
    userinfo: dict[str, Json] = field(default_factory=dict)
    tokens: Callable[[Json], Response] | None = None
    moved: str = ""  # the endpoint that sends its callers on, to a place that keeps what they bring
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1"}))
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._codes: dict[str, dict[str, str]] = {}
        self._access: set[str] = set()
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._configuration),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/keys", self._keys),
                Route("/userinfo", self._userinfo),
                Route("/elsewhere", self._elsewhere, methods=["GET", "POST"]),
            ]
        )

    async def _elsewhere(self, request: Request) -> Response:
        self.seen.append(("elsewhere", {name: str(value) for name, value in (await request.form()).items()}))
        return JSONResponse({"keys": []})

    def _moves(self, name: str) -> Response | None:
        return RedirectResponse(f"{self.url}/elsewhere", 307) if self.moved == name else None

    async def _configuration(self, request: Request) -> Response:
        self.seen.append(("configuration", {}))
        if moved := self._moves("configuration"):
            return moved
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
            | self.metadata
        )

    async def _authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.seen.append(("authorize", query))
        if query.get("client_id") != self.client_id or query.get("code_challenge_method") != "S256":
            return JSONResponse({"error": "invalid_request"}, 400)
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        answer = {"code": code, "state": query["state"], "iss": self.url} | self.callback
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", 302)

    async def _token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        self.seen.append(("token", form))
        if moved := self._moves("token"):
            return moved
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if asked is None or challenge.rstrip(b"=").decode() != asked["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if form.get("redirect_uri") != asked["redirect_uri"] or not self._is_client(request, form):
            return JSONResponse({"error": "invalid_client"}, 401)
        access = secrets.token_urlsafe(16)
        self._access.add(access)
        half = base64.urlsafe_b64encode(hashlib.sha256(access.encode()).digest()[:16]).rstrip(b"=").decode()
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": self.client_id,
            "exp": now + 300,
            "iat": now,
            "nonce": asked["nonce"],
            "at_hash": half,
        }
        claims |= {name: value for name, value in self.user.items() if name not in self.in_userinfo}
        claims = self.claims(claims)
        token = (self.sign or signed)(self, claims)
        body = {"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": token}
        return self.tokens(body) if self.tokens is not None else JSONResponse(body)

    def _is_client(self, request: Request, form: dict[str, str]) -> bool:
        given = request.headers.get("authorization", "")
        if given.startswith("Basic "):
            name, _, secret = base64.b64decode(given[6:]).decode().partition(":")
            return (unquote_plus(name), unquote_plus(secret)) == (self.client_id, self.client_secret)
        return form.get("client_id") == self.client_id and form.get("client_secret", "") == self.client_secret

    async def _keys(self, request: Request) -> Response:
        self.seen.append(("keys", {}))
        if moved := self._moves("keys"):
            return moved
        return JSONResponse({"keys": [self.key.as_dict(private=False) | {"use": "sig"}]})

    async def _userinfo(self, request: Request) -> Response:
        self.seen.append(("userinfo", {}))
        if moved := self._moves("userinfo"):
            return moved
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self._access:
            return JSONResponse({"error": "invalid_token"}, 401)
        return JSONResponse(self.user | self.userinfo)


def signed(provider: Provider, claims: dict[str, Json]) -> str:
    """As it should be."""
    return jwt.encode({"alg": "RS256", "kid": provider.key.kid}, claims, provider.key)


def unsigned(provider: Provider, claims: dict[str, Json]) -> str:
    """`alg: none`."""
    parts = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "none"}, claims)
    )
    return f"{'.'.join(parts)}."


def signed_by_secret(provider: Provider, claims: dict[str, Json]) -> str:
    """HS256 with the client's secret."""
    key = OctKey.import_key(provider.client_secret * 4)
    return jwt.encode({"alg": "HS256"}, claims, key)


def signed_by_public_key(provider: Provider, claims: dict[str, Json]) -> str:
    """HS256 with the public key as the secret: the classic confusion of algorithms."""
    key = OctKey.import_key(base64.b64encode(provider.key.as_pem(private=False)))
    return jwt.encode({"alg": "HS256", "kid": "k1"}, claims, key)


def signed_by_stranger(provider: Provider, claims: dict[str, Json]) -> str:
    """A good signature by a key that is not the provider's, under the name of one that is."""
    return jwt.encode({"alg": "RS256", "kid": "k1"}, claims, RSAKey.generate_key(2048, {"kid": "k1"}))


def tampered(provider: Provider, claims: dict[str, Json]) -> str:
    """Changed after it was signed."""
    head, _, rest = signed(provider, claims).partition(".")
    other = signed(provider, claims | {"email": "boss@example.org"}).split(".")[1]
    return f"{head}.{other}.{rest.split('.')[1]}"
