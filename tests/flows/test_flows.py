"""Every flow of the repository is clean, formatted, and passes the tests that stand in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.authoring.project import Project
from orchestrator.diagnostics import has_errors
from orchestrator.language.format import format_flow
from orchestrator.testing.flow_tests import run_tests_in

ROOT = Path(__file__).resolve().parents[2]
FLOWS = sorted((ROOT / "flows").glob("*.flow.yaml"))


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.open(ROOT / "flows")


@pytest.mark.parametrize("file", FLOWS, ids=lambda file: file.name.partition(".")[0])
def test_a_flow_has_no_findings(file: Path, project: Project) -> None:
    found = project.compile(file).diagnostics
    assert not has_errors(found), [str(d) for d in found]


@pytest.mark.parametrize("file", FLOWS, ids=lambda file: file.name.partition(".")[0])
def test_a_flow_passes_its_tests_and_they_take_most_of_its_edges(file: Path, project: Project) -> None:
    report = run_tests_in(project, file)
    assert report.results, "a flow without tests shows nobody that it works"
    assert [str(problem) for result in report.results for problem in result.problems] == []
    assert report.share >= 0.66, report.missed


@pytest.mark.parametrize("file", FLOWS, ids=lambda file: file.name.partition(".")[0])
def test_formatting_a_flow_twice_is_formatting_it_once(file: Path) -> None:
    once = format_flow(file.read_bytes(), str(file))
    assert format_flow(once.encode("utf-8"), str(file)) == once


def test_the_index_names_every_flow_with_its_description() -> None:
    index = (ROOT / "flows" / "README.md").read_text(encoding="utf-8")
    for file in FLOWS:
        described = re.search(r"^description: (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert described is not None
        assert f"| [`{file.name.removesuffix('.flow.yaml')}`]({file.name}) | {described[1]} |" in index
