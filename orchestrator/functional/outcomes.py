"""What one pass over a workflow function can come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.functional.errors import ReplayDiverged


@dataclass(frozen=True, slots=True)
class Returned:
    """The function returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """The function raised."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Paused:
    """Every task has ended or waits for an answer."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """The pass was given up; the run is as it was."""

    error: ReplayDiverged


@dataclass(frozen=True, slots=True)
class Superfluous:
    """Another pass over the same run was under way already, so this one did nothing."""


Outcome = Returned | Raised | Paused | Aborted | Superfluous
