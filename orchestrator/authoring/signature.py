"""Reads what a step takes and gives from its signature, once, when it is declared. Knows no flow and no run.

Rules: at least one event parameter; at most one list of events, and then no other event parameter; several event
parameters are a join of one event each; `Context`, `Annotated[T, Resource(…)]` and workflows are handed in; everything
else needs a default. The return annotation is compulsory and names what the step emits.
"""

from __future__ import annotations

import inspect
import linecache
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel

from orchestrator.authoring.collecting import Collect, Take
from orchestrator.authoring.context import Context
from orchestrator.authoring.resources import Resource, ResourceConfig
from orchestrator.errors import WorkflowValidationError
from orchestrator.events import Event
from orchestrator.ir.model import Origin

NoneType = type(None)
Where = Callable[[], str]  # how messages name the step; looked up only if there is one
MAX_DECORATOR_LINES = 40


_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True)
class EventParam:
    """A parameter that takes events; `is_list` takes all (or the first `take`) members of a fan-out."""

    name: str
    events: tuple[type[Event], ...]
    is_list: bool = False
    take: int | None = None


@dataclass(frozen=True, slots=True)
class Injection:
    """A parameter that is filled from elsewhere: a resource, a configuration or a workflow (`source` None)."""

    name: str
    type: Any  # the annotation: any type a factory may give
    source: Resource | ResourceConfig | None


@dataclass(frozen=True, slots=True)
class Signature:
    """What a step takes and gives."""

    params: tuple[EventParam, ...]
    context: str | None
    state: type[BaseModel] | None
    injections: tuple[Injection, ...]
    emits: tuple[type[Event], ...]
    fans: tuple[type[Event], ...]
    gives_none: bool
    order: tuple[str, ...]  # the names of all parameters above, as declared
    is_async: bool

    @property
    def accepts(self) -> tuple[type[Event], ...]:
        """All event classes that it takes."""
        return tuple(dict.fromkeys(e for p in self.params for e in p.events))


def origin_of(func: Callable[..., Any]) -> Origin:
    """Where a function is defined: the line of its `def`, below its decorators. Reads the source file."""
    code = inspect.unwrap(func).__code__
    line = code.co_firstlineno
    for at in range(line, line + MAX_DECORATOR_LINES):
        if linecache.getline(code.co_filename, at).lstrip().startswith(("def ", "async def ")):
            return Origin(code.co_filename, at)
    return Origin(code.co_filename, line)


def read_signature(func: Callable[..., Any], names: dict[str, Any], is_method: bool, where: Where) -> Signature:
    """The signature of a step function; `names` are the local names that its annotations may use.

    Raises: WorkflowValidationError naming the step, what is wrong and its place; NameError if an annotation names
    something that does not exist (yet).
    """
    if inspect.isasyncgenfunction(func) or inspect.isgeneratorfunction(func):
        raise _wrong(where, "is a generator; return the events, or send them with `ctx.send_event`")
    hints = _hints(func, names)
    parameters = list(inspect.signature(func).parameters.values())
    if is_method:
        parameters = parameters[1:]
    params: list[EventParam] = []
    injections: list[Injection] = []
    context: str | None = None
    state: type[BaseModel] | None = None
    order: list[str] = []
    for parameter in parameters:
        hint = hints.get(parameter.name, inspect.Parameter.empty)
        read = _read_parameter(parameter, hint, where)
        if read is None:
            continue
        order.append(parameter.name)
        if isinstance(read, EventParam):
            params.append(read)
        elif isinstance(read, Injection):
            injections.append(read)
        else:
            context, state = parameter.name, read[0]
    _check_params(params, where)
    if "return" not in hints:
        raise _wrong(where, "has no return annotation; name the events that it returns, or `-> None`")
    emits, fans, gives_none = _read_return(hints["return"], where)
    return Signature(
        tuple(params),
        context,
        state,
        tuple(injections),
        emits,
        fans,
        gives_none,
        tuple(order),
        inspect.iscoroutinefunction(func),
    )


def _hints(func: Callable[..., Any], names: dict[str, Any]) -> dict[str, Any]:
    raw = getattr(inspect.unwrap(func), "__annotations__", {})
    if not any(isinstance(hint, str) or _has_forward(hint) for hint in raw.values()):
        return dict(raw)
    return typing.get_type_hints(func, localns=names, include_extras=True)


def _has_forward(hint: Any) -> bool:
    return isinstance(hint, typing.ForwardRef) or any(_has_forward(a) for a in typing.get_args(hint))


def _read_parameter(
    parameter: inspect.Parameter, hint: Any, where: Where
) -> EventParam | Injection | tuple[type[BaseModel] | None] | None:
    name = parameter.name
    if parameter.kind in _STARRED and parameter.annotation is not inspect.Parameter.empty:
        raise _wrong(where, f"parameter `{name}` has a star; a step takes every event as a parameter of its own")
    marks: tuple[Any, ...] = ()
    if typing.get_origin(hint) is Annotated:
        hint, *rest = typing.get_args(hint)
        marks = tuple(rest)
    for mark in marks:
        if isinstance(mark, Resource | ResourceConfig):
            return Injection(name, hint, mark)
    if hint is Context or typing.get_origin(hint) is Context:
        args = typing.get_args(hint)
        if args and not (isinstance(args[0], type) and issubclass(args[0], BaseModel)) and args[0] is not Any:
            raise _wrong(where, f"parameter `{name}`: Context[…] takes a pydantic model, not {args[0]!r}")
        return (args[0] if args and args[0] is not Any else None,)
    if typing.get_origin(hint) is list:
        members = _event_classes(typing.get_args(hint)[0])
        if members:
            collect = next((m for m in marks if isinstance(m, Collect)), Collect())
            take = collect.members.n if isinstance(collect.members, Take) else None
            return EventParam(name, members, True, take)
    events = _event_classes(hint)
    if events:
        if any(isinstance(m, Collect) for m in marks):
            raise _wrong(where, f"parameter `{name}`: Collect(…) stands on a list of events, `list[{_name(hint)}]`")
        return EventParam(name, events)
    if _is_workflow(hint):
        return Injection(name, hint, None)
    if parameter.default is not inspect.Parameter.empty or parameter.kind in _STARRED:
        return None
    if hint is inspect.Parameter.empty:
        raise _wrong(where, f"parameter `{name}` has no annotation; a step takes events, a Context or resources")
    raise _wrong(
        where,
        f"parameter `{name}` is a {_name(hint)}, which nothing provides; "
        f"take an Event class, a Context, or `Annotated[{_name(hint)}, Resource(factory)]`",
    )


def _check_params(params: list[EventParam], where: Where) -> None:
    if not params:
        raise _wrong(where, "takes no event; give it a parameter such as `ev: StartEvent`")
    if len(params) == 1:
        return
    lists = [p for p in params if p.is_list]
    if lists:
        raise _wrong(
            where, f"parameter `{lists[0].name}` is a list of events, so no other event parameter may stand by it"
        )
    seen: dict[type[Event], str] = {}
    for param in params:
        if len(param.events) > 1:
            raise _wrong(where, f"has several event parameters, so `{param.name}` must be of one class, not a union")
        other = seen.setdefault(param.events[0], param.name)
        if other != param.name:
            raise _wrong(
                where, f"parameters `{other}` and `{param.name}` take the same event `{_name(param.events[0])}`"
            )


def _read_return(hint: Any, where: Where) -> tuple[tuple[type[Event], ...], tuple[type[Event], ...], bool]:
    emits: dict[type[Event], None] = {}
    fans: dict[type[Event], None] = {}
    gives_none = False
    for part in _members(hint):
        if typing.get_origin(part) is Annotated:
            part = typing.get_args(part)[0]
        if part is None or part is NoneType:
            gives_none = True
        elif isinstance(part, type) and issubclass(part, Event):
            emits[part] = None
        elif typing.get_origin(part) is list:
            members = _event_classes(typing.get_args(part)[0])
            if not members:
                raise _wrong(where, f"returns {_name(part)}; a list that a step returns holds events")
            fans.update(dict.fromkeys(members))
        else:
            raise _wrong(
                where, f"returns {_name(part)}, which is no event; return an Event class, `list[Event]` or None"
            )
    return tuple(emits), tuple(fans), gives_none


def _members(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(m for a in typing.get_args(hint) for m in _members(a))
    return (hint,)


def _event_classes(hint: Any) -> tuple[type[Event], ...]:
    found: list[type[Event]] = []
    for part in _members(hint):
        if typing.get_origin(part) is Annotated:
            part = typing.get_args(part)[0]
        if part is NoneType:
            continue
        if not (isinstance(part, type) and issubclass(part, Event)):
            return ()
        found.append(part)
    return tuple(dict.fromkeys(found))


def _is_workflow(hint: Any) -> bool:
    from orchestrator.authoring.workflow import Workflow

    return isinstance(hint, type) and issubclass(hint, Workflow)


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")


def _wrong(where: Where, problem: str) -> WorkflowValidationError:
    return WorkflowValidationError(f"{where()} {problem}")
