"""A checkpoint storage in a directory: one file per run, one JSON line per entry, appended."""

from __future__ import annotations

import asyncio
import json
import os
import weakref
from collections.abc import Awaitable, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from orchestrator.errors import StoreError
from orchestrator.functional.entries import Entry, is_first, seq_of, write_json
from orchestrator.functional.memory import check_order
from orchestrator.functional.record_log import RecordLog, workflow_of

try:
    import fcntl
except ImportError:  # Windows: appends of two processes to one run are found by the order check only
    fcntl = None  # type: ignore[assignment]


_MOST_OPEN = 64
_HIDDEN = "hidden"  # the first field of a line that is no entry: a checkpoint was deleted


class FileCheckpointStorage(RecordLog):
    """Keeps runs in files under a directory, which is made if it is not there.

    An entry is on disk before the run goes on. With `is_relaxed` it is with the operating system only: that survives
    the end of the process at any point, but not a loss of power.

    Example: workflow(checkpoint_storage=FileCheckpointStorage("runs"))(my_function)
    """

    def __init__(self, storage_path: str | os.PathLike[str], *, is_relaxed: bool = False) -> None:
        self.path = Path(storage_path)
        self.is_relaxed = is_relaxed
        self._open_files: dict[str, int] = {}
        weakref.finalize(self, _close_all, self._open_files)
        self._tails: dict[str, tuple[int, int]] = {}  # run id -> (size of the file, last seq) after our last look

    def append(self, run_id: str, entries: list[Entry]) -> Awaitable[None] | None:
        """Keep entries. Raises: JournalConflict if their seq is taken, StoreError if the file cannot be written."""
        lines = "".join([write_json(entry) + "\n" for entry in entries]).encode()
        try:
            file = self._open(run_id)
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                size, last_seq = self._tail(run_id, file)
                check_order(run_id, last_seq, entries)
                os.write(file, lines)
            finally:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_UN)
            self._tails[run_id] = (size + len(lines), seq_of(entries[-1]))
            to_sync = None if self.is_relaxed else os.dup(file)
        except OSError as error:
            self._close(run_id)
            raise StoreError(f"run {run_id} could not be written to {self.path}: {error}") from error
        return None if to_sync is None else asyncio.get_running_loop().run_in_executor(None, _sync, to_sync)

    def release(self, run_id: str) -> None:
        """The run does not go on in this process for now."""
        self._close(run_id)

    def _open(self, run_id: str) -> int:
        file = self._open_files.get(run_id)
        if file is None:
            self.path.mkdir(parents=True, exist_ok=True)
            if len(self._open_files) >= _MOST_OPEN:
                self._close(next(iter(self._open_files)))
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            file = self._open_files[run_id] = os.open(self._file(run_id), flags, 0o644)
        return file

    def _close(self, run_id: str) -> None:
        self._tails.pop(run_id, None)
        file = self._open_files.pop(run_id, None)
        if file is not None:
            os.close(file)

    async def read(self, run_id: str) -> Sequence[Entry] | None:
        """All entries of a run, or None."""
        entries = [entry for entry in self._lines(run_id) if entry[0] != _HIDDEN]
        return entries or None

    async def run_ids(self, workflow_name: str) -> list[str]:
        """The runs of a workflow, the least recently started first."""
        found: list[tuple[float, str]] = []
        for file in self.path.glob("*.jsonl"):
            with file.open("rb") as lines:
                first = _parse(lines.readline())
            if first is not None and is_first(first) and workflow_of(first) == workflow_name:
                found.append((first[2], unquote(file.stem)))
        return [run_id for _, run_id in sorted(found)]

    async def hidden(self, run_id: str) -> set[int]:
        """The seqs whose checkpoints were deleted."""
        return {entry[1] for entry in self._lines(run_id) if entry[0] == _HIDDEN}

    async def hide(self, run_id: str, seq: int) -> None:
        """Delete a checkpoint."""
        with self._file(run_id).open("ab") as file:
            file.write(json.dumps([_HIDDEN, seq]).encode() + b"\n")
        self._tails.pop(run_id, None)

    async def drop(self, run_id: str) -> None:
        """Remove a run."""
        self._close(run_id)
        self._file(run_id).unlink(missing_ok=True)

    def _file(self, run_id: str) -> Path:
        return self.path / f"{quote(run_id, safe='')}.jsonl"

    def _lines(self, run_id: str) -> list[Entry]:
        try:
            data = self._file(run_id).read_bytes()
        except FileNotFoundError:
            return []
        parsed = (_parse(line) for line in data.splitlines(keepends=True))
        return [entry for entry in parsed if entry is not None]

    def _tail(self, run_id: str, file: int) -> tuple[int, int]:
        """Size and last seq of a run's file; half a line that a killed process left is cut off."""
        size = os.fstat(file).st_size
        known = self._tails.get(run_id)
        if known is not None and known[0] == size:
            return known
        entries = self._lines(run_id)
        data = self._file(run_id).read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != size:
            os.truncate(self._file(run_id), whole)
        return whole, max((seq_of(entry) for entry in entries if entry[0] != _HIDDEN), default=-1)


def _close_all(files: dict[str, int]) -> None:
    for file in files.values():
        os.close(file)


def _parse(line: bytes) -> Entry | None:
    if not line.endswith(b"\n"):
        return None  # the process was killed while it wrote this line; nobody was told of it
    entry: Entry = json.loads(line)
    return entry


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
