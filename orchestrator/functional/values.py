"""Values of users' functions: copies that cannot be changed from outside, and plain JSON for what is kept in a storage.

JSON has no tuples, sets, dates and so on; those are written as `{"$t": name, "v": ...}`. A pydantic model, dataclass or other
typed object is written through the annotation of the function that returns or takes it (`$t: typed`) and comes back through
the same annotation: no class name is ever stored, and nothing is imported by a name found in data.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import math
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from pydantic_core import to_jsonable_python

from orchestrator.errors import NotSerializable

Value = Any  # what a user's function takes, returns or stores
Json = Any  # plain JSON

ATOMS: frozenset[type[Any]] = frozenset({str, int, float, bool, type(None), bytes})
_TAG = "$t"
_ENDLESS = "cannot be kept: it contains itself, or nests too deeply"


def copy_value(value: Value, what: str = "a value") -> Value:
    """Containers, dataclasses and models as copies, down to their leaves; everything else (a client, a lock) as it is.

    Raises: NotSerializable for one without an end, which `what` names.
    """
    try:
        return _copy(value)
    except RecursionError:
        raise NotSerializable(f"{what} {_ENDLESS}") from None


def _copy(value: Value) -> Value:
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is dict:
        return {key: _copy(item) for key, item in value.items()}
    if kind is list:
        return [_copy(item) for item in value]
    if kind is tuple:
        return tuple([_copy(item) for item in value])
    if kind in _COPIERS:
        return _COPIERS[kind](value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = copy.copy(value)
        for field in dataclasses.fields(value):
            object.__setattr__(made, field.name, _copy(getattr(value, field.name)))
        return made
    if hasattr(kind, "model_fields") and hasattr(kind, "model_copy"):
        return value.model_copy(update={name: _copy(getattr(value, name)) for name in kind.model_fields})
    return value


_COPIERS: dict[type[Any], Callable[[Any], Any]] = {
    set: set,
    bytearray: bytearray,
    deque: lambda value: deque((_copy(item) for item in value), value.maxlen),
    defaultdict: lambda value: defaultdict(value.default_factory, {k: _copy(v) for k, v in value.items()}),
    OrderedDict: lambda value: OrderedDict((k, _copy(v)) for k, v in value.items()),
    Counter: Counter,
}


class Encoded:
    """A value as a storage keeps it; it becomes an object where its annotation is known. `live` is it before it was kept."""

    __slots__ = ("json", "live")

    def __init__(self, json: Json, live: Value = None) -> None:
        self.json = json
        self.live = live


def encode(value: Value, hint: Any, what: str) -> Json:
    """The value as JSON; `hint` is the annotation of where it came from, `what` names it in the error.

    Raises: NotSerializable, with the path in the value.
    """
    if type(value) is Encoded:
        return value.json
    found: list[str] = []
    try:
        plain = _to_json(value, "", found)
    except RecursionError:
        raise NotSerializable(f"{what} {_ENDLESS}") from None
    if not found:
        return plain
    problem = found[0]
    if hint is not None and hint is not Any:
        try:
            return {_TAG: "typed", "v": adapter(hint).dump_python(value, mode="json", warnings="error")}
        except Exception as error:  # whatever pydantic or a custom serializer raises
            problem += f"; its annotation cannot write it either ({_first_line(error)})"
    raise NotSerializable(
        f"{what} cannot be kept in a storage: {problem}. Use JSON values, or annotate a dataclass or pydantic model"
    )


def decode(value: Value, hint: Any) -> Value:
    """The inverse of `encode`; a value that never was encoded is copied."""
    if type(value) is not Encoded:
        return copy_value(value)
    json = value.json
    if type(json) is dict and json.get(_TAG) == "typed":
        return json["v"] if hint is None else adapter(hint).validate_python(json["v"])
    return _from_json(json)


def encode_plain(value: Value, what: str) -> Json:
    """The value as JSON that equals it (tuples become lists); for state, which takes nothing else.

    Raises: NotSerializable, with the path in the value.
    """
    found: list[str] = []
    try:
        plain = _plain(value, "", found)
    except RecursionError:
        raise NotSerializable(f"{what} {_ENDLESS}") from None
    if found:
        raise NotSerializable(
            f"{what} cannot be kept in a storage: {found[0]}. State is JSON: text, numbers, lists, dicts"
        )
    return plain


@lru_cache(maxsize=1024)
def _cached_adapter(hint: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:
        return TypeAdapter(hint)


def adapter(hint: Any) -> Any:
    """Pydantic's reader and writer for an annotation."""
    try:
        return _cached_adapter(hint)
    except TypeError:  # an annotation that cannot be hashed, such as Literal[[]] or Annotated[int, {}]
        return _cached_adapter.__wrapped__(hint)


def _to_json(value: Value, path: str, found: list[str]) -> Json:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return value if math.isfinite(value) else {_TAG: "float", "v": repr(value)}
    if kind is dict:
        if all(type(key) is str for key in value) and _TAG not in value:
            return {key: _to_json(item, f"{path}.{key}", found) for key, item in value.items()}
        pairs = [[_to_json(k, f"{path}.{k}", found), _to_json(v, f"{path}.{k}", found)] for k, v in value.items()]
        return {_TAG: "dict", "v": pairs}
    if kind is list:
        return [_to_json(item, f"{path}[{i}]", found) for i, item in enumerate(value)]
    writer = _WRITERS.get(kind)
    if writer is not None:
        return {_TAG: kind.__name__, "v": writer(value, path, found)}
    found.append(f"{'the value' if not path else path.removeprefix('.')} is a {kind.__qualname__}")
    return None


def _items(value: Any, path: str, found: list[str]) -> Json:
    return [_to_json(item, f"{path}[{i}]", found) for i, item in enumerate(value)]


def _sorted_items(value: Any, path: str, found: list[str]) -> Json:
    return _items(sorted(value, key=repr), path, found)


_WRITERS: dict[type[Any], Callable[[Any, str, list[str]], Json]] = {
    tuple: _items,
    set: _sorted_items,
    frozenset: _sorted_items,
    bytes: lambda value, path, found: base64.b64encode(value).decode(),
    datetime: lambda value, path, found: value.isoformat(),
    date: lambda value, path, found: value.isoformat(),
    time: lambda value, path, found: value.isoformat(),
    timedelta: lambda value, path, found: [value.days, value.seconds, value.microseconds],
    Decimal: lambda value, path, found: str(value),
    UUID: lambda value, path, found: str(value),
}
_READERS: dict[str, Callable[[Any], Value]] = {
    "dict": lambda v: {_from_json(key): _from_json(item) for key, item in v},
    "float": float,
    "tuple": lambda v: tuple(_from_json(item) for item in v),
    "set": lambda v: {_from_json(item) for item in v},
    "frozenset": lambda v: frozenset(_from_json(item) for item in v),
    "bytes": base64.b64decode,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda v: timedelta(*v),
    "Decimal": Decimal,
    "UUID": UUID,
    "typed": lambda v: v,
}


def _from_json(json: Json) -> Value:
    if type(json) is dict:
        tag = json.get(_TAG)
        if tag is not None:
            return _READERS[tag](json["v"])
        return {key: _from_json(item) for key, item in json.items()}
    if type(json) is list:
        return [_from_json(item) for item in json]
    return json


def _plain(value: Value, path: str, found: list[str]) -> Json:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float and math.isfinite(value):
        return value
    if kind is list or kind is tuple:
        return [_plain(item, f"{path}[{i}]", found) for i, item in enumerate(value)]
    if kind is dict:
        bad = next((key for key in value if type(key) is not str), None)
        if bad is None:
            return {key: _plain(item, f"{path}.{key}", found) for key, item in value.items()}
        found.append(f"{path.removeprefix('.') or 'the value'} has the key {bad!r}, which is not text")
        return None
    found.append(f"{path.removeprefix('.') or 'the value'} is a {kind.__qualname__}")
    return None


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def shown(value: Value) -> Value:
    """A kept value for readers: as it was when it was kept, else as plain as it is stored."""
    if type(value) is not Encoded:
        return value
    return value.live if value.live is not None else decode(value, None)


def read_json(json: Json) -> Value:
    """A stored value; one that needs its annotation stays `Encoded`."""
    return Encoded(json) if type(json) is dict and json.get(_TAG) == "typed" else _from_json(json)


def untyped(json: Json) -> Json:
    """A stored value as plain JSON for displays."""
    return json["v"] if type(json) is dict and json.get(_TAG) == "typed" else json


def plain_json(value: Value) -> Json:
    """A value of any kind for displays: plain JSON, and a word for what is none."""
    return to_jsonable_python(untyped(value.json) if type(value) is Encoded else value, fallback=repr)
