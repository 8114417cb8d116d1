"""What the command line says about itself, how it refuses, and what shells learn from it."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from orchestrator.cli.app import COMMANDS, EVERYDAY, GROUPS, _exists
from orchestrator.cli.exits import Exit
from orchestrator.cli.reference import MEANINGS, cli_page
from tests.cli.support import ASK, HELLO, ROOT, cli, process, write
from tests.support.golden import matches_golden

HERE = [name for name, (module, _) in COMMANDS.items() if _exists(module)]


def leaves() -> list[click.Command]:
    """Every command of the groups, subcommands too."""
    found: list[click.Command] = []
    for name in HERE:
        command = importlib.import_module(COMMANDS[name][0]).command
        found += list(command.commands.values()) if isinstance(command, click.Group) else [command]
    return found


def test_the_first_screen_shows_the_everyday_commands_first() -> None:
    out = cli("--help").out
    shown = [name for name in EVERYDAY if _exists(EVERYDAY[name][0])]
    everyday = out[out.index("Everyday:") : out.index("Flows:")]
    assert re.findall(r"^  (\w+)  ", everyday, re.MULTILINE) == shown


def test_every_command_stands_in_one_group_with_a_short_help() -> None:
    names = [name for group in GROUPS.values() for name in group]
    assert len(names) == len(set(names))
    assert [name for name, (_, text) in COMMANDS.items() if not text or text.endswith(".") or len(text) > 60] == []


@pytest.mark.parametrize("name", HERE)
def test_every_command_has_help_on_one_screen(name: str) -> None:
    done = cli(name, "--help")
    assert done.code == 0
    assert "Usage: orchestrator " + name in done.out
    assert done.err == ""


# Commands that work until they are stopped, and the two that write or read a file of runs, answer in lines only.
WITHOUT_JSON = {"dev", "serve", "worker", "export", "import"}


def test_every_option_has_help_and_commands_have_json() -> None:
    lacking = []
    for command in leaves():
        options = [p for p in command.params if isinstance(p, click.Option)]
        lacking += [f"{command.name} {p.name}" for p in options if not p.help]
        has_json = any("--json" in p.opts for p in options)
        lacking += [f"{command.name} --json"] * (not has_json and command.name not in WITHOUT_JSON)
    assert lacking == []


def test_a_misspelt_command_gets_a_suggestion_and_exit_2() -> None:
    done = cli("chek")
    assert (done.code, done.out) == (2, "")
    assert "Did you mean `check`?" in done.err


def test_an_unknown_option_is_a_usage_error_and_stdout_stays_empty() -> None:
    done = cli("check", "--colour")
    assert (done.code, done.out) == (2, "")
    assert "--colour" in done.err


def test_a_usage_error_is_one_json_object_when_json_is_wanted() -> None:
    done = cli("run", "--json")
    assert done.code == 2
    assert done.json["ok"] is False
    assert done.json["error"]["code"] == "usage"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_serve_both_names(shell: str) -> None:
    out = cli("completion", shell).out
    assert "orchestrator" in out
    assert re.search(r"\borc\b", out)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_the_bash_script_is_valid_bash(tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(cli("completion", "bash").out, "utf-8")
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def complete(words: str, cword: int, cwd: Path = ROOT) -> list[str]:
    done = process(
        cwd=cwd, _ORCHESTRATOR_COMPLETE="bash_complete", COMP_WORDS=f"orchestrator {words}", COMP_CWORD=str(cword)
    )
    return [line.partition(",")[2] for line in done.out.splitlines()]


def test_a_shell_completes_commands() -> None:
    assert complete("ch", 1) == ["check"]


def test_a_shell_completes_flow_files_only() -> None:
    assert complete("run flows/tr", 2) == ["flows/translate.flow.yaml", "flows/triage.flow.yaml"]


def test_a_shell_completes_runs(tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", "")
    write(tmp_path, "ask.flow.yaml", ASK)
    write(tmp_path, "hello.flow.yaml", HELLO)
    cli("run", "ask.flow.yaml", "-i", "title=T", "--run-id", "open1", "-q", cwd=tmp_path)
    cli("run", "hello.flow.yaml", "-i", "name=A", "--run-id", "over1", "-q", cwd=tmp_path)
    assert complete("resume", 2, tmp_path) == ["open1"]
    assert complete("runs show o", 3, tmp_path) == ["over1", "open1"]


def test_a_shell_completes_codes() -> None:
    assert "FLW101" in complete("explain FLW1", 2)


def test_the_page_of_the_command_line_is_golden() -> None:
    assert matches_golden(ROOT / "docs" / "cli.md", cli_page())


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Exit)
