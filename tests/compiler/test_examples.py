"""The worked examples compile without a finding; imports bring types along."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestrator.compiler.projectwide import check_flow_names
from orchestrator.ir.codec import flow_hash
from orchestrator.testing.flow_tests import run_tests_in
from tests.compiler.support import FLOWS, codes, compile_source, project

FILES = sorted(FLOWS.glob("*.flow.yaml"))


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMS_TOKEN", "granted")
    monkeypatch.setenv("HELPDESK_TOKEN", "granted")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".flow.yaml"))
def test_a_worked_example_compiles_clean(file: Path) -> None:
    compiled = project().compile(file)
    assert [str(finding) for finding in compiled.diagnostics] == []
    assert compiled.is_ok


def test_a_child_flow_is_pinned_by_its_content() -> None:
    compiled = project().compile(FLOWS / "publish-everywhere.flow.yaml")
    child = compiled.children["translate"].checked()
    assert compiled.checked().imports["translate"] == flow_hash(child)


def test_the_inputs_of_a_child_flow_are_checked(tmp_path: Path) -> None:
    shutil.copytree(FLOWS, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "publish-everywhere.flow.yaml"
    file.write_text(
        file.read_text().replace("      lang: ${{ ev.lang }}\n    id", "      langs: ${{ ev.lang }}\n    id")
    )
    assert codes(project(tmp_path).compile(file)) == ["FLW505"]


def test_a_field_of_an_imported_model_is_checked(tmp_path: Path) -> None:
    shutil.copytree(FLOWS, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "content-approval.flow.yaml"
    file.write_text(file.read_text().replace("inputs.article.body", "inputs.article.bodyy"))
    (finding,) = project(tmp_path).compile(file).diagnostics
    assert (finding.code, finding.help) == ("FLW321", "did you mean `body`?")
    assert (finding.span.line, finding.span.column) == (23, 34)


def test_flows_that_import_each_other_are_a_circle(tmp_path: Path) -> None:
    for one, two in (("a", "b"), ("b", "a")):
        (tmp_path / f"{one}.flow.yaml").write_text(
            f"flow: {one}\nimports: {{{two}: ./{two}.flow.yaml}}\nsteps:\n  s: {{on: Start, call: flow.{two}, emit: Stop}}\n"
        )
    assert project(tmp_path).compile(tmp_path / "a.flow.yaml").diagnostics[0].code == "FLW512"


def test_two_flows_of_one_name_in_a_project(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.flow.yaml").write_text("flow: same\nsteps:\n  s: {on: Start, emit: Stop}\n")
    here = project(tmp_path)
    found = check_flow_names(here.compile(file) for file in here.flow_files())
    assert [(d.code, d.span.file.endswith("b.flow.yaml")) for d in found] == [("FLW522", True)]


def test_test_number_one_a_misspelt_question_does_not_start() -> None:
    text = (
        "flow: legal\nsteps:\n  draft:\n    on: Start\n    aks: {title: Publish it}\n    emit: publish\n"
        "  publish:\n    emit: Stop\n"
    )
    compiled = compile_source(text)
    assert not compiled.is_ok
    assert [(d.code, d.span.line, d.help) for d in compiled.diagnostics] == [("FLW201", 5, "did you mean `ask`?")]


def test_all_findings_come_in_one_run_in_order_of_the_file() -> None:
    file = Path(__file__).parents[1] / "analysis" / "golden" / "FLW-many.flow.yaml"
    found = compile_source(file.read_text()).diagnostics
    assert len(found) > 12
    assert [d.span.line for d in found] == sorted(d.span.line for d in found)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfe", b"[" * 5000, b"flow: x\nsteps: 3", b"flow: x\nsteps: {a: {on: 3, emit: [{}]}}", b"a: &x [*x]"],
)
def test_any_bytes_give_diagnostics(data: bytes) -> None:
    from orchestrator.compiler.compile import compile_text
    from tests.compiler.support import catalog

    compiled = compile_text(data, "x.flow.yaml", catalog=catalog())
    assert compiled.diagnostics
    assert not compiled.is_ok


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".flow.yaml"))
def test_a_worked_example_runs_as_its_tests_say(file: Path) -> None:
    report = run_tests_in(project(), file)
    assert {result.name: result.problems for result in report.results if not result.is_ok} == {}
