"""Recorded failures of steps: what is kept of an exception, and how it is raised again.

In memory the exception itself is kept. A storage keeps its type's name, arguments and plain attributes; the type is then
looked up among the built-in exceptions and those that the step's own module or an already loaded module has under that name.
Nothing is imported and no code of the class is run.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import NotSerializable, StepFailed
from orchestrator.functional.events import WorkflowErrorDetails
from orchestrator.functional.values import Encoded, decode, encode


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call."""

    details: WorkflowErrorDetails
    module: str
    args: Any  # a tuple, or Encoded
    attributes: Any  # a dict, or Encoded
    error: BaseException | None = None

    @classmethod
    def of(cls, error: BaseException, step: str, attempt: int = 1) -> Failure:
        """The failure that a live exception is."""
        details = WorkflowErrorDetails.of(error, step, attempt)
        return cls(details, type(error).__module__, error.args, dict(vars(error)), error)

    def to_json(self) -> dict[str, Any]:
        """What a storage keeps; arguments and attributes that are no plain values are left out."""
        out: dict[str, Any] = {"type": self.details.error_type, "module": self.module, "message": self.details.message}
        out["attempt"] = self.details.attempt
        out["step"] = self.details.executor_id
        try:
            out["args"] = encode(self.args, None, "")
        except NotSerializable:
            out["args"] = encode((self.details.message,), None, "")
        kept = {}
        for name, value in (self.attributes if isinstance(self.attributes, dict) else {}).items():
            try:
                kept[name] = encode(value, None, "")
            except NotSerializable:
                continue
        if kept:
            out["attributes"] = kept
        return out

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Failure:
        """The inverse of `to_json`."""
        details = WorkflowErrorDetails(data["type"], data["message"], None, data["step"], data["attempt"])
        return cls(details, data["module"], Encoded(data["args"]), Encoded(data.get("attributes", {})))


def rebuild_error(failure: Failure, fn: Callable[..., Any]) -> BaseException:
    """The exception of a recorded failure, of its own type if that can be found, else StepFailed."""
    if failure.error is not None:
        return failure.error.with_traceback(None)
    name = failure.details.error_type
    kind = _find_type(name, failure.module, getattr(fn, "__globals__", {}))
    if kind is None:
        record = {"code": "step.failed", "message": failure.details.message, "step": failure.details.executor_id}
        return StepFailed(f"{name}: {failure.details.message}", step=failure.details.executor_id, error=record)
    args = decode(failure.args, None)
    error = kind.__new__(kind, *args)
    error.args = tuple(args)
    for attribute, value in decode(failure.attributes, None).items():
        setattr(error, attribute, value)
    return error


def _find_type(name: str, module: str, names: dict[str, Any]) -> type[Exception] | None:
    candidates = [names.get(name), getattr(sys.modules.get(module), name, None)]
    if module == "builtins":
        candidates.insert(0, getattr(builtins, name, None))
    for found in candidates:
        if isinstance(found, type) and issubclass(found, Exception) and found.__module__ == module:
            return found
    return None
