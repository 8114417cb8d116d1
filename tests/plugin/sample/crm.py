# ruff: noqa: UP006, UP037, B006
"""A plugin file with about every kind of annotation that authors write."""

from __future__ import annotations

import logging
import typing as t
from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from orchestrator.plugin import Clock, Context, Duration, Event, HttpClient, Llm, Plugin, Secret, register

from .models import Customer, Level, Score

LIMIT = 60
Verdict = Literal["yes", "no"]
ERRORS = ["crm.gone", "timeout"]
crm = Plugin("crm", doc="Customers.")


class Approved(Event):
    """Good."""

    by: str


class Rework(Approved):
    notes: list[str] = []


class Options(TypedDict, total=False):
    """What may be set."""

    deep: bool
    note: NotRequired[str]


class Found(BaseModel):
    """A found customer."""

    customer: Customer
    score: float = 0.5


@crm.step
def plain(a: int, b: str = "x", c: float | None = None, d: bool | None = None, e: "t.List[str]" = []) -> dict[str, int]:
    """Plain types.

    With a second paragraph.
    """
    return {"n": a}


@crm.step(
    name="full", errors=ERRORS, effect="at_most_once", idempotent=False, hosts=["crm.example"], secrets=["CRM_KEY"]
)
async def full_(
    ctx: Context,
    http: HttpClient,
    llm: Llm,
    clock: Clock,
    log: logging.Logger,
    crm_key: Secret,
    token: Secret,
    customer: Customer,
    *,
    verdict: Verdict,
    level: Level = Level.LOW,
    since: Annotated[datetime | None, "From when."] = None,
    day: date | None = None,
    limit: Annotated[int, Field(ge=1, le=100, description="How many.")] = LIMIT,
    options: Options | None = None,
    extra: Mapping[str, t.Any] | None = None,
    wait: Duration = 5.0,
    anything: Any = None,
) -> Found:
    """All that can be injected."""
    return Found(customer=customer)


@crm.step(
    inline=True,
    effect="none",
    examples=[{"with": {"text": "a"}, "result": {"value": 1.0, "reasons": [], "level": "low"}}],
)
def rate(text: str) -> Score:
    """A dataclass."""
    return Score(1.0, [], Level.LOW)


@crm.step
async def chunks(text: str) -> AsyncIterator[str]:
    """A stream."""
    for word in text.split():
        yield word


@register("other.thing", errors=["other.bad"])
def thing(x: tuple[int, str] | None = None) -> None:
    """Registered without a plugin."""


@crm.step
def decide(text: str) -> Approved | Rework | None:
    """Gives events."""
    return Approved(by=text)


def not_a_step(x: int) -> int:
    return x
