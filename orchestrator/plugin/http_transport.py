"""Connects to the address that was checked, not to a name that may resolve to another one a moment later.

Used by http_client.py only. httpcore's network backend is public API; so is writing a transport for httpx.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpcore
import httpx

from orchestrator.plugin.egress import EgressRules
from orchestrator.plugin.http_client import Blocked

_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
)


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, checks every address, connects to the first that answers."""

    def __init__(self, rules: EgressRules) -> None:
        self._rules = rules
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,  # Any: httpcore's own union of tuples
    ) -> httpcore.AsyncNetworkStream:
        addresses = await resolve(host, port)
        reason = self._rules.blocked(host, port, addresses)
        if reason is not None:
            raise Blocked(reason)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as problem:
                failure = httpcore.ConnectError(f"{host}:{port} at {address} does not answer ({problem})")
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,  # Any: httpcore's own union of tuples
    ) -> httpcore.AsyncNetworkStream:
        raise Blocked("sockets of this machine cannot be called")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def resolve(host: str, port: int) -> tuple[str, ...]:
    """Every address of a name, in the resolver's order. Raises: httpcore.ConnectError."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise httpcore.ConnectError(f"{host} cannot be resolved ({problem})") from None
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class PinnedTransport(httpx.AsyncBaseTransport):
    """An httpx transport over httpcore's pool with the pinned backend."""

    def __init__(self, rules: EgressRules) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=PinnedBackend(rules),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        core = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            response = await self._pool.handle_async_request(core)
        except Exception as problem:
            raise _as_httpx(problem) from problem
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._response.aiter_stream():
                yield part
        except Exception as problem:
            raise _as_httpx(problem) from problem

    async def aclose(self) -> None:
        await self._response.aclose()


def _as_httpx(problem: Exception) -> Exception:
    for ours, theirs in _ERRORS:
        if isinstance(problem, ours):
            return theirs(str(problem))
    return problem
