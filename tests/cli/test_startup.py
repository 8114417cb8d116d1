"""How much a command costs before it does anything: CPU time of the process, with slack for a busy machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.support import ENV, FLOWS, command

SLACK = 1.6  # the budgets are of a quiet machine; see bench/README.md


def cpu_s(*args: str) -> float:
    """The least CPU time of a few runs of a command, in seconds."""
    best = float("inf")
    for _ in range(4):
        child = subprocess.Popen(command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENV)
        _, _, usage = os.wait4(child.pid, 0)
        child.returncode = 0
        best = min(best, usage.ru_utime + usage.ru_stime)
    return best


@pytest.mark.parametrize(
    ("args", "budget_s"), [(("--help",), 0.15), (("check", str(FLOWS / "publish-post.flow.yaml")), 0.3)]
)
def test_a_command_starts_within_its_budget(args: tuple[str, ...], budget_s: float) -> None:
    assert cpu_s(*args) <= budget_s * SLACK


@pytest.mark.parametrize(
    ("args", "unwanted"),
    [
        (
            ("--help",),
            {"yaml", "pydantic", "jinja2", "asyncio", "orchestrator.compiler", "orchestrator.runtime", "sqlite3"},
        ),
        (
            ("check", str(FLOWS / "publish-post.flow.yaml")),
            {"pydantic", "httpx", "sqlite3", "rich", "orchestrator.runtime"},
        ),
    ],
)
def test_a_command_loads_nothing_that_it_does_not_need(args: tuple[str, ...], unwanted: set[str]) -> None:
    code = (
        "import sys, contextlib, io\nfrom orchestrator.cli.app import run\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    run({list(args)!r})\n"
        f"print(*sorted(set(sys.modules) & {unwanted!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENV, check=True)
    assert done.stdout.split() == []
