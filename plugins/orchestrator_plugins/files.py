"""`files.*`: text files of the project folder. Which files are open to flows is decided by the injected `ProjectFiles`."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from orchestrator.plugin import Plugin, ProjectFiles, StepError

READ_ERRORS = ("files.not_found", "files.denied", "files.failed", "limit.file")
WRITE_ERRORS = ("files.denied", "files.failed", "secret.denied")
Path = Annotated[str, Field(description="A file, from the project folder on: reports/today.md.", min_length=1)]
plugin = Plugin("files", doc="Files of the project folder.")


class Written(TypedDict):
    """A file after it was written."""

    path: str
    size: int


@plugin.step(errors=READ_ERRORS, effect="none", inline=True)
def read(
    files: ProjectFiles,
    path: Path,
    encoding: Annotated[
        Literal["utf-8", "latin-1", "base64"], Field(description="base64 for files that are not text.")
    ] = "utf-8",
) -> str:
    """Read a file as text."""
    data = files.read_bytes(path)
    if encoding == "base64":
        return base64.b64encode(data).decode()
    try:
        return data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as problem:
        raise StepError("files.failed", f'"{path}" is not {encoding} text (byte {problem.start})') from None


@plugin.step(errors=WRITE_ERRORS, idempotent=True, examples=[{"with": {"path": "reports/today.md", "text": "# Today"}}])
def write(
    files: ProjectFiles, path: Path, text: Annotated[str, Field(description="The whole new content.")]
) -> Written:
    """Write a text file, whole or not at all; code and configuration are refused."""
    return Written(path=path, size=files.write(path, text))


@plugin.step(errors=WRITE_ERRORS, idempotent=False)
def append(
    files: ProjectFiles, path: Path, text: Annotated[str, Field(description="What to add at the end.")]
) -> Written:
    """Add text to the end of a file, which is made if it is not there."""
    return Written(path=path, size=files.append(path, text))


@plugin.step(name="list", errors=("files.denied", "files.failed", "limit.files"), effect="none")
def list_files(
    files: ProjectFiles,
    pattern: Annotated[str, Field(description="Such as posts/*.md; ** goes through folders.")] = "*",
) -> list[str]:
    """List files by pattern, sorted by name."""
    return files.glob(pattern, limit=10_000)


@plugin.step(errors=WRITE_ERRORS, idempotent=True)
def delete(files: ProjectFiles, path: Path) -> dict[str, Any]:
    """Remove a file; `deleted` is false if there was none."""
    return {"path": path, "deleted": files.delete(path)}
