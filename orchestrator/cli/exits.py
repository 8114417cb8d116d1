"""Exit codes, and which of them an error means. stdout is data, stderr is for people; no traceback for a user's mistake."""

from __future__ import annotations

from enum import IntEnum

from orchestrator.errors import (
    CompileFailed,
    JournalConflict,
    OrchestratorError,
    PluginError,
    RunFinished,
    StoreError,
    UnknownRun,
    UsageError,
)


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    DIAGNOSTICS = 3
    WAITING = 4
    TIMED_OUT = 5
    NOT_FOUND = 6
    CONFLICT = 7
    AUTH = 8
    DIVERGED = 9
    ENVIRONMENT = 10
    INTERRUPTED = 130


class CommandFailed(Exception):
    """A command ends with this code after its message is shown."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code

    @property
    def name(self) -> str:
        """The code as a word, for `--json`."""
        return self.code.name.lower()


def exit_of(error: OrchestratorError) -> Exit:
    """The exit code of an error that reached the command line."""
    match getattr(error, "kind", None):  # AnswerRefused, whose module most commands never load
        case "forbidden":
            return Exit.AUTH
        case "conflict":
            return Exit.CONFLICT
        case "invalid":
            return Exit.USAGE
    if error.code == "replay.diverged":  # of the functional API, which most commands never load
        return Exit.DIVERGED
    match error:
        case CompileFailed():
            return Exit.DIAGNOSTICS
        case UsageError():
            return Exit.USAGE
        case UnknownRun():
            return Exit.NOT_FOUND
        case RunFinished() | JournalConflict():
            return Exit.CONFLICT
        case StoreError() | PluginError():
            return Exit.ENVIRONMENT
    return Exit.RUN_FAILED
