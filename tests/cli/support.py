"""Runs the command line: in this process for speed, as a process where that is the point."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.cli.app import run

ROOT = Path(__file__).resolve().parents[2]
FLOWS = ROOT / "flows"
ENV = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}", "NO_COLOR": "1"}


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed as its one JSON object."""
        return json.loads(self.out)


def cli(*args: str | Path, cwd: Path | None = None, stdin: bytes = b"") -> Done:
    """Run one command in this process."""
    with _streams(stdin) as (out, err), chdir(cwd or Path.cwd()):
        try:
            run([str(arg) for arg in args])
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        return Done(code, _text(out), _text(err))


@contextmanager
def _streams(stdin: bytes) -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    before = sys.stdin, sys.stdout, sys.stderr
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO(stdin), "utf-8"), out, err
    try:
        yield out, err
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]  # a BytesIO


def command(*args: str | Path) -> list[str]:
    """The words that start the command line as a process."""
    return [sys.executable, "-m", "orchestrator", *(str(arg) for arg in args)]


def process(*args: str | Path, cwd: Path | None = None, stdin: bytes = b"", **env: str) -> Done:
    """Run one command as a process."""
    done = subprocess.run(
        command(*args), cwd=cwd, input=stdin, capture_output=True, timeout=60, check=False, env={**ENV, **env}
    )
    return Done(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def write(folder: Path, name: str, text: str) -> Path:
    """A file in a folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


HELLO = """\
flow: hello
inputs:
  name: str
  count: {type: int, default: 1}
outputs:
  text: str
steps:
  greet:
    on: Start
    call: text.slug
    with:
      text: Hello ${{ inputs.name }}
    emit:
      event: Stop
      with:
        text: ${{ result }}
"""
ASK = """\
flow: ask-first
inputs:
  title: str
outputs:
  verdict: str
steps:
  review:
    on: Start
    ask:
      title: Publish ${{ inputs.title }}?
      form:
        verdict: approve | reject
        notes: str | null
      to:
        users: [kim]
    emit:
      event: Stop
      with:
        verdict: ${{ outcome }}
"""
