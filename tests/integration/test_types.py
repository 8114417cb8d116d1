"""What the checker knows of the events of a join, and of the structured answer of a model."""

from __future__ import annotations

from pathlib import Path

from orchestrator import load
from tests.integration.support import write

JOIN = """
flow: join
inputs: {n: int}
outputs: {text: str, words: int}
events:
  Text: {text: str}
  Count: {words: int}
steps:
  text: {on: Start, emit: {event: Text, with: {text: x}}}
  count: {on: Start, emit: {event: Count, with: {words: 3}}}
  join:
    on: [Text, Count]
    collect: each
    emit: {event: Stop, with: {text: "${{ events[FIRST].text }}", words: "${{ events[LAST].words }}"}}
"""
CHAT = """
flow: chat
inputs: {n: int}
outputs: {title: str, tags: [str]}
steps:
  ask_model:
    on: Start
    call: llm.chat
    with:
      prompt: hello
      schema: {title: str, tags: [str]}
    emit: {event: Stop, with: {title: "${{ result.data.title }}", tags: "${{ result.data.TAGS }}"}}
"""


def findings(folder: Path, name: str, text: str) -> list[str]:
    return [f"{d.code} {d.message}" for d in load(write(folder, name, text)).check() if d.severity != "info"]


def join(folder: Path, first: str, last: str) -> list[str]:
    return findings(folder, "join", JOIN.replace("FIRST", first).replace("LAST", last))


def test_each_event_of_a_join_has_its_own_type(tmp_path: Path) -> None:
    assert join(tmp_path, "0", "1") == join(tmp_path, "-2", "-1") == []


def test_a_field_of_another_event_of_the_join_is_an_error(tmp_path: Path) -> None:
    found = join(tmp_path, "1", "0")
    assert len(found) == 2
    assert all("has no" in line or "no field" in line for line in found), found


def test_a_structured_answer_has_the_type_that_the_call_asks_for(tmp_path: Path) -> None:
    assert findings(tmp_path, "chat", CHAT.replace("TAGS", "tags")) == []
    assert any("tgas" in line for line in findings(tmp_path, "chat", CHAT.replace("TAGS", "tgas")))
