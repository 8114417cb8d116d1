"""A typed function's signature as fields, injections and schemas. The one place where annotations become JSON Schema.

Works on annotations as objects, so that a live function and a syntax tree (see syntax.py) end in the same schemas.
Loads pydantic; nothing that only lists or resolves callables may import this module.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import logging
import types
import typing
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, Union, cast, get_args, get_origin

from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import SchemaError, to_jsonable_python
from typing_extensions import TypedDict

from orchestrator.errors import PluginError
from orchestrator.events import Event
from orchestrator.ir.model import Origin
from orchestrator.plugin.define import StepDef
from orchestrator.plugin.files import ProjectFiles
from orchestrator.plugin.http_client import HttpClient
from orchestrator.plugin.info import CallableInfo, EventInfo, Json, Target
from orchestrator.plugin.llm import Llm
from orchestrator.plugin.mail import Mailer
from orchestrator.plugin.process import Processes
from orchestrator.plugin.secrets import Secret
from orchestrator.plugin.services import Clock, StepContext

TypeForm = Any  # a type annotation as an object: class, generic alias, union, Annotated


class _Missing(Enum):
    MISSING = "missing"
    UNKNOWN = "unknown"  # there is a default, but its value is not known without running code


MISSING = _Missing.MISSING
UNKNOWN = _Missing.UNKNOWN


class Inject(Enum):
    """What a parameter is filled with because of its type."""

    CONTEXT = "context"
    CLOCK = "clock"
    HTTP = "http"
    LLM = "llm"
    LOGGER = "logger"
    FILES = "files"
    MAILER = "mailer"
    PROCESSES = "processes"
    MCP = "mcp"
    SECRET = "secret"


INJECTED: dict[object, Inject] = {
    StepContext: Inject.CONTEXT,
    Clock: Inject.CLOCK,
    HttpClient: Inject.HTTP,
    Llm: Inject.LLM,
    logging.Logger: Inject.LOGGER,
    ProjectFiles: Inject.FILES,
    Mailer: Inject.MAILER,
    Processes: Inject.PROCESSES,
}


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter as written: its annotation and default, if any."""

    name: str
    annotation: TypeForm
    default: Any = MISSING  # Any: a default is any object


@dataclass(frozen=True, slots=True)
class Signature:
    """What a call needs and gives. `returns` of a generator is the type of one chunk; `takes_more`: fields of any name."""

    fields: tuple[Param, ...]
    injected: tuple[tuple[str, Inject], ...]
    returns: TypeForm
    is_async: bool
    streams: bool
    takes_more: bool = False


class _PlainSchema(GenerateJsonSchema):
    """JSON Schema without a title made up from every field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # Any: pydantic's own core schema type
        return False

    def emit_warning(self, kind: Any, detail: str) -> None:  # Any: pydantic's own literal type
        return None


def signature_of(step: StepDef) -> Signature:
    """The signature of a live function. Raises: PluginError."""
    function = step.function
    own = getattr(function, "plugin_signature", None)
    if own is not None:  # a tool whose fields are known as a schema, not as annotations
        given: Signature = own()
        return given
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        hints = typing.get_type_hints(target, include_extras=True)
        parameters = inspect.signature(function).parameters
    except Exception as problem:  # a hint may be any expression of the author's, so evaluating it can raise anything
        raise PluginError(f"the annotations of {step.name} cannot be read: {problem}", plugin=step.name) from problem
    params = []
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise PluginError(
                f"parameter {name} of {step.name} has no name that `with:` could use; write plain named parameters",
                plugin=step.name,
            )
        default = MISSING if parameter.default is parameter.empty else parameter.default
        params.append(Param(name, hints.get(name, Any), default))
    returns = hints.get("return", Any)
    streams = inspect.isasyncgenfunction(function)
    is_async = streams or inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(target)
    return make_signature(params, returns, is_async=is_async, streams=streams, secrets=step.secrets)


def make_signature(
    params: list[Param], returns: TypeForm, *, is_async: bool, streams: bool, secrets: tuple[str, ...]
) -> Signature:
    """Sort parameters into `with:` fields and injections; a `Secret` that is declared by name is injected."""
    fields: list[Param] = []
    injected: list[tuple[str, Inject]] = []
    declared = {secret.lower() for secret in secrets}
    for param in params:
        bare = _without_metadata(param.annotation)
        if bare is Secret and param.name.lower() in declared:
            injected.append((param.name, Inject.SECRET))
        elif (kind := INJECTED.get(bare)) is not None if _is_hashable(bare) else False:
            injected.append((param.name, cast("Inject", kind)))
        else:
            fields.append(param)
    if streams:
        arguments = get_args(returns)
        returns = arguments[0] if arguments else Any
    return Signature(tuple(fields), tuple(injected), returns, is_async, streams)


def describe(step: StepDef, *, provider: str) -> CallableInfo:
    """All that is known about a live callable. Raises: PluginError."""
    signature = signature_of(step)
    return build_info(
        step, signature, doc=inspect.getdoc(step.function) or "", origin=origin_of(step.function), provider=provider
    )


def build_info(
    step: StepDef, signature: Signature, *, doc: str, origin: Origin | None, provider: str, notes: tuple[str, ...] = ()
) -> CallableInfo:
    """Schemas from a signature. `step.function` becomes what `load()` gives. Raises: PluginError."""
    try:
        inputs = input_schema(signature)
        events = event_infos(signature.returns)
        result: Json = True if events else result_schema(signature)
    except (PydanticUserError, PydanticInvalidForJsonSchema, SchemaError, TypeError, ValueError) as problem:
        first = str(problem).partition("\n")[0]
        raise PluginError(f"the types of {step.name} have no JSON Schema: {first}", plugin=step.name) from problem
    function = step.function
    return CallableInfo(
        name=step.name,
        input_schema=inputs,
        result_schema=result,
        events=events,
        errors=step.errors,
        effect=step.effect,
        is_idempotent=step.is_idempotent,
        hosts=step.hosts,
        secrets=step.secrets,
        is_inline=step.is_inline,
        streams=signature.streams,
        doc=inspect.cleandoc(doc),
        examples=step.examples,
        provider=provider,
        notes=notes,
        origin=origin,
        loader=lambda: function,
    )


def inputs_adapter(signature: Signature) -> TypeAdapter[Any]:  # Any: a dict of arguments, made at run time
    """Validates `with:` values to arguments; what was left out stays out, so that the function's own default counts."""
    shape = {
        p.name: _described(p.annotation) if p.default is MISSING else NotRequired[_described(p.annotation)]
        for p in signature.fields
    }
    fields = TypedDict("Inputs", shape)  # type: ignore[misc]  # a TypedDict made at run time
    more: Literal["allow", "forbid"] = "allow" if signature.takes_more else "forbid"
    fields.__pydantic_config__ = ConfigDict(extra=more, arbitrary_types_allowed=True)  # type: ignore[attr-defined]
    return TypeAdapter(fields)


def input_schema(signature: Signature) -> Json:
    schema = inputs_adapter(signature).json_schema(schema_generator=_PlainSchema, ref_template="#/$defs/{model}")
    schema.pop("title", None)
    properties = schema.setdefault("properties", {})
    for param in signature.fields:
        if param.default is MISSING or param.default is UNKNOWN:
            continue
        try:
            properties[param.name]["default"] = to_jsonable_python(param.default)
        except (ValueError, TypeError):  # a default that JSON cannot show is still a default
            continue
    return schema


def result_schema(signature: Signature) -> Json:
    returns = signature.returns
    if returns is Any or returns is inspect.Parameter.empty:
        return True
    if signature.streams:
        returns = str if returns is str else list[returns]  # type: ignore[valid-type]  # a type made at run time
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(returns)
        return adapter.json_schema(schema_generator=_PlainSchema, mode="serialization") or True
    except (PydanticUserError, PydanticInvalidForJsonSchema):  # a class JSON does not know: good in memory, any type
        return True


def event_infos(returns: TypeForm) -> tuple[EventInfo, ...]:
    """The event types of a result annotation; empty unless every member of the union is one."""
    members = [m for m in _union_members(returns) if m is not type(None)]
    if not members or not all(is_event_type(m) for m in members):
        return ()
    return tuple(EventInfo(m.__name__, event_schema(m)) for m in members)


def event_schema(event: TypeForm) -> Json:
    schema: Json = TypeAdapter(event).json_schema(schema_generator=_PlainSchema)
    schema.pop("title", None)
    return schema


def is_event_type(candidate: TypeForm) -> bool:
    """Whether a class is an event: derived from the package's `Event`."""
    return isinstance(candidate, type) and issubclass(candidate, Event)


def origin_of(function: Target) -> Origin | None:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return None if code is None else Origin(code.co_filename, code.co_firstlineno)


def parameters_text(signature: Signature) -> str:
    """The call as a reader would write it, for help texts."""
    return ", ".join(p.name if p.default is MISSING else f"{p.name}=…" for p in signature.fields)


def _union_members(annotation: TypeForm) -> tuple[TypeForm, ...]:
    bare = _without_metadata(annotation)
    origin: object = get_origin(bare)
    return get_args(bare) if origin in (Union, types.UnionType) else (bare,)


def _without_metadata(annotation: TypeForm) -> TypeForm:
    return get_args(annotation)[0] if _is_annotated(annotation) else annotation


def _is_annotated(annotation: TypeForm) -> bool:
    origin: object = get_origin(annotation)
    return origin is Annotated


def _described(annotation: TypeForm) -> TypeForm:
    """A text in `Annotated[...]` is the field's description."""
    if not _is_annotated(annotation):
        return annotation
    base, *metadata = get_args(annotation)
    fixed = [Field(description=m) if isinstance(m, str) else m for m in metadata]
    return Annotated[(base, *fixed)]


def _is_hashable(value: object) -> bool:
    return isinstance(value, collections.abc.Hashable) and not dataclasses.is_dataclass(value)
