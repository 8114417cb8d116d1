"""The event classes of the class API: pydantic models with room for undeclared fields. Knows no workflow and no runtime.

An event is immutable by convention once it is emitted: steps get it by reference. Declared fields are attributes; undeclared
ones are attributes and items too, and `get`, `in`, `len`, iteration, `keys`, `values` and `items` see only those.
A dump nests undeclared fields under `_data`; validation takes them flat or nested.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, model_serializer

Fields = dict[str, Any]  # values of an event are of any kind

__all__ = [
    "Event",
    "HumanResponseEvent",
    "InputRequiredEvent",
    "InternalEvent",
    "RequestEvent",
    "StartEvent",
    "StepFailedEvent",
    "StepState",
    "StepStateChanged",
    "StopEvent",
    "UnhandledEvent",
    "WorkflowCancelledEvent",
    "WorkflowFailedEvent",
    "WorkflowIdleEvent",
    "WorkflowTimedOutEvent",
]


class Event(BaseModel):
    """What steps take and return.

    Example:
        >>> class Draft(Event):
        ...     text: str
        >>> ev = Draft(text="hello", score=3)
        >>> ev.text, ev.score, ev["score"], "text" in ev, len(ev)
        ('hello', 3, 3, False, 1)
    """

    # `extra="allow"` and no private attribute with a factory: such an attribute would cost 25 µs per event
    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True, defer_build=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:  # Any: pydantic's own signature
        super().__pydantic_init_subclass__(**kwargs)
        if cls.__private_attributes__ and "__init__" not in cls.__dict__:
            cls.__init__ = _init_with_private  # type: ignore[method-assign]

    @classmethod
    def model_validate(cls, obj: Any, **kwargs: Any) -> Any:  # Any: pydantic's own signature
        """The event from a mapping; undeclared fields may be flat or under `_data`."""
        return super().model_validate(_flatten(obj), **kwargs)

    @model_serializer(mode="wrap")
    def _nest_undeclared(self, handler: Callable[[Any], Fields]) -> Fields:
        data = handler(self)
        extra = self.__pydantic_extra__
        if not extra:
            return data
        nested = {name: data.pop(name) for name in list(extra) if name in data}
        if nested:
            data["_data"] = nested
        return data

    def __getitem__(self, key: str) -> Any:
        """A field, declared or not."""
        extra = self.__pydantic_extra__
        if extra is not None and key in extra:
            return extra[key]
        if key in type(self).model_fields:
            return getattr(self, key)
        raise KeyError(key)

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a field before the event is emitted."""
        setattr(self, key, value)

    def get(self, key: str, default: Any = None) -> Any:
        """An undeclared field, or the default."""
        return (self.__pydantic_extra__ or {}).get(key, default)

    def keys(self) -> KeysView[str]:
        """Names of the undeclared fields."""
        return (self.__pydantic_extra__ or {}).keys()

    def values(self) -> ValuesView[Any]:
        """Values of the undeclared fields."""
        return (self.__pydantic_extra__ or {}).values()

    def items(self) -> ItemsView[str, Any]:
        """The undeclared fields."""
        return (self.__pydantic_extra__ or {}).items()

    def __contains__(self, key: object) -> bool:
        """Whether there is an undeclared field of this name."""
        return key in (self.__pydantic_extra__ or ())

    def __len__(self) -> int:
        """How many undeclared fields there are."""
        return len(self.__pydantic_extra__ or ())

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # a mapping of the undeclared fields, not of all
        """Names of the undeclared fields."""
        return iter(self.__pydantic_extra__ or ())

    def __bool__(self) -> bool:
        """Always true: an event without undeclared fields is an event too."""
        return True

    def dict(self, **kwargs: Any) -> Fields:
        """The undeclared fields as a new dict."""
        return {**(self.__pydantic_extra__ or {})}


def _init_with_private(self: Event, **data: Any) -> None:
    """The constructor of an event class with private attributes: they may be given as arguments."""
    private = {name: data.pop(name) for name in type(self).__private_attributes__ if name in data}
    BaseModel.__init__(self, **data)
    for name, value in private.items():
        setattr(self, name, value)


def _flatten(obj: Any) -> Any:
    if isinstance(obj, dict) and isinstance(obj.get("_data"), dict):
        return {**{k: v for k, v in obj.items() if k != "_data"}, **obj["_data"]}
    return obj


class StartEvent(Event):
    """Starts a run. `run(**kwargs)` builds it from the keyword arguments."""


class StopEvent(Event):
    """Ends a run. Of this very class, the run's result is `result`; of a subclass, it is the event itself."""

    result: Any = None

    def __init__(self, result: Any = None, **data: Any) -> None:
        if result is not None:
            data["result"] = result
        super().__init__(**data)

    def _get_result(self) -> Any:
        """What awaiting the handler gives; a subclass may decide otherwise."""
        return self.result if type(self) is StopEvent else self


class InputRequiredEvent(Event):
    """Asks somebody outside; it is shown on the stream, and a `HumanResponseEvent` answers it."""


class RequestEvent(InputRequiredEvent):
    """An `ask` of a flow file is open; `await handler.answer(event.id, user=…, **form)` answers it."""

    id: str
    run_id: str
    step: str
    title: str
    show: Fields = {}
    form: Fields = {}
    verdicts: list[str] = []
    deadline: float | None = None


class HumanResponseEvent(Event):
    """An answer from outside."""


class StepFailedEvent(Event):
    """A step failed for good; given to the handler that `@catch_error` declares."""

    step_name: str
    input_event: Event | None = None
    exception: BaseException
    attempts: int
    elapsed_seconds: float
    failed_at: datetime


class WorkflowTimedOutEvent(StopEvent):
    """The run took longer than the workflow's timeout; the last event of its stream."""

    timeout: float
    active_steps: list[str] = []


class WorkflowCancelledEvent(StopEvent):
    """The run was cancelled; the last event of its stream."""


class WorkflowFailedEvent(StopEvent):
    """A step failed and nothing caught it; the last event of its stream."""

    step_name: str
    exception: BaseException
    attempts: int = 0
    elapsed_seconds: float = 0.0


class InternalEvent(Event):
    """What the runtime says about itself; shown only by `stream_events(expose_internal=True)`."""


class StepState(StrEnum):
    """Where a step is."""

    PREPARING = "preparing"
    RUNNING = "running"
    NOT_RUNNING = "not_running"


class StepStateChanged(InternalEvent):
    """An attempt of a step started or ended."""

    name: str
    step_state: StepState
    worker_id: str = ""
    input_event_name: str = ""
    output_event_name: str | None = None


class WorkflowIdleEvent(InternalEvent):
    """Nothing runs: the run waits for somebody outside."""


class UnhandledEvent(InternalEvent):
    """An event came that no step takes and no wait is for."""

    event_type: str
    step_name: str | None = None
