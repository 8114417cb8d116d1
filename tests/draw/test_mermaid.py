"""Mermaid text, held to a strict grammar of the part of the language that is used."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from orchestrator.draw.graph import graph_of
from orchestrator.draw.mermaid import encode, to_mermaid
from orchestrator.ir.model import FlowIR
from tests.draw import flows
from tests.draw.runs import APPROVAL_RUN
from tests.support.golden import matches_golden

WORDS = r"(?:[A-Za-z0-9 ,.():?='+\u00a0-\U0010ffff-]|#\d+;|<br/>)*"
SHAPES = (r'\(\["{w}"\]\)', r'\{{\{{"{w}"\}}\}}', r'\[/"{w}"/\]', r'\[\["{w}"\]\]', r'\["{w}"\]')
NODE = re.compile(r"    n\d+(?:" + "|".join(s.format(w=WORDS) for s in SHAPES) + r"):::(?:kind|is)_\w+")
EDGE = re.compile(r"    n\d+ (?:-->|==>|-\.->) (?:\|\"" + WORDS + r"\"\| )?n\d+")
COLOUR = r"#[0-9a-f]{6}"
CLASS = re.compile(rf"    classDef (?:kind|is)_\w+ fill:{COLOUR},stroke:{COLOUR},stroke-width:2px,color:{COLOUR}")
LINK = re.compile(rf"    linkStyle \d+(?:,\d+)* stroke:{COLOUR},stroke-width:3px")
GOLDEN = Path(__file__).parent / "golden"
ALL: dict[str, Callable[[], FlowIR]] = {**flows.SMALL, "hostile": flows.hostile, "forty": partial(flows.generated, 40)}


@pytest.mark.parametrize("name", ALL)
def test_every_line_is_of_the_grammar(name: str) -> None:
    lines = to_mermaid(ALL[name]()).splitlines()
    assert lines[0] == "flowchart TB"
    bad = [line for line in lines[1:] if not any(p.fullmatch(line) for p in (NODE, EDGE, CLASS, LINK))]
    assert bad == []


@pytest.mark.parametrize("name", ALL)
def test_nodes_edges_and_classes_are_complete(name: str) -> None:
    text, graph = to_mermaid(ALL[name]()), graph_of(ALL[name]())
    lines = text.splitlines()
    assert sum(1 for line in lines if NODE.fullmatch(line)) == len(graph.nodes)
    assert sum(1 for line in lines if EDGE.fullmatch(line)) == len(graph.edges)
    assert set(re.findall(r":::(\w+)$", text, re.MULTILINE)) == set(re.findall(r"classDef (\w+)", text))


def test_the_grammar_sees_a_label_that_breaks_out() -> None:
    assert not NODE.fullmatch('    n1["a"] --> n9["b"]:::kind_call')
    assert not NODE.fullmatch('    n1["a`b"]:::kind_call')
    assert not EDGE.fullmatch('    n1 --> |"a|b"| n2')


@pytest.mark.parametrize("text", flows.HOSTILE)
def test_encoded_words_read_back_as_they_were(text: str) -> None:
    encoded = encode(text)
    assert re.fullmatch(WORDS, encoded)
    assert not set('"<>`|[]{}&;\n') & set(re.sub(r"#\d+;", "", encoded))


def test_what_markdown_would_take_for_a_list_is_encoded() -> None:
    assert [encode(t) for t in ("1. a", "12) a", "- a", "+ a", "* a")] == [
        *("1#46; a", "12#41; a", "#45; a", "#43; a", "#42; a"),
    ]


def test_a_path_marks_states_and_links() -> None:
    text = to_mermaid(flows.content_approval(), APPROVAL_RUN)
    assert ":::is_waiting" in text and ":::is_faint" in text
    assert "linkStyle 0,1,3 stroke:#17754a" in text


def test_the_golden_flow_reads_as_before() -> None:
    assert matches_golden(GOLDEN / "approval.mmd", to_mermaid(flows.content_approval()))
