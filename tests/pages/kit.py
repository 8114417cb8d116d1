"""What tests of the pages share: a content team's flow, a server in this process, and reading HTML without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from orchestrator.authoring.project import Project
from orchestrator.server.app import create_app
from orchestrator.server.desk import Desk, ServerSettings
from orchestrator.server.gate import ACTING_COOKIE
from tests.server.kit import client_of, start, wait_for

TEAM = """
flow: article
title: Article
description: Somebody writes, **two** people approve.
inputs:
  title: str
  author: str
  text: str
outputs:
  status: str
  text: str
state:
  round: 0
events:
  Drafted: {text: str}
  Approved: {text: str}
  NeedsWork: {text: str, notes: str}
steps:
  write:
    on: [Start, NeedsWork]
    set:
      round: ${{ state.round + 1 }}
    emit:
      event: Drafted
      with: {text: "${{ ev.text }}"}
  review:
    on: Drafted
    ask:
      title: Publish "${{ inputs.title }}"?
      show:
        body: ${{ ev.text }}
        content: {round: "${{ state.round }}"}
        diff: last_approved
      edit: body
      form:
        verdict: approve | rework
        notes: str | null
        score: int | null
      to: {groups: [editors], not: ["${{ inputs.author }}"]}
      quorum: {approve: 2}
      remind: [4h]
      escalate: {after: 1d, to: {groups: [chiefs]}}
      deadline: 2d
      delegate: true
    emit:
      - when: outcome == "approve"
        event: Approved
        with: {text: "${{ result.body }}"}
      - when: outcome == "rework"
        event: NeedsWork
        with: {text: "${{ ev.text }} (rewritten)", notes: "${{ answers[-1].notes or '' }}"}
      - event: Stop
        with: {status: "${{ outcome }}", text: ""}
  publish:
    on: Approved
    emit:
      event: Stop
      with: {status: published, text: "${{ ev.text }}"}
"""
MANY = """
flow: posts
inputs:
  posts: [str]
outputs:
  kept: [str]
steps:
  check:
    on: Start
    for_each: inputs.posts
    ask:
      title: Check these posts
      show: {body: "${{ item }}"}
      form:
        verdict: keep | remove
        why: str | null
      to: {groups: [editors]}
    emit:
      event: Stop
      with: {kept: "${{ result | selectattr('outcome', 'eq', 'keep') | map(attribute='item') | list }}"}
"""
COUNT = """
flow: count
inputs:
  to: int
outputs:
  n: int
state:
  n: 0
events:
  Again: {n: int}
steps:
  add:
    on: [Start, Again]
    max_visits: unlimited
    set: {n: "${{ state.n + 1 }}"}
    emit:
      - when: state.n < inputs.to
        event: Again
        with: {n: "${{ state.n }}"}
      - event: Stop
        with: {n: "${{ state.n }}"}
"""
CONFIG = """
[people.groups]
editors = ["lee", "noa", "kim"]
chiefs = ["ada"]
"""
WITHIN_A_LINE = frozenset({"b", "code", "del", "em", "ins", "strong", "span", "time"})


def write_team(folder: Path, **more: str) -> Path:
    """The project of a content team."""
    (folder / "orchestrator.toml").write_text(CONFIG, "utf-8")
    for name, text in {"article": TEAM, "posts": MANY, **more}.items():
        (folder / f"{name}.flow.yaml").write_text(text.lstrip(), "utf-8")
    return folder


def team_desk(folder: Path, clock: Any = None, **settings: Any) -> Desk:  # a Clock
    """Its desk; open, so that tests may act as anybody."""
    return Desk(project=Project.open(folder), settings=ServerSettings(**settings), clock=clock)


@contextmanager
def team(folder: Path, clock: Any = None, **settings: Any) -> Iterator[TestClient]:
    """A client of its server."""
    with client_of(create_app(desk=team_desk(write_team(folder), clock, **settings))) as client:
        yield client


def be(client: TestClient, name: str) -> None:
    """Act as somebody from now on."""
    client.cookies.set(ACTING_COOKIE, name)


class Page(HTMLParser):
    """A page as tests read it: its text, its forms, its elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.text = ""
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.fields: dict[str, str] = {}
        self._hidden = 0
        self._area: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element; fill in what a browser would send back."""
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, given))
        name = given.get("name", "")
        self.text += "" if tag in WITHIN_A_LINE else " "
        if tag in ("script", "style"):
            self._hidden += 1
        if tag == "textarea":
            self._area = name
            self.fields[name] = ""
        elif tag == "input" and name:
            is_off = given.get("type") in ("radio", "checkbox") and "checked" not in given
            if not is_off:
                self.fields[name] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        if tag in ("script", "style"):
            self._hidden -= 1
        if tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        """Text that a reader sees, or that a text area holds."""
        if self._area is not None:
            before = self.fields[self._area]
            self.fields[self._area] = before + (data.removeprefix("\n") if not before else data)
        elif not self._hidden:
            self.text += data

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Elements of a tag with these attributes."""
        return [given for name, given in self.elements if name == tag and attributes.items() <= given.items()]

    @property
    def words(self) -> str:
        """The text with single spaces."""
        return " ".join(self.text.split())


def page(client: TestClient, path: str, status: int = 200) -> Page:
    """A page by its path."""
    answer = client.get(path, headers={"accept": "text/html"})
    assert answer.status_code == status, answer.text[:2000]
    return Page(answer.text)


def submit(client: TestClient, path: str, do: str = "", status: int = 200, **fields: Any) -> Page:
    """Send the form of a page as a browser without script does, and read what comes after redirects."""
    shown = page(client, path)
    kept = {name: value for name, value in shown.fields.items() if name != "edit"}
    sent = {**kept, "_csrf": shown.fields["_csrf"], **({"do": do} if do else {})}
    sent |= {name.replace("__", "."): value for name, value in fields.items()}
    action = shown.all("form", method="post")[-1]["action"]
    answer = client.post(action, data=sent, headers={"accept": "text/html"})
    assert answer.status_code == status, answer.text[:3000]
    return Page(answer.text)


def ask(client: TestClient, flow: str = "article", **inputs: Any) -> str:
    """Start a run that asks people; gives the path of its request's page."""
    given = inputs or {"title": "Autumn", "author": "kim", "text": "Leaves *fall*."}
    run_id = start(client, flow, **given)
    wait_for(client, run_id, "waiting")
    return request_path(client, run_id)


def request_path(client: TestClient, run_id: str) -> str:
    """The page of a run's open request."""
    rows = [row for row in client.get("/api/requests").json()["requests"] if row["run_id"] == run_id]
    return f"/inbox/{rows[0]['id']}"
