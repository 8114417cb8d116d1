"""Signed links by which one person can decide one request without signing in. Looking changes nothing; a link decides once.

A link is bound to the run, the request, the revision of its text, the person, the verdicts it allows and a time. The runtime
still judges whether the person may answer.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from itsdangerous import BadSignature, URLSafeSerializer

from orchestrator.runtime.answering import AnswerRefused
from orchestrator.server.access import Identity
from orchestrator.server.book import Reply, RequestRow
from orchestrator.server.desk import Desk
from orchestrator.server.problems import Refused
from orchestrator.server.request_desk import act, form_with_verdict

Json = Any  # plain JSON
LONGEST_TOKEN = 2_000


@dataclass(frozen=True, slots=True)
class Link:
    """What a link says; `verdicts` empty: all of them."""

    run_id: str
    request_id: str
    revision: int
    person: str
    verdicts: tuple[str, ...]
    expires_at: float
    nonce: str


def _signer(desk: Desk) -> URLSafeSerializer:
    return URLSafeSerializer(
        desk.accounts.secret, salt="decision-link", signer_kwargs={"digest_method": hashlib.sha256}
    )


def make_link(desk: Desk, row: RequestRow, person: str, verdicts: tuple[str, ...], lasts_s: float) -> tuple[str, float]:
    """A token for a person and when it ends. Raises: Refused 409 for a closed request, 422 for unknown verdicts."""
    if row.state != "open":
        raise Refused(409, "request.closed", "this request has been decided or has expired")
    known = row.data.get("verdicts") or ()
    odd = [verdict for verdict in verdicts if verdict not in known]
    if odd:
        raise Refused(
            422, "link.verdicts", f"this request has no verdict {odd[0][:40]!r}; it has {', '.join(known) or 'none'}"
        )
    if not person:
        raise Refused(422, "link.person", "a link is for a person; name one")
    expires = desk.clock.now() + lasts_s
    if row.due_at is not None:
        expires = min(expires, row.due_at)
    token = signed_link(desk, row.run_id, row.request_id, row.revision, person, expires, verdicts)
    return token, expires


def signed_link(
    desk: Desk,
    run_id: str,
    request_id: str,
    revision: int,
    person: str,
    expires_at: float,
    verdicts: tuple[str, ...] = (),
) -> str:
    """The token of a link, whatever it is for."""
    body = [run_id, request_id, revision, person, list(verdicts), round(expires_at, 3), secrets.token_urlsafe(12)]
    token = _signer(desk).dumps(body)
    return token if isinstance(token, str) else token.decode()


def read_link(desk: Desk, token: str) -> Link:
    """What a link says. Raises: Refused 404 for a forged one, 410 for one that has ended."""
    try:
        if len(token) > LONGEST_TOKEN:
            raise BadSignature("too long")
        run_id, request_id, revision, person, verdicts, expires, nonce = _signer(desk).loads(token)
        link = Link(run_id, request_id, revision, person, tuple(verdicts), expires, nonce)
    except (BadSignature, ValueError, TypeError):
        raise Refused(404, "link.invalid", "this link is not valid", "ask whoever sent it for a new one") from None
    if desk.clock.now() >= link.expires_at:
        raise Refused(
            410, "link.expired", "this link has expired", "ask whoever sent it for a new one, or sign in to decide"
        )
    return link


def person_of(desk: Desk, link: Link) -> Identity:
    """The person a link is for, with their groups and nothing else. Raises: Refused 403 if their account is disabled."""
    for user in desk.accounts.users():
        if user.name == link.person and user.is_disabled:
            raise Refused(403, "link.person", "the account that this link is for is disabled")
    return desk.gate.person(link.person)


async def request_of(desk: Desk, link: Link) -> RequestRow:
    """The request a link is about."""
    return await desk.request(link.run_id, link.request_id)


async def decide(desk: Desk, link: Link, form: Mapping[str, Json], verdict: str | None, item: int | None = None) -> str:
    """Answer with a link; afterwards it is used. A refused answer leaves it usable.

    Raises: AnswerRefused; Refused 403 for a verdict it does not allow, 409 if it was used.
    """
    row = await request_of(desk, link)
    person = person_of(desk, link)
    full = form_with_verdict(row, dict(form), verdict)
    chosen = full.get(row.data.get("verdict_field") or "")
    if link.verdicts and chosen not in link.verdicts:
        raise Refused(403, "link.verdicts", f"this link is for {' or '.join(link.verdicts)} only")
    if not desk.accounts.use_link(link.nonce, link.expires_at):
        raise Refused(409, "link.used", "this link has been used", "what was decided is shown when you open it")
    reply = Reply(row.request_id, person.user, desk.groups_for(person, row), "answer", full, link.revision, item)
    try:
        return await act(desk, row, person, reply)
    except (AnswerRefused, Refused):
        desk.accounts.free_link(link.nonce)
        raise
