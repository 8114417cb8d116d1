"""Golden files: what was produced is compared with a file in the tree; `make golden` writes them anew."""

from __future__ import annotations

import difflib
import os
from pathlib import Path


def matches_golden(file: Path, produced: str) -> bool:
    """Whether a file holds exactly this text; prints the difference if not. Writes it under UPDATE_GOLDEN=1."""
    if os.environ.get("UPDATE_GOLDEN") == "1":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(produced, encoding="utf-8")
        return True
    known = file.read_text(encoding="utf-8") if file.is_file() else ""
    if known != produced:
        print("".join(difflib.unified_diff(known.splitlines(True), produced.splitlines(True), str(file), "produced")))
    return known == produced
