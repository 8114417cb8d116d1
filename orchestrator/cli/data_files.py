"""Reads YAML and JSON that users hand over in files: by our own reader, so with its limits, rules and places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.errors import CompileFailed, UsageError


def read_mapping(path: Path, what: str) -> dict[str, Any]:  # plain JSON
    """The mapping that a YAML or JSON file holds; `-` is standard input.

    Raises: UsageError if it cannot be read or is no mapping; CompileFailed with the places of what is wrong in it.
    """
    from orchestrator.diagnostics import has_errors
    from orchestrator.language.nodes import MapNode, to_plain
    from orchestrator.language.reader import read_yaml

    result = read_yaml(read_bytes(path), "<stdin>" if path == Path("-") else str(path))
    if has_errors(result.diagnostics):
        raise CompileFailed(result.diagnostics)
    if not isinstance(result.root, MapNode):
        raise UsageError(f"{path}: the file must hold a mapping of {what}")
    data = to_plain(result.root)
    assert isinstance(data, dict)
    return data


def read_text(path: Path) -> str:
    """The text of a file. Raises: UsageError."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: it is not UTF-8 text ({error.reason} at byte {error.start})") from error


def read_bytes(path: Path) -> bytes:
    """The bytes of a file or, for `-`, of standard input. Raises: UsageError."""
    import sys

    try:
        return sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
