"""Runs the app of a desk under uvicorn: binds the address first, refuses an unsafe one, drains when told to stop."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.server.accounts import Accounts

GRACE_S = 10


class BindError(OrchestratorError):
    """An address cannot be served on."""

    code = "bind"


class UnsafeBind(OrchestratorError):
    """An address that others can reach, without accounts to tell them apart."""

    code = "bind.unsafe"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def check_bind(host: str, accounts: Accounts) -> None:
    """Whether an address may be served on. Raises: UnsafeBind."""
    if not is_loopback(host) and accounts.is_empty():
        raise UnsafeBind(
            f"{host} can be reached from other machines, and there is no account to sign in with; make one with "
            "`orchestrator users add NAME --role operator`, or serve on 127.0.0.1"
        )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises: BindError that says what to do."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BindError(
            f"{host}:{port} cannot be served on: {reason}; choose another with --port, or stop what uses it"
        ) from error
    listener.set_inheritable(True)
    return listener


def url_of(host: str, listener: socket.socket) -> str:
    """Where people reach the server."""
    port = listener.getsockname()[1]
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def run_server(app: Any, listener: socket.socket, *, grace_s: int = GRACE_S, trusts_proxy: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; then stop taking requests, end streams, let runs come to rest and give them up."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        proxy_headers=trusts_proxy,
        timeout_graceful_shutdown=grace_s,
    )
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
