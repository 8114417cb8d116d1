"""What the notices of a server know beside the project: addresses of accounts, the page of a request, links that decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.authoring.notices import Notices
from orchestrator.errors import UsageError
from orchestrator.runtime.journal import RequestRow
from orchestrator.server.book import public_id

if TYPE_CHECKING:  # the desk owns the notices
    from orchestrator.server.desk import Desk

LINK_S = 7 * 86_400.0


def notices_of(desk: Desk) -> Notices:
    """The notices of a desk, listening to its engines."""

    def mail_of(name: str) -> str:
        try:
            return desk.accounts.user(name).email
        except UsageError:
            return ""

    def page_of(run_id: str, request_id: str) -> str:
        url = desk.settings.url.rstrip("/")
        return f"{url}/inbox/{public_id(run_id, request_id)}" if url else ""

    def link_of(request: RequestRow, person: str) -> str:
        url = desk.settings.url.rstrip("/")
        if not url:
            return ""
        from orchestrator.server.links import signed_link

        due = request.data.get("deadline")
        now = desk.clock.now()
        expires = now + LINK_S if due is None else min(now + LINK_S, due)
        return f"{url}/d/{signed_link(desk, request.run_id, request.request_id, request.data['revision'], person, expires)}"

    notices = Notices(lambda: desk.project, mail_of=mail_of, page_of=page_of, link_of=link_of)
    notices.attach(desk.memory.engine)
    if desk.store is not None:
        notices.attach(desk.store.engine)
    return notices
