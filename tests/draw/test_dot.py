"""DOT text, held to a tokenizer of the language and, where Graphviz is installed, to Graphviz itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from orchestrator.draw.dot import quote, to_dot
from orchestrator.draw.graph import graph_of
from orchestrator.ir.model import FlowIR
from tests.draw import flows
from tests.draw.runs import APPROVAL_RUN
from tests.support.golden import matches_golden

STRING = r'"(?:[^"\\\n]|\\.)*"'
TOKEN = re.compile(rf"\s*({STRING}|->|[\[\]{{}};,=]|[A-Za-z_]\w*|-?[\d.]+)")
GOLDEN = Path(__file__).parent / "golden"
ALL: dict[str, Callable[[], FlowIR]] = {**flows.SMALL, "hostile": flows.hostile, "forty": partial(flows.generated, 40)}


def tokens(text: str) -> list[str]:
    """The tokens of the text. Raises: ValueError where it is none."""
    out, at = [], 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if match is None:
            raise ValueError(text[at : at + 40])
        out.append(match[1])
        at = match.end()
    return out


@pytest.mark.parametrize("name", ALL)
def test_every_statement_is_a_node_an_edge_or_a_default(name: str) -> None:
    words = tokens(to_dot(ALL[name]()))
    assert words[0] == "digraph" and words[2] == "{" and words[-1] == "}"
    attribute = r"\w+ = (?:S|[\w.-]+)"
    statement = rf"(?:graph|node|edge|n\d+|n\d+ -> n\d+)(?: \[ {attribute}(?: , {attribute})* \])?"
    body = " ".join("S" if w.startswith('"') else w for w in words[3:-1])
    assert [s for s in body.split(" ;") if s.strip() and not re.fullmatch(statement, s.strip())] == []


@pytest.mark.parametrize("name", ALL)
def test_nodes_and_edges_are_complete(name: str) -> None:
    words, graph = tokens(to_dot(ALL[name]())), graph_of(ALL[name]())
    assert words.count("->") == len(graph.edges)
    assert {w for w in words if re.fullmatch(r"n\d+", w)} == {f"n{n}" for n in range(len(graph.nodes))}


@pytest.mark.parametrize("text", flows.HOSTILE)
def test_a_quoted_text_is_one_string_token(text: str) -> None:
    flat = text.replace("\n", " ").replace("\r", " ")
    assert tokens(quote(flat)) == [quote(flat)]


def test_an_escape_of_dot_in_a_name_means_nothing() -> None:
    assert quote("a\\N\\l") == '"a\\\\N\\\\l"'


def test_a_path_greys_what_was_not_reached() -> None:
    text = to_dot(flows.content_approval(), APPROVAL_RUN)
    assert "write (done ×2)" in text and "review (waiting ×2)" in text


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@pytest.mark.parametrize("name", ALL)
def test_graphviz_accepts_it(name: str) -> None:
    done = subprocess.run(["dot", "-Tplain"], input=to_dot(ALL[name]()), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_golden_flow_reads_as_before() -> None:
    assert matches_golden(GOLDEN / "approval.dot", to_dot(flows.content_approval()))
