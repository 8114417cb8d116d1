"""How often a step has failed so far, as its context tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class RetryInfo:
    """Which try this is. `retry_number` is 0 for the first attempt."""

    retry_number: int
    elapsed_seconds: float
    last_exception: BaseException | None
    last_failed_at: datetime | None
