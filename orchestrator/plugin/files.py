"""Files of the project folder, and of nothing else. A path is judged after every link in it is resolved."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from orchestrator.errors import StepError
from orchestrator.plugin.secrets import SecretVault

MAX_READ_BYTES = 10 * 1024 * 1024
_PRIVATE = frozenset({".env", ".git", ".orchestrator", "orchestrator.toml"})
_CODE = (".py", ".pyi", ".pth", ".so", ".pyd", ".sh", ".toml", ".flow.yaml", ".flow.yml", ".plugin.json")


class ProjectFiles:
    """Read and write below one folder. Configuration, secrets and version control are out of reach."""

    def __init__(self, root: Path | None, vault: SecretVault | None = None) -> None:
        self._root = None if root is None else root.resolve()
        self._vault = vault

    @property
    def root(self) -> Path:
        """Raises: StepError `files.denied` when there is no project folder."""
        if self._root is None:
            raise StepError("files.denied", "there is no project folder; add an orchestrator.toml beside your flows")
        return self._root

    def path(self, name: str) -> Path:
        """The absolute path of a file in the project. Raises: StepError `files.denied`."""
        if not name or "\0" in name:
            raise StepError("files.denied", "a file name must not be empty")
        try:
            target = Path(os.path.realpath(self.root / name))
        except (OSError, ValueError) as problem:  # too long, or text that no file system takes
            raise StepError("files.denied", f"this is no file name: {_cause(problem)}") from None
        if not target.is_relative_to(self.root):
            raise StepError("files.denied", f'"{name}" is outside the project folder')
        parts = target.relative_to(self.root).parts
        hidden = next((part for part in parts if _is_private(part.casefold())), None)
        if hidden is not None:
            raise StepError("files.denied", f'"{hidden}" is not open to flows')
        return target

    def read_bytes(self, name: str, *, max_bytes: int = MAX_READ_BYTES) -> bytes:
        """Raises: StepError `files.not_found`, `files.denied`, `files.failed`, `limit.file`."""
        path = self.path(name)
        try:
            if not path.is_file():
                raise StepError("files.not_found", f'there is no file "{name}" in the project')
            if path.stat().st_size > max_bytes:
                raise StepError("limit.file", f'"{name}" is larger than {max_bytes} bytes')
            return path.read_bytes()
        except OSError as problem:
            raise StepError("files.failed", f'"{name}" cannot be read: {problem.strerror}') from None

    def write(self, name: str, text: str) -> int:
        """Write a text file, whole or not at all; returns its size.

        Raises: StepError `files.denied`, `files.failed`, `secret.denied`.
        """
        self._refuse_secrets(text)
        data = text.encode("utf-8", errors="replace")
        with self.writing(name) as file:
            file.write(data)
        return len(data)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file to write that takes the place of `name` at the end, whole or not at all; makes folders on the way.

        Raises: StepError `files.denied`, `files.failed`.
        """
        path = self._writable(name)
        half = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with half.open("wb") as file:
                yield file
            half.replace(path)
        except OSError as problem:
            raise StepError("files.failed", f'"{name}" cannot be written: {problem.strerror}') from None
        finally:
            half.unlink(missing_ok=True)

    def append(self, name: str, text: str) -> int:
        """Add to the end of a file; returns its size. Raises: as `write`."""
        self._refuse_secrets(text)
        path = self._writable(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_file():  # opening a pipe would wait for its reader
                raise StepError("files.failed", f'"{name}" is no file')
            with path.open("ab") as file:
                file.write(text.encode("utf-8", errors="replace"))
                return file.tell()
        except OSError as problem:
            raise StepError("files.failed", f'"{name}" cannot be written: {problem.strerror}') from None

    def delete(self, name: str) -> bool:
        """Remove a file; False if there was none. Raises: StepError `files.denied`, `files.failed`."""
        path = self._writable(name)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as problem:
            raise StepError("files.failed", f'"{name}" cannot be removed: {problem.strerror}') from None
        return True

    def glob(self, pattern: str, *, limit: int) -> list[str]:
        """Names of files that match, sorted, at most `limit`; what is closed to flows is left out."""
        if pattern.startswith(("/", "~")) or ".." in Path(pattern).parts or not pattern or "\0" in pattern:
            raise StepError("files.denied", f'"{pattern}" is not a pattern inside the project folder')
        found: list[str] = []
        try:
            for path in self.root.glob(pattern):
                name = path.relative_to(self.root).as_posix()
                if not path.is_file() or any(part.startswith(".") for part in path.relative_to(self.root).parts):
                    continue
                with suppress(StepError):
                    self.path(name)
                    found.append(name)
                if len(found) > limit:
                    raise StepError("limit.files", f'"{pattern}" matches more than {limit} files')
        except (ValueError, NotImplementedError) as problem:
            raise StepError("files.denied", f'"{pattern}" is not a pattern: {problem}') from None
        except OSError as problem:
            raise StepError("files.failed", f"the files cannot be listed: {problem.strerror}") from None
        return sorted(found)

    def _refuse_secrets(self, text: str) -> None:
        if self._vault is not None:
            self._vault.refuse_in(text, "a file")

    def _writable(self, name: str) -> Path:
        path = self.path(name)
        is_hidden = any(part.startswith(".") for part in path.relative_to(self.root).parts)
        if is_hidden or path.name.lower().endswith(_CODE):
            raise StepError("files.denied", f'"{name}" would be code or configuration, which no flow may write')
        return path


def _is_private(part: str) -> bool:
    return part in _PRIVATE or part.startswith(".env")


def _cause(problem: OSError | ValueError) -> str:
    return problem.strerror or "OSError" if isinstance(problem, OSError) else str(problem)
