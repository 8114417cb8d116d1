"""The page about expressions holds the tables of the code."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.expr import filters, limits, predicates
from tests.support.golden import matches_golden

PAGE = Path(__file__).resolve().parents[2] / "docs" / "expressions.md"


def filled(page: str, name: str, table: str) -> str:
    """The page with a table between its two marks."""
    mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    return mark.sub(lambda found: found[1] + table + found[2], page, count=1)


def test_the_tables_of_the_page_are_golden() -> None:
    page = PAGE.read_text("utf-8")
    produced = filled(filled(page, "filters", filters.documented()), "tests", predicates.documented())
    assert matches_golden(PAGE, produced)


def test_the_page_names_the_limits_that_hold() -> None:
    page = " ".join(PAGE.read_text("utf-8").split())
    for number in (limits.NODES, limits.TEXT_BYTES, limits.ITEMS, limits.RANGE_ITEMS, limits.TEMPLATE_BYTES):
        assert f"{number:,}" in page
    assert f"exponents up to {limits.EXPONENT}" in page
