"""Findings in their five formats; what a file holds reaches nobody's terminal."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from orchestrator.diagnostics import Diagnostic, Edit, Fix, Related, Severity, Span
from orchestrator.diagnostics_text import FORMATS, render, render_text, summary

TEXT = "flow: a\nsteps:\n  w: {onn: Start}\n"
SPAN = Span("a b.yaml", 3, 7, 3, 10)
ERROR = Diagnostic(
    "FLW201",
    Severity.ERROR,
    "a step has no key `onn`",
    SPAN,
    "did you mean `on`?",
    Fix("rename it to `on`", (Edit(SPAN, "on"),)),
    (Related(Span("a b.yaml", 1, 1, 1, 5), "in this flow"), Related(Span("other.yaml", 9, 2, 9, 3), "and there")),
)
WARNING = Diagnostic("FLW115", Severity.WARNING, "100% sure: yes,\nno", Span("a b.yaml", 1, 7, 1, 8))


def test_text_shows_the_line_the_caret_and_the_second_places() -> None:
    assert render_text([ERROR], {"a b.yaml": TEXT}) == (
        "a b.yaml:3:7: error[FLW201]: a step has no key `onn`\n"
        "    3 |   w: {onn: Start}\n"
        "      |       ^^^ did you mean `on`?\n"
        "    1 | flow: a\n"
        "      | ---- in this flow\n"
        "      = other.yaml:9:2: and there\n"
        "      = fix: rename it to `on` (check --fix)\n"
        "\n"
    )


def test_without_the_text_of_the_file_the_help_stands_alone() -> None:
    assert "= help: did you mean `on`?" in render_text([ERROR], {})


def test_control_characters_never_reach_a_terminal() -> None:
    span = Span("f\x1b.yaml", 1, 1, 1, 3)
    evil = Diagnostic(
        "FLW101", Severity.ERROR, "bad \x1b[31m\u202e", span, "say \x07", related=(Related(span, "\x9b"),)
    )
    text = render_text([evil], {"f\x1b.yaml": "a\x1b[2Jb\u202e\n"})
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)


def test_colours_come_only_when_asked_for() -> None:
    assert "\x1b[" not in render_text([ERROR], {"a b.yaml": TEXT})
    assert "\x1b[1;31m^^^\x1b[0m" in render_text([ERROR], {"a b.yaml": TEXT}, color=True)


def test_a_long_line_is_cut_around_its_place() -> None:
    line = "x" * 500 + "HERE" + "y" * 500
    text = render_text([Diagnostic("C", Severity.ERROR, "m", Span("f", 1, 501, 1, 505))], {"f": line})
    shown, under = text.split("\n")[1:3]
    assert len(shown) < 200
    assert shown[under.index("^") : under.rindex("^") + 1] == "HERE"


def test_wide_characters_take_two_cells() -> None:
    under = render_text([Diagnostic("C", Severity.ERROR, "m", Span("f", 1, 3, 1, 4))], {"f": "日本x\n"}).split("\n")[2]
    assert under == "      |     ^"


@pytest.mark.parametrize("line", [0, 2, 99])
def test_a_place_outside_of_the_text_is_no_trouble(line: int) -> None:
    assert "m" in render_text([Diagnostic("C", Severity.ERROR, "m", Span("f", line, 99, line, 100))], {"f": "x"})


def test_json_is_what_the_diagnostic_says() -> None:
    assert json.loads(render("json", [ERROR, WARNING], {})) == [ERROR.to_json(), WARNING.to_json()]


def test_github_commands_are_escaped() -> None:
    assert render("github", [WARNING, ERROR], {}) == (
        "::warning file=a b.yaml,line=1,col=7,endLine=1,endColumn=8,title=FLW115::100%25 sure: yes,%0Ano\n"
        "::error file=a b.yaml,line=3,col=7,endLine=3,endColumn=10,title=FLW201::a step has no key `onn`%0Adid you mean `on`?%0Aother.yaml:9:2: and there\n"
    )


def test_sarif_has_rules_places_and_fixes() -> None:
    log = json.loads(render("sarif", [ERROR, WARNING], {}, titles={"FLW201": "unknown key"}))
    run = log["runs"][0]
    assert (log["version"], [rule["id"] for rule in run["tool"]["driver"]["rules"]]) == ("2.1.0", ["FLW115", "FLW201"])
    result = run["results"][0]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20b.yaml"
    assert place["region"] == {"startLine": 3, "startColumn": 7, "endLine": 3, "endColumn": 10}
    assert result["fixes"][0]["artifactChanges"][0]["replacements"][0]["insertedContent"]["text"] == "on"
    assert len(result["relatedLocations"]) == 2


def test_junit_has_a_case_per_file_and_is_xml_whatever_is_in_it() -> None:
    evil = Diagnostic("FLW101", Severity.ERROR, 'a < b & "c" \x00\x1b ]]>', Span("f<.yaml", 1, 1, 1, 2))
    root = ElementTree.fromstring(
        render("junit", [evil, WARNING], {"f<.yaml": "\x00<&", "a b.yaml": TEXT, "fine.yaml": ""})
    )
    cases = {case.get("name"): case for case in root}
    assert (root.get("tests"), root.get("failures")) == ("3", "1")
    assert cases["f<.yaml"].find("failure") is not None
    assert cases["a b.yaml"].find("system-out") is not None
    assert len(cases["fine.yaml"]) == 0


def test_all_formats_take_no_finding() -> None:
    for name in FORMATS:
        render(name, [], {})
    with pytest.raises(ValueError, match="no such format"):
        render("xml", [], {})


def test_the_summary_counts() -> None:
    assert summary([ERROR, ERROR, WARNING]) == "2 errors, 1 warning"
    assert summary([]) == ""
