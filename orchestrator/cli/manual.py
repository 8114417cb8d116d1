"""The pages of the manual, which come with the package, and their parts by heading. Decides nothing about how they are shown."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
TOPICS = (
    "config",
    "language",
    "expressions",
    "people",
    "plugins",
    "python",
    "server",
    "operations",
    "promises",
    "first-hour",
)
_HEADING = re.compile(r"^(#{1,3}) (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def page(topic: str) -> str | None:
    """The text of a page, as Markdown; None for a topic that there is not."""
    if topic not in TOPICS:
        return None
    for folder in (PACKAGE / "docs", PACKAGE.parent / "docs"):  # as it is installed, and as it is in the repository
        file = folder / f"{topic}.md"
        if file.is_file():
            return file.read_text(encoding="utf-8")
    return None


def headings(text: str) -> list[str]:
    """The headings below the title, in order."""
    return [name for level, name, _ in _outline(text) if level > 1]


def part(text: str, words: str) -> str | None:
    """The part of a page whose heading has these words, up to the next heading of its level; None if none has them."""
    wanted = words.casefold()
    outline = _outline(text)
    for n, (level, name, start) in enumerate(outline):
        if wanted in name.casefold():
            end = next((at for depth, _, at in outline[n + 1 :] if depth <= level), len(text))
            return text[start:end].strip() + "\n"
    return None


def _outline(text: str) -> list[tuple[int, str, int]]:
    """Level, name and place of every heading; a `#` inside of an example is none."""
    bare = _FENCE.sub(lambda found: " " * len(found[0]), text)
    return [(len(found[1]), found[2].strip(), found.start()) for found in _HEADING.finditer(bare)]
