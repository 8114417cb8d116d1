"""Parts of a step's body: what it calls, what it catches, and how errors and results look to a flow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from orchestrator.errors import OrchestratorError, StepError, StepTimedOut
from orchestrator.expr import resolve_secrets
from orchestrator.ir.model import CallIR, CatchIR
from orchestrator.plugin.info import Emitted as EmittedEvent
from orchestrator.runtime import ticks as t
from orchestrator.runtime.flow_emit import ValueMap, fill_fields
from orchestrator.runtime.flow_scope import (
    Scope,
)
from orchestrator.runtime.ticks import ErrorRecord

if TYPE_CHECKING:  # the actor holds plans, which hold bodies
    pass


class Call:
    """What a call, fallback, `finally` or `undo` calls, with its fields."""

    __slots__ = ("target", "with_")

    def __init__(self, ir: CallIR, lenient: dict[str, frozenset[str]]) -> None:
        self.target = ir.target
        self.with_ = ValueMap(ir.with_, lenient, urls=True)


class Catch:
    """An entry of `catch`."""

    __slots__ = ("ir", "with_")

    def __init__(self, ir: CatchIR, lenient: dict[str, frozenset[str]]) -> None:
        self.ir = ir
        self.with_ = ValueMap(ir.with_, lenient)

    def emission(self, scope: Scope) -> t.Emission | None:
        """The event that the entry sends, if it sends one."""
        if self.ir.event is None:
            return None
        fields = self.with_.render(scope)
        fill_fields(fields, self.ir.fill, scope)
        return (self.ir.event, fields, None)


def plain_result(result: Any) -> Any:
    """A callable's result as a value: an event it returned counts by its fields."""
    return result.fields if isinstance(result, EmittedEvent) else result


def matches_code(pattern: str, code: str) -> bool:
    """Whether an error code fits a pattern: itself, `any`, `http.*`, `http.5xx`."""
    if pattern in ("any", code):
        return True
    if pattern.endswith(".*"):
        return code.startswith(pattern[:-1])
    if pattern.endswith("xx"):
        head = pattern[:-2]
        return code.startswith(head) and len(code) == len(pattern) and code[len(head) :].isdigit()
    return False


def error_record(error: BaseException, step: str, attempt: int) -> ErrorRecord:
    """An error as a flow sees it: {code, message, step, attempt, details}."""
    details: Any = None
    if isinstance(error, StepError):
        code, message, details = error.code, error.message, error.details
    elif isinstance(error, StepTimedOut):
        code, message = "timeout", error.message
    elif isinstance(error, OrchestratorError):
        code, message = error.code, str(error)
    elif isinstance(error, asyncio.CancelledError):
        code, message = "call.failed", "the call was cancelled from inside"
    else:
        code, message = "call.failed", f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        details = {"type": type(error).__name__}
    return {"code": code, "message": message, "step": step, "attempt": attempt, "details": details}


def resolved(inputs: dict[str, Any], lookup: Callable[[str], str]) -> dict[str, Any]:
    """A call's input with the secrets put in, for the call alone."""
    return cast("dict[str, Any]", resolve_secrets(inputs, lookup))
