"""All codes of all layers in one place: what `orchestrator explain` prints, and the page `docs/checks.md`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.analysis.codes import CODES as ANALYSIS_CODES
from orchestrator.expr.codes import CODES as EXPR_CODES
from orchestrator.expr.suggest import nearest
from orchestrator.language.codes_reading import READING_CODES
from orchestrator.language.codes_shape import SHAPE_CODES
from orchestrator.plugin.codes import CODES as PLUGIN_CODES

SECTIONS = {
    "CFG": "The project's config",
    "1": "Reading YAML",
    "2": "The shape of a flow",
    "3": "Expressions",
    "4": "The graph",
    "5": "Names and types",
    "6": "People and time",
    "7": "Safety",
    "8": "Workflows in Python",
    "PLG": "Plugins",
}
INTRO = """# What the checker finds

Every finding has a stable code. `orchestrator explain CODE` prints what stands here. Errors stop a flow from starting;
warnings and notes do not. This page is made from the tables in the code (`make golden`), and a test runs each example.
"""


@dataclass(frozen=True, slots=True)
class Page:
    """One code, whatever layer it comes from. `form` is the language of the examples."""

    code: str
    severity: str
    title: str
    explanation: str
    bad: str
    good: str
    form: str = "yaml"


def pages() -> Iterator[Page]:
    """Every code, in order."""
    found: list[Page] = []
    for code, info in (*READING_CODES.items(), *SHAPE_CODES.items()):
        found.append(Page(code, "", info.title, info.explanation, info.bad, info.good))
    for code, doc in EXPR_CODES.items():
        found.append(Page(code, "", doc.title, doc.explanation, doc.bad, doc.good, "text"))
    for code, row in ANALYSIS_CODES.items():
        form = "python" if code.startswith("FLW8") else "yaml"
        found.append(Page(code, row.severity.value, row.title, row.explanation, row.bad, row.good, form))
    for code, known in PLUGIN_CODES.items():
        found.append(Page(code, "", known.title, known.explanation, known.bad, known.good, known.form))
    yield from sorted(found, key=lambda page: page.code)


def explain(code: str) -> str | None:
    """The page of a code as plain text; None if there is no such code."""
    wanted = code.strip().upper()
    page = next((page for page in pages() if page.code == wanted), None)
    return None if page is None else page_text(page)


def suggest_code(code: str) -> str | None:
    """The code that was probably meant."""
    return nearest(code.strip().upper(), [page.code for page in pages()])


def page_text(page: Page) -> str:
    """One page as Markdown."""
    severity = f" ({page.severity})" if page.severity else ""
    parts = [f"## {page.code}: {page.title}{severity}", "", page.explanation, ""]
    for word, example in (("Wrong", page.bad), ("Right", page.good)):
        if example:
            parts += [f"{word}:", "", f"```{page.form}", example.rstrip("\n"), "```", ""]
    return "\n".join(parts)


def checks_page() -> str:
    """The whole of `docs/checks.md`."""
    parts = [INTRO]
    section = ""
    for page in pages():
        own = page.code[3] if page.code.startswith("FLW") else page.code[:3]
        if own != section:
            section = own
            parts.append(f"# {SECTIONS[section]}\n")
        parts.append(page_text(page))
    return "\n".join(parts)
