"""The one module that talks HTTP. httpx stays behind our own types, so that a successor can take its place.

Rules (SAFETY.md, "HTTP out"): only http and https; a name is resolved once, every address is checked, and the connection goes
to one of those very addresses, again at every redirect; nothing is taken from the environment; one deadline for the whole
exchange; a cap on the body after decompression; credentials are dropped on the way to another host; a secret goes only to
the hosts it was granted for.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import weakref
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from orchestrator.errors import StepError
from orchestrator.plugin.egress import EgressRules, host_matches
from orchestrator.plugin.http_body import BodyTooLarge, bad_json, parse_json, read_decoded
from orchestrator.plugin.http_url import host_of, origin, pairs, retry_after_s, shown_url, with_query
from orchestrator.plugin.secrets import Masker, SecretVault

if TYPE_CHECKING:  # loaded at the first request only
    import httpx

    from orchestrator.plugin.http_transport import PinnedTransport

Json = Any  # plain JSON
DEFAULT_TIMEOUT_S = 30.0
DEFAULT_MAX_BYTES = 10 * 1024 * 1024
MAX_REDIRECTS = 10
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
USER_AGENT = "orchestrator-flows"
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})


class _Unset:
    """No JSON body, as opposed to the JSON body `null`."""


UNSET = _Unset()


class Blocked(Exception):
    """The egress rules refused a connection."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. At most one of json, form and content is given."""

    method: str
    url: str
    query: Mapping[str, Any] = field(default_factory=dict)  # text, number, bool, or a list of them
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Json = UNSET  # UNSET: no body; None: the JSON body `null`
    form: Mapping[str, Any] | None = None  # as query
    content: bytes | str | None = None
    basic: tuple[str, str] | None = None
    bearer: str | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    max_bytes: int | None = None
    redirects: int = MAX_REDIRECTS


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def text(self) -> str:
        charset = "utf-8"
        for part in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = part.strip().partition("=")
            if name.lower() == "charset":
                charset = value.strip("\"' ")
        try:
            return self.body.decode(charset, errors="replace")
        except LookupError:
            return self.body.decode("utf-8", errors="replace")

    @property
    def is_json(self) -> bool:
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind == "application/json" or kind.endswith("+json")

    def json(self) -> Json:
        """The body as JSON. Raises: StepError `http.bad_json`."""
        try:
            return parse_json(self.body)
        except ValueError as problem:
            raise bad_json(host_of(self.url), problem, self.text) from None


class HttpStream:
    """A response whose body is read piece by piece, within the request's deadline and size."""

    def __init__(self, status: int, headers: Mapping[str, str], url: str, pieces: AsyncIterator[bytes]) -> None:
        self.status = status
        self.headers = headers
        self.url = url
        self._pieces = pieces

    def pieces(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self._pieces])

    async def lines(self) -> AsyncIterator[str]:
        """Lines of a text body without their ends; a broken character becomes U+FFFD."""
        rest = b""
        async for piece in self._pieces:
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line.rstrip(b"\r").decode("utf-8", errors="replace")
        if rest:
            yield rest.rstrip(b"\r").decode("utf-8", errors="replace")


class HttpPool:
    """Connections of this process, one pool for each event loop. `aclose` when the process is done with it."""

    def __init__(self, rules: EgressRules | None = None) -> None:
        self.rules = rules or EgressRules()
        self._transports: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, PinnedTransport] = (
            weakref.WeakKeyDictionary()
        )

    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> httpx.Response:
        """Send one request; the body of the response is still to be read.

        The transport is used without httpx's client, which would log every URL, read proxies from the environment, and
        keep cookies from one run for the next.
        """
        import httpx

        loop = asyncio.get_running_loop()
        transport = self._transports.get(loop)
        if transport is None:
            from orchestrator.plugin.http_transport import PinnedTransport

            transport = self._transports[loop] = PinnedTransport(self.rules)
        request = httpx.Request(method, url, headers=dict(headers), content=content)
        response = await transport.handle_async_request(request)
        response.request = request
        return response

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        transport = self._transports.pop(asyncio.get_running_loop(), None)
        if transport is not None:
            await transport.aclose()


class HttpClient:
    """HTTP for one call of a callable: knows its idempotency key and its secrets.

    Example:
        async def fetch(http: HttpClient, url: str) -> str:
            return (await http.get(url)).text
    """

    def __init__(
        self,
        pool: HttpPool,
        *,
        vault: SecretVault | None = None,
        idempotency_key: str = "",
        max_bytes: int | None = None,
    ) -> None:
        self._pool = pool
        self._max_bytes = max_bytes or DEFAULT_MAX_BYTES
        self._vault = vault
        self._key = quote(
            idempotency_key, safe="/:@!$&'*+,;=-_.~"
        )  # names of steps may hold any letter, headers may not
        self._unsafe_sent = 0

    async def get(
        self, url: str, *, query: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """Fetch a resource; `query` is added to the URL. Raises: as `send`."""
        return await self.send(HttpRequest("GET", url, query=query or {}, headers=headers or {}))

    async def post(self, url: str, *, json: Json = UNSET, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """Send a JSON body, with the idempotency key of the call. Raises: as `send`."""
        return await self.send(HttpRequest("POST", url, json=json, headers=headers or {}))

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The whole response, whatever its status. Raises: StepError with an `http.*`, `timeout` or `limit.*` code."""
        async with self.stream(request) as stream:
            return HttpResponse(stream.status, stream.headers, await stream.read(), stream.url)

    def check(self, response: HttpResponse, accept: Iterable[int | str] = ()) -> None:
        """Pass a good status or an accepted one. Raises: StepError `http.<status>`, with no secret in it."""
        check_status(response, accept, masker=self._vault.masker() if self._vault else None)

    @contextlib.asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncIterator[HttpStream]:
        """The response as it comes. Its deadline also bounds the time in which the body is read."""
        masker = self._vault.masker() if self._vault else Masker(())
        shown = masker.text(shown_url(request.url))
        max_bytes = request.max_bytes or self._max_bytes
        try:
            async with asyncio.timeout(request.timeout_s), contextlib.AsyncExitStack() as stack:
                response = await self._follow(request, masker, stack)
                url = masker.text(str(response.url))
                headers = {name.lower(): value for name, value in response.headers.multi_items()}
                encoding = headers.get("content-encoding", "")
                pieces = read_decoded(response.aiter_raw(), encoding, max_bytes)
                stack.push_async_callback(pieces.aclose)
                yield HttpStream(response.status_code, headers, url, pieces)
        except TimeoutError:
            raise StepError(
                "timeout", f"{request.method} {shown} took longer than {request.timeout_s:g} s", details={"url": shown}
            ) from None
        except BodyTooLarge:
            raise StepError(
                "limit.http_body", f"{shown} sent more than {max_bytes} bytes", details={"url": shown}
            ) from None
        except Exception as problem:
            error = _translate(problem, f"{request.method} {shown}", shown, masker)
            if error is None:
                raise
            raise error from None

    async def _follow(self, request: HttpRequest, masker: Masker, stack: contextlib.AsyncExitStack) -> httpx.Response:
        """Send, and follow redirects one checked hop at a time."""
        url = with_query(request.url, request.query)
        method = request.method.upper()
        headers, content = self._head_and_body(request, method)
        for hop in range(request.redirects + 1):
            self._check_target(url, headers, content, masker)
            response = await self._pool.exchange(method, url, headers, content)
            location = response.headers.get("location")
            if response.status_code not in (301, 302, 303, 307, 308) or not location or request.redirects == 0:
                stack.push_async_callback(response.aclose)
                return response
            await response.aclose()
            if hop == request.redirects:
                break
            try:
                target = urljoin(url, location)
            except ValueError as problem:
                raise Blocked(f"it redirects to what is not a URL: {problem}") from None
            if response.status_code == 303 or (response.status_code in (301, 302) and method == "POST"):
                method, content = ("HEAD" if method == "HEAD" else "GET"), None
                headers = {n: v for n, v in headers.items() if not n.lower().startswith("content-")}
            if origin(target) != origin(url):
                headers = {
                    n: v for n, v in headers.items() if n.lower() not in _CREDENTIALS and not masker.holds_secret(v)
                }
                if content is not None and self._vault and self._vault.resolved:
                    raise Blocked(
                        f"a redirect from {host_of(url)} to {host_of(target)} would take the request's body along"
                    )
            url = target
        raise StepError(
            "http.redirect",
            f"{masker.text(shown_url(request.url))} redirects more than {request.redirects} times",
            details={"url": masker.text(shown_url(url))},
        )

    def _head_and_body(self, request: HttpRequest, method: str) -> tuple[dict[str, str], bytes | None]:
        given = {name.lower() for name in request.headers}
        headers = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": USER_AGENT}
        headers = {n: v for n, v in headers.items() if n.lower() not in given} | dict(request.headers)
        content, kind = encode_body(request)
        if kind and "content-type" not in given:
            headers["Content-Type"] = kind
        if request.bearer is not None:
            headers["Authorization"] = f"Bearer {request.bearer}"
        elif request.basic is not None:
            import base64

            headers["Authorization"] = "Basic " + base64.b64encode(":".join(request.basic).encode()).decode()
        if method in UNSAFE and self._key and "idempotency-key" not in given:
            self._unsafe_sent += 1
            headers["Idempotency-Key"] = self._key if self._unsafe_sent == 1 else f"{self._key}/{self._unsafe_sent}"
        for name, value in headers.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(r"[\t -~]*", value):
                raise StepError("type.payload", f"header {name!r} has a character in it that a header cannot carry")
        return headers, content

    def _check_target(self, url: str, headers: Mapping[str, str], content: bytes | None, masker: Masker) -> None:
        """Scheme, form of the address, and that no secret leaves for a host it was not granted for."""
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as problem:
            raise Blocked(f"{masker.text(url)[:200]} is not a URL: {problem}") from None
        if parts.scheme not in ("http", "https"):
            raise Blocked(f'only http and https can be called, not "{parts.scheme or url[:40]}"')
        if not parts.hostname:
            raise Blocked(f'"{masker.text(url)[:200]}" has no host')
        if parts.username is not None:
            raise Blocked("a user name in a URL is refused; use `auth: {basic: {user, password}}`")
        if self._vault is None:
            return
        sent = "\n".join([url, *headers.values(), content.decode("utf-8", errors="replace") if content else ""])
        for secret in self._vault.resolved:
            if not Masker([secret]).holds_secret(sent):
                continue
            hosts = self._vault.hosts_of(secret.name)
            if not any(host_matches(entry, parts.hostname, port) for entry in hosts):
                raise Blocked(
                    f"secret {secret.name} may not be sent to {parts.hostname}; grant it in orchestrator.toml: "
                    f'[secrets.hosts] {secret.name} = ["{parts.hostname}"]'
                )


def encode_body(request: HttpRequest) -> tuple[bytes | None, str]:
    """The body's bytes and its content type."""
    if not isinstance(request.json, _Unset):
        import json

        try:
            text = json.dumps(request.json, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError) as problem:
            raise StepError("type.payload", f"the body cannot be written as JSON: {problem}") from None
        return text.encode("utf-8", errors="replace"), "application/json"
    if request.form is not None:
        return urlencode(pairs(request.form)).encode(), "application/x-www-form-urlencoded"
    if isinstance(request.content, str):
        return request.content.encode("utf-8"), "text/plain; charset=utf-8"
    return request.content, "application/octet-stream" if request.content is not None else ""


def check_status(response: HttpResponse, accept: Iterable[int | str] = (), *, masker: Masker | None = None) -> None:
    """Pass 1xx to 3xx and what `accept` lists (`404`, `4xx`). Raises: StepError `http.<status>` with `retry_after`."""
    status = response.status
    if status < 400 or any(str(a) in (str(status), f"{status // 100}xx") for a in accept):
        return
    text = (masker or Masker(())).text(response.text[:2000])
    reason = text.strip().partition("\n")[0][:200]
    raise StepError(
        f"http.{status}",
        f"{host_of(response.url)} answered {status}" + (f": {reason}" if reason else ""),
        details={"status": status, "url": shown_url(response.url), "body": text},
        retry_after=retry_after_s(response.headers),
    )


def _translate(problem: Exception, what: str, shown: str, masker: Masker) -> StepError | None:
    """Our error for one of the HTTP library's; None if it is not one of those."""
    import zlib

    import httpx

    text = masker.text(str(problem)) or type(problem).__name__
    details = {"url": shown}
    if isinstance(problem, Blocked):
        return StepError("http.blocked", f"{what} was refused: {text}", details=details)
    if isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout | socket.gaierror):
        return StepError("http.connect", f"{what} could not connect: {text}", details=details)
    is_cut = isinstance(problem, httpx.RemoteProtocolError) and ("disconnected" in text or "closed connection" in text)
    if is_cut or isinstance(problem, httpx.NetworkError):
        return StepError("http.connect", f"{what} was cut off: {text}", details=details)
    if isinstance(problem, httpx.ProtocolError | zlib.error):
        return StepError("http.protocol", f"{what} got an answer that is not HTTP: {text}", details=details)
    if isinstance(problem, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return StepError("http.blocked", f"{what} was refused: {text}", details=details)
    if isinstance(problem, ValueError) and text.startswith("Content-Encoding"):
        return StepError("http.protocol", f"{what} got an answer that cannot be read: {text}", details=details)
    return None
