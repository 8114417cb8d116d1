"""Files of the project folder, and of nothing else. A path is judged after every link in it is resolved."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.errors import StepError

MAX_READ_BYTES = 10 * 1024 * 1024
_PRIVATE = frozenset({".env", ".git", ".orchestrator", "orchestrator.toml"})
_CODE = (".py", ".pyi", ".pth", ".so", ".pyd", ".sh", ".toml", ".flow.yaml", ".flow.yml", ".plugin.json")


class ProjectFiles:
    """Read and write below one folder. Configuration, secrets and version control are out of reach."""

    def __init__(self, root: Path | None) -> None:
        self._root = None if root is None else root.resolve()

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
        target = Path(os.path.realpath(self.root / name))
        if not target.is_relative_to(self.root):
            raise StepError("files.denied", f'"{name}" is outside the project folder')
        parts = target.relative_to(self.root).parts
        hidden = next((part for part in parts if part in _PRIVATE or part.startswith(".env")), None)
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

    def write_bytes(self, name: str, data: bytes, *, append: bool = False) -> int:
        """Write a file whole or not at all (append: at its end); makes folders on the way. Returns its size.

        Raises: StepError `files.denied`, `files.failed`.
        """
        path = self.path(name)
        if path.name.lower().endswith(_CODE):
            raise StepError("files.denied", f'"{name}" would be code or configuration, which no flow may write')
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if append:
                with path.open("ab") as file:
                    file.write(data)
            else:
                half = path.with_name(f".{path.name}.{os.getpid()}.part")
                half.write_bytes(data)
                half.replace(path)
            return path.stat().st_size
        except OSError as problem:
            raise StepError("files.failed", f'"{name}" cannot be written: {problem.strerror}') from None
