"""All routes of the pages, in the order in which they are matched."""

from __future__ import annotations

from orchestrator.server.pages import PageRoute
from orchestrator.server.views import (
    bulk_pages,
    edit_pages,
    filter_pages,
    flow_pages,
    inbox_pages,
    operate_pages,
    other_pages,
    run_pages,
    session_pages,
)


def all_routes() -> list[PageRoute]:
    """The routes of every page."""
    return [
        *session_pages.routes(),
        *inbox_pages.routes(),
        *bulk_pages.routes(),
        *filter_pages.routes(),
        *flow_pages.routes(),
        *edit_pages.routes(),
        *run_pages.routes(),
        *other_pages.routes(),
        *operate_pages.routes(),
    ]
