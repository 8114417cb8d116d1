"""The page: one file, no request, nothing that a name could run, every step in words."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from orchestrator.draw.graph import graph_of
from orchestrator.draw.html import to_html
from orchestrator.draw.page_assets import SCRIPT
from tests.draw import flows
from tests.draw.runs import APPROVAL_RUN

ALL = {**flows.SMALL, "hostile": flows.hostile}


class Page(HTMLParser):
    """What a browser would find: tags in order with their attributes, and the text of each."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "rect", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)


@pytest.mark.parametrize("name", ALL)
def test_tags_are_balanced_and_only_ours(name: str) -> None:
    page = Page(to_html(ALL[name]()))
    assert page.open == []
    assert [tag for tag, _ in page.found].count("script") == 1
    assert not {"img", "iframe", "link", "a", "object", "base", "form"} & {tag for tag, _ in page.found}


@pytest.mark.parametrize("name", ALL)
def test_no_attribute_runs_or_loads_anything(name: str) -> None:
    attributes = {key for _, attrs in Page(to_html(ALL[name]())).found for key in attrs}
    assert not {a for a in attributes if a.startswith("on") or a in ("src", "href", "srcset", "style", "action")}


def test_the_policy_allows_just_the_style_and_the_script_of_the_page() -> None:
    text = to_html(flows.hostile())
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert policy is not None and style is not None
    digests = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in (style[1], SCRIPT)]
    assert policy[1].startswith("default-src 'none'; ")
    assert re.findall(r"(\w+)-src 'sha256-([^']+)'", policy[1]) == [("style", digests[0]), ("script", digests[1])]


def test_every_step_has_an_article_that_the_script_finds_by_the_id_of_its_node() -> None:
    page = Page(to_html(flows.hostile()))
    nodes = {a["id"] for tag, a in page.found if tag == "g" and "data-step" in a}
    articles = {str(a["id"]).removeprefix("about-") for tag, a in page.found if tag == "article"}
    assert nodes == articles
    assert len(articles) == len(flows.HOSTILE)


def test_hostile_names_are_read_as_they_are_written() -> None:
    titles = Page(to_html(flows.hostile())).texts["h3"]
    assert titles[:3] == list(flows.HOSTILE[:3])
    assert titles[4:6] == list(flows.HOSTILE[4:6])


def test_an_article_says_what_a_step_takes_emits_and_leads_to() -> None:
    page = Page(to_html(flows.content_approval(), APPROVAL_RUN))
    words = " ".join(page.texts["dd"])
    assert "publish (Approved · approve)" in words
    assert "waiting, 2 times" in words
    assert "Writes a draft about the topic, with the notes of the last round." in page.texts["p"]


def test_the_legend_has_the_kinds_of_lines_of_this_flow_only() -> None:
    legend = Page(to_html(flows.summarise_sections())).texts["li"]
    assert legend == ["leads to", "fans out", "on failure", "on time-out"]
    assert Page(to_html(flows.content_approval(), APPROVAL_RUN)).texts["li"] == ["taken", "not taken"]


def test_without_script_the_words_are_there_and_the_tools_are_not() -> None:
    page = Page(to_html(flows.chain()))
    hidden = [a.get("class") for _, a in page.found if "hidden" in a]
    assert hidden == ["tools", "panel"]
    assert len(page.texts["h3"]) == sum(1 for n in graph_of(flows.chain()).nodes if n.step)


def test_the_script_neither_asks_for_data_nor_writes_markup() -> None:
    assert not re.search(
        r"fetch|XMLHttp|import|eval|innerHTML|outerHTML|insertAdjacent|document\.write|Function", SCRIPT
    )
    assert "</script" not in SCRIPT
