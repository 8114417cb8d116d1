"""Errors that every journal raises in the same words."""

from __future__ import annotations

from orchestrator.errors import Fenced, JournalConflict, UnknownRun
from orchestrator.runtime.journal import Batch


def fenced(batch: Batch) -> Fenced:
    """The error of a commit whose claim was taken over."""
    return Fenced(f"run {batch.run_id!r} has been taken over by another worker (epoch {batch.epoch} is old)")


def unknown(run_id: str) -> UnknownRun:
    """The error of a run that is not here."""
    return UnknownRun(f"no run {run_id!r} in this store; `orchestrator runs ls` lists them")


def rewritten(batch: Batch) -> JournalConflict:
    """The error of a commit whose place in the log holds something else."""
    return JournalConflict(f"run {batch.run_id!r} has other ticks from {batch.first_seq} on")
