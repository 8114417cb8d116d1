"""Every example of the code tables: the bad one has its finding and no other, the good one has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.analysis.codes import CODES
from orchestrator.analysis.codes_table import CodeInfo
from orchestrator.compiler.compile import Compiled
from orchestrator.compiler.explain import checks_page, explain, pages, suggest_code
from tests.compiler.support import codes, project
from tests.support.golden import matches_golden

DOCS = Path(__file__).parents[2] / "docs"
YAML_CODES = [info for code, info in CODES.items() if not code.startswith("FLW8")]


def compile_example(info: CodeInfo, text: str, folder: Path) -> Compiled:
    (folder / "orchestrator.toml").write_text(info.config)
    file = folder / "example.flow.yaml"
    file.write_text(text, encoding="utf-8")
    return project(folder).compile(file)


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "granted")


@pytest.mark.parametrize("info", [c for c in YAML_CODES if c.bad], ids=lambda c: c.code)
def test_a_bad_example_has_its_finding_and_no_other(info: CodeInfo, tmp_path: Path) -> None:
    found = compile_example(info, info.bad, tmp_path)
    assert set(codes(found)) == {info.code}
    assert {d.severity for d in found.diagnostics} == {info.severity}


@pytest.mark.parametrize("info", YAML_CODES, ids=lambda c: c.code)
def test_a_good_example_has_no_finding(info: CodeInfo, tmp_path: Path) -> None:
    assert codes(compile_example(info, info.good, tmp_path)) == []


def test_every_page_is_explained_and_in_order() -> None:
    found = [page.code for page in pages()]
    assert found == sorted(set(found))
    assert all(page.title and page.explanation for page in pages())
    assert "Wrong:" in (explain("flw410") or "")


def test_an_unknown_code_is_not_explained_but_guessed() -> None:
    assert explain("FLW999") is None
    assert suggest_code("FLW41O") in ("FLW410", "FLW411", "FLW412", "FLW413", "FLW414")


def test_the_page_of_checks_is_golden() -> None:
    assert matches_golden(DOCS / "checks.md", checks_page())
