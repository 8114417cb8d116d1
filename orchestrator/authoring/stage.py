"""What one attempt of a step has sent and written but not committed. Committed with its result, dropped if it fails.

Theory. Writes are kept as changes, not as copies of the state. A step reads its own writes: a top-level key that it touched
is built once from the committed value and the changes, and kept up to date from then on; other keys are read as committed.
Two steps that edit at the same time both count: numbers are added, list items appended, dict entries set one by one. An edit
that replaces a value it has read (`is_blind` False) is the exception; the gate makes other editors wait for its commit.

Invariants
 S1  the committed state changes only through a tick.
 S2  `cache[top]` equals the committed value of `top` with `changes` applied, as long as nobody else commits to `top`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from orchestrator.authoring.copying import IMMUTABLE, Change, Path, copy_value
from orchestrator.runtime.ticks import Emission, StateOp

_ABSENT = object()


class Stage:
    """The uncommitted work of one attempt."""

    __slots__ = ("_deltas", "_shared", "_written", "cache", "changes", "emitted", "is_replaced", "posts")

    def __init__(self) -> None:
        self.emitted: list[Emission] = []
        self.posts: list[tuple[str, str, Any, str]] = []
        self.changes: list[Change | StateOp] = []
        self.cache: dict[Any, Any] | None = None
        self.is_replaced = False
        self._deltas: dict[Path, Change] | None = None
        self._written: set[Path] | None = None
        self._shared: set[Any] | None = None  # keys of the cache whose value is that of a change

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (self.emitted or self.changes or self.posts)

    def put(self, key: str, value: Any) -> None:
        """Stage a new value of a top-level key. Cost: O(1)."""
        path = (key,)
        self.changes.append(("set", path, value))
        if self._written is not None:
            self._written.add(path)
        if self._deltas:
            self._drop_deltas(path)
        if self.cache is None:
            self.cache = {}
        self.cache[key] = value
        if type(value) not in IMMUTABLE:
            self._share(key)

    def move(self, key: str, base: float, new: float) -> None:
        """Stage that the number of a top-level key went from one value to another. Cost: O(1)."""
        path = (key,)
        if self.changes:
            self._add_delta(Change("delta", path, new, base))
        else:
            self._deltas = {path: Change("delta", path, new, base)}
            self.changes.append(self._deltas[path])
        if self.cache is None:
            self.cache = {}
        self.cache[key] = new

    def add(self, change: Change, committed: dict[str, Any]) -> None:
        """Stage one change. Cost: O(depth of its path), plus the touched key once if it was read before."""
        path = change.path
        if change.kind == "delta":
            self._add_delta(change)
        else:
            if self._written is not None:
                self._written.add(path)
            if self._deltas:
                self._drop_deltas(path)
            self.changes.append(change)
        if self.cache is None:
            self.cache = {}
        if change.kind in ("clear", "replace"):
            self.is_replaced = True
            self.cache = dict(change.new or {})
            self._shared = set(self.cache)
        elif len(path) == 1 and change.kind in ("set", "delta"):
            self.cache[path[0]] = change.new
            self._share(path[0])
        else:
            top = self._own(path[0], committed)
            if len(path) == 1 and change.kind == "delete":
                self.cache[path[0]] = _ABSENT
            else:
                self.cache[path[0]] = apply_change(top, path[1:], change)

    def _share(self, key: Any) -> None:
        if self._shared is None:
            self._shared = set()
        self._shared.add(key)

    def _drop_deltas(self, path: Path) -> None:
        assert self._deltas is not None
        self._deltas = {p: c for p, c in self._deltas.items() if p[: len(path)] != path}

    def _add_delta(self, change: Change) -> None:
        path = change.path
        if self._written is None:
            deltas = self._deltas or {}
            paths = (c[1] if isinstance(c, tuple) else c.path for c in self.changes)
            self._written = {p for p in paths if p not in deltas}
        known = self._deltas.get(path) if self._deltas else None
        if known is not None:
            known.new = change.new
            return
        if self._written and any(path[:n] in self._written for n in range(len(path) + 1)):
            self.changes.append(Change("set", path, change.new))
            return
        if self._deltas is None:
            self._deltas = {}
        self._deltas[path] = change
        self.changes.append(change)

    def _own(self, top: Any, committed: dict[str, Any]) -> Any:
        assert self.cache is not None
        if top not in self.cache:
            self.cache[top] = copy_value(committed[top]) if top in committed and not self.is_replaced else _ABSENT
        elif self._shared is not None and top in self._shared:
            self.cache[top] = copy_value(self.cache[top])
            self._shared.discard(top)
        value = self.cache[top]
        return {} if value is _ABSENT else value

    def view(self, committed: dict[str, Any]) -> dict[str, Any]:
        """The state as the step sees it; not to be changed. Cost: O(keys) if the step wrote something."""
        if self.cache is None:
            return committed
        merged = {} if self.is_replaced else dict(committed)
        for key, value in self.cache.items():
            if value is _ABSENT:
                merged.pop(key, None)
            else:
                merged[key] = value
        return merged

    def value_of(self, top: str, committed: Any, absent: Any) -> Any:
        """The value of a top-level key for the step, given the committed one; `absent` if there is none."""
        if self.cache is not None and top in self.cache:
            value = self.cache[top]
            return absent if value is _ABSENT else value
        return absent if self.is_replaced else committed

    def look(self, top: Any, committed: dict[str, Any]) -> tuple[bool, Any]:
        """Whether a top-level key exists for the step, and its value; not to be changed."""
        if self.cache is not None and top in self.cache:
            value = self.cache[top]
            return value is not _ABSENT, value
        if self.is_replaced or top not in committed:
            return False, None
        return True, committed[top]

    def take_writes(self, committed: dict[str, Any]) -> tuple[StateOp, ...]:
        """The staged changes as operations on the committed state of this moment; the stage has none left."""
        ops = tuple(_operation(c, committed) for c in self.changes)
        self.changes = []
        self.cache = None
        self.is_replaced = False
        self._deltas = None
        self._written = None
        self._shared = None
        return ops


def _operation(change: Change | StateOp, committed: dict[str, Any]) -> StateOp:
    if isinstance(change, tuple):
        return change
    if change.kind != "delta":
        return (change.kind, change.path, change.new)
    path = change.path
    current = committed.get(str(path[0])) if len(path) == 1 else value_at(committed, path)
    if current is change.base:
        return ("set", path, change.new)
    if isinstance(current, int | float) and current != change.base:
        return ("set", change.path, current + (change.new - change.base))
    return ("set", change.path, change.new)


def value_at(root: Any, path: Path) -> Any:
    """The value at a path of containers, None if there is none."""
    for part in path:
        try:
            root = root[part]
        except (KeyError, IndexError, TypeError):
            return None
    return root


def apply_change(root: Any, path: Path, change: Change) -> Any:
    """Apply one change below `root` in place; gives the root, which is a new one for the empty path."""
    if not path:
        if change.kind == "append":
            items = root if isinstance(root, list) else []
            items.append(copy_value(change.new))
            return items
        return copy_value(change.new)
    target = root
    for part in path[:-1]:
        target = _step_into(target, part, dict)
    last = path[-1]
    if change.kind == "append":
        _step_into(target, last, list).append(copy_value(change.new))
    elif change.kind == "delete":
        if isinstance(target, dict):
            target.pop(last, None)
        else:
            del target[last]
    elif isinstance(target, dict | list):
        target[last] = copy_value(change.new)  # type: ignore[index]  # a list has whole numbers as parts
    else:
        setattr(target, str(last), copy_value(change.new))
    return root


def _step_into(target: Any, part: Any, make: type[Any]) -> Any:
    if isinstance(target, dict):
        if part not in target:
            target[part] = make()
        return target[part]
    if isinstance(target, list):
        return target[part]
    return getattr(target, str(part))


class EditGate:
    """Lets one `edit_state` block of a run work at a time, in order of arrival."""

    __slots__ = ("_hard", "_owner", "_queue")

    def __init__(self) -> None:
        self._owner: Any = None
        self._queue: deque[asyncio.Future[None]] | None = None
        self._hard: set[int] | None = None

    @property
    def is_taken(self) -> bool:
        """Whether somebody is inside a block."""
        return self._owner is not None

    def is_owned_by(self, who: Any) -> bool:
        """Whether this task (or thread) is inside a block."""
        return self._owner is who

    async def enter(self, who: Any, act: int) -> None:
        """Wait for the block of others to end, and for the commit of those who replaced what they had read."""
        while not self.take(who, act):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._queue is None:
                self._queue = deque()
            self._queue.append(future)
            await future

    def take(self, who: Any, act: int) -> bool:
        """Enter at once, if nobody is in the way."""
        if self._owner is not None or (self._hard and self._hard != {act}):
            return False
        self._owner = who
        return True

    def leave(self, act: int, is_hard: bool) -> None:
        """The block ended; with `is_hard` others wait until `act` commits."""
        self._owner = None
        if is_hard and act:
            if self._hard is None:
                self._hard = set()
            self._hard.add(act)
        self._wake()

    def committed(self, act: int) -> None:
        """The attempt of `act` committed or dropped its writes."""
        if self._hard is not None and act in self._hard:
            self._hard.discard(act)
            self._wake()

    def _wake(self) -> None:
        waiting, self._queue = self._queue or (), None
        for future in waiting:
            if not future.done():
                future.set_result(None)
