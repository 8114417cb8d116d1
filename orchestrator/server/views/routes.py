"""All routes of the pages, in the order in which they are matched."""

from __future__ import annotations

from orchestrator.server.access import GuardedRoute
from orchestrator.server.views import inbox_pages, session_pages


def all_routes() -> list[GuardedRoute]:
    """The routes of every page."""
    return [*session_pages.routes(), *inbox_pages.routes()]
