"""A workflow function that was changed while its run waited, on the command line: said, set aside, and gone on with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.support import process, write

CODE = """
from orchestrator.functional import RunContext, step, workflow

@step
async def fetch(url: str) -> str:
    return url.upper()

@workflow
async def ask(url: str, ctx: RunContext) -> str:
    return f"{await fetch(url)} {await ctx.request_info('ok?', str, request_id='q')}"
"""
CHANGED = CODE.replace("fetch(url)}", "fetch(url + '2')}")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose run `r` was answered after its function was changed."""
    write(tmp_path, "orchestrator.toml", '[python]\nallow = ["asks"]\n')
    write(tmp_path, "asks.py", CODE)
    assert process("run", "asks:ask", "-i", "url=u", "--run-id", "r", cwd=tmp_path).code == 4
    write(tmp_path, "asks.py", CHANGED)
    said = process("decide", "r", "-i", "answer=yes", "--as", "kim", cwd=tmp_path)
    assert said.code == 9
    assert "recorded: fetch(url='u')" in said.err and "now:      fetch(url='u2')" in said.err
    assert "parked" in process("runs", "ls", cwd=tmp_path).out
    return tmp_path


def test_abort_leaves_the_run_for_the_function_as_it_was(project: Path) -> None:
    assert process("resume", "r", cwd=project).code == 9
    write(project, "asks.py", CODE)
    done = process("resume", "r", cwd=project)
    assert (done.code, done.out.strip()) == (0, '"U yes"')


def test_continue_makes_the_new_call(project: Path) -> None:
    done = process("resume", "r", "--on-divergence", "continue", cwd=project)
    assert (done.code, done.out.strip()) == (0, '"U2 yes"')


def test_fork_asks_again_in_a_new_run_and_leaves_the_old_one(project: Path) -> None:
    forked = process("resume", "r", "--on-divergence", "fork", cwd=project)
    assert forked.code == 4
    new = re.search(r"run (\w+) keeps", forked.err)
    assert new is not None
    old = process("runs", "show", "r", "--json", cwd=project).json["data"]
    assert old["status"] == "parked" and old["parked"]["code"] == "replay.forked"
    assert new[1] in old["parked"]["message"] and new[1] in process("runs", "show", "r", cwd=project).out
    done = process("decide", new[1], "-i", "answer=no", "--as", "kim", cwd=project)
    assert (done.code, done.out.strip()) == (0, '"U2 no"')
    write(project, "asks.py", CODE)
    assert process("resume", "r", cwd=project).out.strip() == '"U yes"'


BESIDE = """
import asyncio

from orchestrator.functional import RunContext, step, workflow

@step
async def fetch(url: str) -> str:
    return url.upper()

async def branch(url: str) -> str:
    await asyncio.sleep(0.05)
    return await fetch(url)

@workflow
async def ask(url: str, ctx: RunContext) -> str:
    return " ".join(await asyncio.gather(ctx.request_info("ok?", str, request_id="q"), branch(url)))
"""


def test_a_fork_keeps_a_question_that_was_open_before_the_call_in_the_inbox(tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", '[python]\nallow = ["asks"]\n')
    write(tmp_path, "asks.py", BESIDE)
    assert process("run", "asks:ask", "-i", "url=u", "--run-id", "r", cwd=tmp_path).code == 4
    write(tmp_path, "asks.py", BESIDE.replace("fetch(url)", "fetch(url + '2')"))
    forked = process("resume", "r", "--on-divergence", "fork", cwd=tmp_path)
    new = re.search(r"run (\w+) keeps", forked.err)
    assert (forked.code, new is not None) == (4, True), forked.err
    assert new is not None
    asked = process("inbox", "--json", cwd=tmp_path).json["data"]
    assert sorted(request["id"] for request in asked) == sorted([f"{new[1]}/q", "r/q"])
    done = process("decide", new[1], "-i", "answer=no", "--as", "kim", cwd=tmp_path)
    assert (done.code, done.out.strip()) == (0, '"no U2"')


TWO = """
import asyncio

from orchestrator.functional import RunContext, step, workflow

@step
async def fetch(url: str) -> str:
    return url.upper()

@workflow
async def ask(url: str, ctx: RunContext) -> str:
    text = await fetch(url)
    asked = [ctx.request_info(name, int, request_id=name) for name in "ab"]
    return f"{text} {await asyncio.gather(*asked)}"
"""


def test_an_answer_to_a_run_that_is_set_aside_is_checked_and_kept(tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", '[python]\nallow = ["asks"]\n')
    write(tmp_path, "asks.py", TWO)
    assert process("run", "asks:ask", "-i", "url=u", "--run-id", "r", cwd=tmp_path).code == 4
    write(tmp_path, "asks.py", TWO.replace("fetch(url)", "fetch(url + '2')"))
    assert process("decide", "r/a", "-i", "answer=1", "--as", "kim", cwd=tmp_path).code == 9
    wrong = process("decide", "r/b", "-i", "answer=x", "--as", "kim", cwd=tmp_path)
    assert wrong.code == 2 and ".answer: must be integer" in wrong.err
    kept = process("decide", "r/b", "-i", "answer=2", "--as", "kim", cwd=tmp_path)
    assert kept.code == 0 and "kept, and taken when run r goes on" in kept.err and "orchestrator resume r" in kept.err
    again = process("decide", "r/b", "-i", "answer=3", "--as", "ann", cwd=tmp_path)
    assert again.code == 7 and "an answer of kim to 'b' waits already" in again.err
    write(tmp_path, "asks.py", TWO)
    done = process("resume", "r", cwd=tmp_path)
    assert (done.code, done.out.strip()) == (0, '"U [1, 2]"')
