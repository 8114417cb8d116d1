"""Colours keep their contrast, in light and in dark."""

from __future__ import annotations

import re

import pytest

from orchestrator.draw.theme import DARK, LIGHT, Palette, svg_style

TEXT_ON = [
    *(("ink", ground) for ground in ("paper", "card")),
    *(("muted", ground) for ground in ("paper", "card", "chip")),
    *(("faint_ink", ground) for ground in ("paper", "card")),
    *((state, "paper") for state in ("failed", "waiting", "call", "ask")),
    ("start_ink", "start"),
    ("failed", "failed_tint"),
    *(("on_state", state) for state in ("done", "failed", "running", "waiting", "skipped")),
]
LINES_ON = [
    *((line, "paper") for line in ("line", "done", "failed", "waiting", "running", "skipped", "call", "ask", "ink")),
    *((kind, f"{kind}_tint") for kind in ("call", "ask", "wait", "python", "none", "sub_flow")),
]


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(palette: Palette, one: str, other: str) -> float:
    low, high = sorted(luminance(palette[name]) for name in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_reaches_four_and_a_half_to_one(palette: Palette) -> None:
    assert [(a, b) for a, b in TEXT_ON if contrast(palette, a, b) < 4.5] == []


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_and_icons_reach_three_to_one(palette: Palette) -> None:
    assert [(a, b) for a, b in LINES_ON if contrast(palette, a, b) < 3] == []


def test_both_palettes_have_the_same_names_and_the_sheet_has_no_hole() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert not re.search(r"\{[a-z_]+\}", svg_style())


def test_every_rule_of_the_sheet_stays_within_the_picture() -> None:
    selectors = re.findall(r"^([^@{}\n]+) \{", svg_style(), re.MULTILINE)
    assert len(selectors) > 80
    assert all(s.startswith(".flow-graph") for s in selectors)


def test_dark_is_chosen_by_the_reader_not_by_the_file() -> None:
    light, dark = svg_style().split("@media (prefers-color-scheme: dark) {")
    assert LIGHT["paper"] in light and DARK["paper"] not in light
    assert DARK["paper"] in dark and LIGHT["paper"] not in dark
