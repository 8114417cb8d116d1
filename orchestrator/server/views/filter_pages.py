"""Filters that people keep: the names above a list, and the routes that keep one and take one away."""

from __future__ import annotations

from typing import TypedDict
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from orchestrator.server.access import identity_of, signed_in
from orchestrator.server.api_runs import desk_of
from orchestrator.server.pages import PageRoute
from orchestrator.server.problems import Refused
from orchestrator.server.views.flow_pages import base_of

KEYS = {"inbox": ("scope", "flow", "text", "order"), "runs": ("flow", "status", "text", "by", "tag")}
MOST = 20
LONGEST_NAME = 40


class KeptFilter(TypedDict):
    """A filter with the address that applies it."""

    name: str
    query: str
    href: str
    is_current: bool


class Kept(TypedDict):
    """What a page shows: the filters, and the one that is applied now if it can be kept."""

    page: str
    query: str
    filters: list[KeptFilter]
    may_keep: bool


def query_of(page: str, text: str) -> str:
    """The part of a query that filters the page, in one order."""
    given = dict(parse_qsl(text[:2_000]))
    return urlencode([(key, given[key][:200]) for key in KEYS[page] if given.get(key)])


def kept_filters(request: Request, page: str) -> Kept:
    """The filters of whoever looks."""
    base, now = base_of(request), query_of(page, request.url.query)
    found = desk_of(request).accounts.filters(identity_of(request).user, page)
    rows: list[KeptFilter] = [
        {"name": name, "query": query, "href": f"{base}/{page}?{query}", "is_current": query == now}
        for name, query in found.items()
    ]
    is_filtered = any(key != "scope" for key, _ in parse_qsl(now))
    may_keep = is_filtered and not any(row["is_current"] for row in rows)
    return {"page": page, "query": now, "filters": rows, "may_keep": may_keep}


async def post_filter(request: Request) -> Response:
    """Keep the filter of a page under a name, or take one away."""
    desk, who = desk_of(request), identity_of(request).user
    form = await request.form(max_files=0, max_fields=20)
    page, name, query = (str(form.get(field) or "") for field in ("page", "name", "query"))
    name = " ".join(name.split())
    if page not in KEYS:
        raise Refused(422, "filter.page", "filters are kept for the inbox and for runs")
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Refused(422, "filter.name", f"give the filter a name of at most {LONGEST_NAME} characters")
    query = query_of(page, query)
    if form.get("do") == "remove":
        desk.accounts.keep_filter(who, page, name, None)
    else:
        known = desk.accounts.filters(who, page)
        if name not in known and len(known) >= MOST:
            raise Refused(422, "filter.many", f"at most {MOST} filters are kept; take one away first")
        desk.accounts.keep_filter(who, page, name, query)
    return RedirectResponse(f"{base_of(request)}/{page}?{query}", 303)


def routes() -> list[PageRoute]:
    """The routes of these pages."""
    return [PageRoute("/filters", post_filter, access=signed_in(form=True), methods=["POST"], name="filter_form")]
