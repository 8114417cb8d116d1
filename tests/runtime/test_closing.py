"""How collections of a flow file end early: an event that closes them, and members that are cancelled."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from orchestrator.authoring.loaded import load

CLOSED = """\
flow: closed
outputs: {got: any}
events: {Item: {n: int}, Closed: {}}
steps:
  split:
    on: Start
    emit: {event: Item, for_each: "range(3)", with: {n: "${{ item }}"}}
  close:
    on: Start
    wait: 20ms
    emit: Closed
  gather:
    on: Item
    collect: {until: {event: Closed}}
    emit: {event: Stop, with: {got: "${{ events | map(attribute='n') | list }}"}}
"""
RACE = """\
flow: race
outputs: {got: any}
events: {Item: {s: float}, Done: {s: float}}
steps:
  split:
    on: Start
    emit: {event: Item, for_each: "[5.0, 0.02, 6.0]", with: {s: "${{ item }}"}}
  work:
    on: Item
    call: t.sleep
    with: {s: "${{ ev.s }}"}
    finally: {call: t.note, with: {text: "${{ meta.status }} ${{ ev.s }}"}}
    emit: {event: Done, with: {s: "${{ ev.s }}"}}
  first:
    on: Done
    collect: {first: 1, cancel: rest}
    emit: {event: Stop, with: {got: "${{ events[0].s }}"}}
"""


def result_of(text: str, folder: Path, **steps: Any) -> Any:
    file = folder / "x.flow.yaml"
    file.write_text(text, "utf-8")

    async def main() -> Any:
        return await load(file, steps=steps).run()

    return asyncio.run(main())


def test_an_event_from_outside_closes_what_was_collected_of_a_fan_out(tmp_path: Path) -> None:
    assert result_of(CLOSED, tmp_path) == {"got": [0, 1, 2]}


def test_an_event_that_closes_nothing_fires_with_nothing(tmp_path: Path) -> None:
    assert result_of(CLOSED.replace("range(3)", "[]"), tmp_path) == {"got": []}


def test_members_that_a_join_cancels_run_their_finally(tmp_path: Path) -> None:
    notes: list[str] = []

    async def sleep(s: float) -> None:
        await asyncio.sleep(s)

    def note(text: str) -> None:
        notes.append(text)

    assert result_of(RACE, tmp_path, **{"t.sleep": sleep, "t.note": note}) == {"got": 0.02}
    assert sorted(notes) == ["cancelled 5.0", "cancelled 6.0", "done 0.02"]


def test_finally_knows_that_time_ran_out(tmp_path: Path) -> None:
    notes: list[str] = []
    text = (
        "flow: slow\nsteps:\n  work: {on: Start, call: t.sleep, with: {s: 5.0}, timeout: 20ms, "
        'finally: {call: t.note, with: {text: "${{ meta.status }}"}}, emit: Stop}\n  late: {on: work.failed, emit: Stop}\n'
    )

    async def sleep(s: float) -> None:
        await asyncio.sleep(s)

    def note(text: str) -> None:
        notes.append(text)

    result_of(text, tmp_path, **{"t.sleep": sleep, "t.note": note})
    assert notes == ["timeout"]
