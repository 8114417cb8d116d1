"""The checker: what it infers, and each kind of mistake at its column with a way out."""

from __future__ import annotations

import pytest

from orchestrator.expr import Expr, parse
from orchestrator.expr.checking import infer
from orchestrator.expr.codes import CODES
from orchestrator.expr.errors import ExprSyntaxError
from orchestrator.expr.findings import ExprFinding, finding_of
from orchestrator.expr.placing import check_condition, check_iterable
from orchestrator.expr.roots import FOREIGN
from orchestrator.expr.text import bare_source, split_text
from orchestrator.expr.types import (
    ANY,
    BOOL,
    DATETIME,
    DURATION,
    FLOAT,
    INT,
    NULL,
    STR,
    EnumT,
    ListT,
    ObjectT,
    TypeT,
    to_text,
    union,
)

ANSWER = ObjectT({"as": STR, "notes": union(STR, NULL), "verdict": EnumT(("approve", "rework"))})
TYPES: dict[str, TypeT] = {
    "ev": union(ObjectT({"text": STR}), ObjectT({"text": STR, "notes": union(STR, NULL), "score": INT})),
    "inputs": ObjectT({"topic": STR, "max_rounds": INT, "langs": ListT(STR), "ratio": FLOAT, "wait": DURATION}),
    "state": ObjectT({"round": INT, "last": union(ObjectT({"name": STR}), NULL)}),
    "outcome": EnumT(("approve", "rework", "timeout")),
    "answers": ListT(ANSWER),
    "result": ANY,
    "now": DATETIME,
    "secrets": ObjectT({"TOKEN": STR}),
}


CONVERT = "a text that holds a number becomes one with `| int` or `| float`"
PLACE = "a secret can only stand alone or in text, as in `Bearer ${{ secrets.NAME }}`"


def findings(source: str) -> list[ExprFinding]:
    return infer(parse(source), TYPES)[1]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("ev.text", "str"),
        ("ev.notes", "str | null"),
        ("ev.score", "int | null"),
        ("ev.notes or ''", "str"),
        ("ev.score | default(0)", "int"),
        ("state.round + 1", "int"),
        ("state.round / 2", "float"),
        ("state.round + inputs.ratio", "float"),
        ("ev.text ~ 1", "str"),
        ("inputs.langs + ['x']", "[str]"),
        ("inputs.langs[0]", "str"),
        ("inputs.langs[1:]", "[str]"),
        ("answers[-1].verdict", "approve | rework"),
        ("answers | map(attribute='as')", "[str]"),
        ("answers | map(attribute='notes', default='')", "[str]"),
        ("answers | selectattr('verdict', 'eq', 'approve') | length", "int"),
        ("inputs.langs | map('length') | sum", "int | float"),
        ("inputs.langs | sort | first", "str"),
        ("inputs.langs | join(',')", "str"),
        ("'5' | int", "int"),
        ("'5' | int(default=null)", "int | null"),
        ("2.5 | round", "int"),
        ("{'a': 1, 'b': [true]}", "{a: int, b: [bool]}"),
        ("{'a': 1} | items", "[[str | int]]"),
        ("inputs | values | first", "str | int | [str] | float | duration"),
        ("'x' if state.round else null", "x | null"),
        ("state.round < 3 and ev.text", "bool | str"),
        ("not ev.text", "bool"),
        ("result.anything[0].at.all", "any"),
        ("result | fromjson", "any"),
        ("range(3)", "[int]"),
        ("90 | duration", "duration"),
        ("'90s' | duration('m')", "int | float"),
        ("-inputs.ratio", "float"),
        ("state.last and state.last.name", "null | str"),
        ("ev.text is string", "bool"),
    ],
)
def test_the_type_of_an_expression_is_inferred(source: str, expected: str) -> None:
    kind, found = infer(parse(source), TYPES)
    assert (to_text(kind), found) == (expected, [])


@pytest.mark.parametrize(
    ("source", "code", "place", "help"),
    [
        ("ev.txt", "FLW321", "txt", "did you mean `text`?"),
        ("1 + inputs.max_round", "FLW321", "max_round", "did you mean `max_rounds`?"),
        ("inputs['topc']", "FLW321", "topc", "did you mean `topic`?"),
        ("answers | map(attribute='note')", "FLW321", "note", "did you mean `notes`?"),
        ("answers | selectattr('verdict.x')", "FLW321", "verdict.x", None),
        ("answers.as", "FLW321", "as", "take an item, `answers[0].as`, or all, `answers | map(attribute='as')`"),
        ("ev.text.x", "FLW321", "x", None),
        ("outcom == 'approve'", "FLW320", "outcom", "did you mean `outcome`?"),
        ("outcome == approve", "FLW320", "approve", "a text stands in quotes: 'approve'"),
        ("steps.a.result", "FLW320", "steps", FOREIGN["steps"]),
        ("inputs.langs | upper", "FLW323", "upper", None),
        ("ev.text | join", "FLW323", "join", None),
        ("state.round[0]", "FLW323", "0", None),
        ("state.round + ev.text", "FLW324", "state.round + ev.text", "`~` joins anything as text"),
        ("state.round < ev.text", "FLW324", "state.round < ev.text", CONVERT),
        ("inputs.wait < '5m'", "FLW324", "inputs.wait < '5m'", "compare numbers: `x | duration('s') < 60`"),
        ("'%s' % 1", "FLW324", "'%s' % 1", "`%` does not format text; join with `~`"),
        ("-ev.text", "FLW324", "-ev.text", None),
        ("outcome == 'aprove'", "FLW326", "aprove", "did you mean `approve`?"),
        ("'timout' != outcome", "FLW326", "timout", "did you mean `timeout`?"),
        ("outcome in ['approve', 'rejected']", "FLW326", "rejected", None),
        ("outcome is eq 'aprove'", "FLW326", "aprove", "did you mean `approve`?"),
        ("answers | selectattr('verdict', 'eq', 'aprove')", "FLW326", "aprove", "did you mean `approve`?"),
        ("state.last.name", "FLW329", "name", "ask first: `state.last and state.last.name`, or `if state.last else …`"),
        ("ev.score > 3", "FLW329", "ev.score", "say what holds then: `| default(…)`"),
        ("ev.notes | upper", "FLW329", "upper", "say what holds then: `| default(…)` before it"),
        ("ev.score + 1", "FLW329", "ev.score + 1", "say what holds then: `| default(0)`"),
        ("secrets.TOKEN | upper", "FLW330", "secrets.TOKEN", PLACE),
        ("state.round == '3'", "FLW331", "state.round == '3'", CONVERT),
        ("inputs.langs['a' ~ 'b']", "FLW333", "'a' ~ 'b'", None),
    ],
)  # fmt: skip
def test_a_mistake_is_found_at_its_place(source: str, code: str, place: str, help: str | None) -> None:
    found = findings(source)
    assert [(f.code, source[f.start : f.end], f.help) for f in found] == [(code, place, help)]


@pytest.mark.parametrize(
    "source",
    ["ev.txt", "inputs['topc']", 'inputs["topc"]', "answers | map(attribute='note')", "outcome == 'aprove'",
     'outcome in ["aprove"]', "outcom == 'approve'", "inputs | items | selectattr(0, 'eqq', 'x')", "ev.text | map('uper')",
     "answers | join(atribute='as')"],
)  # fmt: skip
def test_the_replacement_mends_the_place_and_keeps_the_quotes(source: str) -> None:
    try:
        found = findings(source)[0]
    except ExprSyntaxError as error:
        found = finding_of(error)
    mended = source[: found.start] + str(found.replacement) + source[found.end :]
    assert found.code not in {left.code for left in findings(mended)}


@pytest.mark.parametrize("source", ["inputs['top' 'c']", "outcome == 'apr\\x6fve' 'x'"])
def test_a_text_written_in_pieces_is_not_mended(source: str) -> None:
    assert [found.replacement for found in findings(source)] == [None]


def test_an_unknown_field_lists_those_that_there_are() -> None:
    assert findings("ev.mesage")[0].message == "`ev` has no field `mesage`; it has: text, notes, score"


def test_a_root_that_exists_elsewhere_says_where() -> None:
    (found,) = findings("item.x.y.z")
    assert found.code == "FLW322"
    assert found.help is not None
    assert found.help.startswith("it exists under `for_each`; here are: answers, ev")


def test_one_mistake_gives_one_finding() -> None:
    assert len(findings("(evv.a.b | upper | first) ~ (evv2 | length + 1)")) == 2


@pytest.mark.parametrize(
    "source",
    [
        "state.last and state.last.name",
        "state.last.name if state.last else ''",
        "'' if state.last is none else state.last.name",
        "state.last is none or state.last.name == 'x'",
        "state.last != null and state.last.name == 'x'",
        "not state.last or state.last.name",
        "ev.score is not none and ev.score > 3",
        "(ev.score or 0) > 3",
        "ev.notes | default('') | upper",
        "ev.score is number and ev.score > 1 and ev.score < 5",
    ],
)
def test_asking_about_null_first_is_understood(source: str) -> None:
    assert findings(source) == []


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("true", "FLW327"),
        ("'a' == 'b'", "FLW327"),
        ("1 / 0", "FLW327"),
        ("outcome", "FLW325"),
        ("ev.text", "FLW325"),
        ("state.round", "FLW325"),
        ("inputs", "FLW325"),
        ("ev.txt", "FLW321"),
    ],
)
def test_a_condition_must_be_one_and_must_vary(source: str, code: str) -> None:
    assert [found.code for found in check_condition(parse(source), TYPES)] == [code]


@pytest.mark.parametrize(
    "source",
    ["state.round < 3", "ev.notes", "inputs.langs", "result", "not ev.text", "result.ok and outcome == 'rework'"],
)
def test_a_sensible_condition_has_no_finding(source: str) -> None:
    assert check_condition(parse(source), TYPES) == []


@pytest.mark.parametrize(
    ("source", "item", "codes"),
    [
        ("inputs.langs", "str", []),
        ("answers | map(attribute='as')", "str", []),
        ("result.items", "any", []),
        ("inputs.langs if result else null", "str", ["FLW329"]),
        ("ev.text", "any", ["FLW328"]),
        ("inputs", "any", ["FLW328"]),
        ("ev.txt", "any", ["FLW321"]),
    ],
)
def test_for_each_needs_a_list(source: str, item: str, codes: list[str]) -> None:
    kind, found = check_iterable(parse(source), TYPES)
    assert (to_text(kind), [f.code for f in found]) == (item, codes)


EXAMPLE_TYPES: dict[str, TypeT] = {
    "ev": ObjectT({
        "name": STR, "kind": STR, "score": INT, "ok": BOOL, "more": BOOL, "items": ListT(STR), "notes": STR, "_id": STR,
        "verdict": EnumT(("approve", "reject")), "user": union(ObjectT({"name": STR}), NULL),
    }),
    "secrets": ObjectT({"TOKEN": STR}),
}  # fmt: skip


def check_as(form: str, tree: Expr) -> list[ExprFinding]:
    if form == "condition":
        return check_condition(tree, EXAMPLE_TYPES)
    return check_iterable(tree, EXAMPLE_TYPES)[1] if form == "for_each" else infer(tree, EXAMPLE_TYPES)[1]


def codes_of(form: str, text: str) -> set[str]:
    """What reading and checking an example of the table finds."""
    try:
        if form == "text":
            trees = [parse(part.text) for part in split_text(text) if part.is_expression]
        else:
            trees = [parse(bare_source(text).text if form == "condition" else text)]
    except ExprSyntaxError as error:
        return {finding_of(error).code}
    return {found.code for tree in trees for found in check_as(form, tree)}


@pytest.mark.parametrize("code", CODES)
def test_the_examples_of_each_code_have_it_and_have_it_not(code: str) -> None:
    doc = CODES[code]
    assert codes_of(doc.form, doc.bad) == {code}
    assert codes_of(doc.form, doc.good) == set()
