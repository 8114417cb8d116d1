"""Running programs of this machine: only those that the operator listed, from an argument list, never through a shell.

Off by default: without `[process] allow` nothing runs. A program sees no environment of ours, so no secret either; it and
everything it started is ended when the step's time is over or the step is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.errors import StepError
from orchestrator.plugin.files import ProjectFiles
from orchestrator.plugin.secrets import SecretVault

MAX_OUTPUT_BYTES = 1_048_576
SAFE_PATH = "/usr/local/bin:/usr/bin:/bin"
_PASSED_ON = ("LANG", "LC_ALL", "TZ", "SYSTEMROOT")


@dataclass(frozen=True, slots=True)
class Finished:
    """What a program left behind."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Processes:
    """Runs the programs that `[process] allow` names, inside the project folder."""

    def __init__(self, allow: Sequence[str], files: ProjectFiles, vault: SecretVault | None = None) -> None:
        self._vault = vault
        self._allow = frozenset(allow)
        self._files = files

    async def run(
        self,
        command: Sequence[str],
        *,
        stdin: bytes = b"",
        folder: str = ".",
        timeout_s: float = 60.0,
    ) -> Finished:
        """Run to the end. Raises: StepError `process.denied`, `process.failed`, `limit.process_output`, `timeout`."""
        program = self._program(command)
        if self._vault is not None:  # every user of the machine can read arguments; a secret may go in by stdin
            self._vault.refuse_in("\n".join(command), "the arguments of a program")
        inherited = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *command[1:],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self._files.path(folder),
                env={"PATH": SAFE_PATH} | inherited,
                start_new_session=True,
            )
        except (OSError, ValueError) as problem:
            raise StepError("process.failed", f"{command[0]} cannot be started: {problem}") from None
        try:
            async with asyncio.timeout(timeout_s):
                return await _collect(process, stdin)
        except TimeoutError:
            raise StepError("timeout", f"{command[0]} took longer than {timeout_s:g} s") from None
        finally:
            await _end(process)

    def _program(self, command: Sequence[str]) -> str:
        if not command or not all(isinstance(part, str) and "\0" not in part for part in command):
            raise StepError("type.payload", "`command` is a list of texts: the program, then its arguments")
        name = command[0]
        if name not in self._allow:
            raise StepError(
                "process.denied",
                f'"{name}" may not be run; an operator can allow it in orchestrator.toml: [process] allow = ["{name}"]',
            )
        found = shutil.which(name, path=SAFE_PATH if os.sep not in name else None)
        if found is None:
            raise StepError("process.failed", f'there is no program "{name}" in {SAFE_PATH}')
        return found


async def _collect(process: asyncio.subprocess.Process, stdin: bytes) -> Finished:
    """Feed and read at once, each output up to its limit."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise StepError("process.failed", "the program has no standard streams")
    async with asyncio.TaskGroup() as group:
        group.create_task(_feed(process.stdin, stdin))
        out = group.create_task(_read(process.stdout))
        err = group.create_task(_read(process.stderr))
    code = await process.wait()
    if max(len(out.result()), len(err.result())) > MAX_OUTPUT_BYTES:
        raise StepError("limit.process_output", f"the program wrote more than {MAX_OUTPUT_BYTES} bytes")
    return Finished(code, out.result(), err.result())


async def _feed(stdin: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(data)
        await stdin.drain()
        stdin.close()
        await stdin.wait_closed()


async def _read(stream: asyncio.StreamReader) -> bytes:
    """All output, or one byte more than allowed: the rest is read and dropped so that the program can end."""
    kept = bytearray()
    while piece := await stream.read(65_536):
        if len(kept) <= MAX_OUTPUT_BYTES:
            kept += piece
    return bytes(kept)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the program and all it started, if they still run."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        await process.wait()
