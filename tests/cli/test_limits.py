"""Limits of a run: each has a name, an error that says what to do, and a setting under `[limits]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import cli, write

PLUGIN = """
from orchestrator.plugin import Plugin

plugin = Plugin("gen")


@plugin.step(effect="none")
def text(size: int) -> str:
    "So many letters."
    return "x" * size


@plugin.step(effect="none")
def numbers(count: int) -> list[int]:
    "So many numbers."
    return list(range(count))
"""

LARGE = """
flow: large
inputs: {size: int}
steps:
  make: {on: Start, call: gen.text, with: {size: "${{ inputs.size }}"}}
  keep: {on: make, emit: Stop}
"""

GROWS = """
flow: grows
inputs: {size: int, times: int}
state: {n: 0, parts: []}
outputs: {n: int}
steps:
  make: {on: [Start, Again], max_visits: 1000, call: gen.text, with: {size: "${{ inputs.size }}"}}
  grow:
    on: make
    set: {n: "${{ state.n + 1 }}", parts: "${{ state.parts + [ev.result] }}"}
    emit:
      - {when: state.n >= inputs.times, event: Stop, with: {n: "${{ state.n }}"}}
      - Again
events: {Again: {}}
"""

FANS = """
flow: fans
inputs: {count: int}
outputs: {n: int}
events: {Item: {i: int}}
steps:
  make: {on: Start, call: gen.numbers, with: {count: "${{ inputs.count }}"}}
  split:
    on: make
    emit: {event: Item, for_each: "${{ ev.result }}", with: {i: "${{ item }}"}}
  work: {on: Item, concurrency: 1, call: gen.text, with: {size: 1}}
  join: {on: work, collect: all, emit: {event: Stop, with: {n: "${{ events | length }}"}}}
"""

NESTED = (
    FANS.replace("{Item: {i: int}}", "{Outer: {i: int}, Item: {i: int}}")
    .replace("emit: {event: Item,", "emit: {event: Outer,")
    .replace(
        "  work: {on: Item",
        """  more: {on: Outer, call: gen.numbers, with: {count: "${{ inputs.count }}"}}
  again: {on: more, emit: {event: Item, for_each: "${{ ev.result }}", with: {i: "${{ item }}"}}}
  inner: {on: work, collect: all, emit: Inner}
  work: {on: Item""",
    )
    .replace("on: work, collect: all, emit: {event: Stop", "on: Inner, collect: all, emit: {event: Stop")
    .replace("events: {", "events: {Inner: {}, ")
)

LOOPS = """
flow: loops
state: {n: 0}
events: {Again: {}}
steps:
  turn:
    on: [Start, Again]
    set: {n: "${{ state.n + 1 }}"}
    emit: [{when: state.n > 1_000, event: Stop}, Again]
"""


def limited(folder: Path, flow: str, limits: str, *inputs: str) -> dict[str, Any]:
    """What a flow with these limits comes to: its outputs, or its error."""
    write(folder, "orchestrator.toml", f'[plugins]\nfolder = "plugins"\n[limits]\n{limits}\n')
    write(folder, "plugins/gen.py", PLUGIN)
    file = write(folder, "a.flow.yaml", flow)
    done = cli("run", file, *(word for pair in inputs for word in ("-i", pair)), "--json", "--run-id", "r1")
    assert done.json["data"], done
    found: dict[str, Any] = done.json["data"]["error"] or done.json["data"]["outputs"] or {}
    return found


def test_an_event_over_the_limit_fails_its_step_and_says_what_to_do(tmp_path: Path) -> None:
    error = limited(tmp_path, LARGE, "event_bytes = 2048", "size=3060")
    assert (error["code"], error["step"]) == ("limit.event_bytes", "make")
    assert "event `make.done` has 3 KiB; 2 KiB are allowed" in error["message"]
    assert "[limits] event_bytes" in error["message"]


@pytest.mark.parametrize(("limits", "size", "is_held"), [
    ("", 1_000_000, False),
    ("", 1_100_000, True),
    ("event_bytes = 2_000_000", 1_100_000, False),
])  # fmt: skip
def test_an_event_may_have_one_mebibyte_by_default(limits: str, size: int, is_held: bool, tmp_path: Path) -> None:
    assert (limited(tmp_path, LARGE, limits, f"size={size}") != {}) == is_held


def test_a_state_that_grows_over_the_limit_fails_the_step_that_wrote_it(tmp_path: Path) -> None:
    error = limited(tmp_path, GROWS, "state_bytes = 20_000", "size=3000", "times=10")
    assert (error["code"], error["step"]) == ("limit.state_bytes", "grow")
    assert "most of it in `parts`" in error["message"]


def test_a_state_that_is_written_often_and_stays_small_is_none_of_its_business(tmp_path: Path) -> None:
    flow = GROWS.replace("state.parts + [ev.result]", "[ev.result]")
    assert limited(tmp_path, flow, "state_bytes = 20_000", "size=3000", "times=30") == {"n": 30}


def test_a_fan_out_has_a_limit(tmp_path: Path) -> None:
    error = limited(tmp_path, FANS, "fan_out = 5", "count=6")
    assert (error["code"], error["step"]) == ("limit.fan_out", "split")
    assert "has 6 items, more than the 5" in error["message"]
    assert limited(tmp_path / "b", FANS, "fan_out = 5", "count=5") == {"n": 5}


def test_events_that_wait_for_their_turn_have_a_limit(tmp_path: Path) -> None:
    error = limited(tmp_path, NESTED, "undelivered_events = 3", "count=3")
    assert error["code"] == "limit.undelivered"
    assert "3 events of the run wait for their turn; raise [limits] undelivered_events" in error["message"]
    assert limited(tmp_path / "b", NESTED, "undelivered_events = 20", "count=3") == {"n": 3}


def test_a_loop_without_a_bound_has_the_one_of_the_project(tmp_path: Path) -> None:
    error = limited(tmp_path, LOOPS, "max_visits = 7")
    assert (error["code"], error["step"]) == ("loop.exhausted", "turn")
    assert "7" in error["message"]


def test_sub_flows_may_stand_so_many_deep(tmp_path: Path) -> None:
    for depth in range(1, 5):
        below = f"imports: {{next: ./f{depth + 1}.flow.yaml}}\n" if depth < 4 else ""
        call = "call: flow.next, " if depth < 4 else ""
        write(
            tmp_path,
            f"f{depth}.flow.yaml",
            f"flow: f{depth}\n{below}steps:\n  go: {{on: Start, {call}emit: Stop}}\n",
        )
    flow = "flow: top\nimports: {next: ./f1.flow.yaml}\nsteps:\n  go: {on: Start, call: flow.next, emit: Stop}\n"
    assert limited(tmp_path, flow, "subflow_depth = 4") == {}
    error = limited(tmp_path, flow, "subflow_depth = 3\n[store]\nurl = 'memory:'")
    assert error["code"] == "flow.failed" and "[limits] subflow_depth" in error["message"]
