"""A project that uses a real MCP server over stdio; its tools are pinned by the command that people use."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.authoring.project import Project
from tests.cli.support import cli, write
from tests.mcp.kit import Tools

SERVER = Path(__file__).resolve().parents[1] / "support" / "mcp_tools.py"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOOLS_TOKEN", "tok-5ecr3t")
    write_config(tmp_path)
    done = cli("mcp", "pull", cwd=tmp_path)
    assert done.code == 0, done.err
    return tmp_path


@pytest.fixture
async def tools(anyio_backend: str, folder: Path) -> AsyncIterator[Tools]:
    made = Tools(Project.open(folder))
    yield made
    await made.project.hub.aclose()


def write_config(folder: Path, *arguments: str, timeout_s: float = 20) -> None:
    words = ", ".join(f'"{word}"' for word in (sys.executable, str(SERVER), *arguments))
    write(
        folder,
        "orchestrator.toml",
        f"[mcp.servers.tools]\ncommand = [{words}]\nsecrets = ['TOOLS_TOKEN']\nenv = {{MODE = 'quiet'}}\n"
        f"timeout_s = {timeout_s}\n",
    )
