"""The safe part of Markdown: what it renders, and that nothing of the text can act."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.server.views.markdown import render_markdown, safe_url
from tests.pages.kit import Page

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    '[x](https://a.example/"onmouseover="alert(1))',
    "![x](https://a.example/pixel.png)",
    "<https://a.example/<script>>",
    "```\n</code></pre><script>alert(1)</script>\n```",
    "| a |\n|---|\n| <script>alert(1)</script> |",
    "# <b onclick=x>",
    "[<script>](https://a.example)",
    "`<script>`",
    "[a](https://user:pw@a.example)",
    "[a](\x01javascript:alert(1))",
    "&lt;script&gt;",
]
ALLOWED = {
    "p", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "table", "thead", "tbody", "tr", "td", "th",
    "hr", "br", "strong", "em", "del", "a", "div",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a **b** and *c*", "<p>a <strong>b</strong> and <em>c</em></p>"),
        ("snake_case_name stays", "<p>snake_case_name stays</p>"),
        ("# One\n\ntext", "<h3>One</h3>\n<p>text</p>"),
        ("- a\n- b\n  - c", "<ul><li>a</li><li>b\n<ul><li>c</li></ul></li></ul>"),
        ("3. x\n4. y", '<ol start="3"><li>x</li><li>y</li></ol>'),
        ("> quoted\n> more", "<blockquote><p>quoted\nmore</p></blockquote>"),
        ("`a < b`", "<p><code>a &lt; b</code></p>"),
        ("a\\*b\\*", "<p>a*b*</p>"),
        ("---", "<hr>"),
        ("~~old~~", "<p><del>old</del></p>"),
        ("2 * 3 * 4", "<p>2 * 3 * 4</p>"),
    ],
)
def test_markdown_renders_the_part_it_knows(text: str, html: str) -> None:
    assert render_markdown(text) == html


def test_a_link_tells_the_other_site_nothing() -> None:
    link = Page(render_markdown("see [docs](https://a.example/x_y?a=1&b=2)")).all("a")[0]
    assert link == {
        "href": "https://a.example/x_y?a=1&b=2",
        "rel": "noopener noreferrer nofollow",
        "target": "_blank",
    }


def test_a_bare_address_is_a_link_without_its_full_stop() -> None:
    assert Page(render_markdown("at https://a.example/b_c_d.")).all("a")[0]["href"] == "https://a.example/b_c_d"


def test_a_table_keeps_its_cells() -> None:
    table = Page(render_markdown("| a | b |\n|---|---|\n| 1 | 2 \\| 3 |"))
    assert table.words == "a b 1 2 | 3"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_inert(text: str) -> None:
    assert_inert(render_markdown(text))


@given(st.text(alphabet=st.sampled_from(list("<>&\"'`*_~[]()!|#- \n\\ab:/https")), max_size=200))
def test_any_text_is_inert(text: str) -> None:
    assert_inert(render_markdown(text))


def assert_inert(html: str) -> None:
    for tag, attributes in Page(html).elements:
        assert tag in ALLOWED, html
        assert not any(name.startswith("on") or name in ("src", "style") for name in attributes), html
        assert safe_url(attributes.get("href", "https://a.example")), html


LONG = ["*a", "[", "`", "> ", "- ", "**", "_a ", "](", "|", "[a](", "![", "<", "\\", "h", "| |\n|-|\n", "1. ", "# "]


@pytest.mark.parametrize("text", [part * (160_000 // len(part)) for part in LONG])
def test_a_long_text_takes_no_time(text: str) -> None:
    began = time.process_time()
    render_markdown(text)
    assert time.process_time() - began < 2.0


def test_a_huge_text_is_shown_plain() -> None:
    assert render_markdown("# x <b>\n" * 40_000).startswith('<pre class="plain"># x &lt;b&gt;')
