"""The findings of whole flows, as a person reads them. `make golden` writes the texts anew, to be read as a diff."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.analysis.codes import CODES
from orchestrator.authoring.project import Project
from orchestrator.diagnostics_text import render_text
from tests.compiler.support import STEPS
from tests.support.golden import matches_golden

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.flow.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".flow.yaml"))
def test_golden_findings(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    monkeypatch.setenv("TOKEN", "granted")
    compiled = Project.open(Path(), steps=STEPS).compile(Path(file.name))
    text = render_text(compiled.diagnostics, {file.name: file.read_text("utf-8")})
    assert matches_golden(file.with_suffix("").with_suffix(".txt"), text)


def test_every_code_has_a_golden_file() -> None:
    named = {file.name.partition("-")[0] for file in FILES}
    missing = {code for code, info in CODES.items() if info.bad and not code.startswith("FLW8")} - named
    assert missing == set()
