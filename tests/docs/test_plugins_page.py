"""Everything on docs/plugins.md is used: configs are read, plugins keep the contract, flows compile, commands exist."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from orchestrator.authoring.project import Project
from orchestrator.plugin.config import KEYS, load_config
from orchestrator.plugin.providers import load_provider
from tests.cli.support import cli, process, write

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
BLOCK = re.compile(r"^```(python|yaml|toml)\n# (\S+)\n(.*?)^```", re.S | re.M)
FILES = [(name, text) for _, name, text in BLOCK.findall(PAGE)]
CONFIGS = [text for name, text in FILES if name == "orchestrator.toml"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES:
        if name != "orchestrator.toml":
            write(tmp_path, name, text)
    write(tmp_path, "orchestrator.toml", '[plugins]\nfolder = "plugins"\n')
    return tmp_path


@pytest.mark.parametrize("text", CONFIGS)
def test_a_config_has_no_finding(text: str, tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", text)
    config, findings = load_config(tmp_path, {})
    assert [str(f) for f in findings] == []
    assert config.file is not None


def test_every_plugin_keeps_the_contract_and_every_flow_compiles(project: Path) -> None:
    done = process("plugin", "check", cwd=project)
    assert (done.code, done.out) == (0, "")
    checked = cli("check", cwd=project)
    assert checked.code == 0, checked.out


def test_the_callables_do_what_the_page_says(project: Path) -> None:
    assert json.loads(process("run", "--step", "crm.tier", "-i", "score=0.95", cwd=project).out) == "gold"
    lost = json.loads(process("run", "--step", "deals.close", "-i", "amount=3", cwd=project).out)
    assert lost == {"event": "Lost", "fields": {"why": "too small"}}
    told = process("run", "--step", "deals.tell", "-i", 'words=["a", "b"]', cwd=project)
    assert json.loads(told.out) == "ab"
    agent = process("run", "--step", "support.read", "-i", "text=help", "--fake-llm", "--json", cwd=project)
    assert agent.json["data"]["result"]["team"] in ("billing", "technical")


def test_the_source_of_secrets_and_the_notifier_can_be_used(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.authoring.notices import check_notifiers

    write(project, "orchestrator.toml", CONFIGS[-1])
    monkeypatch.setenv("VAULT_KEY", "5ecret")
    made = Project.open(project)
    check_notifiers(made)
    assert load_provider(made.config.secrets.provider, made.config)("KEY") == "5ecret"
    asyncio.run(made.hub.aclose())


def test_the_journey_of_the_page_runs(tmp_path: Path) -> None:
    (journey,) = re.findall(r"^```\n(orchestrator plugin new.*?)^```", PAGE, re.S | re.M)
    folder = tmp_path
    for line in journey.splitlines():
        words = line.partition("#")[0].split()
        if words[0] == "cd":
            folder = folder / words[1]
        elif words[0] == "orchestrator":
            done = process(*words[1:], cwd=folder)
            assert done.code == 0, f"{line}: {done.err}"


def test_every_section_of_the_config_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`?\[(\w+)[\].]", PAGE))
    assert named & set(KEYS) >= {"llm", "mcp", "plugins", "people", "secrets", "limits", "process"}
