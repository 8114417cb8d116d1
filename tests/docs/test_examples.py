"""Every fenced Python block of the README and docs/python.md runs; the README's flow compiles and gives the same result."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.authoring.project import Project
from orchestrator.authoring.run_service import RunService
from orchestrator.runtime.engine import Engine

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|yaml)\n(.*?)^```", re.S | re.M)
PAGES = ("README.md", "docs/python.md")


def blocks(page: str, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall((ROOT / page).read_text("utf-8")) if kind == language]


EXAMPLES = [(page, n, text) for page in PAGES for n, text in enumerate(blocks(page, "python"))]


@pytest.mark.parametrize(("page", "number", "text"), EXAMPLES, ids=[f"{p}-{n}" for p, n, _ in EXAMPLES])
def test_a_python_example_of_the_docs_runs(page: str, number: int, text: str, tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(file)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_flow_of_the_readme_gives_what_its_python_twins_give(tmp_path: Path) -> None:
    (text,) = blocks("README.md", "yaml")
    file = tmp_path / "greet.flow.yaml"
    file.write_text(text, "utf-8")
    project = Project.open(file)
    compiled = project.compile(file)
    assert compiled.diagnostics == ()

    async def main() -> object:
        run = await RunService(Engine()).start(project.plan(compiled.checked()), {"name": "Kim"})
        await run.wait_finished()
        return run.state.result.value if run.state.result else run.state.error

    assert asyncio.run(main()) == {"text": "HELLO, KIM!"}
