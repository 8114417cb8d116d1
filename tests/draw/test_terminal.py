"""Pictures in a terminal: lines that join up, boxes with their words, a list where a picture would be too much."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from orchestrator.draw.graph import graph_of
from orchestrator.draw.measure import cells
from orchestrator.draw.terminal import to_ascii
from orchestrator.ir.model import FlowIR
from tests.draw import flows
from tests.draw.runs import APPROVAL_RUN
from tests.support.golden import matches_golden

GOLDEN = Path(__file__).parent / "golden"
PICTURES: dict[str, Callable[[], FlowIR]] = {
    **flows.SMALL,
    "ladder": partial(flows.ladder, 6),
    "ten": partial(flows.generated, 10, 3),
}
UP, DOWN, LEFT, RIGHT = (0, -1), (0, 1), (-1, 0), (1, 0)
ENDS = {
    **{"│": (UP, DOWN), "┊": (UP, DOWN), "─": (LEFT, RIGHT), "┄": (LEFT, RIGHT), "┘": (UP, LEFT), "└": (UP, RIGHT)},
    **{"┐": (DOWN, LEFT), "┌": (DOWN, RIGHT), "╮": (DOWN, LEFT), "╭": (DOWN, RIGHT), "╯": (UP, LEFT), "╰": (UP, RIGHT)},
    **{"┤": (UP, DOWN, LEFT), "├": (UP, DOWN, RIGHT), "┴": (LEFT, RIGHT, UP), "┬": (LEFT, RIGHT, DOWN)},
    **{"┼": (UP, DOWN, LEFT, RIGHT), "▼": (UP,), "►": (LEFT,), "◄": (RIGHT,)},
}


def loose(text: str) -> Iterator[tuple[int, int, str]]:
    """Cells of lines that lead to a blank or to a line that does not come to meet them."""
    rows = text.splitlines()
    for y, row in enumerate(rows):
        for x, char in enumerate(row):
            for dx, dy in ENDS.get(char, ()):
                beside = rows[y + dy] if 0 <= y + dy < len(rows) else ""
                other = beside[x + dx] if 0 <= x + dx < len(beside) else " "
                is_label = dy != 0 and any(c.isalnum() for c in beside[max(0, x - 2) : x + 3])
                turned_away = other in ENDS and (-dx, -dy) not in ENDS[other] and other not in "▼►◄"
                if turned_away or (other == " " and not is_label):
                    yield x, y, char


@pytest.mark.parametrize("name", PICTURES)
def test_every_line_joins_up_with_what_it_leads_to(name: str) -> None:
    assert list(loose(to_ascii(PICTURES[name](), width=400))) == []


def test_the_check_sees_a_line_that_leads_nowhere() -> None:
    assert list(loose("┌──\n│  \n")) != []


@pytest.mark.parametrize("name", PICTURES)
def test_every_step_and_event_is_named_and_every_edge_has_its_head(name: str) -> None:
    graph, text = graph_of(PICTURES[name]()), to_ascii(PICTURES[name](), width=400)
    assert all(node.title[:20] in text for node in graph.nodes)
    assert all(edge.label[:20] in text for edge in graph.edges)
    heads = sum(text.count(c) for c in "▼►◄")
    assert {e.target for e in graph.edges} and heads >= len({e.target for e in graph.edges})


def test_a_flow_of_more_than_forty_steps_is_a_list() -> None:
    text = to_ascii(flows.generated(41))
    assert "┌" not in text
    assert text.splitlines()[:3] == ["Start", "  → step_0", "step_0 (call llm.chat)"]


def test_the_list_has_every_step_and_every_edge_and_marks_ways_back() -> None:
    graph, text = graph_of(flows.generated(60)), to_ascii(flows.generated(60))
    lines = text.splitlines()
    assert sum(1 for line in lines if not line.startswith(" ")) == len(graph.nodes)
    assert sum(1 for line in lines if line.startswith("  ")) == len(graph.edges)
    assert text.count("↑") == sum(1 for e in graph.edges if e.is_back) > 0


def test_a_picture_wider_than_the_terminal_is_a_list_that_fits() -> None:
    text = to_ascii(flows.complex_feedback_monitor(), width=50)
    assert "┌" not in text
    assert max(map(cells, text.splitlines())) <= 50


def test_no_control_character_reaches_the_terminal() -> None:
    for width in (400, 40):
        text = to_ascii(flows.hostile(), width=width)
        assert not [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cs")]
        assert not set("\u202e\u2066") & set(text)


def test_frames_stay_straight_around_wide_characters() -> None:
    flow = flows.flow_of("wide", flows.python_step("数据流程", ("Start",), ("Stop",)))
    row = next(line for line in to_ascii(flow).splitlines() if "数据流程" in line)
    frame = next(line for line in to_ascii(flow).splitlines() if "┌" in line)
    assert cells(row) == cells(frame)


def test_a_path_shows_states_and_counts() -> None:
    text = to_ascii(flows.content_approval(), APPROVAL_RUN)
    assert "write ✓ ×2" in text and "review ‖ ×2" in text and "Drafted ×2" in text
    big = to_ascii(flows.content_approval(), APPROVAL_RUN, width=30)
    assert "→ review ×2" in big and "review (ask" in big


@pytest.mark.parametrize("name", ["approval", "feedback", "saga"])
def test_the_golden_flows_look_as_before(name: str) -> None:
    assert matches_golden(GOLDEN / f"{name}.txt", to_ascii(flows.SMALL[name]()))
