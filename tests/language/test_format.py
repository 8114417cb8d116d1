"""The formatter: block style, quotes where they are needed, comments kept, and a proof for each file."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from orchestrator.language.format import CannotFormat, format_flow
from orchestrator.language.nodes import to_plain
from tests.language.mutations import corpus, mutate
from tests.language.support import FILE, read
from tests.support.golden import matches_golden

HERE = Path(__file__).parent


def fmt(text: str) -> str:
    return format_flow(text.encode("utf-8"), FILE)


def test_a_messy_file_becomes_a_tidy_one() -> None:
    messy = (HERE / "format" / "messy.yaml").read_text("utf-8")
    assert matches_golden(HERE / "format" / "tidy.yaml", fmt(messy))


@pytest.mark.parametrize("file", sorted((HERE / "flows").glob("*.flow.yaml")), ids=lambda file: file.name)
def test_the_example_flows_keep_their_meaning_and_comments(file: Path) -> None:
    text = file.read_text("utf-8")
    done = fmt(text)
    one, two = read(text).root, read(done).root
    assert one is not None
    assert two is not None
    assert to_plain(one) == to_plain(two)
    assert re.findall(r"(?m)(?:^|\s)# .*$", text) == re.findall(r"(?m)(?:^|\s)# .*$", done) or file.name.startswith(
        "every"
    )
    assert fmt(done) == done


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("a:   1\n", "a: 1\n"),
        ("a: {b: '${{ x }}'}\n", "a:\n  b: '${{ x }}'\n"),
        ("a: [x,z]\n", "a: [x, z]\n"),
        ("a:\n- x\n", "a:\n  - x\n"),
        ("a: NO\nb: 12:30\nc: 2026-01-02\nd: 0x1f\n", 'a: "NO"\nb: "12:30"\nc: "2026-01-02"\nd: "0x1f"\n'),
        ("a: []\nb: {}\n", "a: []\nb: {}\n"),
        ("a: x\n  y\n", "a: >-\n  x y\n"),
        ("a: 'x\n\n  y'\n", 'a: "x\\ny"\n'),
        ("a: |\n     x\n       y\n", "a: |\n  x\n    y\n"),
        ("a: >\n     x\n     y\n", "a: >\n  x\n  y\n"),
        ("a: # c\n  b: 1\n", "a:  # c\n  b: 1\n"),
        ("- a: 1\n  b: 2\n- c\n", "- a: 1\n  b: 2\n- c\n"),
        ("a: 1\n\n\n\nb: 2\n", "a: 1\n\nb: 2\n"),
        ("a:\n   b: 1\n   # end of a\n# of the file\n", "a:\n  b: 1\n  # end of a\n# of the file\n"),
        ("---\na: 1\n", "a: 1\n"),
        ("a: &x [1]\nb: *x\n", "a: &x [1]\nb: *x\n"),
        ("a: 1\r\nb: 2\r\n", "a: 1\nb: 2\n"),
        ("a: |+\n  x\n\n\nb: 1\n", "a: |+\n  x\n\n\nb: 1\n"),
        ("'a b': 1\n\"c: d\": 2\n", 'a b: 1\n"c: d": 2\n'),
        ("a: ~\nb:\nc: null\n", "a: ~\nb:\nc: null\n"),
    ],
)
def test_forms(text: str, done: str) -> None:
    assert fmt(text) == done
    assert fmt(done) == done


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2\n", "", "text\n", "a: {x: [1, # c\n 2]}\n\tb: 1"])
def test_a_file_with_a_mistake_is_left_alone(text: str) -> None:
    with pytest.raises(CannotFormat):
        fmt(text)


def test_formatting_is_idempotent_and_keeps_the_data_of_mutated_files() -> None:
    rng = random.Random(3)
    texts = corpus()
    formatted, refused = 0, []
    for _ in range(1000):
        text = mutate(rng.choice(texts), rng, texts)
        try:
            done = fmt(text)
        except CannotFormat as error:
            refused.append(str(error))
            continue
        formatted += 1
        one, two = read(text).root, read(done).root
        assert one is not None
        assert two is not None
        assert to_plain(one) == to_plain(two)
    assert formatted > 200
    assert not [reason for reason in refused if "report this file" in reason]
