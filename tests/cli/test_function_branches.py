"""A workflow function whose one branch waits for people while another one works: commands let the work end first."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import process, write

CODE = """
import asyncio
from orchestrator.functional import RunContext, step, workflow

@step
async def work() -> int:
    await asyncio.sleep(0.5)
    with open("done.txt", "a") as file:
        file.write("worked ")
    return 7

@workflow
async def ask(url: str, ctx: RunContext) -> str:
    answer, worked = await asyncio.gather(ctx.request_info("ok?", str, request_id="q"), work())
    return f"{answer} {worked}"
"""


def test_run_ends_the_branch_that_works_before_it_reports_the_one_that_waits(tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", '[python]\nallow = ["asks"]\n')
    write(tmp_path, "asks.py", CODE)
    assert process("run", "asks:ask", "-i", "url=u", "--run-id", "r", cwd=tmp_path).code == 4
    assert (tmp_path / "done.txt").read_text() == "worked "
    done = process("decide", "r", "-i", "answer=yes", "--as", "kim", cwd=tmp_path)
    assert (done.code, done.out.strip()) == (0, '"yes 7"')
    assert (tmp_path / "done.txt").read_text() == "worked "
