"""Bytes to a tree: the YAML 1.2 rules, the limits, and what is refused."""

from __future__ import annotations

import gc

import pytest

from orchestrator.language.nodes import MapNode, ScalarNode
from orchestrator.language.reader import PureParser, default_parser, read_yaml
from tests.language.support import data, found, read, step_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("010", 10),
        ("-7", -7),
        ("+5", 5),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("yes", "yes"),
        ("NO", "NO"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("22:22", "22:22"),
        ("12:30:45", "12:30:45"),
        ("2026-01-02", "2026-01-02"),
        ("1.2.3", "1.2.3"),
        ("-", None),
        ("=", "="),
        ("'true'", "true"),
        ('"1"', "1"),
        ("-1e-2", -0.01),
        ("1e", "1e"),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    got = data(f"a: {text}\n") if text != "-" else {"a": None}
    assert got == {"a": value}
    assert isinstance(got, dict)
    assert type(got["a"]) is type(value)


def test_on_is_a_key_like_any_other() -> None:
    assert data("on: Start\nyes: 1\n") == {"on": "Start", "yes": 1}


@pytest.mark.parametrize("text", ["9223372036854775808", "1" * 5000, ".inf", "-.INF", ".nan", "1e999"])
def test_numbers_that_json_cannot_keep_are_refused(text: str) -> None:
    assert [d.code for d in read(f"a: {text}\n").diagnostics] == ["FLW114"]


@pytest.mark.parametrize("text", ["True", "FALSE", "Null"])
def test_constants_in_capitals_are_text_with_a_warning(text: str) -> None:
    result = read(f"a: {text}\n")
    assert [(d.code, d.severity.value) for d in result.diagnostics] == [("FLW115", "warning")]
    assert isinstance(result.root, MapNode)
    assert result.root.get("a").value == text  # type: ignore[union-attr]  # the key is there


def test_a_key_may_stand_once_however_it_is_quoted() -> None:
    assert found("flow: a\n'flow': b\nsteps: {w: {on: Start, emit: Stop}}\n") == ["2:1 FLW105"]


def test_the_first_of_two_equal_keys_counts_and_both_places_are_named() -> None:
    result = read("a: 1\nb: 2\na: 3\n")
    assert result.diagnostics[0].related[0].span.line == 1
    assert isinstance(result.root, MapNode)
    assert result.root.get("a").value == 1  # type: ignore[union-attr]  # the key is there


def test_every_finding_of_a_file_comes_in_one_run() -> None:
    text = "a: !x 1\na: 2\nb: Issue #1\nc: {d: *no, e: ${{ x }}}\n<<: {}\n5: x\nf: 1e999\n"
    assert [d.code for d in read(text).diagnostics] == [
        "FLW106", "FLW105", "FLW110", "FLW109", "FLW110", "FLW107", "FLW111", "FLW114",
    ]  # fmt: skip


def test_anchors_and_aliases_repeat_a_value_with_the_place_of_its_anchor() -> None:
    result = read("a: &x {n: 1}\nb: *x\n")
    assert isinstance(result.root, MapNode)
    assert result.root.get("a") is result.root.get("b")
    assert (result.root.get("b").span.line, result.root.get("b").span.column) == (1, 7)  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["a: &x [*x]\n", "a: &x {b: {c: *x}}\n", "&x a: *x\nb: &y [1, *y]\n"])
def test_recursive_anchors_are_refused(text: str) -> None:
    assert "FLW109" in [d.code for d in read(text).diagnostics]


def test_an_alias_counts_as_all_that_it_repeats() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    result = read("\n".join(lines))
    assert not result.is_whole
    assert result.diagnostics[-1].code == "FLW112"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: " + "[" * 65 + "]" * 65, "FLW112"),
        ("a: " + "x" * 200_001, "FLW112"),
        ("k" * 257 + ": 1", "FLW112"),
        ("- a\n" * 100_001, "FLW112"),
        ("#" * 1_000_001, "FLW100"),
        ("a: 1\n---\nb: 2\n", "FLW108"),
        ("%YAML 1.1\n---\na: 1\n", "FLW113"),
        ("# c\n\n%FOO bar\n---\na: 1\n", "FLW113"),
        ("a: 1\n\tb: 2\n", "FLW104"),
        ("a:\t1\n", "FLW104"),
        ("a: b\tc\n", "FLW104"),
        ("? a\n: b\n", "FLW117"),
        ("a: {b:}\n", "FLW101"),
        ("a: |#x\n  b\n", "FLW117"),
        ('a: "\\ud800"\n', "FLW101"),
        ("a: x\x00y\n", "FLW103"),
        ("a: x\x85y\n", "FLW103"),
        ("a: 1\rb: 2\r", "FLW103"),
        ("a: \ufeffx\n", "FLW103"),
        ("{[a]: 1}", "FLW111"),
        ("{{ x }}: 1", "FLW111"),
        ("{: 1}", "FLW101"),
        ("{null: 1}", "FLW111"),
    ],
)
def test_what_is_refused(text: str, code: str) -> None:
    assert code in [d.code for d in read(text).diagnostics if d.severity.value == "error"]


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 63 + "]" * 63, "a: " + "x" * 200_000, "k" * 256 + ": 1", "---\na: 1\n...\n"]
)
def test_what_is_just_allowed(text: str) -> None:
    assert read(text).diagnostics == ()


def test_tabs_in_texts_and_comments_are_fine() -> None:
    assert data("a: 'x\ty'\nb: |\n  c\td\n# e\tf\n") == {"a": "x\ty", "b": "c\td\n"}


@pytest.mark.parametrize(
    "raw", [b"\xff\xfea\x00", "a: 1".encode("utf-16"), "a: 1".encode("utf-16-be"), "a".encode("utf-32")]
)
def test_other_encodings_are_named(raw: bytes) -> None:
    assert found(raw) == ["1:1 FLW102"]


def test_the_byte_that_is_no_utf8_has_its_place() -> None:
    assert found("flow: é\nsteps: ".encode() + b"\xe9\n") == ["2:8 FLW102"]


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert found(b"\xef\xbb\xbf" + step_text("on: Start", "emit: Stop").encode()) == []


def test_windows_line_ends_keep_lines_and_columns() -> None:
    text = step_text("on: Start", "emit: Stop", "wen: x").replace("\n", "\r\n")
    assert found(text) == ["6:5 FLW201"]


@pytest.mark.parametrize("name", ["rev\u200biew", "re\u202eview", "review\u00ad"])
def test_hidden_characters_in_names_are_errors_once(name: str) -> None:
    parsed = found(f"flow: a\nsteps:\n  {name}:\n    on: Start\n    emit: Stop\n")
    assert parsed in (["3:3 FLW103"], ["3:3 FLW206"]) or parsed == ["3:3 FLW103"]


def test_a_direction_override_in_text_is_a_warning() -> None:
    result = found(step_text("on: Start", "title: 'a \u202e b'", "emit: Stop"))
    assert result == ["5:15 FLW103"]


def test_joiners_in_text_are_fine() -> None:
    assert found(step_text("on: Start", "title: '👩\u200d🚀 می\u200cخواهم'", "emit: Stop")) == []


def test_both_parsers_of_pyyaml_give_the_same_tree_and_places() -> None:
    text = b"a: &x [1, 'b c', \"d\\n\"]\nb: *x\nc: |\n  text\n   more\nd: plain\n  folded\n"
    one, two = read_yaml(text, "f", default_parser()), read_yaml(text, "f", PureParser)
    assert isinstance(one.root, MapNode)
    assert isinstance(two.root, MapNode)
    for name in one.root.entries:
        first, second = one.root.entries[name], two.root.entries[name]
        assert first.key.span == second.key.span
        if isinstance(first.value, ScalarNode) and isinstance(second.value, ScalarNode):
            assert (first.value.value, first.value.start) == (second.value.value, second.value.start)


def test_reading_leaves_the_garbage_collector_as_it_was() -> None:
    assert gc.isenabled()
    read("a: [")
    assert gc.isenabled()
