"""`http.*`: call HTTP services. All rules of going out (egress, size, deadline, secrets) are in the injected client."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from orchestrator.plugin import UNSET, HttpClient, HttpRequest, HttpResponse, Plugin, ProjectFiles, StepError
from orchestrator_plugins._exchange import (
    ERRORS,
    Accept,
    Answer,
    AuthField,
    Body,
    Form,
    Headers,
    JsonBody,
    Query,
    Timeout,
    Url,
    exchange,
)
from orchestrator_plugins._openapi import read_document, request_parts
from orchestrator_plugins._paging import Paging, find, next_url

Json = Any  # plain JSON
plugin = Plugin("http", doc="Call HTTP services.")


@plugin.step(errors=ERRORS, idempotent=True, examples=[{"with": {"url": "https://example.com/"}}])
async def get(
    http: HttpClient,
    url: Url,
    query: Query = None,
    headers: Headers = None,
    auth: AuthField = None,
    accept: Accept = (),  # type: ignore[assignment]  # nothing
    timeout: Timeout = 30.0,
) -> Answer:
    """Fetch a resource.

    Follows redirects, each one checked like the first. A status of 400 or above fails the step unless `accept` lists it.
    """
    return await exchange(http, "GET", url, query=query, headers=headers, auth=auth, accept=accept, timeout=timeout)


@plugin.step(errors=ERRORS, idempotent=True)
async def head(
    http: HttpClient,
    url: Url,
    query: Query = None,
    headers: Headers = None,
    auth: AuthField = None,
    accept: Accept = (),  # type: ignore[assignment]  # nothing
    timeout: Timeout = 30.0,
) -> Answer:
    """Fetch only the headers of a resource."""
    return await exchange(http, "HEAD", url, query=query, headers=headers, auth=auth, accept=accept, timeout=timeout)


@plugin.step(
    errors=ERRORS,
    idempotent=False,
    examples=[
        {
            "with": {
                "url": "https://cms.example/posts",
                "json": {"title": "Trees"},
                "auth": {"bearer": "${{ secrets.CMS }}"},
            }
        }
    ],
)
async def post(
    http: HttpClient,
    url: Url,
    query: Query = None,
    headers: Headers = None,
    json: JsonBody = UNSET,
    form: Form = None,
    body: Body = None,
    auth: AuthField = None,
    accept: Accept = (),  # type: ignore[assignment]  # nothing
    timeout: Timeout = 30.0,
) -> Answer:
    """Send something new.

    All attempts carry the same Idempotency-Key header, so a service that knows it acts once."""
    return await exchange(
        http,
        "POST",
        url,
        query=query,
        headers=headers,
        json=json,
        form=form,
        body=body,
        auth=auth,
        accept=accept,
        timeout=timeout,
    )


@plugin.step(errors=ERRORS, idempotent=True)
async def put(
    http: HttpClient,
    url: Url,
    query: Query = None,
    headers: Headers = None,
    json: JsonBody = UNSET,
    form: Form = None,
    body: Body = None,
    auth: AuthField = None,
    accept: Accept = (),  # type: ignore[assignment]  # nothing
    timeout: Timeout = 30.0,
) -> Answer:
    """Replace a resource."""
    return await exchange(
        http,
        "PUT",
        url,
        query=query,
        headers=headers,
        json=json,
        form=form,
        body=body,
        auth=auth,
        accept=accept,
        timeout=timeout,
    )


@plugin.step(errors=ERRORS, idempotent=False)
async def patch(
    http: HttpClient,
    url: Url,
    query: Query = None,
    headers: Headers = None,
    json: JsonBody = UNSET,
    form: Form = None,
    body: Body = None,
    auth: AuthField = None,
    accept: Accept = (),  # type: ignore[assignment]  # nothing
    timeout: Timeout = 30.0,
) -> Answer:
    """Change a part of a resource."""
    return await exchange(
        http,
        "PATCH",
        url,
        query=query,
        headers=headers,
        json=json,
        form=form,
        body=body,
        auth=auth,
        accept=accept,
        timeout=timeout,
    )


@plugin.step(errors=ERRORS, idempotent=True)
async def delete(
    http: HttpClient,
    url: Url,
    query: Query = None,
    headers: Headers = None,
    json: JsonBody = UNSET,
    form: Form = None,
    body: Body = None,
    auth: AuthField = None,
    accept: Accept = (),  # type: ignore[assignment]  # nothing
    timeout: Timeout = 30.0,
) -> Answer:
    """Delete a resource."""
    return await exchange(
        http,
        "DELETE",
        url,
        query=query,
        headers=headers,
        json=json,
        form=form,
        body=body,
        auth=auth,
        accept=accept,
        timeout=timeout,
    )


@plugin.step(errors=ERRORS, idempotent=False)
async def request(
    http: HttpClient,
    method: Annotated[str, Field(description="The method, such as OPTIONS.", pattern="^[A-Za-z]{1,20}$")],
    url: Url,
    query: Query = None,
    headers: Headers = None,
    json: JsonBody = UNSET,
    form: Form = None,
    body: Body = None,
    auth: AuthField = None,
    accept: Accept = (),  # type: ignore[assignment]  # nothing
    timeout: Timeout = 30.0,
) -> Answer:
    """Send a request with any method."""
    return await exchange(
        http,
        method.upper(),
        url,
        query=query,
        headers=headers,
        json=json,
        form=form,
        body=body,
        auth=auth,
        accept=accept,
        timeout=timeout,
    )


class Pages(TypedDict):
    """All items of a list that came in pages. `complete` is false if `max_pages` ended it."""

    items: list[Json]
    pages: int
    complete: bool


@plugin.step(
    errors=(*ERRORS, "http.paging"),
    idempotent=True,
    examples=[
        {"with": {"url": "https://cms.example/posts", "items": "items", "next": "next_page", "cursor": "page"}},
        {"with": {"url": "https://cms.example/posts", "items": "data"}},
    ],
)
async def pages(
    http: HttpClient,
    url: Url,
    query: Query = None,
    headers: Headers = None,
    auth: AuthField = None,
    items: Annotated[
        str, Field(description="Where the list stands in a page: a.b; empty if the page is the list.")
    ] = "",
    next: Annotated[str, Field(description="Where the next URL or cursor stands; empty for the Link header.")] = "",
    cursor: Annotated[
        str | None, Field(description="Query parameter that takes the cursor; without it `next` is a URL.")
    ] = None,
    max_pages: Annotated[int, Field(ge=1, le=1000)] = 50,
    timeout: Timeout = 30.0,
) -> Pages:
    """Fetch a list page by page. The next page must be on the same host."""
    paging = Paging(url, items, next, cursor)
    found: list[Json] = []
    current: str | None = url
    parameters = dict(query or {})
    count = 0
    while current is not None and count < max_pages:
        page = await exchange(http, "GET", current, query=parameters, headers=headers, auth=auth, timeout=timeout)
        count += 1
        part = find(page["json"], items)
        if not isinstance(part, list):
            raise StepError("http.paging", f"page {count} has no list at `items`: {items or '(the page itself)'}")
        found += part
        current, more = next_url(paging, current, page["json"], page["headers"].get("link", ""))
        parameters = (dict(query or {}) | more) if more else {}
    return Pages(items=found, pages=count, complete=current is None)


class Download(TypedDict):
    """A file that was fetched."""

    path: str
    size: int
    sha256: str
    type: str


@plugin.step(
    errors=(*ERRORS, "http.checksum", "files.denied", "files.failed"),
    idempotent=True,
    examples=[{"with": {"url": "https://data.example/rates.csv", "path": "data/rates.csv"}}],
)
async def download(
    http: HttpClient,
    files: ProjectFiles,
    url: Url,
    path: Annotated[str, Field(description="The file of the project to write.", min_length=1)],
    query: Query = None,
    headers: Headers = None,
    auth: AuthField = None,
    sha256: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$", description="What the content must be.")] = None,
    max_bytes: Annotated[int, Field(ge=1, le=2_000_000_000)] = 100_000_000,
    timeout: Timeout = 300.0,
) -> Download:
    """Fetch a resource into a file of the project, piece by piece; the file is there whole or not at all."""
    basic = (auth or {}).get("basic")
    request = HttpRequest(
        "GET",
        url,
        query=query or {},
        headers=headers or {},
        basic=(basic["user"], basic["password"]) if basic else None,
        bearer=(auth or {}).get("bearer"),
        timeout_s=timeout,
        max_bytes=max_bytes,
    )
    digest, size = hashlib.sha256(), 0
    async with http.stream(request) as stream:
        if stream.status >= 400:
            http.check(HttpResponse(stream.status, stream.headers, await stream.read(), stream.url))
        with files.writing(path) as file:
            async for piece in stream.pieces():
                file.write(piece)
                digest.update(piece)
                size += len(piece)
            if sha256 is not None and digest.hexdigest() != sha256:
                raise StepError(
                    "http.checksum", f"{path} was not written: the content has SHA-256 {digest.hexdigest()}"
                )
        kind = stream.headers.get("content-type", "")
    return Download(path=path, size=size, sha256=digest.hexdigest(), type=kind)


@plugin.step(
    errors=(*ERRORS, "http.operation", "files.not_found", "files.denied", "files.failed", "limit.file"),
    idempotent=False,
    examples=[{"with": {"document": "apis/cms.yaml", "operation": "getPost", "parameters": {"id": 7}}}],
)
async def operation(
    http: HttpClient,
    files: ProjectFiles,
    document: Annotated[str, Field(description="An OpenAPI 3 document of the project, JSON or YAML.", min_length=1)],
    operation: Annotated[str, Field(description="The operation's id.", min_length=1)],
    parameters: Annotated[
        dict[str, Json] | None, Field(description="Path, query and header parameters by name.")
    ] = None,
    json: JsonBody = UNSET,
    server: Annotated[str | None, Field(description="Base URL; default is the document's first server.")] = None,
    auth: AuthField = None,
    accept: Accept = (),  # type: ignore[assignment]  # nothing
    timeout: Timeout = 30.0,
) -> Answer:
    """Call an operation of an OpenAPI document by its id; parameters are checked by name before anything is sent."""
    text = files.read_bytes(document).decode("utf-8", errors="replace")
    try:
        parts = request_parts(read_document(text), operation, parameters or {}, server, has_body=json is not UNSET)
    except ValueError as problem:
        raise StepError("http.operation", f"{document}: {problem}") from None
    return await exchange(
        http,
        parts.method,
        parts.url,
        query=parts.query,
        headers=parts.headers,
        json=json,
        auth=auth,
        accept=accept,
        timeout=timeout,
    )
