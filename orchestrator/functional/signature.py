"""Which parameter of a function is the input and which the run's context. Looks at signatures only; calls nothing."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.functional.errors import SignatureError
from orchestrator.ir.model import Origin

_CONTEXT_NAMES = ("WorkflowRunContext", "RunContext")
_STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


@dataclass(frozen=True, slots=True)
class FunctionShape:
    """What a workflow or step function takes. `names` are its parameters without the context, for readable calls."""

    names: tuple[str, ...]
    input: str | None
    has_default: bool
    input_hint: Any  # an annotation; None if there is none
    context: str | None
    context_at: int  # its place among the positional parameters; -1 if it has none
    default: Any  # of the input, if has_default
    is_positional: bool  # the input or the context can only be given by place
    return_hint: Any  # an annotation; None if there is none
    origin: Origin


def shape_of_workflow(fn: Callable[..., Any], context_type: type[Any]) -> FunctionShape:
    """The shape of a workflow function.

    Raises: SignatureError for a function that is not async, is a generator, or does not take at most one input.
    """
    shape = _shape(fn, context_type, "workflow")
    for parameter in () if shape.names else inspect.signature(fn).parameters.values():
        stars = _STARS.get(parameter.kind, "")
        if stars:
            raise SignatureError(
                f"{_place(fn, shape.origin)}: workflow `{fn.__name__}` takes `{stars}{parameter.name}`; "
                "it gets one input, the message given to run(). Name that parameter"
            )
    if len(shape.names) > 1:
        raise SignatureError(
            f"{_place(fn, shape.origin)}: workflow `{fn.__name__}` takes {len(shape.names)} inputs "
            f"({', '.join(shape.names)}); it gets one, the message given to run(). Put them in one model or dict"
        )
    return shape


def shape_of_step(fn: Callable[..., Any], context_type: type[Any]) -> FunctionShape:
    """The shape of a step function.

    Raises: SignatureError for a function that is not async or is a generator.
    """
    return _shape(fn, context_type, "step")


def _shape(fn: Callable[..., Any], context_type: type[Any], what: str) -> FunctionShape:
    if not callable(fn) or not hasattr(fn, "__code__"):
        raise SignatureError(
            f"@{what} takes a function, not {type(fn).__name__} {fn!r}; give options by name, as in @{what}(name=...)"
        )
    code = fn.__code__
    origin = Origin(code.co_filename, code.co_firstlineno)
    if inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn):
        raise SignatureError(
            f"{_place(fn, origin)}: {what} `{fn.__name__}` yields; return a value, and show progress with ctx.add_event()"
        )
    if not inspect.iscoroutinefunction(fn):
        raise SignatureError(
            f"{_place(fn, origin)}: {what} `{fn.__name__}` is not async; write `async def {fn.__name__}`"
        )
    parameters = inspect.signature(fn).parameters
    hints = _hints(fn)
    context = _context_of(parameters, hints, context_type)
    taken = [p for p in parameters.values() if p.name != context and p.kind not in _STARS]
    first = taken[0] if taken else None
    return FunctionShape(
        names=tuple(p.name for p in taken),
        input=first.name if first is not None else None,
        has_default=first is not None and first.default is not inspect.Parameter.empty,
        input_hint=hints.get(first.name) if first is not None else None,
        context=context,
        context_at=_place_of(parameters, context),
        default=first.default if first is not None else None,
        is_positional=any(p.kind is inspect.Parameter.POSITIONAL_ONLY for p in parameters.values()),
        return_hint=hints.get("return"),
        origin=origin,
    )


def _context_of(parameters: Any, hints: dict[str, Any], context_type: type[Any]) -> str | None:
    for name in parameters:
        if _is_context(hints.get(name), context_type):
            return str(name)
    return "ctx" if "ctx" in parameters else None


def _place_of(parameters: Any, context: str | None) -> int:
    if context is None or parameters[context].kind is inspect.Parameter.KEYWORD_ONLY:
        return -1
    return list(parameters).index(context)


def _is_context(hint: Any, context_type: type[Any]) -> bool:
    if isinstance(hint, str):  # an annotation that could not be resolved, such as a name that only type checkers import
        words = hint.replace("|", " ").replace("[", " ").replace("]", " ").replace('"', " ").replace("'", " ").split()
        return any(word.rpartition(".")[2] in _CONTEXT_NAMES for word in words)
    if hint is context_type:
        return True
    if typing.get_origin(hint) in (typing.Union, types.UnionType, typing.Annotated):
        return any(_is_context(part, context_type) for part in typing.get_args(hint))
    return False


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    near = _closed_over(fn)
    found = {}
    for name, hint in getattr(fn, "__annotations__", {}).items():
        holder = types.SimpleNamespace(__annotations__={name: hint})
        try:
            hints = typing.get_type_hints(holder, fn.__globals__, near, include_extras=True)
        except Exception:  # any code may stand in a postponed annotation; the others are still used
            found[name] = hint
        else:
            found[name] = hints[name]
    return found


def _closed_over(fn: Callable[..., Any]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return names


def _place(fn: Callable[..., Any], origin: Origin) -> str:
    return f"{origin.file}:{origin.line}"
