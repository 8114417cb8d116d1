"""From a callable's description to something the runtime can await: check inputs, inject, run, give plain JSON back.

Invariants: a `BaseException` that is no `Exception` passes untouched, cancellation included, save `SystemExit`: a callable ends
its call, never the process; whatever else a user's code raises comes out as a `StepError`; what an `OrchestratorError` says is
kept; inputs are never changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from orchestrator.errors import OrchestratorError, PluginError, StepError
from orchestrator.events import Event
from orchestrator.plugin.apart import run_apart, wait_apart
from orchestrator.plugin.define import StepDef
from orchestrator.plugin.info import CallableInfo, Emitted, Json, Target
from orchestrator.plugin.log_masking import masked_logger
from orchestrator.plugin.secrets import Masker, SecretVault
from orchestrator.plugin.services import MaskedContext, Services, StepContext
from orchestrator.plugin.signature import (
    Inject,
    Signature,
    event_infos,
    inputs_adapter,
    signature_of,
)

PACKAGE = Path(__file__).parents[1]
Arguments = dict[str, Any]  # the arguments of a user's function: whatever types it declares
PLAIN = frozenset({str, int, float, bool, type(None)})  # exact types: a str that is an Enum is not plain


class Invoker:
    """A callable that is ready to run: `await invoker(inputs, services)` gives JSON, or `Emitted` for an event."""

    __slots__ = ("_adapter", "_contexts", "_function", "_result", "_run", "_signature", "info")

    def __init__(self, info: CallableInfo, function: Target, signature: Signature) -> None:
        self.info = info
        self._function = function
        self._signature = signature
        self._contexts = tuple(name for name, kind in signature.injected if kind is Inject.CONTEXT)
        self._adapter = inputs_adapter(signature)
        self._result = _result_adapter(signature)
        if signature.streams:
            self._run: Callable[[Arguments, StepContext], Awaitable[Any]] = self._run_stream
        elif signature.is_async:
            self._run = self._run_async
        else:
            self._run = self._run_inline if info.is_inline else self._run_thread

    async def __call__(self, inputs: Mapping[str, Json], services: Services) -> Any:  # JSON or Emitted
        """Run the callable once. Raises: StepError; OrchestratorError of the runtime passes through.

        No secret that the call was given comes out of it again: results, errors and stream events are masked.
        """
        arguments = self._check(inputs)
        for name, kind in self._signature.injected:
            arguments[name] = inject(name, kind, self.info, services)
        masker = services.secrets.masker() if services.secrets.resolved else None
        context: StepContext = services.context if masker is None else MaskedContext(services.context, masker)
        for name in self._contexts:
            arguments[name] = context
        result = await self._settle(arguments, context, services)
        if masker is None and not services.secrets.resolved:
            return result
        masker = services.secrets.masker()
        if isinstance(result, Emitted):
            return Emitted(result.event, masker.json(result.fields))
        return masker.json(result)

    async def _settle(self, arguments: Arguments, context: StepContext, services: Services) -> Any:  # JSON or Emitted
        try:
            return self._to_json(await self._run(arguments, context))
        except StepError as problem:
            raise masked_error(problem, services.secrets) from problem.__cause__
        except OrchestratorError:
            raise
        except BaseExceptionGroup as group:
            raise _single_cause(group, services.secrets.masker()) from group
        except (Exception, SystemExit) as problem:
            raise call_failed(problem, services.secrets.masker()) from problem

    def _check(self, inputs: Mapping[str, Json]) -> Arguments:
        try:
            arguments: Arguments = self._adapter.validate_python(inputs)
            return arguments
        except ValidationError as problem:
            raise payload_error(f"with of {self.info.name}", problem) from None

    async def _run_async(self, arguments: Arguments, context: StepContext) -> Any:  # what the function returns
        return await self._function(**arguments)

    async def _run_inline(self, arguments: Arguments, context: StepContext) -> Any:  # what the function returns
        return self._function(**arguments)

    async def _run_thread(self, arguments: Arguments, context: StepContext) -> Any:  # what the function returns
        return await asyncio.to_thread(self._function, **arguments)

    async def _run_stream(self, arguments: Arguments, context: StepContext) -> Any:  # joined text or a list of chunks
        chunks: list[Json] = []
        stream: AsyncIterator[Any] = self._function(**arguments)
        try:
            async for chunk in stream:
                plain = chunk if type(chunk) in PLAIN else to_jsonable_python(chunk)
                context.write({"type": "chunk", "call": self.info.name, "value": plain})
                chunks.append(plain)
        finally:
            await cast("Any", stream).aclose()  # an async generator, which has aclose
        return "".join(chunks) if self._signature.returns is str else chunks

    def _to_json(self, value: Any) -> Any:  # any result -> JSON or Emitted
        if isinstance(value, Event):
            return Emitted(type(value).__name__, event_fields(value))
        if self._result is not None:
            try:
                value = self._result.validate_python(value)
                return self._result.dump_python(value, mode="json")
            except ValidationError as problem:
                raise payload_error(f"result of {self.info.name}", problem) from None
        return plain_json(value)


def bind(info: CallableInfo) -> Invoker:
    """Load a callable and make it ready to run. Raises: PluginError."""
    function = info.load()
    step = StepDef(info.name, function, secrets=info.secrets)
    try:
        return Invoker(info, function, signature_of(step))
    except (PydanticUserError, TypeError) as problem:
        first = str(problem).partition("\n")[0]
        raise PluginError(f"{info.name} cannot be called: {first}", plugin=info.name) from problem


async def bind_apart(info: CallableInfo, limit_s: float) -> Invoker:
    """`bind` that keeps the event loop free while a project's file or a package is imported, and gives up in time.

    Raises: PluginError.
    """
    if info.provider in ("bundled", "code") or info.provider.startswith("mcp "):
        return bind(info)
    try:
        return await run_apart(lambda: bind(info), limit_s, f"import {info.name}")
    except TimeoutError:
        raise _too_slow(info, limit_s) from None


def bind_within(info: CallableInfo, limit_s: float) -> Invoker:
    """The same for a thread that may wait. Raises: PluginError."""
    if info.provider in ("bundled", "code") or info.provider.startswith("mcp "):
        return bind(info)
    try:
        return wait_apart(lambda: bind(info), limit_s, f"import {info.name}")
    except TimeoutError:
        raise _too_slow(info, limit_s) from None


def _too_slow(info: CallableInfo, limit_s: float) -> PluginError:
    message = f"importing the plugin of {info.name} did not end within {limit_s:g} s ([limits] plugin_import_s)"
    return PluginError(message, plugin=info.name)


def inject(name: str, kind: Inject, info: CallableInfo, services: Services) -> object:
    """The object for an injected parameter."""
    match kind:
        case Inject.CONTEXT:
            return services.context
        case Inject.CLOCK:
            return services.clock
        case Inject.HTTP:
            return services.http
        case Inject.LLM:
            return services.llm
        case Inject.FILES:
            return services.files
        case Inject.MAILER:
            return services.mailer
        case Inject.PROCESSES:
            return services.processes
        case Inject.MCP:
            return services.mcp
        case Inject.LOGGER:
            return masked_logger(logging.getLogger(f"orchestrator.step.{info.name}"), services.secrets.masker)
        case Inject.SECRET:
            declared = next(secret for secret in info.secrets if secret.lower() == name.lower())
            return services.secrets.get(declared)


def plain_json(value: Any) -> Any:  # any object -> JSON, save objects that JSON does not know
    """Models, dataclasses, dates, enums and the like as JSON; an object of no known kind stays as it is.

    Runs in memory may carry such objects; a durable store refuses them and names step and path.
    """
    if type(value) in PLAIN:
        return value
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        return _plain_around(value)
    except ValueError as problem:
        raise StepError("type.payload", f"the result cannot be written as JSON: {problem}") from problem


def _plain_around(value: Any) -> Any:  # any object -> the same with all plain parts as JSON
    """Containers made plain one level at a time, so that only what JSON does not know is kept as it is."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): plain_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_json(inner) for inner in value]
    return value


def event_fields(event: Event) -> dict[str, Json]:
    """The fields of an event, declared and undeclared ones side by side."""
    fields: dict[str, Json] = {name: plain_json(getattr(event, name)) for name in type(event).model_fields}
    return fields | {name: plain_json(value) for name, value in (event.model_extra or {}).items()}


def payload_error(what: str, problem: ValidationError) -> StepError:
    """One error with every field that does not fit. Values are left out: they may hold secrets."""
    findings = [
        {"path": ".".join(str(part) for part in e["loc"]), "message": e["msg"]}
        for e in problem.errors(include_url=False, include_input=False, include_context=False)
    ]
    shown = "; ".join(f"{f['path']}: {f['message']}" if f["path"] else f["message"] for f in findings[:5])
    more = f" (and {len(findings) - 5} more)" if len(findings) > 5 else ""
    return StepError("type.payload", f"{what}: {shown}{more}", details=findings)


def masked_error(problem: StepError, vault: SecretVault) -> StepError:
    """The same error without the secrets that the call was given."""
    if not vault.resolved:
        return problem
    masker = vault.masker()
    details = masker.json(plain_json(problem.details))
    return StepError(problem.code, masker.text(problem.message), details=details, retry_after=problem.retry_after)


def call_failed(problem: Exception | SystemExit, masker: Masker) -> StepError:
    """An exception that the callable did not declare, as an error a flow can catch."""
    kind = type(problem).__name__
    text = masker.text(str(problem))
    details = {"type": kind} if (at := _place_of(problem)) is None else {"type": kind, "at": at}
    return StepError("call.failed", f"{kind}: {text}" if text else kind, details=details)


def _place_of(problem: BaseException) -> str | None:
    """Name and line of the innermost file of the callable's author, as `site.py:14`; never a path, which is the machine's."""
    found = None
    trace = problem.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if (
            not file.is_relative_to(PACKAGE)
            and not {"site-packages", "asyncio"} & set(file.parts)
            and file.suffix == ".py"
        ):
            found = f"{file.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _single_cause(group: BaseExceptionGroup[BaseException], masker: Masker) -> BaseException:
    """A task group that failed for one reason fails with that reason."""
    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup) and len(leaf.exceptions) == 1:
        leaf = leaf.exceptions[0]
    if isinstance(leaf, OrchestratorError) or not isinstance(leaf, Exception | SystemExit):
        return leaf
    return call_failed(leaf, masker)


def _result_adapter(signature: Signature) -> TypeAdapter[Any] | None:  # Any: the function's own result type
    """A check of the declared result; none where every value is right or where events are returned."""
    returns = signature.returns
    if returns is Any or event_infos(returns) or signature.streams:
        return None
    try:
        return TypeAdapter(returns)
    except PydanticUserError:  # an object of a class that JSON does not know; only a run in memory can carry it
        return None
