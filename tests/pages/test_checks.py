"""The checks that every page is put to find what is planted: they can fail."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pages.browser import CHECKS, chromium

GOOD = "<!doctype html><html lang=en><title>t</title><main><h1>One</h1>{}</main>"


@pytest.mark.parametrize(
    ("html", "rule"),
    [
        ("<input>", "a control has no label"),
        ("<button></button>", "something to press has no name"),
        ("<p style='color:#999;background:#fff'>pale</p>", "contrast 2.85"),
        ("<h3>skips</h3>", "a heading skips from 1 to 3"),
        ("<p id=a></p><p id=a></p>", "the id a is there 2 times"),
        ("<input aria-label=x aria-describedby=gone>", "it names gone, which is not there"),
        ("<p style='width:3000px'>wide</p>", "the page is"),
        ("<button style='width:9px;height:9px;padding:0' aria-label=x></button>", "too small to press"),
        (
            "<table style='width:20px;overflow-wrap:anywhere'><tr><td>squashed<td style='min-width:300px'>x</table>",
            "a cell is squashed",
        ),
        ("<h1>Two</h1>", "there are 2 headings of the first level"),
        ("<table><th>x</th></table>", "a table's heading has no scope"),
    ],
)
def test_a_planted_mistake_is_found(browser: Any, html: str, rule: str) -> None:
    browser.set_content(GOOD.format(html))
    assert any(rule in found for found in browser.evaluate(CHECKS.read_text("utf-8")))


def test_a_page_without_mistakes_passes(browser: Any) -> None:
    browser.set_content(GOOD.format("<label>Name <input></label><p>black</p>"))
    assert browser.evaluate(CHECKS.read_text("utf-8")) == []


@pytest.fixture(scope="module")
def browser() -> Any:
    with chromium() as found:
        yield found.new_page()
