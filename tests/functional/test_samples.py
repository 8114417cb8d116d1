"""The nine samples in flows/python run as programs, without warnings, and print what they should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = {
    "agent_integration": [
        "category: question",
        "Weather",
        "model calls after the pause: 0",
        "ClassifierAgent: statement",
    ],
    "basic_pipeline": ["['order 7: cup and plate'] IDLE", "['order 8 is empty'] IDLE"],
    "basic_streaming_pipeline": [
        "progress: 1 of 3",
        "progress: 3 of 3",
        "output: page 1, page 2, page 3",
        "state: IDLE",
    ],
    "functional_workflow_basics": ["outputs: ['DLROW OLLEH']", "state: IDLE"],
    "functional_workflow_with_agents": ["Poem:", "Review: Clear and short; could say more about the sea at dawn,"],
    "hitl_review": ["asked: review_request Draft about AI Safety", "drafts written: 1"],
    "naive_group_chat": ["user: Shall we have tea", "Cleo: [6] Sum up: Shall we have tea"],
    "parallel_pipeline": ["web: tea is popular; papers: tea is well studied; news: tea made headlines"],
    "steps_and_checkpointing": [
        "second: contents {'fetch': 1, 'summarise': 1, 'is_short': 2}",
        "events: ['executor_bypassed', 'executor_bypassed', 'output']",
    ],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_runs(name: str) -> None:
    command = [sys.executable, "-W", "error", str(ROOT / "flows" / "python" / f"{name}.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in SAMPLES[name] if line not in lines] == []


def test_every_sample_is_tested() -> None:
    found = {path.stem for path in (ROOT / "flows" / "python").glob("*.py")} - {"stand_in"}
    assert found == set(SAMPLES)
