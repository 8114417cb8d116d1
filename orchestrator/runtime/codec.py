"""Ticks as JSON, for the journal and exports. Versioned by `FORMAT`; a reader takes every older one. Knows no file.

A tick is `[kind, at, cause, field, …]` with trailing defaults left out; its seq is its place. Payloads go through the
`ValueCodec` of the front end: the type of an event stands beside its value, never inside it, and is looked up among the
events that the flow declares. A value that JSON does not know is refused here, with step and path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from orchestrator.errors import NotSerializable, StoreError
from orchestrator.expr.secrets import seal, unseal
from orchestrator.runtime import ticks as t
from orchestrator.runtime.state import Payload

FORMAT = 1
Json = Any  # plain JSON


class ValueCodec(Protocol):
    """How payloads and values of a flow become JSON and come back."""

    def encode(self, type: str, value: Payload, where: str) -> Json:
        """An event's payload as JSON. Raises: NotSerializable, naming `where`."""
        ...

    def decode(self, type: str, data: Json) -> Payload:
        """The payload of a declared event."""
        ...

    def encode_value(self, value: Any, where: str) -> Json:
        """A result, a recorded call or a state value as JSON. Raises: NotSerializable."""
        ...

    def decode_value(self, data: Json) -> Any:
        """The inverse of `encode_value`."""
        ...


class PlainCodec:
    """Payloads that are JSON already: YAML flows."""

    def encode(self, type: str, value: Payload, where: str) -> Json:
        """The payload itself, once it is known to be JSON."""
        return require_json(value, f"{where}: event `{type}`")

    def decode(self, type: str, data: Json) -> Payload:
        """The payload itself."""
        return data

    def encode_value(self, value: Any, where: str) -> Json:
        """The value itself, once it is known to be JSON."""
        return require_json(value, where)

    def decode_value(self, data: Json) -> Any:
        """The value itself."""
        return data


PLAIN = PlainCodec()
_SCALARS = frozenset({str, int, float, bool, type(None)})


def require_json(value: Any, where: str) -> Json:
    """The value, if it is JSON through and through.

    Raises: NotSerializable with the path of the first part that is not.
    """
    if type(value) in _SCALARS:
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            raise NotSerializable(f"{where} is {value!r}, which JSON cannot hold")
        return value
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise NotSerializable(f"{where} has the key {key!r}; JSON keys are text")
            require_json(item, f"{where}.{key}")
        return value
    if isinstance(value, list | tuple):
        for place, item in enumerate(value):
            require_json(item, f"{where}[{place}]")
        return list(value) if isinstance(value, tuple) else value
    if isinstance(value, str | int | float):  # enums and the like that are text or numbers
        return value
    raise NotSerializable(
        f"{where} is a {type(value).__module__}.{type(value).__qualname__}, which a durable store cannot keep; "
        "return plain data, or keep the run in memory"
    )


def encode_tick(tick: t.Tick, codec: ValueCodec, step_of: Callable[[int], str]) -> list[Json]:
    """One tick as JSON; `step_of` names the step of an activation, for messages."""
    kind, fields = _BY_CLASS[type(tick)]
    row: list[Json] = [kind, round(tick.at, 6), tick.cause]
    last = 3
    for name, default in fields:
        value = getattr(tick, name)
        if value != default:
            encode = _ENCODE.get(name)
            value = value if encode is None else encode(tick, value, codec, step_of)
            last = len(row) + 1
        else:
            value = None  # its default
        row.append(value)
    return row[:last]


def decode_tick(seq: int, row: list[Json], codec: ValueCodec) -> t.Tick:
    """The inverse of `encode_tick`.

    Raises: StoreError for a kind of tick that this version does not know.
    """
    try:
        cls, fields = _BY_KIND[row[0]]
    except (KeyError, IndexError, TypeError):
        raise StoreError(
            f"the journal holds a tick of an unknown kind, {row[:1]!r}; a newer version wrote it"
        ) from None
    values: dict[str, Any] = {}
    for (name, default), value in zip(fields, row[3:], strict=False):
        if value is None:
            values[name] = None if default is _REQUIRED else _copy(default)
            continue
        decode = _DECODE.get(name)
        values[name] = value if decode is None else decode(row, fields, value, codec)
    for name, default in fields[len(row) - 3 :]:
        values[name] = None if default is _REQUIRED else _copy(default)
    tick: t.Tick = cls(seq=seq, at=row[1], cause=row[2], **values)
    return tick


def _copy(default: Any) -> Any:
    return dict(default) if isinstance(default, dict) else default


def _where(tick: Any, step_of: Callable[[int], str]) -> str:
    act = getattr(tick, "act", None)
    return f"step `{step_of(act)}`" if act else "the run"


def _encode_payload(tick: Any, value: Any, codec: ValueCodec, step_of: Callable[[int], str]) -> Json:
    if isinstance(tick, t.Progress):
        return [codec.encode_value(value, f"{_where(tick, step_of)}: result of `{tick.path}`")]
    return (
        [codec.encode(tick.type, value, _where(tick, step_of))] if tick.type else [require_json(value, "a child run")]
    )


def _decode_payload(row: list[Json], fields: Any, value: Json, codec: ValueCodec) -> Any:
    if row[0] == "progress":
        return codec.decode_value(value[0])
    place = next(i for i, (name, _) in enumerate(fields) if name == "type")
    type_name = row[3 + place] if len(row) > 3 + place else None
    return codec.decode(type_name, value[0]) if type_name else value[0]


def _encode_emission(item: t.Emission, codec: ValueCodec, where: str) -> Json:
    row = [item[0], codec.encode(item[0], item[1], where)]
    return row if item[2] is None else [*row, item[2]]


def _decode_emission(row: Json, codec: ValueCodec) -> t.Emission:
    return (row[0], codec.decode(row[0], row[1]), row[2] if len(row) > 2 else None)


def _encode_emitted(tick: Any, value: Any, codec: ValueCodec, step_of: Callable[[int], str]) -> Json:
    where = _where(tick, step_of)
    return [
        {"site": e.site, "list": e.is_list, "of": [_encode_emission(m, codec, where) for m in e.members]}
        if isinstance(e, t.Fan)
        else _encode_emission(e, codec, where)
        for e in value
    ]


def _decode_emitted(row: list[Json], fields: Any, value: Json, codec: ValueCodec) -> Any:
    return tuple(
        t.Fan(e["site"], tuple(_decode_emission(m, codec) for m in e["of"]), e["list"])
        if isinstance(e, dict)
        else _decode_emission(e, codec)
        for e in value
    )


def _encode_announce(tick: Any, value: Any, codec: ValueCodec, step_of: Callable[[int], str]) -> Json:
    return _encode_emission(value, codec, _where(tick, step_of))


def _decode_announce(row: list[Json], fields: Any, value: Json, codec: ValueCodec) -> Any:
    return _decode_emission(value, codec)


def _encode_posts(tick: Any, value: Any, codec: ValueCodec, step_of: Callable[[int], str]) -> Json:
    return [[run, type, codec.encode(type, item, _where(tick, step_of)), dedup] for run, type, item, dedup in value]


def _decode_posts(row: list[Json], fields: Any, value: Json, codec: ValueCodec) -> Any:
    return tuple((run, type, codec.decode(type, item), dedup) for run, type, item, dedup in value)


def _encode_writes(tick: Any, value: Any, codec: ValueCodec, step_of: Callable[[int], str]) -> Json:
    where = _where(tick, step_of)
    return [
        [kind, list(path), codec.encode_value(item, f"{where}: state `{'.'.join(map(str, path))}`")]
        for kind, path, item in value
    ]


def _decode_writes(row: list[Json], fields: Any, value: Json, codec: ValueCodec) -> Any:
    return tuple((kind, tuple(path), codec.decode_value(item)) for kind, path, item in value)


def _encode_any(tick: Any, value: Any, codec: ValueCodec, step_of: Callable[[int], str]) -> Json:
    return [codec.encode_value(value, f"{_where(tick, step_of)}: its result")]


def _decode_any(row: list[Json], fields: Any, value: Json, codec: ValueCodec) -> Any:
    return codec.decode_value(value[0])


def _encode_input(tick: Any, value: Any, codec: ValueCodec, step_of: Callable[[int], str]) -> Json:
    return seal(value)


def _decode_input(row: list[Json], fields: Any, value: Json, codec: ValueCodec) -> Any:
    return unseal(value)


def _encode_match(tick: Any, value: Any, codec: ValueCodec, step_of: Callable[[int], str]) -> Json:
    return codec.encode_value(value, f"{_where(tick, step_of)}: what its wait matches")


def _encode_vars(tick: Any, value: Any, codec: ValueCodec, step_of: Callable[[int], str]) -> Json:
    return {name: codec.encode_value(item, f"state `{name}`") for name, item in value.items()}


def _decode_vars(row: list[Json], fields: Any, value: Json, codec: ValueCodec) -> Any:
    return {name: codec.decode_value(item) for name, item in value.items()}


def _encode_calls(tick: Any, value: Any, codec: ValueCodec, step_of: Callable[[int], str]) -> Json:
    return [codec.encode_value(item, f"{_where(tick, step_of)}: what it read from its context") for item in value]


def _decode_calls(row: list[Json], fields: Any, value: Json, codec: ValueCodec) -> Any:
    return tuple(codec.decode_value(item) for item in value)


def _decode_tuple(row: list[Json], fields: Any, value: Json, codec: ValueCodec) -> Any:
    return tuple(value)


Encode = Callable[[Any, Any, ValueCodec, Callable[[int], str]], Json]
Decode = Callable[[list[Json], Any, Json, ValueCodec], Any]
_ENCODE: dict[str, Encode] = {
    "value": _encode_payload,
    "emitted": _encode_emitted,
    "announce": _encode_announce,
    "posts": _encode_posts,
    "writes": _encode_writes,
    "result": _encode_any,
    "input": _encode_input,
    "match": _encode_match,
    "vars": _encode_vars,
    "calls": _encode_calls,
}
_DECODE: dict[str, Decode] = {
    "value": _decode_payload,
    "emitted": _decode_emitted,
    "announce": _decode_announce,
    "posts": _decode_posts,
    "writes": _decode_writes,
    "result": _decode_any,
    "input": _decode_input,
    "vars": _decode_vars,
    "expected": _decode_tuple,
    "children": _decode_tuple,
    "calls": _decode_calls,
}
_KINDS: dict[str, type[Any]] = {
    "started": t.Started,
    "event": t.EventIn,
    "delivered": t.Delivered,
    "step": t.StepStarted,
    "settled": t.StepSettled,
    "flushed": t.Flushed,
    "progress": t.Progress,
    "collected": t.Collected,
    "wait": t.WaitOpened,
    "unwait": t.WaitClosed,
    "opened": t.ChildOpened,
    "timer": t.TimerFired,
    "answer": t.Answer,
    "child": t.ChildSettled,
    "cancel": t.Cancel,
    "streamed": t.Streamed,
    "migrated": t.Migrated,
}


def _fields_of(cls: type[Any]) -> tuple[tuple[str, Any], ...]:
    rows: list[tuple[str, Any]] = []
    for f in dataclasses.fields(cls)[3:]:
        if f.default_factory is not dataclasses.MISSING:
            rows.append((f.name, f.default_factory()))
        else:
            rows.append((f.name, _REQUIRED if f.default is dataclasses.MISSING else f.default))
    return tuple(rows)


class _Required:
    """The default of a field that has none: equal to nothing."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]  # never a key


_REQUIRED = _Required()
_BY_CLASS = {cls: (kind, _fields_of(cls)) for kind, cls in _KINDS.items()}
_BY_KIND = {kind: (cls, _fields_of(cls)) for kind, cls in _KINDS.items()}
