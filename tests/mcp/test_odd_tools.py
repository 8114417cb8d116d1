"""Tools with odd names and schemas: what can be used is, what cannot is left out with the reason."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Done, cli, write

SERVER = Path(__file__).resolve().parents[1] / "support" / "mcp_odd.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(
        tmp_path,
        "orchestrator.toml",
        f'[mcp.servers.odd]\ncommand = ["{sys.executable}", "{SERVER}"]\ntimeout_s = 20\n',
    )
    return tmp_path


@pytest.fixture
def pulled(folder: Path) -> Done:
    return cli("mcp", "pull", cwd=folder)


def call(folder: Path, name: str, *inputs: str) -> Any:
    """The text of a tool's answer, or the code of its error."""
    words = [word for given in inputs for word in ("-i", given)]
    done = cli("run", "--step", name, *words, "--json", cwd=folder)
    data = done.json["data"]
    return data["result"]["text"] if done.code == 0 else data["error"]["code"]


def test_what_cannot_be_used_is_left_out_with_the_reason(pulled: Done) -> None:
    assert pulled.code == 0
    assert [line.split()[1] for line in pulled.out.splitlines()] == ["odd.liar", "odd.search_issues", "odd.tool_2fast"]
    assert "left out: far: its input schema cannot be used" in pulled.err
    assert "left out: search_issues: another tool is odd.search_issues already" in pulled.err


def test_fields_of_any_name_and_nested_types_are_checked_and_passed_on(folder: Path, pulled: Done) -> None:
    answer = call(folder, "odd.search_issues", "max-results=3", "from=open", 'at={"city": "Rome"}')
    assert answer == 'search.Issues {"at": {"city": "Rome"}, "from": "open", "max-results": 3}'
    flow = "flow: f\nsteps:\n  s:\n    on: Start\n    call: odd.search_issues\n    with: {from: opne, at: {ctiy: Rome}}\n    emit: Stop\n"
    write(folder, "f.flow.yaml", flow)
    found = cli("check", cwd=folder).out
    assert "opne" in found and "ctiy" in found


def test_a_tool_that_takes_any_field_gets_it(folder: Path, pulled: Done) -> None:
    flow = (
        "flow: f\noutputs: {t: str}\nsteps:\n  s:\n    on: Start\n    call: odd.tool_2fast\n    with: {anything: 1}\n"
    )
    write(folder, "f.flow.yaml", flow + '    emit: {event: Stop, with: {t: "${{ result.text }}"}}\n')
    done = cli("run", "f.flow.yaml", "--store", "memory:", "--json", cwd=folder)
    assert done.json["data"]["outputs"] == {"t": '2fast {"anything": 1}'}, done.err


def test_a_tool_that_breaks_its_own_schema_is_an_error(folder: Path, pulled: Done) -> None:
    assert call(folder, "odd.liar") == "mcp.bad_reply"


def test_the_tools_of_others_are_not_held_to_the_contract(folder: Path, pulled: Done) -> None:
    done = cli("plugin", "check", cwd=folder)
    assert (done.code, "provides no callables of its own" in done.err) == (6, True)
