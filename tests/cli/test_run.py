"""`run`: inputs, answers, mocks, exit codes, what is printed where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import ASK, FLOWS, HELLO, cli, write

KIM = 'review={"as": "kim", "verdict": "approve"}'


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    return write(tmp_path, "hello.flow.yaml", HELLO)


@pytest.fixture
def ask(tmp_path: Path) -> Path:
    return write(tmp_path, "ask.flow.yaml", ASK)


def test_outputs_are_the_only_thing_on_stdout(hello: Path) -> None:
    done = cli("run", hello, "-i", "name=Ada")
    assert (done.code, json.loads(done.out)) == (0, {"text": "hello-ada"})
    assert "✓ greet  → Stop" in done.err


def test_json_is_the_promised_object(hello: Path) -> None:
    body = cli("run", hello, "-i", "name=Ada", "--json", "--run-id", "r1").json
    data = {
        "run_id": "r1", "status": "done", "outputs": {"text": "hello-ada"}, "error": None, "path": ["greet"], "waiting": [],
    }  # fmt: skip
    assert body == {"v": 1, "command": "run", "ok": True, "data": data, "diagnostics": []}


def test_a_flow_with_errors_does_not_start(tmp_path: Path) -> None:
    file = write(tmp_path, "a.flow.yaml", HELLO.replace("text.slug", "text.slugg"))
    done = cli("run", file, "-i", "name=Ada")
    assert (done.code, done.out) == (3, "")
    assert "FLW504" in done.err
    assert not (tmp_path / ".orchestrator").exists()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "name"),
        (("-i", "nam=Ada"), 2, "did you mean `name`?"),
        (("-i", "name"), 2, "write NAME=VALUE"),
        (("-i", "name=Ada", "-i", "count=many"), 2, "count"),
        (("-i", "@missing.yaml"), 2, "missing.yaml"),
        (("-i", "name=Ada", "--mock", "gret=1"), 2, "did you mean `greet`?"),
        (("-i", "name=Ada", "--until", "nothing"), 2, "it has greet"),
        (("-i", "name=Ada", "--answer", "greet=x"), 2, "no JSON"),
        (("-i", "name=Ada", "--answer", 'gret={"as": "kim"}'), 2, "did you mean `greet`?"),
        (("-i", "name=Ada", "--store", "mysql://x"), 2, "names no store"),
    ],
)
def test_wrong_options_say_what_is_wrong(hello: Path, options: tuple[str, ...], code: int, said: str) -> None:
    done = cli("run", hello, *options)
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_a_misspelt_flow_file_gets_a_suggestion(hello: Path) -> None:
    done = cli("run", hello.with_name("helo.flow.yaml"))
    assert done.code == 6
    assert "did you mean" in done.err


def test_the_name_of_a_flow_is_answered_with_its_file(hello: Path, tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", "")
    write(tmp_path, "flows/bye.flow.yaml", HELLO)
    assert "did you mean flows/bye.flow.yaml?" in cli("run", "bye", cwd=tmp_path).err
    assert "here: flows/bye.flow.yaml, hello.flow.yaml" in cli("run", cwd=tmp_path).err


def test_an_input_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    done = cli("run", write(tmp_path, "n.flow.yaml", HELLO.replace("name: str", "name: int")), "-i", "name=[1]")
    assert (done.code, "cannot start: `name` must be integer, not array" in done.err) == (2, True)


def test_inputs_come_from_files_too(hello: Path, tmp_path: Path) -> None:
    write(tmp_path, "in.yaml", "name: NO\ncount: 2\n")
    assert json.loads(cli("run", hello, "-i", f"@{tmp_path / 'in.yaml'}", "-q").out) == {"text": "hello-no"}
    write(tmp_path, "name.txt", "From File")
    assert json.loads(cli("run", hello, "-i", f"name=@{tmp_path / 'name.txt'}", "-q").out) == {
        "text": "hello-from-file"
    }


def test_a_hostile_inputs_file_is_a_finding(hello: Path, tmp_path: Path) -> None:
    write(tmp_path, "in.yaml", "a: " + "[" * 30_000)
    done = cli("run", hello, "-i", f"@{tmp_path / 'in.yaml'}")
    assert done.code == 3
    assert "in.yaml:1:" in done.err


def test_answers_are_given_in_order_and_a_refused_one_leaves_the_request_open(tmp_path: Path) -> None:
    done = cli(
        "run", FLOWS / "publish-post.flow.yaml", "-i", "title=T", "-i", "body=B", "--store", "memory:",
        "--answer", 'review={"as": "eve", "verdict": "approve"}', "--answer", 'review={"as": "kim", "verdict": "reject"}',
    )  # fmt: skip
    assert done.code == 0
    assert "answer of eve to `review` was refused" in done.err


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ('{"as": "eve", "verdict": "approve"}', 8),
        ('{"as": "kim", "verdict": "perhaps"}', 2),
        ('{"verdict": "approve"}', 8),
    ],
)
def test_a_last_answer_that_is_refused_ends_the_command(answer: str, code: int) -> None:
    done = cli(
        "run", FLOWS / "publish-post.flow.yaml", "-i", "title=T", "-i", "body=B", "--store", "memory:",
        "--answer", f"review={answer}",
    )  # fmt: skip
    assert done.code == code


def test_answers_come_from_a_file(ask: Path, tmp_path: Path) -> None:
    write(tmp_path, "answers.yaml", "review:\n  - {as: kim, verdict: reject}\n")
    done = cli("run", ask, "-i", "title=T", "--answers", tmp_path / "answers.yaml", "-q")
    assert (done.code, json.loads(done.out)) == (0, {"verdict": "reject"})


def test_a_run_that_waits_for_people_is_exit_4_and_stays_in_the_folder(ask: Path) -> None:
    done = cli("run", ask, "-i", "title=T")
    assert (done.code, done.out) == (4, "")
    assert "waits: review" in done.err and "orchestrator inbox" in done.err
    assert (ask.parent / ".orchestrator" / "runs.db").exists()
    assert (ask.parent / ".orchestrator" / ".gitignore").read_text("utf-8") == "*\n"


def test_a_run_in_memory_says_that_it_is_gone(ask: Path) -> None:
    done = cli("run", ask, "-i", "title=T", "--store", "memory:")
    assert done.code == 4
    assert "in memory only" in done.err
    assert not (ask.parent / ".orchestrator").exists()


def test_a_failed_run_is_exit_1_with_its_step_and_code(hello: Path) -> None:
    done = cli("run", hello, "-i", "name=Ada", "--mock", 'greet={"error": "http.503", "message": "busy"}')
    assert (done.code, done.out) == (1, "")
    assert "failed in step `greet`: http.503: busy" in done.err


SLOW = """\
flow: slow
timeout: 200ms
steps:
  rest:
    on: Start
    wait: 10s
    emit: Stop
"""


def test_a_run_that_takes_too_long_is_exit_5(tmp_path: Path) -> None:
    assert cli("run", write(tmp_path, "slow.flow.yaml", SLOW)).code == 5


def test_mocks_stand_in_for_calls(hello: Path) -> None:
    done = cli("run", hello, "-i", "name=Ada", "--mock", 'greet="mocked"', "-q")
    assert json.loads(done.out) == {"text": "mocked"}


def test_until_stops_after_a_step(tmp_path: Path) -> None:
    done = cli(
        "run", FLOWS / "draft-review-revise.flow.yaml", "--fake-llm", "-i", "topic=Tea", "--until", "write",
        "--store", "memory:", "--json",
    )  # fmt: skip
    assert (done.code, done.json["data"]["status"], done.json["data"]["path"]) == (0, "stopped", ["write"])


def test_one_callable_is_called(tmp_path: Path) -> None:
    done = cli("run", "--step", "text.slug", "-i", "text=Hello World", cwd=tmp_path)
    assert (done.code, json.loads(done.out)) == (0, "hello-world")


def test_a_callable_that_fails_says_its_code(tmp_path: Path) -> None:
    done = cli("run", "--step", "http.get", "-i", "url=http://127.0.0.1:9", cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "http.get failed: http.blocked" in done.err


def test_an_unknown_callable_gets_a_suggestion(tmp_path: Path) -> None:
    done = cli("run", "--step", "text.slgu", cwd=tmp_path)
    assert done.code == 6
    assert "did you mean `text.slug`?" in done.err


def test_a_broken_plugin_is_told_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", '[plugins]\nfolder = "plugins"\n')
    write(tmp_path, "plugins/mine.py", "from orchestrator.plugin import Plugin\nmine = Plugin('mine'\n")
    done = cli("run", "--step", "mine.work", cwd=tmp_path)
    assert done.code in (6, 10)
    assert "Traceback" not in done.err


def test_a_callable_whose_code_raises_is_a_failure_without_a_traceback(tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", '[plugins]\nfolder = "plugins"\n')
    code = "from orchestrator.plugin import Plugin\nmine = Plugin('mine')\n\n@mine.step()\ndef work() -> int:\n    return 1 // 0\n"
    write(tmp_path, "plugins/mine.py", code)
    done = cli("run", "--step", "mine.work", cwd=tmp_path)
    assert done.code == 1
    assert "ZeroDivisionError" in done.err and "Traceback" not in done.err
    flow = HELLO.replace(
        "    call: text.slug\n    with:\n      text: Hello ${{ inputs.name }}\n", "    call: mine.work\n"
    ).replace("text: str\n", "text: int\n")
    ran = cli("run", write(tmp_path, "m.flow.yaml", flow), "-i", "name=Ada", "--store", "memory:")
    assert "ZeroDivisionError: integer division or modulo by zero  at mine.py:6" in ran.err


def test_streamed_text_is_shown_when_asked_for(tmp_path: Path) -> None:
    done = cli(
        "run", FLOWS / "draft-review-revise.flow.yaml", "--fake-llm", "-i", "topic=Tea", "--until", "write",
        "--store", "memory:", "-v",
    )  # fmt: skip
    assert "│ write" in done.err


def test_a_big_fan_out_is_counted_and_not_told_one_by_one() -> None:
    sections = json.dumps([f"s{i}" for i in range(40)])
    done = cli(
        "run", FLOWS / "summarise-sections.flow.yaml", "--fake-llm", "-i", f"sections={sections}", "--store", "memory:"
    )
    assert done.code == 0
    assert "split  20 of 40" in done.err
    assert done.err.count("✓ summarise") == 0


def test_a_flow_that_floods_its_own_run_fails_instead_of_filling_the_memory(tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", "[limits]\nundelivered_events = 500\n")
    both = "".join(
        f"  b{n}: {{emit: {{all: [b{n + 1}, c{n + 1}]}}}}\n  c{n}: {{emit: {{all: [b{n + 1}, c{n + 1}]}}}}\n"
        for n in range(40)
    )
    text = f"flow: flood\nsteps:\n  a: {{on: Start, emit: {{all: [b0, c0]}}}}\n{both}  b40: {{emit: Stop}}\n  c40: {{emit: Stop}}\n"
    done = cli("run", "-q", write(tmp_path, "flood.flow.yaml", text))
    assert (done.code, "limit.undelivered" in done.err) == (1, True)


def test_fan_outs_in_fan_outs_are_counted_together(tmp_path: Path) -> None:
    write(tmp_path, "orchestrator.toml", "[limits]\nundelivered_events = 500\n")
    text = (
        "flow: flood\nevents: {E: {n: int}, F: {n: int}}\nsteps:\n"
        '  a: {on: Start, emit: {event: E, for_each: "range(150)", with: {n: "${{ item }}"}}}\n'
        '  b: {on: E, emit: {event: F, for_each: "range(150)", with: {n: "${{ item }}"}}}\n'
        "  c: {on: F, collect: all, set: {}}\n  d: {on: c, collect: all, emit: Stop}\n"
    )
    done = cli("run", "-q", write(tmp_path, "flood.flow.yaml", text))
    assert (done.code, "limit.undelivered" in done.err) == (1, True)
