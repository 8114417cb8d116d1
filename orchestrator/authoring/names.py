"""Names of event classes in one workflow, and their JSON. A class is found by its declared name, never by one in the data."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from orchestrator.errors import NotSerializable, StoreError
from orchestrator.events import (
    Event,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StepFailedEvent,
    StopEvent,
    UnhandledEvent,
    WorkflowCancelledEvent,
    WorkflowFailedEvent,
    WorkflowTimedOutEvent,
)

if TYPE_CHECKING:  # loaded when something is written as JSON
    from orchestrator.authoring.serializer import JsonSerializer

Json = Any  # plain JSON
STREAMED = "~"
BUILT_IN: tuple[type[Event], ...] = (
    Event,
    StartEvent,
    StopEvent,
    InputRequiredEvent,
    HumanResponseEvent,
    StepFailedEvent,
    WorkflowTimedOutEvent,
    WorkflowCancelledEvent,
    WorkflowFailedEvent,
    UnhandledEvent,
)


def kind_of(cls: type[Event]) -> str:
    """The kind of an event class in FlowIR."""
    if issubclass(cls, StopEvent):
        return "stop"
    if issubclass(cls, StartEvent):
        return "start"
    if issubclass(cls, InputRequiredEvent):
        return "ask"
    if issubclass(cls, HumanResponseEvent):
        return "answer"
    return "plain"


class EventNames:
    """Event classes by name and names by class. Two classes of one name: the later one gets its module in front."""

    __slots__ = ("_on_new", "classes", "names", "resolve")

    def __init__(self, classes: Iterable[type[Event]]) -> None:
        self.names: dict[type[Event], str] = {}
        self.classes: dict[str, type[Event]] = {}
        self._on_new: list[Callable[[str, type[Event]], None]] = []
        self.resolve: Callable[[str], type[Event] | None] | None = None  # finds what only bodies name
        for cls in classes:
            self.name_of(cls)

    def name_of(self, cls: type[Event]) -> str:
        """The name of a class; a class seen for the first time gets one. Cost: O(1)."""
        name = self.names.get(cls)
        if name is not None:
            return name
        name = cls.__name__
        if name in self.classes:
            name = f"{cls.__module__}.{cls.__qualname__}"
        count = 2
        while name in self.classes:
            name, count = f"{cls.__module__}.{cls.__qualname__}#{count}", count + 1
        self.names[cls] = name
        self.classes[name] = cls
        for listener in self._on_new:
            listener(name, cls)
        return name

    def find(self, name: str) -> type[Event] | None:
        """The class of a name: a declared one, or one that the workflow's code can see. Nothing is imported."""
        cls = self.classes.get(name)
        if cls is None and self.resolve is not None:
            cls = self.resolve(name)
            if cls is not None:
                self.name_of(cls)
        return cls

    def on_new(self, listener: Callable[[str, type[Event]], None]) -> None:
        """Be told of classes that are first seen while a run is under way."""
        self._on_new.append(listener)


class ClassCodec:
    """The ValueCodec of one workflow class."""

    def __init__(self, names: EventNames, serializer: JsonSerializer | None, state: type[BaseModel] | None) -> None:
        self.names = names
        self._base = serializer
        self._state = state

    @cached_property
    def serializer(self) -> JsonSerializer:
        """Knows the classes of events, of the state and of all their fields."""
        declared: dict[str, type[Any]] = {cls.__name__: cls for cls in BUILT_IN}
        for cls in self.names.classes.values():
            _add_field_types(cls, declared)
        if self._state is not None:
            declared[self._state.__name__] = self._state
            _add_field_types(self._state, declared)
        declared.update(self.names.classes)
        from orchestrator.authoring.serializer import JsonSerializer

        return (self._base or JsonSerializer()).with_types(declared)

    def event_type(self, value: Any) -> str:
        """The name of a live event in this workflow."""
        return self.names.name_of(type(value))

    def encode(self, type: str, value: Any, where: str) -> Json:
        """An event as the JSON of its fields. Raises: NotSerializable naming step, event and field."""
        if not isinstance(value, BaseModel):
            return self.serializer.encode(value, f"{where}: event `{type}`")
        if type not in self.names.classes and type[:1] != STREAMED:
            raise NotSerializable(f"{where}: event `{type}` is not declared by any step of this workflow")
        return self.serializer.encode_model(value, f"{where}: event `{type}`")

    def decode(self, type: str, data: Json) -> Any:
        """The event of a declared class. Raises: StoreError for one that is not declared."""
        cls = self.names.find(type)
        if cls is None and type[:1] == STREAMED:
            shown = self.names.resolve(type[1:]) if self.names.resolve is not None else None
            cls = shown or Event  # it was only shown; its class need not be part of the workflow
        if cls is None:
            raise StoreError(f"the data holds an event {type!r}, which this workflow does not declare")
        return self.serializer.decode_model(cls, data)

    def stream_type(self, value: Any) -> str:
        """The name under which a streamed event is kept; one that no step declares is marked."""
        name = self.names.names.get(value.__class__)
        return STREAMED + value.__class__.__name__ if name is None else name

    def encode_value(self, value: Any, where: str) -> Json:
        """A value of any kind. Raises: NotSerializable."""
        return self.serializer.encode(value, where)

    def decode_value(self, data: Json) -> Any:
        """The inverse of `encode_value`."""
        return self.serializer.decode(data)


def visible_event(name: str, functions: Iterable[Callable[..., Any]]) -> type[Event] | None:
    """The event class that functions see under a name, or the only one of that name that is loaded."""
    for cls in BUILT_IN:
        if cls.__name__ == name:
            return cls
    for func in functions:
        found = getattr(func, "__globals__", {}).get(name)
        if isinstance(found, type) and issubclass(found, Event):
            return found
    loaded = [cls for cls in _subclasses(Event) if name in (cls.__name__, f"{cls.__module__}.{cls.__qualname__}")]
    return loaded[0] if len(loaded) == 1 else None


def _subclasses(cls: type[Event]) -> Iterator[type[Event]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def _add_field_types(cls: type[BaseModel], found: dict[str, type[Any]]) -> None:
    """Declare the models, dataclasses and enums that a model's fields are made of."""
    for info in cls.model_fields.values():
        for part in _parts(info.annotation):
            if part.__name__ in found:
                continue
            if issubclass(part, BaseModel):
                found[part.__name__] = part
                _add_field_types(part, found)
            elif issubclass(part, Enum) or dataclasses.is_dataclass(part):
                found[part.__name__] = part


def _parts(hint: Any) -> list[type[Any]]:
    args = typing.get_args(hint)
    if args:
        return [part for arg in args for part in _parts(arg)]
    return [hint] if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) else []
