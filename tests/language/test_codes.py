"""Every code has an example that shows it and one that does not, and a golden file of what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.diagnostics_text import render_text
from orchestrator.language.codes import CodeInfo
from orchestrator.language.codes_reading import READING_CODES
from orchestrator.language.codes_shape import SHAPE_CODES
from orchestrator.language.flow_reader import parse_flow
from tests.support.golden import matches_golden

CODES = {**READING_CODES, **SHAPE_CODES}
GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.flow.yaml"))
TOO_LARGE = {"FLW100", "FLW118"}  # a megabyte, and two hundred findings


@pytest.mark.parametrize("info", CODES.values(), ids=lambda info: info.code)
def test_the_bad_example_has_this_finding_and_no_other(info: CodeInfo) -> None:
    diagnostics = parse_flow(info.bad_bytes or info.bad.encode(), "f").diagnostics
    codes = [d.code for d in diagnostics]
    assert (codes[200:] if info.code == "FLW118" else codes) == [info.code]


@pytest.mark.parametrize("info", CODES.values(), ids=lambda info: info.code)
def test_the_good_example_has_no_finding(info: CodeInfo) -> None:
    assert parse_flow(info.good.encode(), "f").diagnostics == ()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".flow.yaml"))
def test_golden_findings(file: Path) -> None:
    parsed = parse_flow(file.read_bytes(), file.name)
    assert file.name[:6] in {d.code for d in parsed.diagnostics}
    text = render_text(parsed.diagnostics, {file.name: file.read_bytes().decode("utf-8", "replace")})
    assert matches_golden(file.with_suffix("").with_suffix(".txt"), text)


def test_every_code_has_a_golden_file() -> None:
    assert CODES.keys() - {file.name[:6] for file in FILES} == TOO_LARGE


def test_every_code_of_the_front_half_is_in_the_table() -> None:
    folder = Path(__file__).parents[2] / "orchestrator" / "language"
    used = {
        word for file in folder.glob("*.py") for word in file.read_text("utf-8").split('"') if word.startswith("FLW")
    }
    assert {word for word in used if len(word) == 6} == CODES.keys()
