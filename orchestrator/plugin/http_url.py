"""URLs, queries and the Retry-After header: small pure readings. Decides nothing about what may be called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit


def retry_after_s(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds to wait by the Retry-After header, which holds seconds or a date."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return min(max(0.0, float(value)), 86_400.0) if value[0].isdigit() else None
    except ValueError:
        pass
    import time
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, at - (time.time() if now is None else now)), 86_400.0)


def host_of(url: str) -> str:
    """Host and port for messages."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or url[:80]
    except ValueError:
        return url[:80]


def shown_url(url: str) -> str:
    """A URL for messages: without user, query and fragment, which may hold what nobody should see."""
    base = url.partition("#")[0].partition("?")[0]
    scheme, separator, rest = base.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"[:300]


def with_query(url: str, query: Mapping[str, Any]) -> str:
    """A URL without its fragment and with more query parameters; characters a URL cannot hold are escaped."""
    url = url.partition("#")[0]
    if query:
        url += ("&" if "?" in url else "?") + urlencode(pairs(query))
    return quote(url, safe="%/:=&?~#+!$,;'@()*[]")


def pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Text pairs of a query or form; null is left out, a list repeats its name, booleans are as in JSON."""
    found = []
    for name, value in values.items():
        for item in value if isinstance(value, list | tuple) else (value,):
            if item is not None:
                found.append((name, str(item).lower() if isinstance(item, bool) else str(item)))
    return found


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: what two URLs must share for credentials to be passed on."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port
