"""Runs the code examples of the seed documents as a notebook would: cell after cell in one namespace, with top-level await.

The texts in `examples/` are those of the documents with only the import lines changed. Indentation that a document lost is put
back; `..._in_full` is an example whose document wrote `...` for lines that it had shown before.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import types
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent / "examples"


class Notebook:
    """One document's examples."""

    def __init__(self, **names: Any) -> None:
        self.module = types.ModuleType("example")
        self.names: dict[str, Any] = self.module.__dict__
        self.names.update(names)

    def __getattr__(self, name: str) -> Any:
        return self.names[name]

    async def run(self, *cells: str) -> Notebook:
        """Execute cells by the start of their file names."""
        for cell in cells:
            path = next(p for p in sorted(EXAMPLES.glob(f"{cell}*.txt"), key=len_of_name))
            await self.execute(path.read_text(encoding="utf-8"), str(path))
        return self

    async def execute(self, text: str, name: str = "<cell>") -> Notebook:
        """Execute the text of a cell."""
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        code = compile(text, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, self.names)
        if inspect.isawaitable(result):
            await result
        return self


def len_of_name(path: Path) -> tuple[int, str]:
    """Shorter names first, so that a whole name finds its own file."""
    return len(path.name), path.name
