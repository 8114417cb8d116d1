"""What can go wrong with a functional workflow; each error says what happened, where, and what to do."""

from __future__ import annotations

import asyncio

from orchestrator.errors import RunError, StoreError, UsageError

FORKED = "replay.forked"  # the code of a run that is set aside because a fork goes on in its place


class SignatureError(UsageError, TypeError, ValueError):
    """A function cannot be a workflow or a step: it is not async, or takes more than one input."""

    code = "functional.signature"


class RunArgumentError(UsageError, ValueError):
    """`run()` was called with arguments that do not go together; nothing has run."""

    code = "functional.arguments"


class RequestError(UsageError, ValueError):
    """A question or its answer is wrong: an unknown or repeated id, or a question that was answered otherwise."""

    code = "functional.request"


class InvalidResponse(RequestError):
    """An answer is not of the `response_type` that was asked for; the question stays open."""

    code = "functional.response"

    def __init__(self, message: str, *, request_id: str) -> None:
        super().__init__(message)
        self.request_id = request_id


class UnknownCheckpoint(StoreError, ValueError):
    """The storage has no checkpoint of that id."""

    code = "checkpoint.unknown"


class ReplayDiverged(RunError):
    """The function no longer makes a call that was recorded; the run was left as it was.

    `recorded` and `new` show both calls. Run again with `on_divergence="continue"` (make the new call and go on), `"fork"`
    (a new run that keeps what was recorded before the call) or put the function back.
    """

    code = "replay.diverged"

    def __init__(self, message: str, *, run_id: str, step: str, path: str, recorded: str, new: str) -> None:
        super().__init__(message, run_id=run_id, step=step)
        self.path = path
        self.recorded = recorded
        self.new = new


class RunReleased(asyncio.CancelledError):
    """Raised by a context or step call of a body that its run has let go of: after a pause, an end or a cancellation."""
