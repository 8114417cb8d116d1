"""Every example of the pages is used: Python runs, flows give what their Python twins give, shell commands work, configs are read."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.authoring.project import Project
from orchestrator.authoring.run_service import RunService
from orchestrator.plugin.config import KEYS, LIMITS, load_config
from orchestrator.runtime.engine import Engine
from tests.docs.pages import MADE, PAGES, ROOT, blocks, free_port, run_script, script_of, text_of

OWN = (*MADE, "docs/plugins.md")  # that page has a test of its own
PYTHON = [(page, n, text) for page in PAGES if page not in OWN for n, text in enumerate(blocks(page, "python"))]
TOML = [(page, n, text) for page in PAGES if page not in OWN for n, text in enumerate(blocks(page, "toml"))]
SHELL = [page for page in PAGES if page not in MADE and blocks(page, "sh")]


@pytest.mark.parametrize(("page", "number", "text"), PYTHON, ids=[f"{p}-{n}" for p, n, _ in PYTHON])
def test_a_python_example_runs(page: str, number: int, text: str, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(text, "utf-8")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT), str(ROOT / "plugins")])}
    command = [sys.executable, "-W", "error", "-c", "import example"]  # what stands under `if __name__` waits for ever
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, env=env)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", SHELL)
def test_the_commands_of_a_page_work_one_after_the_other(page: str, tmp_path: Path) -> None:
    script = script_of(page)
    if "curl http" in script and shutil.which("curl") is None:
        pytest.skip("the commands of this page need curl, which is not here")
    for command, default in (("dev", "7788"), ("serve", "8000")):
        port = free_port()
        script = script.replace(f"orchestrator {command}", f"orchestrator {command} --port {port}").replace(
            f":{default}", f":{port}"
        )
    done = run_script(script, tmp_path)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize(("page", "number", "text"), TOML, ids=[f"{p}-{n}" for p, n, _ in TOML])
def test_a_config_of_the_pages_has_no_finding(page: str, number: int, text: str, tmp_path: Path) -> None:
    (tmp_path / "orchestrator.toml").write_text(text, "utf-8")
    assert [str(finding) for finding in load_config(tmp_path, {})[1]] == []


def test_every_key_of_the_config_is_explained() -> None:
    """In the section that is headed by its table, with the table's name where a section has several."""
    sections = re.split(r"^## ", text_of("docs/config.md"), flags=re.M)[1:]
    missing = []
    for table, keys in KEYS.items():
        section = next((s for s in sections if f"[{table}]" in s.partition("\n")[0]), "")
        is_shared = section.partition("\n")[0].count("[") > 1
        names = LIMITS if table == "limits" else keys
        missing += [
            f"{table}.{k}" for k in names if f"`{table}.{k}`" not in section and (is_shared or f"`{k}`" not in section)
        ]
    assert missing == []


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


def test_every_error_code_that_the_pages_name_exists() -> None:
    """Codes such as `http.blocked` or `limit.fan_out`, on the pages of the config, the promises and the operations."""
    sources = [*(ROOT / "orchestrator").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    code = "\n".join(path.read_text("utf-8") for path in sources)
    pages = "\n".join(
        text_of(page) for page in ("docs/config.md", "docs/promises.md", "docs/operations.md", "docs/plugins.md")
    )
    named = set(re.findall(r"`((?:llm|limit|store|http|process|secret|files|mcp|loop)\.[a-z_]+)`", pages))
    kept = {name for name in named if f'"{name}"' in code}
    keys = {f"{table}.{key}" for table, known in KEYS.items() for key in known}
    callables = set(
        re.findall(
            r'"name": "([a-z]+\.[a-z_]+)"', "".join(p.read_text("utf-8") for p in (ROOT / "plugins").rglob("*.json"))
        )
    )
    assert len(kept) > 8
    assert sorted(named - kept - keys - callables) == []
