"""Writes static/graph.css, the style of the pictures, from the drawing's own theme: a page may carry no style of its own."""

from __future__ import annotations

from pathlib import Path

from orchestrator.draw.theme import svg_style

FILE = Path(__file__).parent.parent / "static" / "graph.css"
HEAD = "/* Made by `python -m orchestrator.server.views.graph_css` from orchestrator/draw/theme.py; tests/pages checks it. */"


def graph_css() -> str:
    """The text of the file."""
    return f"{HEAD}\n{svg_style()}\n"


if __name__ == "__main__":
    FILE.write_text(graph_css(), "utf-8")
