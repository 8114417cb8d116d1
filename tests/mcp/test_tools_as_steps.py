"""Tools of a real MCP server over stdio as steps: pinned, checked without starting anything, called, held to what was pinned."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from orchestrator.authoring.loaded import load
from tests.cli.support import cli, process, write
from tests.mcp.conftest import write_config
from tests.mcp.kit import Tools

FLOW = """\
flow: adding
inputs: {number: int}
events:
  Added: {total: int}
outputs: {total: int, loud: str}
steps:
  add:
    on: Start
    call: tools.add
    with: {first: "${{ inputs.number }}", second: 40}
    emit: {event: Added, with: {total: "${{ result.total }}"}}
  shout:
    on: Added
    call: tools.shout_aloud
    with: {text: done}
    emit: {event: Stop, with: {total: "${{ ev.total }}", loud: "${{ result.text }}"}}
"""


def test_pull_pins_tools_that_list_and_show_know(folder: Path) -> None:
    listed = cli("plugin", "list", cwd=folder)
    assert "tools.add" in listed.out and "Add two numbers.  [mcp tools]" in listed.out
    shown = cli("plugin", "show", "tools.shout_aloud", "--json", cwd=folder).json["data"][0]
    assert shown["input"]["properties"]["text"]["type"] == "string"
    assert (folder / "mcp" / "tools.plugin.json").is_file()


def test_a_flow_of_tools_is_checked_without_a_server_and_then_runs(folder: Path) -> None:
    write(folder, "adding.flow.yaml", FLOW)
    done = process(
        "run", "adding.flow.yaml", "-i", "number=2", "--store", "memory:", "--json", cwd=folder, TOOLS_TOKEN="tok"
    )
    assert done.json["data"]["outputs"] == {"total": 42, "loud": "DONE"}
    write(folder, "orchestrator.toml", "[mcp.servers.tools]\ncommand = ['no-such-program']\n")
    assert cli("check", cwd=folder).code == 0


def test_a_wrong_field_of_a_tool_is_a_finding_at_its_place(folder: Path) -> None:
    write(folder, "adding.flow.yaml", FLOW.replace("second: 40", "secnd: 40"))
    done = cli("check", cwd=folder)
    assert done.code == 3
    assert "did you mean `second`" in done.out + done.err


def test_tools_that_were_never_pinned_are_a_finding_with_the_way_out(tmp_path: Path) -> None:
    write_config(tmp_path)
    write(tmp_path, "adding.flow.yaml", FLOW)
    done = cli("check", cwd=tmp_path)
    assert (done.code, "orchestrator mcp pull tools" in done.out + done.err) == (3, True)
    assert "orchestrator mcp pull tools" in cli("plugin", "list", cwd=tmp_path).err


@pytest.mark.anyio
async def test_calls_share_one_session_and_progress_is_shown(tools: Tools) -> None:
    answers = await asyncio.gather(*(tools("tools.add", first=n) for n in range(20)))
    assert [a["total"] for a in answers] == list(range(1, 21))
    await tools("tools.count", to=2)
    assert tools.shown == [{"progress": 0.5}, {"progress": 1.0}]


@pytest.mark.anyio
async def test_a_tool_gets_its_environment_and_its_secret_is_masked(tools: Tools) -> None:
    answer = await tools("tools.token")
    assert answer["text"] == "the token is ***, the mode quiet"
    assert answer["content"] == [{"type": "text", "text": "the token is ***, the mode quiet"}]


@pytest.mark.anyio
async def test_a_tool_that_fails_says_why(tools: Tools) -> None:
    error = await tools.error("tools.fail", why="no more paper")
    assert error.code == "mcp.tool_failed" and "no more paper" in error.message
    wrong = await tools.error("tools.add", first="one")
    assert wrong.code == "type.payload" and "first" in wrong.message


@pytest.mark.anyio
async def test_a_server_that_dies_fails_the_call_and_is_started_for_the_next(tools: Tools) -> None:
    error = await tools.error("tools.die")
    assert error.code == "mcp.unavailable"
    assert await tools("tools.add", first=1) == {"total": 2}


@pytest.mark.anyio
async def test_a_tool_that_takes_too_long_is_a_timeout(folder: Path, tools: Tools) -> None:
    write_config(folder, timeout_s=1.5)
    tools.project = type(tools.project).open(folder)
    error = await tools.error("tools.sleep", seconds=6)
    assert error.code == "timeout" and "1.5 s" in error.message


@pytest.mark.anyio
async def test_a_tool_that_changed_is_refused_until_it_is_pinned_again(folder: Path, tools: Tools) -> None:
    write_config(folder, "other")
    tools.project = type(tools.project).open(folder)
    error = await tools.error("tools.add", first=1)
    assert error.code == "mcp.changed" and "orchestrator mcp pull tools" in error.message
    assert await tools("tools.shout_aloud", text="still here") == {
        "text": "STILL HERE",
        "content": [{"type": "text", "text": "STILL HERE"}],
    }


def test_pull_check_tells_what_changed_and_writes_nothing(folder: Path) -> None:
    before = (folder / "mcp" / "tools.plugin.json").read_text("utf-8")
    assert cli("mcp", "pull", "--check", cwd=folder).code == 0
    write_config(folder, "other")
    done = cli("mcp", "pull", "--check", cwd=folder)
    assert (done.code, done.out) == (3, "~ tools.add  doc, input\n")
    assert (folder / "mcp" / "tools.plugin.json").read_text("utf-8") == before


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ('["no-such-program-here"]', "no-such-program-here"),
        (f'["{sys.executable}", "-c", "print(1)"]', "Connection closed"),
        (f'["{sys.executable}", "-c", "import sys; sys.exit(\'no licence\')"]', "it said: no licence"),
    ],
)
def test_a_server_that_cannot_be_used_is_told_with_its_last_words(tmp_path: Path, command: str, said: str) -> None:
    write(tmp_path, "orchestrator.toml", f"[mcp.servers.odd]\ncommand = {command}\ntimeout_s = 5\n")
    done = cli("mcp", "pull", cwd=tmp_path)
    assert (done.code, said in done.err, "Traceback" in done.err) == (10, True, False)


def test_a_secret_that_is_not_set_is_told(tmp_path: Path) -> None:
    write_config(tmp_path)
    done = cli("mcp", "pull", cwd=tmp_path)
    assert (done.code, "secret TOOLS_TOKEN is not set" in done.err) == (10, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mcp.servers.Bad-Name]\nurl = 'http://x'\n", "Bad-Name"),
        ("[mcp.servers.a]\ncommand = ['x']\nurl = 'http://x'\n", "either"),
        ("[mcp.servers.a]\nurl = 'http://x'\nkey = 'k'\n", '"a" has "key"'),
        ("[mcp.servers.a]\nurl = 'http://x'\nbearer = 'sk-1234'\n", "the name of a secret"),
    ],
)
def test_a_server_that_is_misdescribed_is_a_finding_of_the_config(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, "orchestrator.toml", text)
    done = cli("plugin", "list", cwd=tmp_path)
    assert (done.code, said in done.err) == (3, True)


def test_without_the_extra_the_message_says_what_to_install(folder: Path) -> None:
    blocked = "import sys; sys.modules['mcp'] = None; from orchestrator.cli.app import run; run(sys.argv[1:])"
    import subprocess

    from tests.cli.support import ENV

    words = [sys.executable, "-c", blocked, "run", "--step", "tools.add", "-i", "first=1"]
    done = subprocess.run(words, cwd=folder, env=ENV, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert 'pip install "orchestrator-flows[mcp]"' in done.stderr


def test_a_loaded_flow_calls_tools_from_python(folder: Path) -> None:
    flow = load(write(folder, "adding.flow.yaml", FLOW))
    assert flow.run_sync(number=1)["total"] == 41
