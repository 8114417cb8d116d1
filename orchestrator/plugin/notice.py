"""What a notifier is told: any callable with a field `notice: Notice` can be one (`[people] notify`)."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class Receiver(TypedDict):
    """Somebody to tell. `email` is empty if it is not known; who has `link` decides as this person without signing in."""

    name: str
    email: str
    link: str


class Notice(TypedDict):
    """Something happened to a request. `url` is its page, empty where no server is known; `due_at` is ISO 8601 or null."""

    what: Literal["opened", "reminded", "escalated", "delegated"]
    title: str
    flow: str
    run_id: str
    step: str
    request_id: str
    due_at: str | None
    url: str
    to: list[Receiver]
    groups: list[str]
