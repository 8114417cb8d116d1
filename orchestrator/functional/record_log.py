"""What a functional run needs of a storage: an append-only log of entries per run. Checkpoints are views of it.

`append` costs the same for the thousandth step as for the first; a `WorkflowCheckpoint` is a place in a log, and its state,
messages and questions are made when somebody asks. Storages of other makers that know only whole checkpoints are served by
`SnapshotStorage`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeGuard, runtime_checkable

from orchestrator.functional.codec import failure_of
from orchestrator.functional.entries import Entry, kind_of, seq_of, tick_of
from orchestrator.functional.errors import UnknownCheckpoint
from orchestrator.functional.events import WorkflowEvent, framework_event
from orchestrator.functional.values import shown
from orchestrator.runtime import ticks as t


@dataclass(frozen=True, slots=True, eq=False)
class WorkflowCheckpoint:
    """A run as it was at one moment. Its id is the run's id and the number of the last entry it holds.

    Cost: nothing is computed until a property is read.
    """

    workflow_name: str
    run_id: str
    checkpoint_id: str
    previous_checkpoint_id: str | None
    timestamp: str
    entries: Sequence[Entry]
    count: int
    version: str = "1"

    @property
    def state(self) -> dict[str, Any]:
        """The run's key/value state."""
        found: dict[str, Any] = {}
        for tick in self.ticks():
            if isinstance(tick, t.Progress):
                found.update((str(path[0]), value) for _, path, value in tick.writes)
        return found

    @property
    def messages(self) -> dict[str, Any]:
        """The message that the run started with, under the workflow's name; empty if it takes none."""
        given = list(_started(self.entries).value.values())
        return {self.workflow_name: shown(given[0])} if given else {}

    @property
    def pending_request_info_events(self) -> dict[str, WorkflowEvent]:
        """The questions that were open, by id."""
        asked: dict[str, WorkflowEvent] = {}
        for tick in self.ticks():
            if isinstance(tick, t.WaitOpened) and tick.announce is not None and tick.request_id is not None:
                data, source = shown(tick.announce[1]["data"]), tick.announce[1]["source"]
                event = framework_event("request_info", data, request_id=tick.request_id, source_executor_id=source)
                asked[tick.request_id] = event
            elif isinstance(tick, t.EventIn):
                asked.pop(tick.type.removeprefix("?"), None)
        return asked

    @property
    def steps(self) -> dict[str, Any]:
        """The results of finished steps, by call path."""
        return {tick.path: shown(tick.value) for tick in self.ticks() if is_result(tick)}

    @property
    def metadata(self) -> dict[str, Any]:
        """Where a forked run came from."""
        return {name: value for name, value in _started(self.entries).meta.items() if name == "forked_from"}

    @property
    def iteration_count(self) -> int:
        """Always 0: a function has no rounds."""
        return 0

    def to_dict(self) -> dict[str, Any]:
        """The checkpoint as plain JSON."""
        return {
            "version": self.version,
            "workflow_name": self.workflow_name,
            "run_id": self.run_id,
            "checkpoint_id": self.checkpoint_id,
            "previous_checkpoint_id": self.previous_checkpoint_id,
            "timestamp": self.timestamp,
            "entries": list(self.held()),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> WorkflowCheckpoint:
        """The inverse of `to_dict`."""
        entries = data["entries"]
        return cls(
            data["workflow_name"],
            data["run_id"],
            data["checkpoint_id"],
            data["previous_checkpoint_id"],
            data["timestamp"],
            entries,
            len(entries),
            data["version"],
        )

    def held(self) -> Iterable[Entry]:
        """The entries up to this moment."""
        return (self.entries[i] for i in range(self.count))

    def ticks(self) -> Iterable[t.Tick]:
        """What happened up to this moment."""
        return (tick_of(entry) for entry in self.held())


@runtime_checkable
class CheckpointStorage(Protocol):
    """Where checkpoints are kept. `run_id` narrows to one run; without it the runs of all users of a workflow count."""

    async def save(self, checkpoint: WorkflowCheckpoint) -> str:
        """Keep a checkpoint and give its id."""
        ...

    async def load(self, checkpoint_id: str) -> WorkflowCheckpoint:
        """The checkpoint of an id. Raises: UnknownCheckpoint."""
        ...

    async def list_checkpoints(self, *, workflow_name: str, run_id: str | None = None) -> list[WorkflowCheckpoint]:
        """All checkpoints, oldest first."""
        ...

    async def delete(self, checkpoint_id: str) -> bool:
        """Remove a checkpoint; False if there was none."""
        ...

    async def get_latest(self, *, workflow_name: str, run_id: str | None = None) -> WorkflowCheckpoint | None:
        """The newest checkpoint."""
        ...

    async def list_checkpoint_ids(self, *, workflow_name: str, run_id: str | None = None) -> list[str]:
        """The ids of all checkpoints, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in a storage. `asked` are the ids of all its questions, `status` running, done, failed or cancelled."""

    run_id: str
    workflow: str
    status: str
    asked: frozenset[str]
    pending: tuple[str, ...]


class RecordLog:
    """The base of our storages: whoever keeps entries per run gets the checkpoint protocol for it."""

    def append(self, run_id: str, entries: list[Entry]) -> Awaitable[None] | None:
        """Keep entries; None if they are kept when this returns. Raises: JournalConflict if their seq is taken."""
        raise NotImplementedError

    async def read(self, run_id: str) -> Sequence[Entry] | None:
        """All entries of a run, or None."""
        raise NotImplementedError

    async def run_ids(self, workflow_name: str) -> list[str]:
        """The runs of a workflow, the least recently started first."""
        raise NotImplementedError

    async def summaries(self, workflow_name: str) -> list[RunSummary]:
        """The runs of a workflow with their questions.

        Cost: O(entries of the workflow), less where a storage has an index.
        """
        found = []
        for run_id in await self.run_ids(workflow_name):
            entries = await self.read(run_id)
            if entries:
                found.append(summarise(run_id, entries))
        return found

    def release(self, run_id: str) -> None:
        """The run does not go on in this process for now; what was held open for it may be closed."""

    async def hidden(self, run_id: str) -> set[int]:
        """The seqs whose checkpoints were deleted."""
        raise NotImplementedError

    async def hide(self, run_id: str, seq: int) -> None:
        """Delete a checkpoint; the entries stay as long as later checkpoints need them."""
        raise NotImplementedError

    async def drop(self, run_id: str) -> None:
        """Remove a run."""
        raise NotImplementedError

    async def save(self, checkpoint: WorkflowCheckpoint) -> str:
        """Keep a checkpoint, perhaps of another storage, and give its id."""
        known = await self.read(checkpoint.run_id) or ()
        after = seq_of(known[-1]) if known else -1
        missing = [entry for entry in checkpoint.held() if seq_of(entry) > after]
        if missing:
            pending = self.append(checkpoint.run_id, missing)
            if pending is not None:
                await pending
        return checkpoint.checkpoint_id

    async def load(self, checkpoint_id: str) -> WorkflowCheckpoint:
        """The checkpoint of an id. Raises: UnknownCheckpoint."""
        run_id, seq = split_id(checkpoint_id)
        entries = await self.read(run_id)
        if entries:
            for checkpoint in _views(run_id, entries, set()):
                if checkpoint.checkpoint_id == checkpoint_id:
                    if seq in await self.hidden(run_id):
                        break
                    return checkpoint
        raise UnknownCheckpoint(
            f"no checkpoint {checkpoint_id!r} in this storage; list_checkpoint_ids() gives those it has"
        )

    async def list_checkpoints(self, *, workflow_name: str, run_id: str | None = None) -> list[WorkflowCheckpoint]:
        """All checkpoints, oldest first."""
        found: list[WorkflowCheckpoint] = []
        for name in await self.run_ids(workflow_name):
            entries = await self.read(name) if run_id in (None, name) else None
            if entries:
                found += _views(name, entries, await self.hidden(name))
        return sorted(found, key=lambda checkpoint: checkpoint.timestamp)

    async def delete(self, checkpoint_id: str) -> bool:
        """Remove a checkpoint; a run without checkpoints goes too. False if there was none."""
        try:
            checkpoint = await self.load(checkpoint_id)
        except UnknownCheckpoint:
            return False
        run_id, seq = split_id(checkpoint_id)
        await self.hide(run_id, seq)
        if not _views(run_id, checkpoint.entries, await self.hidden(run_id)):
            await self.drop(run_id)
        return True

    async def get_latest(self, *, workflow_name: str, run_id: str | None = None) -> WorkflowCheckpoint | None:
        """The newest checkpoint."""
        newest: WorkflowCheckpoint | None = None
        for name in [run_id] if run_id is not None else await self.run_ids(workflow_name):
            entries = await self.read(name)
            views = _views(name, entries, await self.hidden(name)) if entries else []
            last = views[-1] if views else None
            if last is None or last.workflow_name != workflow_name:
                continue
            if newest is None or last.timestamp >= newest.timestamp:
                newest = last
        return newest

    async def list_checkpoint_ids(self, *, workflow_name: str, run_id: str | None = None) -> list[str]:
        """The ids of all checkpoints, oldest first."""
        return [c.checkpoint_id for c in await self.list_checkpoints(workflow_name=workflow_name, run_id=run_id)]


def checkpoint_id_of(run_id: str, seq: int) -> str:
    """The id of the checkpoint after an entry."""
    return f"{run_id}.{seq:06d}"


def split_id(checkpoint_id: str) -> tuple[str, int]:
    """The run and seq of a checkpoint id. Raises: UnknownCheckpoint."""
    run_id, _, seq = str(checkpoint_id).rpartition(".")
    if not run_id or not seq.isdigit():
        raise UnknownCheckpoint(
            f"{checkpoint_id!r} is not the id of a checkpoint; such an id looks like '3f2a….000012'"
        )
    return run_id, int(seq)


def _started(entries: Sequence[Entry]) -> t.Started:
    tick = tick_of(entries[0])
    assert isinstance(tick, t.Started)
    return tick


def is_result(tick: t.Tick) -> TypeGuard[t.Progress]:
    """Whether a tick is the result of a finished step."""
    return isinstance(tick, t.Progress) and tick.data is not None and failure_of(tick.data[4]) is None


def is_failure(tick: t.Tick) -> TypeGuard[t.Progress]:
    """Whether a tick is the failure of a step, or of an attempt of one."""
    return isinstance(tick, t.Progress) and tick.data is not None and failure_of(tick.data[4]) is not None


def is_end(tick: t.Tick) -> TypeGuard[t.StepSettled | t.Cancel]:
    """Whether a tick ends the run."""
    return isinstance(tick, t.StepSettled | t.Cancel)


def _is_mark(tick: t.Tick) -> bool:
    """Whether a tick only says how far the numbers of events are; it belongs to the checkpoint before it."""
    return isinstance(tick, t.Streamed)


def _views(run_id: str, entries: Sequence[Entry], hidden: set[int]) -> list[WorkflowCheckpoint]:
    """The checkpoints of a run: after each finished step, question and answer, at its last entry, and at its good end."""
    ticks = [tick_of(entry) for entry in entries]
    workflow = str(_started(entries).meta["workflow"])
    last = len(ticks) - 1
    while _is_mark(ticks[last]):
        last -= 1
    end = ticks[last]
    if isinstance(end, t.Cancel) or (isinstance(end, t.StepSettled) and end.error is not None):
        while last > 0 and (is_end(ticks[last]) or is_failure(ticks[last])):
            last -= 1
    found: list[WorkflowCheckpoint] = []
    previous: str | None = None
    for index in range(last + 1):
        tick = ticks[index]
        is_place = is_result(tick) or isinstance(tick, t.WaitOpened | t.EventIn)
        if not (is_place or index == last) or tick.seq in hidden:
            continue
        name = checkpoint_id_of(run_id, tick.seq)
        at = datetime.fromtimestamp(tick.at, UTC).isoformat(timespec="microseconds")
        count = index + 1
        while count < len(ticks) and _is_mark(ticks[count]):
            count += 1
        found.append(WorkflowCheckpoint(workflow, run_id, name, previous, at, entries, count))
        previous = name
    return found


def summarise(run_id: str, entries: Sequence[Entry]) -> RunSummary:
    """What a run has asked and how it stands."""
    asked: dict[str, None] = {}
    answered: set[str] = set()
    status = "running"
    for entry in entries:
        if kind_of(entry) not in ("wait", "event", "settled", "cancel"):
            continue
        match tick_of(entry):
            case t.WaitOpened(request_id=str(request_id)):
                asked[request_id] = None
                answered.discard(request_id)
            case t.EventIn(type=type_name):
                answered.add(type_name.removeprefix("?"))
            case t.StepSettled(error=error):
                status = "done" if error is None else "failed"
            case t.Cancel():
                status = "cancelled"
    pending = tuple(name for name in asked if name not in answered) if status == "running" else ()
    return RunSummary(run_id, workflow_of(entries[0]), status, frozenset(asked), pending)


def workflow_of(first: Entry) -> str:
    """The workflow that an entry starts a run of."""
    return str(_started([first]).meta["workflow"])
