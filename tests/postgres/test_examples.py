"""The example files say what the commands understand."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest
import yaml

from orchestrator.cli.app import app

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


def parse(words: list[str]) -> None:
    """Have the command line parse a command, without running it."""
    command = app.get_command(click.Context(app), words[1])
    assert command is not None and words[0].endswith("orchestrator")
    command.make_context(words[1], words[2:])


def test_every_command_of_the_compose_file_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    services = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["services"]
    commands = {name: service["command"] for name, service in services.items() if "command" in service}
    assert set(commands) == {"server", "worker", "worker-gpu"}
    for name, words in commands.items():
        parse(words)
        assert services[name]["environment"]["ORCHESTRATOR_STORE_URL"].startswith("postgresql://")


def test_the_unit_starts_a_worker_and_gives_it_time_to_end() -> None:
    lines = (EXAMPLES / "orchestrator-worker@.service").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    words = shlex.split(settings["ExecStart"])
    parse(words)
    grace_s = float(words[words.index("--grace") + 1])
    assert settings["KillSignal"] == "SIGTERM" and float(settings["TimeoutStopSec"]) > grace_s
