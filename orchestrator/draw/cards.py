"""What is written on the card of a node and on the label of an edge, and how big they are. The basis of every picture in
pixels: SVG, the HTML page and the pages of the server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.draw.geometry import Layout
from orchestrator.draw.layout import lay_out
from orchestrator.draw.measure import fit, mono_width, text_width
from orchestrator.draw.model import Edge, Graph, Node, NodeKind

TITLE_PX, DETAIL_PX, CHIP_PX, LABEL_PX, NOTE_PX = 14.0, 11.5, 11.0, 11.5, 11.0
PAD, ICON, ICON_GAP = 12.0, 28.0, 10.0
CHIP_HEIGHT, CHIP_GAP, CHIP_PAD = 20.0, 6.0, 8.0
HEAD_HEIGHT = 52.0
PILL_HEIGHT = 34.0
_MIN_WIDTH, _MAX_TEXT, _MAX_CHIPS, _MAX_LABEL = 132.0, 216.0, 276.0, 200.0
_MAX_ROOM = 224.0  # a card is not widened beyond this to save a row of chips
_CALM = frozenset({NodeKind.START, NodeKind.STOP, NodeKind.FAILED, NodeKind.EVENT})
_MONO_DETAIL = frozenset({NodeKind.CALL, NodeKind.SUB_FLOW, NodeKind.PYTHON, NodeKind.PROCEDURE})


@dataclass(frozen=True, slots=True)
class Chip:
    """A badge as drawn: its cut text and where it stands within the card."""

    kind: str
    text: str
    x: float
    y: float
    width: float


@dataclass(frozen=True, slots=True)
class Card:
    """A node as drawn. A pill (`is_pill`) has its title only, in the middle."""

    width: float
    height: float
    title: str
    detail: str = ""
    chips: tuple[Chip, ...] = ()
    is_pill: bool = False
    has_mono_detail: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """The words on an edge: the event, and below it when or over what."""

    width: float
    height: float
    event: str
    note: str


def card_of(node: Node) -> Card:
    """The card of a node."""
    if node.kind in _CALM and not node.badges:
        title = fit(node.title, _MAX_TEXT, 13.0, is_bold=True)
        return Card(max(72.0, text_width(title, 13.0, is_bold=True) + 36), PILL_HEIGHT, title, is_pill=True)
    is_mono = node.kind in _MONO_DETAIL
    title = fit(node.title, _MAX_TEXT, TITLE_PX, is_bold=True)
    detail = fit(node.detail, _MAX_TEXT, DETAIL_PX, is_mono=is_mono)
    detail_width = mono_width(detail, DETAIL_PX) if is_mono else text_width(detail, DETAIL_PX)
    inner = ICON + ICON_GAP + max(text_width(title, TITLE_PX, is_bold=True), detail_width)
    texts = [(b.kind, fit(b.text, _MAX_CHIPS - 2 * CHIP_PAD, CHIP_PX)) for b in node.badges]
    widths = [text_width(text, CHIP_PX) + 2 * CHIP_PAD for _, text in texts]
    width = max(_MIN_WIDTH, _chip_room(inner, widths) + 2 * PAD)
    chips: list[Chip] = []
    x, y = PAD, HEAD_HEIGHT
    for (kind, text), chip_width in zip(texts, widths, strict=True):
        if x > PAD and x + chip_width > width - PAD + 0.01:
            x, y = PAD, y + CHIP_HEIGHT + CHIP_GAP
        chips.append(Chip(kind, text, x, y, chip_width))
        x += chip_width + CHIP_GAP
    height = y + CHIP_HEIGHT + PAD if chips else HEAD_HEIGHT
    return Card(width, height, title, detail, tuple(chips), has_mono_detail=is_mono)


def _chip_room(inner: float, widths: Sequence[float]) -> float:
    """The width for rows of chips: the narrowest, or a wider one where that saves rows enough to be worth it."""
    least = max(inner, *widths, _MIN_WIDTH - 2 * PAD) if widths else inner
    runs = (
        sum(widths[a:b]) + CHIP_GAP * (b - a - 1) for a in range(len(widths)) for b in range(a + 2, len(widths) + 1)
    )
    rooms = [least, *(run for run in runs if least < run <= _MAX_ROOM)]
    return min(
        rooms, key=lambda room: (_chip_rows(widths, room) * (CHIP_HEIGHT + CHIP_GAP) + 0.4 * (room - least), room)
    )


def _chip_rows(widths: Sequence[float], room: float) -> int:
    rows, x = 0, math.inf
    for width in widths:
        if x + width > room + 0.01:
            rows, x = rows + 1, 0.0
        x += width + CHIP_GAP
    return rows


def label_of(edge: Edge) -> Label | None:
    """The label of an edge, or None if the picture says it all."""
    event = fit(edge.label, _MAX_LABEL, LABEL_PX, is_bold=True)
    note = fit(edge.note, _MAX_LABEL, NOTE_PX)
    if not event and not note:
        return None
    width = max(text_width(event, LABEL_PX, is_bold=True), text_width(note, NOTE_PX)) + 12
    return Label(width, 34.0 if event and note else 20.0, event, note)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A graph with everything a picture in pixels needs: cards by node id, labels by edge id, and the layout."""

    graph: Graph
    cards: Mapping[str, Card]
    labels: Mapping[str, Label]
    layout: Layout


def drawing_of(graph: Graph) -> Drawing:
    """The graph measured and laid out.

    Cost: that of `lay_out`.
    """
    cards = {node.id: card_of(node) for node in graph.nodes}
    labels = {edge.id: label for edge in graph.edges if (label := label_of(edge)) is not None}
    layout = lay_out(
        graph,
        {name: (card.width, card.height) for name, card in cards.items()},
        {name: (label.width, label.height) for name, label in labels.items()},
    )
    return Drawing(graph, cards, labels, layout)
