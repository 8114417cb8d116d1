"""How the vote on a request stands: what each verdict has and needs, and which items are decided. Pure."""

from __future__ import annotations

from typing import Any, TypedDict

from orchestrator.runtime.people import Ballot, Request, check_answer, count_vote
from orchestrator.runtime.ticks import Answer
from orchestrator.server.book import RequestRow
from orchestrator.server.views.wording import as_words, listed

Json = Any  # plain JSON
GOOD = ("approve", "approved", "accept", "accepted", "yes", "ok", "publish", "keep", "allow", "pass", "fixed", "done")
BAD = ("reject", "rejected", "deny", "denied", "no", "drop", "remove", "delete", "block", "refuse", "fail", "cancel")


class Standing(TypedDict):
    """A verdict: how many gave it, how many it needs. `tone`: good, bad or plain."""

    verdict: str
    label: str
    tone: str
    have: int
    needs: int
    by: list[str]
    needs_text: str


def recount(row: RequestRow) -> Request:
    """The request with its ballots, voted on again in the order in which the answers came."""
    items = row.data.get("items")
    count = 1 if items is None else len(items)
    request = Request(row.request_id, 0, row.step, row.opened_at, dict(row.data), [Ballot() for _ in range(count)])
    request.revision, request.text, request.claimed_by = row.revision, row.text, row.claimed_by
    request.delegates, request.is_escalated = list(row.delegates), row.is_escalated
    request.data.setdefault("quorum", {})
    for answer in row.answers:
        place = answer.get("item") or 0
        if 0 <= place < count:
            who = {"user": answer["by"], "groups": answer.get("groups") or ()}
            tick = Answer(0, answer.get("at") or 0.0, -1, row.request_id, "answer", who, answer.get("form") or {})
            count_vote(request, request.ballots[place], answer["by"], tick)
    return request


def refusal_for(request: Request, user: str, groups: tuple[str, ...], item: int | None = None) -> str | None:
    """Why somebody's answer would be refused now, or None."""
    tick = Answer(0, 0.0, -1, request.id, "answer", {"user": user, "groups": list(groups)}, item=item)
    refusal = check_answer(request, tick)
    return None if refusal is None else refusal.message


def standings(request: Request, ballot: Ballot) -> list[Standing]:
    """Every verdict, in the flow's order."""
    field = request.data.get("verdict_field")
    verdicts = list(request.data.get("verdicts") or ())
    if field is None:
        by = [answer["by"] for answer in ballot.answers]
        return [_standing("answered", by, request.data["quorum"].get("answered", 1), tone="plain")]
    out = []
    for verdict in verdicts:
        by = [answer["by"] for answer in ballot.answers if answer["form"].get(field) == verdict]
        out.append(_standing(str(verdict), by, request.data["quorum"].get(verdict, 1), tone=tone_of(verdict, verdicts)))
    return out


def _standing(verdict: str, by: list[str], quorum: Json, *, tone: str) -> Standing:
    is_by_group = isinstance(quorum, dict)
    needs = sum(quorum.values()) if is_by_group else int(quorum)
    text = listed([f"{count} of {group}" for group, count in quorum.items()]) if is_by_group else ""
    return {
        "verdict": verdict,
        "label": as_words(verdict),
        "tone": tone,
        "have": len(by),
        "needs": needs,
        "by": by,
        "needs_text": text,
    }


def tone_of(verdict: str, verdicts: list[str]) -> str:
    """How a verdict's button looks. Names that say it decide; otherwise the first one is the way on."""
    name = str(verdict).lower()
    if name in GOOD:
        return "good"
    if name in BAD:
        return "bad"
    has_good = any(str(other).lower() in GOOD for other in verdicts)
    return "good" if not has_good and verdicts and verdict == verdicts[0] else "plain"


def is_approval(outcome: str | None, verdicts: list[str]) -> bool:
    """Whether an outcome lets the content pass."""
    return outcome is not None and outcome in verdicts and tone_of(outcome, verdicts) == "good"
