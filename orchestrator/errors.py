"""Every exception a caller can catch; each has a stable code and says what happened, where, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # diagnostics is a layer above; only its type is named here
    from orchestrator.diagnostics import Diagnostic

__all__ = [
    "AdmissionRefused",
    "CompileFailed",
    "ContextSerdeError",
    "ContextStateError",
    "Fenced",
    "JournalConflict",
    "LimitExceeded",
    "NotSerializable",
    "OrchestratorError",
    "PayloadTooLarge",
    "PluginError",
    "RunCancelled",
    "RunError",
    "RunFinished",
    "RunParked",
    "RunReleased",
    "RunStalled",
    "StepError",
    "StepFailed",
    "StepTimedOut",
    "StoreBusy",
    "StoreError",
    "UnknownRun",
    "UsageError",
    "WorkflowCancelledByUser",
    "WorkflowConfigurationError",
    "WorkflowRuntimeError",
    "WorkflowTimeoutError",
    "WorkflowValidationError",
]


class OrchestratorError(Exception):
    """Base of all errors raised on purpose by this package."""

    code: str = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class UsageError(OrchestratorError):
    """The calling code is wrong: a bad argument, a bad signature, a call at the wrong time."""

    code = "usage"


class CompileFailed(OrchestratorError):
    """A flow has errors; `diagnostics` holds all of them."""

    code = "compile"

    def __init__(self, diagnostics: tuple[Diagnostic, ...], message: str = "") -> None:
        self.diagnostics = diagnostics
        super().__init__(message or "\n".join(str(d) for d in diagnostics))


class StepError(OrchestratorError):
    """Raised by a step's code to fail with a declared code.

    Example: raise StepError("crm.gone", "customer 7 was deleted", details={"id": 7})
    """

    code = "call.failed"

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        details: Any = None,  # any JSON value: it is shown to the flow as `error.details`
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message or code, code=code)
        self.details = details
        self.retry_after = retry_after


class RunError(OrchestratorError):
    """A run ended without a result."""

    code = "run"

    def __init__(self, message: str, *, run_id: str = "", step: str | None = None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.run_id = run_id
        self.step = step


class StepFailed(RunError):
    """A step failed and nothing in the flow caught it; `error` is the record that a flow sees."""

    code = "step.failed"

    def __init__(self, message: str, *, run_id: str = "", step: str | None = None, error: dict[str, Any] | None = None):
        super().__init__(message, run_id=run_id, step=step, code=(error or {}).get("code"))
        self.error = error or {}


class StepTimedOut(RunError):
    """One attempt of a step took longer than its `timeout`."""

    code = "timeout"


class RunCancelled(RunError):
    """The run was cancelled."""

    code = "cancelled"


class RunStalled(RunError):
    """The run can make no progress: nothing runs, no timer is set and nothing outside can reach it."""

    code = "stalled"


class LimitExceeded(RunError):
    """A limit of SAFETY (its name is in the code, `limit.<name>`) was reached."""

    code = "limit"


class StoreError(OrchestratorError):
    """The store refused or failed."""

    code = "store"


class StoreBusy(StoreError):
    """Another process holds the store; trying again later can succeed."""

    code = "store.busy"


class RunParked(StoreBusy):
    """The run is set aside, with the reason; what came for it is kept, and taken when it goes on."""

    code = "run.parked"

    def __init__(self, message: str, *, run_id: str = "") -> None:
        super().__init__(message)
        self.run_id = run_id


class JournalConflict(StoreError):
    """The same key, run or answer exists with other content."""

    code = "store.conflict"


class AdmissionRefused(JournalConflict):
    """A flow with `concurrency: {mode: single}` has a run under way already."""

    code = "flow.busy"

    def __init__(self, flow: str, key: str, run_id: str) -> None:
        what = f"`{flow}`" + (f" with the key {key!r}" if key else "")
        super().__init__(f"flow {what} runs one at a time and run {run_id} is under way; wait for it or cancel it")
        self.run_id = run_id


class Fenced(JournalConflict):
    """A commit came from an owner whose claim has been taken over; the actor must discard itself."""

    code = "store.fenced"


class NotSerializable(StoreError):
    """A value that a durable store cannot keep; names the step and the path in the value."""

    code = "store.not_serializable"


class PayloadTooLarge(NotSerializable):
    """An event or a state that is larger than a run may have; the code names the limit."""

    code = "limit.event_bytes"


class UnknownRun(StoreError):
    """No run of that id in this store."""

    code = "run.unknown"


class RunFinished(StoreError):
    """The run has ended and takes no more events."""

    code = "run.finished"


class PluginError(OrchestratorError):
    """A plugin cannot be loaded or used."""

    code = "plugin"

    def __init__(self, message: str, *, plugin: str = "", code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.plugin = plugin


class WorkflowValidationError(UsageError):
    """A workflow class is wrong; `diagnostics` holds every finding with its place."""

    code = "workflow.invalid"

    def __init__(self, message: str, *, diagnostics: tuple[Diagnostic, ...] = ()) -> None:
        super().__init__(message)
        self.diagnostics = diagnostics


class WorkflowConfigurationError(WorkflowValidationError):
    """A workflow cannot be made: no start or stop event, or more than one class of them."""

    code = "workflow.configuration"


class WorkflowRuntimeError(RunError):
    """A run was used, or a step behaved, in a way that cannot be meant."""

    code = "workflow.runtime"


class WorkflowTimeoutError(RunError, TimeoutError):
    """A run of a workflow took longer than its `timeout`."""

    code = "timeout"


class WorkflowCancelledByUser(RunCancelled):
    """A run of a workflow was cancelled through its handler."""


class ContextStateError(UsageError):
    """A member of `Context` was used where it does not exist: before the run, inside a step, or outside."""

    code = "context.state"


class ContextSerdeError(OrchestratorError):
    """A context cannot be written as JSON, or what was read is not a context of this workflow and version."""

    code = "context.serde"


class RunReleased(OrchestratorError):
    """This call of a step was let go of (it waits in the store now, or timed out); its context no longer acts."""

    code = "run.released"
