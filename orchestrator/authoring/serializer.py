"""Values of Python workflows as JSON and back. No pickle, and no class is ever imported or found by a name in the data.

Plain JSON stands for itself. Other values are objects with one `$…` key: times, numbers, bytes, sets and tuples of the standard
library; events, models and dataclasses by the name under which they were declared here; exceptions as their text.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError

from orchestrator.errors import NotSerializable, StoreError

Json = Any  # plain JSON
_PLAIN = frozenset({str, int, bool, type(None)})


class UnreconstructedError(Exception):
    """Stands for an exception of an earlier process: what is left of it is its class name and text."""

    def __init__(self, type_name: str, text: str) -> None:
        super().__init__(f"{type_name}: {text}")
        self.type_name = type_name
        self.text = text


class JsonSerializer:
    """Writes and reads values of declared classes; `allowed_types` adds models and dataclasses to those of the workflow.

    Example:
        >>> JsonSerializer().serialize({"when": date(2026, 1, 2)})
        '{"when":{"$date":"2026-01-02"}}'
    """

    def __init__(self, allowed_types: Iterable[type[Any]] | None = None) -> None:
        self.allowed: dict[str, type[Any]] = {}
        for item in allowed_types or ():
            self.allowed[item.__name__] = item

    def with_types(self, types: Mapping[str, type[Any]]) -> JsonSerializer:
        """The same with more declared types; names already taken keep their class."""
        more = JsonSerializer()
        more.allowed = {**types, **self.allowed}
        return more

    def serialize(self, value: Any) -> str:
        """The value as text. Raises: NotSerializable with the path of what cannot be written."""
        return json.dumps(self.encode(value, "the value"), separators=(",", ":"), ensure_ascii=False)

    def deserialize(self, text: str) -> Any:
        """The inverse of `serialize`. Raises: StoreError for a class that is not declared here."""
        return self.decode(json.loads(text))

    def encode(self, value: Any, where: str) -> Json:
        """The value as plain JSON.

        Raises: NotSerializable naming the path.
        """
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is float:
            return value if value - value == 0 else {"$float": repr(value)}
        if kind is dict:
            return self._encode_dict(value, where)
        if kind is list:
            return [v if type(v) in _PLAIN else self.encode(v, f"{where}[{n}]") for n, v in enumerate(value)]
        tag = _TAGS.get(kind)
        if tag is not None:
            return {tag: _WRITE[tag](value)}
        if kind is tuple or kind is set or kind is frozenset:
            items = list(value) if kind is tuple else sorted(value, key=repr)
            return {f"${kind.__name__}": [self.encode(item, f"{where}[{n}]") for n, item in enumerate(items)]}
        return self._encode_object(value, where)

    def _encode_dict(self, value: dict[Any, Any], where: str) -> Json:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {k: v if type(v) in _PLAIN else self.encode(v, f"{where}.{k}") for k, v in value.items()}
        return {
            "$dict": [
                [self.encode(key, f"a key of {where}"), self.encode(item, f"{where}[{key!r}]")]
                for key, item in value.items()
            ]
        }

    def _encode_object(self, value: Any, where: str) -> Json:
        if isinstance(value, BaseException):
            if isinstance(value, UnreconstructedError):
                return {"$error": [value.type_name, value.text]}
            return {"$error": [type(value).__name__, str(value)]}
        name = self.name_of(type(value))
        if name is None:
            raise NotSerializable(
                f"{where} is a {type(value).__module__}.{type(value).__qualname__}, which is not declared here; "
                "return plain data, declare it as the type of an event's field, "
                "or allow it: Workflow(serializer=JsonSerializer(allowed_types=[...]))"
            )
        if isinstance(value, Enum):
            return {"$enum": [name, value.name]}
        if isinstance(value, BaseModel):
            return {"$model": name, "of": self.encode_model(value, where)}
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return {"$model": name, "of": {k: self.encode(v, f"{where}.{k}") for k, v in fields.items()}}

    def encode_model(self, value: BaseModel, where: str) -> dict[str, Json]:
        """The fields of a model, declared and not; those marked `exclude=True` are left out."""
        out: dict[str, Json] = {}
        for field, info in type(value).model_fields.items():
            if not info.exclude:
                item = getattr(value, field)
                out[field] = item if type(item) in _PLAIN else self.encode(item, f"{where}.{field}")
        for key, item in (value.__pydantic_extra__ or {}).items():
            if key.startswith("$"):
                raise NotSerializable(f"{where} has a field named {key!r}; names of fields do not begin with $")
            out[key] = item if type(item) in _PLAIN else self.encode(item, f"{where}.{key}")
        return out

    def name_of(self, cls: type[Any]) -> str | None:
        """The name under which a class is declared here."""
        name = cls.__name__
        if self.allowed.get(name) is cls:
            return name
        return next((known for known, other in self.allowed.items() if other is cls), None)

    def decode(self, data: Json) -> Any:
        """The inverse of `encode`.

        Raises: StoreError for a tag or class that is not known here.
        """
        if isinstance(data, list):
            return [self.decode(item) for item in data]
        if not isinstance(data, dict):
            return data
        tag = next(iter(data), "")
        if not tag.startswith("$"):
            return {key: self.decode(item) for key, item in data.items()}
        value = data[tag]
        if tag in _READ:
            return _READ[tag](value)
        if tag == "$dict":
            return {_hashable(self.decode(key)): self.decode(item) for key, item in value}
        if tag in _COLLECTIONS:
            return _COLLECTIONS[tag](self.decode(item) for item in value)
        if tag == "$error":
            return UnreconstructedError(str(value[0]), str(value[1]))
        if tag == "$enum":
            return self._class(value[0])[value[1]]
        if tag == "$model":
            return self.decode_model(self._class(value), data["of"])
        raise StoreError(f"the data holds a value marked {tag!r}, which this version does not know")

    def decode_model(self, cls: type[Any], fields: dict[str, Json]) -> Any:
        """An instance of a declared class from its encoded fields."""
        values = {key: self.decode(item) for key, item in fields.items()}
        if not issubclass(cls, BaseModel):
            return cls(**values)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise StoreError(f"the data does not fit {cls.__name__} any more: {error}") from error

    def _class(self, name: str) -> Any:
        cls = self.allowed.get(name)
        if cls is None:
            raise StoreError(f"the data holds a {name!r}, a class that is not declared here; names are never imported")
        return cls


def _hashable(key: Any) -> Any:
    return tuple(key) if isinstance(key, list) else key


_TAGS: Mapping[type[Any], str] = MappingProxyType(
    {
        datetime: "$datetime",
        date: "$date",
        time: "$time",
        timedelta: "$timedelta",
        Decimal: "$decimal",
        UUID: "$uuid",
        bytes: "$bytes",
    }
)
_WRITE: dict[str, Callable[[Any], Json]] = {
    "$datetime": datetime.isoformat,
    "$date": date.isoformat,
    "$time": time.isoformat,
    "$timedelta": timedelta.total_seconds,
    "$decimal": str,
    "$uuid": str,
    "$bytes": lambda value: base64.b64encode(value).decode("ascii"),
}
_READ: dict[str, Callable[[Any], Any]] = {
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$timedelta": lambda value: timedelta(seconds=value),
    "$decimal": Decimal,
    "$uuid": UUID,
    "$bytes": base64.b64decode,
    "$float": float,
}
_COLLECTIONS: dict[str, Any] = {"$tuple": tuple, "$set": set, "$frozenset": frozenset}
