"""The state of a run as steps and callers see it: dot paths, typed state, edit blocks. Copies in, copies out.

A step reads the committed state plus its own staged writes; what it writes is committed with its result. Outside a step
(before the run, or through the handler) a write is committed at once. From the thread of a sync step every call has a twin
that ends in `_sync`; it does its work in the event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError

from orchestrator.authoring.copying import IMMUTABLE, Change, changes_between, copy_value
from orchestrator.authoring.state_model import (
    DictState,
    default_fields,
    fields_of,
    lazy_model,
    model_of,
    removed_keys,
    touched_fields,
)
from orchestrator.authoring.state_source import StateSource

MAX_SEGMENTS = 1000
NUMBERS = frozenset({int, float})
_MISSING: Any = object()
S = TypeVar("S")
R = TypeVar("R")


class StateStore(Generic[S]):
    """`ctx.store`.

    Example: await ctx.store.set("user.name", "Ada"); name = await ctx.store.get("user.name")
    """

    __slots__ = ("_source",)

    def __init__(self, source: StateSource) -> None:
        self._source = source

    async def get(self, path: str, default: Any = _MISSING) -> Any:
        """A copy of the value at a dot path. Cost: O(size of the value).

        Raises: ValueError if there is nothing and no default.
        """
        found = self._source.read(path, _read_copy)
        return found[0] if found else _default(path, default)

    async def set(self, path: str, value: Any) -> None:
        """Put a copy of the value at a dot path; missing dicts on the way are made."""
        source = self._source
        if "." in path or not path or source.model is not None or source.gate.is_taken:
            self._set(path, value)
        else:
            source.put(path, value if type(value) in IMMUTABLE else copy_value(value))

    async def append(self, path: str, value: Any) -> None:
        """Add an item to the list at a dot path; a missing list is made. Cost: O(size of the item)."""
        self._append(path, value)

    async def get_state(self) -> S:
        """A copy of the whole state."""
        return self._get_state()

    async def set_state(self, state: S) -> None:
        """Replace the state; a state of a parent class of the declared model is merged into it.

        Raises: ValueError for a state of another kind.
        """
        self._set_state(state)

    async def clear(self) -> None:
        """Put the state back to its defaults.

        Raises: ValueError if a field has none.
        """
        self._clear()

    def edit_state(self) -> EditBlock[S]:
        """An isolated state to change: taken over if the block ends well, dropped if it raises.

        Blocks of one run take turns. Meanwhile readers see the old state.

        Example: async with ctx.store.edit_state() as state: state.count += 1
        """
        return EditBlock(self)

    # The same from a thread.

    def get_sync(self, path: str, default: Any = _MISSING) -> Any:
        """`get`, for a sync step."""
        found = self._source.call(lambda: self._source.read(path, _read_copy))
        return found[0] if found else _default(path, default)

    def set_sync(self, path: str, value: Any) -> None:
        """`set`, for a sync step."""
        self._source.call(lambda: self._set(path, value))

    def append_sync(self, path: str, value: Any) -> None:
        """`append`, for a sync step."""
        self._source.call(lambda: self._append(path, value))

    def get_state_sync(self) -> S:
        """`get_state`, for a sync step."""
        return self._source.call(self._get_state)

    def set_state_sync(self, state: S) -> None:
        """`set_state`, for a sync step."""
        self._source.call(lambda: self._set_state(state))

    def clear_sync(self) -> None:
        """`clear`, for a sync step."""
        self._source.call(self._clear)

    @contextmanager
    def edit_state_sync(self) -> Iterator[S]:
        """`edit_state`, for a sync step."""
        source = self._source
        me = threading.current_thread()
        self._refuse_nested(me)
        source.wait(source.gate.enter(me, source.act))
        is_hard = False
        try:
            bases: dict[str, Any] = {}
            state = source.call(lambda: self._open_edit(bases))
            yield state
            is_hard = source.call(lambda: self._close_edit(state, bases))
        finally:
            hard = is_hard
            source.call(lambda: source.gate.leave(source.act, hard))

    # What they do.

    def _set(self, path: str, value: Any) -> None:
        self._refuse_in_edit()
        parts = _split(path)
        self._source.write([self._change_at("set", parts, copy_value(value))])

    def _append(self, path: str, value: Any) -> None:
        self._refuse_in_edit()
        parts = _split(path)
        present = _raw_value(self._source, parts)
        if present is not _MISSING and not isinstance(present, list):
            raise ValueError(f"the state holds a {type(present).__name__} at '{path}', not a list")
        self._source.write([self._change_at("append", parts, copy_value(value))])

    def _change_at(self, kind: str, parts: list[str], value: Any) -> Change:
        """The change for a path; a path through an object that is no container replaces its top-level key."""
        model = self._source.model
        if model is not None and parts[0] not in model.model_fields and model.model_config.get("extra") != "allow":
            raise ValueError(f"the state {model.__name__} has no field '{parts[0]}'")
        path: list[str | int] = [parts[0]]
        exists, target = self._source.look(parts[0])
        if not exists and len(parts) > 1:
            target = {}
        for part in parts[1:]:
            if isinstance(target, list):
                place = _index(target, part)
                path.append(place)
                target = target[place]
            elif isinstance(target, dict):
                path.append(part)
                target = target.get(part, {})
            elif isinstance(target, BaseModel):
                return self._through_object(parts, kind, value)
            else:
                raise ValueError(f"the state holds a {type(target).__name__} at '{'.'.join(map(str, path))}'")
        return Change(kind, tuple(path), value)

    def _through_object(self, parts: list[str], kind: str, value: Any) -> Change:
        _, top = self._source.look(parts[0])
        changed = target = copy_value(top)
        for part in parts[1:-1]:
            target = _child(target, part)
        last = parts[-1]
        if kind == "append":
            _child(target, last).append(value)
        elif isinstance(target, BaseModel):
            setattr(target, last, value)
        else:
            target[_index(target, last) if isinstance(target, list) else last] = value
        return Change("set", (parts[0],), changed)

    def _get_state(self) -> S:
        view = self._source.view
        values = self._source.remember("get_state", lambda: {k: copy_value(v) for k, v in view().items()})
        model = self._source.model
        return cast(S, DictState(values) if model is None else model_of(model, values))

    def _set_state(self, state: Any) -> None:
        self._refuse_in_edit()
        model = self._source.model
        if model is None:
            if not isinstance(state, DictState | dict):
                raise ValueError(f"the state is a mapping; it cannot become a {type(state).__name__}")
            values = dict(state.items())
        elif isinstance(state, model):
            values = fields_of(state)
        elif isinstance(state, BaseModel) and issubclass(model, type(state)):
            values = {**self._source.view(), **fields_of(state)}
        else:
            raise ValueError(f"the state is a {model.__name__}; it cannot become a {type(state).__name__}")
        self._source.write([Change("replace", (), copy_value(values))])

    def _clear(self) -> None:
        self._refuse_in_edit()
        model = self._source.model
        if model is None:
            self._source.write([Change("clear", ())])
            return
        try:
            values = default_fields(model)
        except ValidationError as error:
            names = ", ".join(str(e["loc"][0]) for e in error.errors())
            raise ValueError(f"the state {model.__name__} has no defaults for {names}") from error
        self._source.write([Change("replace", (), values)])

    def _open_edit(self, bases: dict[str, Any]) -> S:
        """A state to change; `bases` gets each value as it was when it was first looked at."""
        source = self._source

        def load(name: str) -> Any:
            exists, value = source.look(name)
            if not exists:
                raise KeyError(name)
            bases[name] = value if type(value) in IMMUTABLE else copy_value(value)
            return bases[name] if type(value) in IMMUTABLE else copy_value(value)

        if source.model is None:
            return cast(S, DictState(keys=frozenset(source.view()), load=load))
        return cast(S, lazy_model(source.model, load))

    def _close_edit(self, state: Any, bases: dict[str, Any]) -> bool:
        """Stage what changed; tells whether something that was read has been replaced."""
        source = self._source
        values, read, left = touched_fields(state)
        changes: list[Change] = []
        for name, value in values.items():
            if name in read:
                if name in bases:
                    base = bases[name]
                    if type(base) in NUMBERS and type(value) in NUMBERS:
                        if base != value or type(base) is not type(value):
                            source.move(name, base, value)
                    elif base is not value or type(value) not in IMMUTABLE:
                        changes += changes_between(base, value, (name,))
                else:
                    changes.append(Change("set", (name,), copy_value(value), is_blind=False))
            else:
                changes.append(Change("set", (name,), copy_value(value)))
        if source.model is None:
            changes += [Change("delete", (k,)) for k in bases if k not in left]
            changes += [Change("delete", (k,)) for k in removed_keys(state) if k not in bases]
        if not changes:
            return False
        source.write(changes)
        return any(not c.is_blind for c in changes)

    def _refuse_nested(self, me: Any) -> None:
        if self._source.gate.is_owned_by(me):
            raise RuntimeError("edit_state() inside an edit_state() block of the same step; change the state you have")

    def _refuse_in_edit(self) -> None:
        gate = self._source.gate
        if gate.is_owned_by(threading.current_thread()) or gate.is_owned_by(_current_task()):
            raise RuntimeError("the store cannot be written inside an edit_state() block; change the state it gave you")


class EditBlock(Generic[S]):
    """What `async with store.edit_state()` runs through."""

    __slots__ = ("_bases", "_state", "_store")

    def __init__(self, store: StateStore[S]) -> None:
        self._store = store
        self._bases: dict[str, Any] = {}

    async def __aenter__(self) -> S:
        source = self._store._source
        me = asyncio.current_task()
        self._store._refuse_nested(me)
        if not source.gate.take(me, source.act):
            await source.gate.enter(me, source.act)
        self._state = self._store._open_edit(self._bases)
        return self._state

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        source = self._store._source
        is_hard = False
        try:
            if error is None:
                is_hard = self._store._close_edit(self._state, self._bases)
        finally:
            source.gate.leave(source.act, is_hard)


def _read_copy(source: StateSource, path: str) -> list[Any]:
    """A copy of the value at a path in a list, or an empty list."""
    value = _raw_value(source, _split(path))
    return [] if value is _MISSING else [copy_value(value)]


def _raw_value(source: StateSource, parts: list[str]) -> Any:
    exists, value = source.look(parts[0])
    if not exists:
        return _MISSING
    try:
        for part in parts[1:]:
            value = _child(value, part)
    except (KeyError, IndexError, AttributeError, TypeError, ValueError):
        return _MISSING
    return value


def _default(path: str, default: Any) -> Any:
    if default is _MISSING:
        raise ValueError(f"Path '{path}' not found in state")
    return default


def _split(path: str) -> list[str]:
    if not isinstance(path, str) or not path:
        raise ValueError("a path in the state is not empty")
    parts = path.split(".")
    if len(parts) > MAX_SEGMENTS:
        raise ValueError(f"a path in the state has at most {MAX_SEGMENTS} segments, this one has {len(parts)}")
    return parts


def _child(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value[part]
    if isinstance(value, list | tuple):
        return value[int(part)]
    return getattr(value, part)


def _index(target: list[Any], part: str) -> int:
    try:
        place = int(part)
        target[place]
    except (ValueError, IndexError):
        raise ValueError(f"'{part}' is no place in a list of {len(target)}") from None
    return place


def _current_task() -> Any:
    try:
        return asyncio.current_task() or _MISSING
    except RuntimeError:
        return _MISSING
