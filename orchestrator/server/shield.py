"""The outermost layer: host and origin allow-lists, body size, and the headers that every answer carries. Plain ASGI."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.server.gate import UNSAFE
from orchestrator.server.problems import Refused, problem_response

MAX_BODY_BYTES = 1024 * 1024
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
LOCAL_NAMES = frozenset({"localhost", "ip6-localhost"})


class Shield:
    """Wraps the app. `hosts` are further names the server is reached by, `origins` further pages that may call it.

    With `is_secure` a page of this very host that came over plain http is another site: somebody on the way may have made it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        is_secure: bool = False,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self.app = app
        own = {socket.gethostname().lower()}
        self._hosts = {*LOCAL_NAMES, *own, *(host.lower().rstrip(".") for host in hosts)}
        self._origins = {origin.lower().rstrip("/") for origin in origins}
        self._schemes = ("https",) if is_secure else ("http", "https")
        self._max = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what must not come in; add the headers to what goes out."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent_headers = False

        async def send_with_headers(message: Message) -> None:
            nonlocal sent_headers
            if message["type"] == "http.response.start":
                sent_headers = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
            await self.app(scope, _Limited(receive, self._max).receive, send_with_headers)
        except Refused as refused:
            if sent_headers:
                raise
            await problem_response(refused)(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_host(scope, host):
            raise Refused(
                421,
                "host",
                f"this server does not answer to the name {host[:100]!r}",
                "use its address, or start it with --allow-host NAME",
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_origin(origin, host):
            raise Refused(
                403,
                "origin",
                "requests from other sites are not taken",
                "start the server with --allow-origin to allow one",
            )
        is_foreign = headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        if scope["method"] in UNSAFE and is_foreign and (origin is None or origin.lower() not in self._origins):
            raise Refused(403, "origin", "requests from other sites are not taken")
        length = headers.get("content-length", "")
        if length and (not length.isdigit() or int(length) > self._max):
            raise _too_large(self._max)

    def _is_host(self, scope: Scope, host: str) -> bool:
        name = _name_of(host)
        if name is None:
            return False
        if name in self._hosts or _is_address(name):
            return True  # a name that an attacker made point here is never a bare address
        client = scope.get("client")
        return client is not None and not _is_address(client[0])  # a client in this process, such as a test's

    def _is_origin(self, origin: str, host: str) -> bool:
        lowered = origin.lower().rstrip("/")
        if lowered in self._origins:
            return True
        parts = urlsplit(lowered)
        is_safe = parts.scheme in self._schemes or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))
        return is_safe and bool(host) and parts.netloc == host.lower()


class _Limited:
    """Counts what a request's body brings."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._size = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            if self._size > self._limit:
                raise _too_large(self._limit)
        return message


def _too_large(limit: int) -> Refused:
    return Refused(
        413, "body.size", f"the body is larger than {limit // 1024} KiB", "send less, or put large content elsewhere"
    )


def _name_of(host: str) -> str | None:
    """The name in a Host header, without port and brackets; None for something else."""
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if not name or parts.username is not None or parts.path or "@" in host:
        return None
    return name.rstrip(".").lower()


def _is_loopback(name: str) -> bool:
    return name in LOCAL_NAMES or (_is_address(name) and ipaddress.ip_address(name.partition("%")[0]).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
