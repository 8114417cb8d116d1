"""Which entries of a run another one begins with: without its end, before a call, as a fork."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.functional.codec import failure_of
from orchestrator.functional.entries import Entry, entry_of, tick_of
from orchestrator.functional.record_log import is_end, is_failure
from orchestrator.runtime import ticks as t
from orchestrator.runtime.codec import ValueCodec


def before_path(entries: Sequence[Entry], path: str) -> list[Entry]:
    """The entries before the one that was recorded under a path."""
    cut = next((i for i, e in enumerate(entries) if getattr(tick_of(e), "path", None) == path), len(entries))
    return list(entries[:cut])


def forked(first: Entry, run_id: str, codec: ValueCodec, workflow: str) -> Entry:
    """The first entry of a fork: it says where it came from."""
    tick = tick_of(first, codec)
    assert isinstance(tick, t.Started)
    tick.meta = {**tick.meta, "forked_from": run_id}
    return entry_of(tick, codec, workflow)


def without_end(entries: Sequence[Entry], everything: Sequence[Entry]) -> list[Entry]:
    """The entries without the end of the run, and without the failures that ended it: those calls are made again."""
    kept = [entry for entry in entries if not is_end(tick_of(entry))]
    end = tick_of(everything[-1])
    if isinstance(end, t.StepSettled) and end.error is not None:
        causes = (end.error.get("type"), end.error.get("message"))
        gone = tuple(_path(entry) for entry in kept if _cause(tick_of(entry)) == causes)
        attempts = tuple(f"{path}!" for path in gone)
        kept = [entry for entry in kept if _path(entry) not in gone and not _path(entry).startswith(attempts)]
    return kept


def _path(entry: Entry) -> str:
    return str(getattr(tick_of(entry), "path", ""))


def _cause(tick: t.Tick) -> tuple[str, str] | None:
    failure = failure_of(tick.data[4]) if is_failure(tick) else None
    return None if failure is None else (failure.details.error_type, failure.details.message)
