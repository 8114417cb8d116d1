# ruff: noqa: UP042
"""Types that a sample plugin imports from beside it."""

from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel, Field


class Level(str, Enum):
    LOW = "low"
    HIGH = "high"


class Customer(BaseModel):
    """A customer."""

    id: int = Field(ge=1, description="Number.")
    tags: list[str] = Field(default_factory=list)
    level: Level = Level.LOW
    parent: "int | None" = None


@dataclass
class Score:
    value: float
    reasons: list[str]
    level: Level = Level.HIGH
