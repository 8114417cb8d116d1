"""The SVG: well formed, self-contained, readable by a screen reader and by a page's script, true to the layout."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from orchestrator.draw.cards import drawing_of, label_of
from orchestrator.draw.graph import graph_of
from orchestrator.draw.measure import mono_width, text_width
from orchestrator.draw.model import Edge
from orchestrator.draw.overlay import overlay_of
from orchestrator.draw.svg import element_id, escape, line_path, svg_element, to_svg
from tests.draw import flows
from tests.draw.runs import APPROVAL_RUN

SVG = "{http://www.w3.org/2000/svg}"
ALL = {**flows.SMALL, "hostile": flows.hostile}


def parsed(name: str) -> ET.Element:
    return ET.fromstring(to_svg(ALL[name]()).encode())


def by_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [e for e in root.iter() if name in e.get("class", "").split()]


@pytest.mark.parametrize("name", ALL)
def test_every_node_and_edge_is_there_once_under_its_own_id(name: str) -> None:
    graph = graph_of(ALL[name]())
    root = parsed(name)
    ids = [e.get("id") for e in root.iter() if e.get("id") is not None]
    assert len(ids) == len(set(ids))
    assert {element_id("node", n.id) for n in graph.nodes} | {element_id("edge", e.id) for e in graph.edges} <= set(ids)


@pytest.mark.parametrize("name", ALL)
def test_title_description_and_roles_tell_what_is_seen(name: str) -> None:
    root = parsed(name)
    named = {e.get("id"): e.text or "" for e in root if e.tag in (f"{SVG}title", f"{SVG}desc")}
    assert root.get("role") == "graphics-document"
    assert named.keys() == {root.get("aria-labelledby"), root.get("aria-describedby")}
    assert all(named.values())
    parts = [e for e in root.iter() if e.get("role") == "graphics-symbol"]
    assert len(parts) == len(graph_of(ALL[name]()).nodes) + len(graph_of(ALL[name]()).edges)
    assert all(e.get("aria-label") for e in parts)


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_fetched_and_nothing_can_run(name: str) -> None:
    text = to_svg(ALL[name]())
    tags = {e.tag.removeprefix(SVG) for e in parsed(name).iter()}
    assert tags <= {"svg", "title", "desc", "style", "g", "rect", "path", "text"}
    assert not re.search(r"@import|@font-face|url\(|href|\son\w+=\"", text)
    assert all(k in KNOWN for e in parsed(name).iter() for k in e.attrib)


KNOWN = {
    *("aria-describedby", "aria-label", "aria-labelledby", "class", "d", "data-edge", "data-node", "data-source"),
    *("data-step", "data-target", "height", "id", "role", "rx", "tabindex", "transform", "viewBox", "width", "x", "y"),
}


@pytest.mark.parametrize("name", ALL)
def test_words_stay_within_their_cards(name: str) -> None:
    drawing = drawing_of(graph_of(ALL[name]()))
    for card in drawing.cards.values():
        left = 18 if card.is_pill else 50
        assert left + text_width(card.title, 13 if card.is_pill else 14, is_bold=True) <= card.width - 11.9
        wide = mono_width(card.detail, 11.5) if card.has_mono_detail else text_width(card.detail, 11.5)
        assert left + wide <= card.width - 11.9
        assert all(c.x >= 12 and c.x + c.width <= card.width - 11.9 and c.y + 20 <= card.height for c in card.chips)
        assert all(text_width(c.text, 11) <= c.width for c in card.chips)


def test_chips_of_a_card_do_not_overlap() -> None:
    chips = drawing_of(graph_of(flows.content_approval())).cards["review"].chips
    rows = {c.y for c in chips}
    assert len(rows) < len(chips) == 5
    for y in rows:
        row = [c for c in chips if c.y == y]
        assert all(a.x + a.width < b.x for a, b in itertools.pairwise(row))


def test_a_node_group_stands_where_the_layout_says() -> None:
    drawing = drawing_of(graph_of(flows.chain()))
    node = by_class(ET.fromstring(svg_element(drawing)), "kind-call")[0]
    box = drawing.layout.nodes["fetch"]
    numbers = [float(n) for n in re.findall(r"[\d.]+", node.get("transform", ""))]
    assert numbers == pytest.approx([box.x, box.y], abs=0.06)


def test_a_run_colours_what_it_did_and_counts_it() -> None:
    root = ET.fromstring(to_svg(flows.content_approval(), APPROVAL_RUN).encode())
    states = {e.get("data-node"): e.get("class") for e in by_class(root, "node")}
    assert "has-path" in root.get("class", "")
    assert "is-done" in str(states["write"]) and "is-waiting" in str(states["review"])
    assert "is-" not in str(states["publish"])
    assert "×2" in [e.text for e in by_class(root, "mark-text")]
    assert {(e.get("data-source"), e.get("data-target")) for e in by_class(root, "is-taken")} == {
        ("@start", "write"),
        ("write", "review"),
        ("review", "write"),
    }


def test_edges_taken_are_drawn_over_the_others() -> None:
    graph = graph_of(flows.content_approval())
    text = svg_element(drawing_of(graph), overlay_of(graph, APPROVAL_RUN), style="")
    lines = [e.get("class", "") for e in ET.fromstring(text) if e.get("class") == "edges" for e in e]
    assert ["is-taken" in c for c in lines] == sorted("is-taken" in c for c in lines)


def test_a_page_can_hold_two_pictures_and_bring_its_own_style() -> None:
    drawing = drawing_of(graph_of(flows.chain()))
    one, two = (svg_element(drawing, prefix=p, style="") for p in ("a-", "b-"))
    ids = [set(re.findall(r'\sid="([^"]+)"', text)) for text in (one, two)]
    assert ids[0] and not ids[0] & ids[1]
    assert "<style" not in one


def test_ids_of_different_names_differ() -> None:
    names = ("a b", "a_b", "a_20_b", "a.b", "a", "A", "ä", "a\nb")
    assert len({element_id("node", n) for n in names}) == len(names)
    assert all(re.fullmatch(r"node-[\w-]+", element_id("node", n), re.ASCII) for n in names)


def test_text_is_escaped_for_content_and_attributes() -> None:
    assert (
        escape("<a href=\"x\" id='y'>&\x00\ud800</a>")
        == "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;\ufffd\ufffd&lt;/a&gt;"
    )


def test_a_slant_is_drawn_as_a_curve_with_upright_ends_and_a_corner_is_rounded() -> None:
    assert line_path([(0, 0), (0, 10), (40, 50), (40, 80)]) == "M0 0L0 10C0 30 40 30 40 50L40 73"
    assert line_path([(0, 0), (50, 0), (50, 90)]) == "M0 0L40 0Q50 0 50 10L50 83"


def test_a_label_too_long_is_cut_and_its_box_fits() -> None:
    label = label_of(Edge("e", "a", "b", label="W" * 90, condition="i" * 400))
    assert label is not None
    assert label.event.endswith("…") and label.note.endswith("…")
    assert text_width(label.event, 11.5, is_bold=True) <= label.width <= 212
