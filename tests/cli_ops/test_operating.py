"""Runs with loops, fan-outs, sub-flows and undo, operated by commands that each are a process's worth of work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import Done, cli

SUB = """
flow: sub
inputs: {n: int}
outputs: {n: int}
steps:
  ask:
    on: Start
    ask:
      title: Take ${{ inputs.n }}?
      to: {users: [kim]}
      form: {verdict: ja | nein}
    emit:
      event: Stop
      with: {n: "${{ inputs.n }}"}
"""
FAN = """
flow: fan
outputs: {all: [any]}
imports: {sub: ./sub.flow.yaml}
steps:
  each:
    on: Start
    for_each: "${{ [1, 2, 3] }}"
    call: flow.sub
    with: {n: "${{ item }}"}
    emit: {event: Stop, with: {all: "${{ result }}"}}
"""
SAGA = """
flow: saga
outputs: {bill: str}
steps:
  book:
    on: Start
    call: files.write
    with: {path: booked.txt, text: booked}
    undo:
      call: files.write
      with: {path: booked.txt, text: undone}
    emit: pay
  pay:
    ask:
      title: Pay?
      to: {users: [kim]}
      form: {verdict: ja | nein}
    emit: bill
  bill:
    call: files.read
    with: {path: bill.txt}
    emit: {event: Stop, with: {bill: "${{ result }}"}}
"""
LOOP = """
flow: loop
outputs: {n: int}
state: {n: {type: int, default: 0}}
events:
  Go: {external: true}
steps:
  work:
    on: Start
    set: {n: "${{ state.n + 1 }}"}
    emit:
      - when: state.n < 3
        event: work
      - event: pause
  pause:
    wait: {event: Go}
    emit: {event: Stop, with: {n: "${{ state.n }}"}}
"""


class Shop:
    """A project whose commands run here, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "orchestrator.toml").write_text("", "utf-8")
        for name, text in (("sub", SUB), ("fan", FAN), ("saga", SAGA), ("loop", LOOP)):
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        (self.folder / f"{name}.flow.yaml").write_text(text, "utf-8")

    def do(self, *args: str) -> Done:
        done = cli(*args, cwd=self.folder)
        assert "Traceback" not in done.err
        return done

    def begin(self, flow: str) -> None:
        """Start a run that is called as its flow, and that waits."""
        assert self.do("run", f"{flow}.flow.yaml", "--run-id", flow).code == 4

    def decide(self, name: str) -> Done:
        return self.do("decide", name, "ja", "--as", "kim")

    def statuses(self) -> dict[str, str]:
        return {row["run_id"]: row["status"] for row in self.do("runs", "ls", "--json").json["data"]["runs"]}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.timeout(30)
def test_one_of_several_sub_flows_is_decided_while_the_others_wait(shop: Shop) -> None:
    shop.begin("fan")
    assert [shop.decide(f"fan.each-2.{number}").code for number in range(3)] == [4, 4, 0]
    assert shop.do("runs", "show", "fan", "--json").json["data"]["outputs"] == {"all": [{"n": 1}, {"n": 2}, {"n": 3}]}


@pytest.mark.timeout(30)
def test_resuming_a_run_whose_sub_flows_wait_says_so_and_ends(shop: Shop) -> None:
    shop.begin("fan")
    shop.decide("fan.each-2.1")
    assert shop.do("resume", "fan").code == 4


def test_a_finished_fan_out_of_sub_flows_replays_as_recorded(shop: Shop) -> None:
    shop.begin("fan")
    for number in range(3):
        shop.decide(f"fan.each-2.{number}")
    shop.write("sub", SUB.replace("Take", "Get"))  # the stored version counts, not the file
    done = shop.do("replay", "fan", "--json")
    assert (done.code, done.json["data"]["divergences"]) == (0, [])
    assert shop.do("retry", "fan", "--from", "each").code == 4


def test_cancelling_runs_undo_and_ends_the_runs_that_it_started(shop: Shop) -> None:
    for flow in ("fan", "saga"):
        shop.begin(flow)
    assert shop.do("cancel", "fan", "saga", "--json").json["data"] == {"fan": "cancelled", "saga": "cancelled"}
    assert (shop.folder / "booked.txt").read_text() == "undone"
    assert set(shop.statuses().values()) == {"cancelled"} and len(shop.statuses()) == 5
    assert "nothing waits" in shop.do("inbox").err


def test_what_was_undone_is_done_again_by_a_retry(shop: Shop) -> None:
    shop.begin("saga")
    assert shop.decide("saga").code == 1
    assert (shop.folder / "booked.txt").read_text() == "undone"
    refused = shop.do("retry", "saga", "--from", "bill")
    assert refused.code == 2 and "--from book" in refused.err
    again = shop.do("retry", "saga", "--json")
    assert (again.code, again.json["data"]["waiting"]) == (4, ["pay"])
    assert (shop.folder / "booked.txt").read_text() == "booked"


def test_removing_a_run_removes_the_runs_that_it_started(shop: Shop) -> None:
    shop.begin("fan")
    assert shop.do("runs", "rm", "fan").code == 7
    shop.do("cancel", "fan")
    assert shop.do("runs", "rm", "fan", "--json").json["data"] == {"removed": 4}
    assert shop.statuses() == {}


def test_a_run_says_what_it_waits_for(shop: Shop) -> None:
    for flow in ("fan", "loop", "saga"):
        shop.begin(flow)
    shown = {flow: shop.do("runs", "show", flow).out for flow in ("fan", "loop", "saga")}
    assert "each: run fan.each-2.0" in shown["fan"] and "pause: the event Go" in shown["loop"]
    assert "pay: Pay?" in shown["saga"]
    fork = shop.do("replay", "loop", "--fork-at", "3", "--json").json["data"]["run_id"]
    assert "tick 3 of run loop" in shop.do("runs", "show", fork).out


def test_a_fork_takes_values_that_the_state_has_room_for(shop: Shop) -> None:
    shop.begin("loop")
    before = shop.statuses()
    for option, said in (("n=x", "must be integer"), ("m=1", "has no `state.m`"), ("N=1", "did you mean `n`?")):
        done = shop.do("replay", "loop", "--fork-at", "3", "--set", option)
        assert done.code == 2 and said in done.err, (option, done.err)
    assert shop.do("replay", "loop", "--set", "n=1").code == 2
    assert shop.statuses() == before
    fork = shop.do("replay", "loop", "--fork-at", "3", "--set", "n=7", "--json").json["data"]["run_id"]
    assert shop.do("send", fork, "Go", "--json").json["data"]["outputs"] == {"n": 7}


def test_a_migration_is_tried_as_it_would_go(shop: Shop) -> None:
    shop.begin("saga")
    shop.write("saga", SAGA.replace("  pay:", "  charge:").replace("emit: pay", "emit: charge"))
    tried = shop.do("migrate", "saga.flow.yaml", "--dry-run")
    assert tried.code == 7 and "step `pay`, which it is in, is gone" in tried.err
    assert shop.do("migrate", "saga.flow.yaml", "--run", "nothing").code == 6
    shop.begin("loop")
    other = shop.do("migrate", "saga.flow.yaml", "--run", "loop")
    assert other.code == 2 and "is one of `loop`" in other.err


def test_every_wrong_name_is_told_with_a_way_out(shop: Shop) -> None:
    shop.begin("loop")
    commands = (["runs", "show"], ["runs", "events"], ["runs", "logs"], ["runs", "export"], ["runs", "rm"], ["resume"])
    for words in (*commands, ["cancel"], ["retry"], ["replay"], ["send"], ["decide", "--as", "kim"]):
        done = shop.do(*words, "nix", *(["Go"] if words == ["send"] else []))
        assert done.code == 6 and "orchestrator runs ls" in done.err, (words, done.err)
    assert shop.do("runs", "import", "nix.jsonl").code == 6
    assert "has the ticks 0 to 7" in shop.do("replay", "loop", "--fork-at", "99").err
