"""The parts of a run's page that are computed: comparison of texts and states, timeline, log lines, calls of models."""

from __future__ import annotations

from typing import Any

from orchestrator.server.views.diffing import diff_texts
from orchestrator.server.views.log_view import calls_of, lines_of
from orchestrator.server.views.state_view import state_page
from orchestrator.server.views.timeline_view import timeline_view
from orchestrator.server.views.wording import exact, facts, relative, rough, short


def entry(seq: int, at: float, kind: str, act: int = 1, step: str = "write", attempt: int = 1, **data: Any) -> Any:
    return {
        "seq": seq,
        "at": at,
        "cause": seq - 1,
        "type": kind,
        "step": step,
        "act": act,
        "attempt": attempt,
        "data": data,
    }


def test_a_changed_word_is_marked_in_both_lines() -> None:
    rows = diff_texts("one two three\nsame", "one 2 three\nsame")["rows"]
    assert [(r["kind"], [p["text"] for p in r["pieces"] if p["kind"] != "same"]) for r in rows] == [
        ("del", ["two"]),
        ("add", ["2"]),
        ("same", []),
    ]


def test_unchanged_stretches_are_left_out() -> None:
    before = [str(n) for n in range(100)]
    diff = diff_texts("\n".join(before), "\n".join([*before[:50], "new", *before[50:]]))
    assert [row["kind"] for row in diff["rows"]] == ["gap", *["same"] * 3, "add", *["same"] * 3]
    assert (diff["added"], diff["removed"]) == (1, 0)


def test_very_long_texts_are_compared_in_part() -> None:
    assert diff_texts("a\n" * 9_000, "b\n" * 9_000)["is_cut"]


def test_attempts_and_pauses_are_bars_of_one_row() -> None:
    log = [
        entry(0, 0.0, "step.started"),
        entry(1, 1.0, "step.retried", again_at=3.0, error={"code": "http.500", "message": "no"}),
        entry(2, 3.0, "step.started", attempt=2),
        entry(3, 4.0, "step.ended"),
    ]
    row = timeline_view(log, 4.0, is_over=True)["rows"][0]
    assert [(bar["kind"], bar["x"], bar["width"], bar["is_failed"]) for bar in row["bars"]] == [
        ("run", 0.0, 25.0, True),
        ("pause", 25.0, 50.0, False),
        ("run", 75.0, 25.0, False),
    ]
    assert "http.500" in row["bars"][0]["title"]


def test_a_week_of_waiting_leaves_the_work_visible() -> None:
    log = [
        entry(0, 0.0, "step.started"),
        entry(1, 10.0, "step.ended"),
        entry(2, 10.0, "step.started", act=2, step="review", request={"title": "ok?"}),
        entry(3, 604_810.0, "step.ended", act=2, step="review"),
        entry(4, 604_810.0, "step.started", act=3, step="publish"),
        entry(5, 604_820.0, "step.ended", act=3, step="publish"),
    ]
    view = timeline_view(log, 604_820.0, is_over=True)
    widths = {row["step"]: row["bars"][0]["width"] for row in view["rows"]}
    assert min(widths.values()) > 20
    assert [mark["label"] for mark in view["breaks"]] == ["7 d 0 h"]


def test_the_timeline_at_an_earlier_point_ends_there() -> None:
    log = [entry(0, 0.0, "step.started"), entry(1, 5.0, "step.ended"), entry(2, 5.0, "step.started", act=2, step="b")]
    view = timeline_view(log, 99.0, is_over=True, at=0)
    assert [row["step"] for row in view["rows"]] == ["write"]
    assert view["rows"][0]["bars"][0]["is_open"]


def test_bars_stay_on_the_axis_and_in_order() -> None:
    log = [entry(n, n * 0.1, "step.started", act=n, step=f"s{n}") for n in range(500)]
    view = timeline_view(log, 50.0, is_over=True, page=4)
    places = [row["bars"][0]["x"] for row in view["rows"]]
    assert places == sorted(places)
    assert all(0 <= x <= 100 for x in places)
    assert (view["page"], view["pages"], len(view["rows"])) == (4, 4, 50)


def test_streamed_text_is_one_line() -> None:
    pieces = [
        entry(n, 0.0, "stream", event="llm.delta", value={"type": "llm.delta", "text": word})
        for n, word in enumerate(["It ", "is ", "<b>late</b>."])
    ]
    lines = lines_of(pieces, 0.0, 0.0)
    assert [(line["seq"], line["last"], line["text"]) for line in lines] == [(0, 2, "It is <b>late</b>.")]


def test_a_line_knows_its_cause_and_its_effects() -> None:
    log = [entry(0, 0.0, "run.started"), entry(1, 0.0, "step.started"), entry(2, 1.0, "step.ended")]
    assert [(line["cause"], line["effects"]) for line in lines_of(log, 0.0, 0.0)] == [(-1, [1]), (0, [2]), (1, [])]


def test_calls_of_models_are_summed() -> None:
    result = {"text": "hi", "data": None, "usage": {"input_tokens": 3, "output_tokens": 4}, "cost": 0.5, "model": "m"}
    log = [
        entry(0, 0.0, "step.started", input={"with": {"prompt": "say <hi>", "system": "be kind"}}),
        entry(1, 2.0, "step.ended", result=result),
        entry(2, 2.0, "step.started", act=2, input={"with": {"prompt": "again"}}),
    ]
    calls = calls_of(log, frozenset({"write"}))
    assert (calls["count"], calls["input_tokens"], calls["output_tokens"], calls["cost"]) == (2, 3, 4, "0.5000")
    assert [(c["prompt"], c["system"], c["status"]) for c in calls["calls"]] == [
        ("say <hi>", "be kind", "done"),
        ("again", "", "running"),
    ]


def test_each_item_of_a_step_over_items_is_a_call_of_its_own() -> None:
    answer = {"text": "hi", "data": None, "usage": {"input_tokens": 3, "output_tokens": 4}, "cost": 0.5, "model": "m"}
    each = [{"prompt": "on owls"}, {"prompt": "on cats"}, {"prompt": "on dogs"}]
    log = [
        entry(0, 0.0, "step.started", input={"items": ["owls", "cats", "dogs"], "each": each}),
        entry(1, 2.0, "call.ended", path="item/2", value=answer),
        entry(2, 3.0, "call.ended", path="item/0", value=answer),
    ]
    calls = calls_of(log, frozenset({"write"}))
    seen = [(call["prompt"], call["status"], call["input_tokens"]) for call in calls["calls"]]
    assert seen == [("on dogs", "done", 3), ("on owls", "done", 3), ("on cats", "running", None)]
    assert (calls["count"], calls["input_tokens"], calls["cost"]) == (3, 6, "1.0000")
    ended = [
        *log,
        entry(3, 4.0, "call.ended", path="item/1", value=answer),
        entry(4, 4.0, "step.ended", result=[answer] * 3),
    ]
    assert [call["status"] for call in calls_of(ended, frozenset({"write"}))["calls"]] == ["done"] * 3


def test_a_state_tells_what_the_entry_changed() -> None:
    before = {"seq": 3, "status": "running", "vars": {"round": 1, "notes": ["a"]}, "steps": []}
    after = {"seq": 4, "status": "waiting", "vars": {"round": 2, "notes": ["a", "b"]}, "steps": []}
    changes = state_page(after, before, 0.0)["changes"]
    assert [(c["kind"], c["path"], c["before"], c["after"]) for c in changes] == [
        ("set", "status", "running", "waiting"),
        ("set", "vars.round", "1", "2"),
        ("add", "vars.notes[1]", "", "b"),
    ]


def test_times_are_told_in_words() -> None:
    assert relative(100.0, 100.0 + 7_300) == "2 hours ago"
    assert relative(86_400.0, 0.0) == "in 1 day"
    assert rough(59 * 60) == "1 hour"
    assert [exact(s) for s in (0.0004, 0.25, 9.5, 65, 7_800, 300_000)] == [
        "0 ms",
        "250 ms",
        "9.5 s",
        "1 m 05 s",
        "2 h 10 m",
        "3 d 11 h",
    ]


def test_a_long_value_is_cut() -> None:
    assert facts({"body": "x" * 100_000})[0]["text"].endswith("… cut; 100,000 characters in all")
    assert short({"a": "b" * 500}, 20) == '{"a": "bbbbbbbbbbbb…'
