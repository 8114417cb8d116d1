"""Secrets that a flow was not granted: asked for at a terminal, told elsewhere, written without touching anything else."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from orchestrator.cli.exits import CommandFailed
from orchestrator.cli.granting import with_grant, write_grants
from tests.cli.support import HELLO, cli, write
from tests.cli.test_terminal import Terminal

ASKS = HELLO.replace("steps:", "secrets: [SITE_TOKEN]\nsteps:", 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[secrets.grant]\nx = ["A"]\n'),
        ("[llm]\nfake = true   # offline\n", '[llm]\nfake = true   # offline\n\n[secrets.grant]\nx = ["A"]\n'),
        ('[secrets.grant]\ny = ["B"]\n\n[llm]\n', '[secrets.grant]\nx = ["A"]\ny = ["B"]\n\n[llm]\n'),
        ("[secrets.grant]   # who\nx = []   # none\n", '[secrets.grant]   # who\nx = ["A"]\n'),
    ],
)
def test_a_grant_is_put_into_its_table(before: str, after: str) -> None:
    assert with_grant(before, "secrets.grant", "x", ["A"]) == after
    assert tomllib.loads(after)["secrets"]["grant"]["x"] == ["A"]


def test_a_config_of_another_form_is_left_alone_and_the_line_is_told(tmp_path: Path) -> None:
    text = "[secrets]\ngrant = {y = ['B']}\n"
    file = write(tmp_path, "orchestrator.toml", text)
    with pytest.raises(CommandFailed, match="write `x = "):
        write_grants(file, "x", ["A"])
    assert file.read_text("utf-8") == text


def test_a_grant_in_pyproject_has_the_tools_prefix(tmp_path: Path) -> None:
    file = write(tmp_path, "pyproject.toml", "[tool.orchestrator.llm]\nfake = true\n")
    write_grants(file, "x", ["A"])
    assert tomllib.loads(file.read_text("utf-8"))["tool"]["orchestrator"]["secrets"]["grant"] == {"x": ["A"]}


def test_without_a_terminal_it_is_told_what_to_write(tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", "")
    write(tmp_path, "hello.flow.yaml", ASKS)
    done = cli("run", "hello.flow.yaml", "-i", "name=Ada", cwd=tmp_path)
    assert 'add `hello = ["SITE_TOKEN"]` to [secrets.grant]' in done.err
    assert (tmp_path / "orchestrator.toml").read_text("utf-8") == ""


@pytest.mark.parametrize(("key", "granted"), [("y", {"hello": ["SITE_TOKEN"]}), ("n", None)])
def test_at_a_terminal_it_is_asked_for_once(key: str, granted: object, tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", "")
    write(tmp_path, ".env", "SITE_TOKEN=abc\n")
    write(tmp_path, "hello.flow.yaml", ASKS)
    terminal = Terminal("run", "hello.flow.yaml", "-i", "name=Ada", cwd=tmp_path)
    terminal.until("asks for SITE_TOKEN; grant it")
    terminal.type(f"{key}\n")
    assert terminal.end()[0] == 0
    config = tomllib.loads((tmp_path / "orchestrator.toml").read_text("utf-8"))
    assert config.get("secrets", {}).get("grant") == granted


def test_doctor_names_what_is_not_granted(tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", "")
    write(tmp_path, ".env", "SITE_TOKEN=abc\n")
    write(tmp_path, "hello.flow.yaml", ASKS)
    assert "flow `hello` was not granted SITE_TOKEN" in cli("doctor", cwd=tmp_path).out
