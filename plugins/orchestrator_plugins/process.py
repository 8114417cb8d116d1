"""`process.run`: run a program that the operator allowed. Nothing runs without `[process] allow`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from orchestrator.plugin import Duration, Plugin, Processes, StepError

ERRORS = (
    "process.denied",
    "process.failed",
    "process.exit",
    "limit.process_output",
    "timeout",
    "files.denied",
    "secret.denied",
)
plugin = Plugin("process", doc="Run programs of this machine.")


class Ended(TypedDict):
    """What a program left behind."""

    exit_code: int
    stdout: str
    stderr: str


@plugin.step(errors=ERRORS, idempotent=False, examples=[{"with": {"command": ["pandoc", "-t", "html", "post.md"]}}])
async def run(
    processes: Processes,
    command: Annotated[
        list[str], Field(description="The program and its arguments; no shell reads them.", min_length=1)
    ],
    stdin: Annotated[str, Field(description="What the program reads.")] = "",
    folder: Annotated[str, Field(description="Where it runs, inside the project.")] = ".",
    accept: Annotated[list[int] | None, Field(description="Exit codes that do not fail the step; default 0.")] = None,
    timeout: Annotated[Duration, Field(description="After this it is ended, with all it started.")] = 60.0,
) -> Ended:
    """Run a program and wait for its end."""
    done = await processes.run(command, stdin=stdin.encode(), folder=folder, timeout_s=timeout)
    result = Ended(
        exit_code=done.exit_code,
        stdout=done.stdout.decode("utf-8", errors="replace"),
        stderr=done.stderr.decode("utf-8", errors="replace"),
    )
    if done.exit_code not in ([0] if accept is None else accept):
        last = result["stderr"].strip().rpartition("\n")[2][:200]
        raise StepError(
            "process.exit",
            f"{command[0]} ended with {done.exit_code}" + (f": {last}" if last else ""),
            details=dict(result),
        )
    return result
