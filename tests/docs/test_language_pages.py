"""Every complete flow on the pages of the language is compiled, formatted and tested; every key of the language stands on them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.authoring.project import Project
from orchestrator.diagnostics import Severity
from orchestrator.language import emit_reader, flow_reader, people_reader, policy_reader, step_reader, tests_reader
from orchestrator.testing.flow_tests import run_tests_in

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```yaml\n(flow: ([\w-]+)\n.*?)^```", re.S | re.M)
PAGES = ("docs/language.md", "docs/people.md")
FLOWS = [(name, text) for page in PAGES for text, name in BLOCK.findall((ROOT / page).read_text("utf-8"))]
IDS = [name for name, _ in FLOWS]
KEYS = {
    "docs/language.md": (
        flow_reader.FLOW_KEYS, step_reader.STEP_KEYS, policy_reader.RETRY_KEYS, policy_reader.REPEAT_KEYS,
        policy_reader.CATCH_KEYS, emit_reader.EMIT_KEYS, emit_reader.COLLECT_KEYS, tests_reader.TEST_KEYS,
        tests_reader.EXPECT_KEYS, tests_reader.EVENT_KEYS,
    ),
    "docs/people.md": (people_reader.ASK_KEYS, people_reader.TO_KEYS, people_reader.ESCALATE_KEYS),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), FLOWS, ids=IDS)
def test_an_example_has_no_finding_but_secrets_of_the_reader(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.flow.yaml"
    file.write_text(text, "utf-8")
    found = Project.open(file).compile(file).diagnostics
    assert [str(d) for d in found if d.severity is not Severity.INFO and d.code != "FLW706"] == []


@pytest.mark.parametrize(("name", "text"), FLOWS, ids=IDS)
def test_an_example_passes_its_own_tests(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.flow.yaml"
    file.write_text(text, "utf-8")
    report = run_tests_in(Project.open(file), file)
    assert report.results
    assert [str(problem) for result in report.results for problem in result.problems] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_key_of_the_language_is_explained(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    keys = {key for known in KEYS[page] for key in known.names}
    assert sorted(key for key in keys if not re.search(rf"\b{re.escape(key)}\b", text)) == []
