"""YAML's own traps: one code, the whole text named, and a fix that makes of it what the author meant."""

from __future__ import annotations

import pytest

from orchestrator.language.edits import apply_edits
from orchestrator.language.nodes import to_plain
from orchestrator.language.reader import PureParser, read_yaml
from tests.language.support import FILE, data, read

TRAPS = [
    ("title: Issue #12\n", {"title": "Issue #12"}),
    ("{title: 'x', b: Issue #12}\n", {"title": "x", "b": "Issue #12"}),
    ("{title: Hello, world}\n", {"title": "Hello, world"}),
    ("{title: Hello, dear, world, n: 1}\n", {"title": "Hello, dear, world", "n": 1}),
    ("{name: ${{ inputs.name }}}\n", {"name": "${{ inputs.name }}"}),
    ("{a: Hi ${{ x }}, you, b: 1}\n", {"a": "Hi ${{ x }}, you", "b": 1}),
    ("[${{ a }}, b]\n", ["${{ a }}", "b"]),
    ("a: {b: Publish: now, c: 2}\n", {"a": {"b": "Publish: now", "c": 2}}),
    ("a: {b: one [two], c: 2}\n", {"a": {"b": "one [two]", "c": 2}}),
    ('a: {b: say "hi, you"}\n', {"a": {"b": 'say "hi, you"'}}),
    ("- {when: f(a, b), event: X}\n", [{"when": "f(a, b)", "event": "X"}]),
    ("a: [f(a, b), c]\n", {"a": ["f(a, b)", "c"]}),
    ("a: {b: Sure?}\n", {"a": {"b": "Sure?"}}),
    ('when: "a" == x\nb: 1\n', {"when": '"a" == x', "b": 1}),
    ('- {when: "a" == x}\n', [{"when": '"a" == x'}]),
    ('a: ${{ {"k": 1} }}\n', {"a": '${{ {"k": 1} }}'}),
    ("a: ${{ x #y }}\n", {"a": "${{ x #y }}"}),
    ('a: x == "b #c"\n', {"a": 'x == "b #c"'}),
    ("a: Note: this\n", {"a": "Note: this"}),
    ("a: [draft] text\n", {"a": "[draft] text"}),
    ("a: '[str] | null'\nb: [str] | null\n", {"a": "[str] | null", "b": "[str] | null"}),
    ("a: @kim\n", {"a": "@kim"}),
    ("a: `code`\n", {"a": "`code`"}),
    ("a: *bold* text\n", {"a": "*bold* text"}),
    ("a: 'it's'\n", {"a": "it's"}),
    ("a: it is \\ 'so': or\n", {"a": "it is \\ 'so': or"}),
]


@pytest.mark.parametrize(("text", "meant"), TRAPS)
def test_a_trap_has_one_code_and_its_fix_gives_what_was_meant(text: str, meant: object) -> None:
    diagnostics = read(text).diagnostics
    assert {d.code for d in diagnostics} == {"FLW110"}
    fixed = apply_edits(text, [edit for d in diagnostics if d.fix and d.fix.is_safe for edit in d.fix.edits])
    assert data(fixed) == meant


@pytest.mark.parametrize(("text", "meant"), [trap for trap in TRAPS if "it's" not in trap[0]])
def test_reading_goes_on_with_what_was_meant(text: str, meant: object) -> None:
    for parser in (None, PureParser):
        result = read_yaml(text.encode(), FILE, parser)
        assert result.is_whole
        assert result.root is not None
        assert to_plain(result.root) == meant


@pytest.mark.parametrize(
    "text",
    [
        "emit: Stop # done\n",
        "emit: Stop   #done\n",
        "a: x#y\n",
        "emit: Drafted      # `text` is filled\n",
        "a: 1 # 2 (3)\n",
        'a: b  # say "x"\n',
        "a: [x, y] # z\n",
        "a: 'x' #y\n",
        "a: |\n  x #1\n",
    ],
)
def test_comments_that_are_plainly_comments_stay(text: str) -> None:
    assert read(text).diagnostics == ()


def test_the_span_of_a_trap_is_the_whole_text() -> None:
    (diagnostic,) = read("x: {title: Hello, world}\n").diagnostics
    assert (diagnostic.span.column, diagnostic.span.end_column) == (12, 24)


def test_many_traps_are_found_in_one_run() -> None:
    text = "".join(f"k{i}: {'@x' if i % 2 else '[a] b'}\n" for i in range(20))
    assert [d.span.line for d in read(text).diagnostics] == list(range(1, 21))


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a:\n  b: 1\n   c: 2\n", (3, 4), "cannot stand here"),
        ("a:\n    b: 1\n  c: 2\n", (3, 3), "fits no mapping"),
        ("a: {b: c\n", (1, 4), "not closed"),
        ('a: "b\n', (1, 4), "not closed"),
        ("a:\n  b:c\n  d: 1\n", (2, 4), "space is missing"),
        ("a: - b\n", (1, 4), "list item"),
        ('a: "\\q"\n', (1, 5), "escape"),
        ("- a\nb: 1\n", (2, 1), "fits no list"),
    ],
)
def test_broken_yaml_is_said_in_plain_words(text: str, place: tuple[int, int], words: str) -> None:
    (diagnostic,) = read(text).diagnostics
    assert diagnostic.code == "FLW101"
    assert (diagnostic.span.line, diagnostic.span.column) == place
    assert words in diagnostic.message
