"""Where the next page of a list is: a Link header, a URL in the page, or a cursor for a query parameter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from orchestrator.plugin import StepError

Json = Any  # plain JSON


@dataclass(frozen=True, slots=True)
class Paging:
    """How a service pages; see `http.pages`."""

    url: str
    items: str
    next: str
    cursor: str | None


def next_url(paging: Paging, current: str, page: Json, link: str) -> tuple[str | None, dict[str, Json]]:
    """The next page's URL (None: that was the last) and the query parameter to add."""
    if not paging.next:
        target = link_next(link)
        return (None, {}) if target is None else (_same_host(current, target), {})
    value = find(page, paging.next)
    if value is None or value == "" or value is False:
        return None, {}
    if paging.cursor is not None:
        return paging.url, {paging.cursor: value}
    if not isinstance(value, str):
        raise StepError(
            "http.paging", f"`next` ({paging.next}) is no URL; name the query parameter it goes to as `cursor`"
        )
    return _same_host(current, value), {}


def link_next(header: str) -> str | None:
    """The `rel="next"` target of a Link header."""
    for part in re.split(r",\s*(?=<)", header):
        target, _, rest = part.strip().partition(">")
        if target.startswith("<") and re.search(r';\s*rel="?[^";]*\bnext\b', rest):
            return target[1:]
    return None


def find(value: Json, path: str) -> Json:
    """What stands at a dotted path of a page, None if nothing does; the empty path is the page."""
    for part in path.split(".") if path else ():
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _same_host(current: str, target: str) -> str:
    url = urljoin(current, target)
    if urlsplit(url)[:2] != urlsplit(current)[:2]:
        raise StepError("http.blocked", f"the next page is on another host: {urlsplit(url).netloc}")
    return url
