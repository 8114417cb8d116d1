"""The objects that `edit_state` and `get_state` hand out: a mapping with attributes, or the author's pydantic model.

In an `edit_state` block a field is copied from the state when it is first looked at (`load`), so the cost is that of what the
block touches. Fields that were never loaded are known to be written blindly.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from functools import cache
from typing import Any, cast

from pydantic import BaseModel

Load = Callable[[str], Any]  # a copy of a field's value; raises KeyError if the state has no such field


class DictState:
    """State without a declared shape: keys are items and attributes.

    Example:
        >>> state = DictState({"count": 1})
        >>> state.count += 1
        >>> state["count"], state.get("other"), "count" in state
        (2, None, True)
    """

    __slots__ = ("_keys", "_load", "_read", "_removed", "_values")

    def __init__(
        self, values: Mapping[str, Any] | None = None, *, keys: frozenset[str] = frozenset(), load: Load | None = None
    ) -> None:
        put = object.__setattr__
        put(self, "_values", dict(values or {}))
        put(self, "_keys", set(keys))  # keys of the state that are still there, loaded or not
        put(self, "_load", load)
        put(self, "_read", set())
        put(self, "_removed", set())

    def __getitem__(self, key: str) -> Any:
        if key in self._values:
            return self._values[key]
        if key in self._keys and self._load is not None:
            value = self._values[key] = self._load(key)
            self._read.add(key)
            return value
        self._read.add(key)  # that there is none has been read
        raise KeyError(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value
        self._keys.add(key)
        self._removed.discard(key)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._values.pop(key, None)
        self._keys.discard(key)
        self._removed.add(key)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the state has no key {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __contains__(self, key: object) -> bool:
        if key in self._values or key in self._keys:
            return True
        self._read.add(key)
        return False

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self._all() == (other._all() if isinstance(other, DictState) else other)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"DictState({self._all()!r})"

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or the default."""
        if key not in self:
            return default
        return self[key]

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of a key, set to the default if it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, *default: Any) -> Any:
        """Take a key out."""
        if key in self:
            value = self[key]
            del self[key]
            return value
        if default:
            return default[0]
        raise KeyError(key)

    def update(self, values: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Set several keys."""
        for key, value in {**(values or {}), **more}.items():
            self[key] = value

    def clear(self) -> None:
        """Take every key out."""
        self._removed.update(self._keys)
        self._values.clear()
        self._keys.clear()

    def keys(self) -> KeysView[str]:
        """The keys."""
        return self._all().keys()

    def values(self) -> ValuesView[Any]:
        """The values."""
        return self._all().values()

    def items(self) -> ItemsView[str, Any]:
        """The keys and values."""
        return self._all().items()

    def _all(self) -> dict[str, Any]:
        for key in self._keys - self._values.keys():
            self[key]
        return cast("dict[str, Any]", self._values)


def touched_fields(state: DictState | BaseModel) -> tuple[dict[str, Any], set[str], set[str]]:
    """Of a state from an edit block: values that are present, which of them were read first, and keys that are left."""
    if isinstance(state, DictState):
        return state._values, state._read, state._keys
    values = {name: state.__dict__[name] for name in type(state).model_fields if name in state.__dict__}
    return values, object.__getattribute__(state, "_edit_read"), set(type(state).model_fields)


def removed_keys(state: DictState) -> set[str]:
    """The keys that an edit block took out."""
    removed: set[str] = state._removed
    return removed


def lazy_model(model: type[BaseModel], load: Load) -> BaseModel:
    """An instance of (a subclass of) the model whose fields are loaded when they are looked at."""
    lazy = _lazy_class(model)
    state = lazy.__new__(lazy)
    put = object.__setattr__
    put(state, "__dict__", {})
    put(state, "__pydantic_fields_set__", set(model.model_fields))
    put(state, "__pydantic_extra__", {} if model.model_config.get("extra") == "allow" else None)
    put(state, "__pydantic_private__", None)
    if model.__private_attributes__:
        state.model_post_init(None)
    put(state, "_edit_load", load)
    put(state, "_edit_read", set())
    return state


@cache
def _lazy_class(model: type[BaseModel]) -> type[BaseModel]:
    def __getattr__(self: BaseModel, name: str) -> Any:
        if name in model.model_fields:
            try:
                value = object.__getattribute__(self, "_edit_load")(name)
            except KeyError:
                raise AttributeError(f"the state has no field {name!r}") from None
            self.__dict__[name] = value
            object.__getattribute__(self, "_edit_read").add(name)
            return value
        return BaseModel.__getattr__(self, name)  # type: ignore[attr-defined]  # hidden from type checkers by pydantic

    namespace: dict[str, Any] = {
        "__module__": model.__module__,
        "__qualname__": model.__qualname__,
        "__slots__": ("_edit_load", "_edit_read"),
        "__getattr__": __getattr__,
    }
    for name in ("model_dump", "model_dump_json", "model_copy", "__iter__", "__repr__", "__str__", "__eq__"):
        namespace[name] = _loading(model, name)
    metaclass: Any = type(model)  # pydantic's
    lazy: type[BaseModel] = metaclass(model.__name__, (model,), namespace)
    lazy.__doc__ = model.__doc__
    return lazy


def _loading(model: type[BaseModel], name: str) -> Any:
    original = getattr(model, name)

    def method(self: BaseModel, *args: Any, **kwargs: Any) -> Any:
        for field in model.model_fields:
            getattr(self, field, None)
        return original(self, *args, **kwargs)

    method.__name__ = name
    return method


def model_of(model: type[BaseModel], values: Mapping[str, Any]) -> BaseModel:
    """An instance with these values, which are not checked again; missing fields get their defaults."""
    return model.model_construct(**values)


def fields_of(state: BaseModel) -> dict[str, Any]:
    """The values of a model's fields, by name."""
    return {name: getattr(state, name) for name in type(state).model_fields}


def default_fields(model: type[BaseModel]) -> dict[str, Any]:
    """The fields of a new state of this model.

    Raises: pydantic.ValidationError if a field has no default.
    """
    return fields_of(model())
