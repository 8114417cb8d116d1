"""FlowIR to JSON and back, and its content hash. Fields at their default are left out; `origin` is left out of the hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from functools import cache
from typing import Any, TypeVar

from orchestrator.ir import model
from orchestrator.ir.model import FlowIR

T = TypeVar("T")
_NOT_HASHED = frozenset({"origin", "description"})


def flow_to_json(flow: FlowIR) -> dict[str, Any]:
    """The flow as plain JSON."""
    return typing.cast(dict[str, Any], _encode(flow, frozenset()))


def flow_from_json(data: dict[str, Any]) -> FlowIR:
    """The inverse of `flow_to_json`."""
    return typing.cast(FlowIR, _decode(FlowIR, data))


def flow_hash(flow: FlowIR) -> str:
    """Hex SHA-256 over everything that decides how a run goes; layout, comments and places do not count."""
    text = json.dumps(_encode(flow, _NOT_HASHED), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@cache
def _fields(cls: Any) -> tuple[tuple[str, Any, Any], ...]:
    hints = typing.get_type_hints(cls, vars(model))
    rows = []
    for f in dataclasses.fields(cls):
        default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
        rows.append((f.name, hints[f.name], default))
    return tuple(rows)


def _encode(value: Any, skip: frozenset[str]) -> Any:
    if dataclasses.is_dataclass(value):
        out: dict[str, Any] = {}
        cls: Any = value.__class__  # the instance's class; dataclass typing knows no plain way to say it
        for name, _, default in _fields(cls):
            item = getattr(value, name)
            if name not in skip and item != default:
                out[name.rstrip("_")] = _encode(item, skip)
        return out
    if isinstance(value, dict):
        return {k: _encode(v, skip) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_encode(v, skip) for v in value]
    return value


def _decode(hint: Any, data: Any) -> Any:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        known = {name.rstrip("_"): (name, sub) for name, sub, _ in _fields(hint)}
        return hint(**{known[k][0]: _decode(known[k][1], v) for k, v in data.items()})
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return tuple(_decode(args[0], v) for v in data)
    if origin is dict:
        return {k: _decode(args[1], v) for k, v in data.items()}
    if origin is types.UnionType or origin is typing.Union:
        if data is None:
            return None
        inner = next(a for a in args if a is not type(None))
        return _decode(inner, data)
    return data
