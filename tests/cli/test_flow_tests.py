"""`tests:` in a flow file: what is mocked, answered, sent and expected, and what a failing test says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.authoring.project import Project
from orchestrator.errors import CompileFailed
from orchestrator.testing.flow_tests import FlowTestReport, run_tests_in
from tests.cli.support import ENV, FLOWS, cli, write

FETCH = """\
flow: fetch
inputs:
  url: str
outputs:
  text: any
steps:
  get:
    on: Start
    call: http.get
    with:
      url: ${{ inputs.url }}
    retry: {max: 2, delay: 1h}
    id: ${{ run.id }}
    fallback:
      call: http.get
      with:
        url: ${{ inputs.url }}/mirror
    finally:
      call: http.post
      with:
        url: https://log.example
    emit:
      event: Stop
      with:
        text: ${{ result.text }}
"""
ESCALATE = """\
flow: escalate
outputs:
  by: str
steps:
  review:
    on: Start
    ask:
      title: Now?
      form:
        verdict: yes | no
      to: {users: [kim]}
      escalate:
        after: 1h
        to: {groups: [chiefs]}
      deadline: 1d
    emit:
      - when: outcome == "timeout"
        event: Stop
        with: {by: nobody}
      - event: Stop
        with:
          by: ${{ voters[0] }}
"""
PAID = """\
flow: paid
outputs:
  status: str
events:
  Paid:
    external: true
    fields: {order: str}
steps:
  pay:
    on: Start
    wait: {event: Paid, within: 2d}
    emit:
      event: Stop
      with:
        status: ${{ result.order }}
  late:
    on: pay.timeout
    emit:
      event: Stop
      with:
        status: late
"""
EACH = """\
flow: each
inputs:
  names: [str]
outputs:
  found: any
steps:
  look:
    on: Start
    for_each: inputs.names
    call: http.get
    with:
      url: https://x.example/${{ item }}
    catch: item
    emit:
      event: Stop
      with:
        found: ${{ result }}
"""


def test_of(tmp_path: Path, flow: str, tests: str) -> FlowTestReport:
    """Run the tests of a flow."""
    lines = "".join(f"  {line}\n" for line in tests.strip("\n").splitlines())
    file = write(tmp_path, "x.flow.yaml", f"{flow}tests:\n{lines}")
    return run_tests_in(Project.open(file), file)


test_of.__test__ = False  # type: ignore[attr-defined]  # pytest: a helper


def problems(report: FlowTestReport) -> list[str]:
    return [problem.text for result in report.results for problem in result.problems]


FETCHED = "  inputs: {url: 'https://a.example'}\n"


def test_attempts_fallback_and_finally_have_mocks_of_their_own(tmp_path: Path) -> None:
    tests = (
        "- name: mirror\n" + FETCHED + "  mocks:\n    get: [{error: http.503}, {error: http.503}]\n"
        "    get.fallback: {text: mirrored}\n    get.finally: {status: 200}\n"
        "  expect: {path: [get], outputs: {text: mirrored}}"
    )
    report = test_of(tmp_path, FETCH, tests)
    assert (problems(report), report.results[0].notes) == ([], [])


def test_a_call_with_an_effect_that_is_not_mocked_fails_the_test_by_name(tmp_path: Path) -> None:
    said = problems(test_of(tmp_path, FETCH, "- name: real\n" + FETCHED))
    assert "step `get` calls `http.get`, which may have an effect; give it a mock" in said[0]


def test_a_spent_mock_is_an_error_of_its_own(tmp_path: Path) -> None:
    tests = "- name: spent\n" + FETCHED + "  mocks:\n    get: [{error: http.503}]\n    get.fallback: {error: test.gone}\n    get.finally: {}\n  expect: {failed: test.gone}"  # fmt: skip
    report = test_of(tmp_path, FETCH, tests)
    assert problems(report) == []


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ("{outputs: {text: other}}", 'outputs.text: expected "other", got "t"'),
        ("{path: [get, get]}", "path: expected get → [get]\n      got      get"),
        ("{failed: http.503}", "failed: expected http.503, got the run is done"),
        ("{events: [Stop, Stop]}", "events: `Stop` was not emitted in this order; emitted were Stop"),
        ("{waiting: [get]}", "waiting: expected get, got done"),
    ],
)
def test_a_difference_is_told_at_its_line(tmp_path: Path, expect: str, said: str) -> None:
    tests = "- name: it\n" + FETCHED + f"  mocks:\n    get: {{text: t}}\n    get.finally: {{}}\n  expect: {expect}"
    report = test_of(tmp_path, FETCH, tests)
    assert problems(report) == [said]
    assert report.results[0].problems[0].span.line == FETCH.count("\n") + 7


def test_a_failure_that_is_not_expected_is_told_with_step_and_code(tmp_path: Path) -> None:
    tests = "- name: it\n" + FETCHED + "  mocks:\n    get: {error: http.404, message: gone}\n    get.fallback: {error: http.404, message: gone}\n    get.finally: {}"  # fmt: skip
    assert problems(test_of(tmp_path, FETCH, tests)) == ["the run failed in step `get`: http.404: gone"]


def test_a_test_that_does_not_fit_its_flow_is_found_before_it_runs(tmp_path: Path) -> None:
    with pytest.raises(CompileFailed) as caught:
        test_of(tmp_path, FETCH, "- name: it\n  inputs: {uri: x}\n  expect: {outputs: {nothing: 1}}")
    assert [d.code for d in caught.value.diagnostics] == ["FLW523", "FLW523"]


def test_an_answer_after_the_escalation_waits_for_it(tmp_path: Path) -> None:
    tests = "- name: chief\n  answers: {review: [{as: mo, groups: [chiefs], verdict: 'yes'}]}\n  expect: {outputs: {by: mo}}"
    assert problems(test_of(tmp_path, ESCALATE, tests)) == []


def test_a_refused_answer_leaves_the_request_open_and_one_without_a_verdict_fails(tmp_path: Path) -> None:
    refused = (
        "- name: eve\n  answers: {review: [{as: eve, groups: [], verdict: 'yes'}]}\n  expect: {outputs: {by: nobody}}"
    )
    assert problems(test_of(tmp_path, ESCALATE, refused)) == []
    wrong = "- name: odd\n  answers: {review: [{as: kim}]}\n  expect: {outputs: {by: nobody}}"
    (said,) = problems(test_of(tmp_path, ESCALATE, wrong))
    assert "the answer of kim to `review`" in said and "verdict" in said


def test_answers_that_nothing_asks_for_are_a_note(tmp_path: Path) -> None:
    tests = "- name: two\n  answers: {review: [{as: kim, verdict: 'no'}, {as: kim, verdict: 'no'}]}"
    report = test_of(tmp_path, ESCALATE, tests)
    assert [note.text for note in report.results[0].notes] == ["1 of the answers for `review` were not asked for"]


def test_events_come_at_their_time_and_the_clock_reaches_deadlines(tmp_path: Path) -> None:
    tests = """
- name: paid
  events: [{after: 47h, event: Paid, with: {order: o1}}]
  expect: {outputs: {status: o1}, path: [pay]}
- name: too late
  events: [{after: 49h, event: Paid, with: {order: o1}}]
  expect: {outputs: {status: late}}
- name: still waiting
  expect: {outputs: {status: late}}
"""
    report = test_of(tmp_path, PAID, tests)
    assert problems(report) == ["the run ended before `Paid` came"]
    assert report.missed == []


def test_every_item_of_a_for_each_takes_an_entry(tmp_path: Path) -> None:
    tests = """
- name: items
  inputs: {names: [a, b, c]}
  mocks: {look: [{text: A}, {error: http.404}, {text: C}]}
  expect: {path: [look], outputs: {found: [{text: A}, {error: {code: http.404}}, {text: C}]}}
"""
    assert problems(test_of(tmp_path, EACH, tests)) == []


CHILD = "flow: inner\noutputs:\n  text: any\nsteps:\n  get:\n    on: Start\n    call: http.get\n    with: {url: 'https://x.example'}\n    emit:\n      event: Stop\n      with:\n        text: ${{ result.text }}\n"  # fmt: skip
PARENT = "flow: outer\nimports:\n  inner: ./inner.flow.yaml\noutputs:\n  text: any\nsteps:\n  get:\n    on: Start\n    call: flow.inner\n    emit:\n      event: Stop\n      with:\n        text: ${{ result.text }}\n"  # fmt: skip


def test_a_mock_on_a_sub_flow_replaces_it(tmp_path: Path) -> None:
    write(tmp_path, "inner.flow.yaml", CHILD)
    tests = "- name: it\n  mocks: {get: {text: mocked}}\n  expect: {outputs: {text: mocked}}"
    assert problems(test_of(tmp_path, PARENT, tests)) == []


def test_an_unmocked_call_of_a_sub_flow_names_both_steps(tmp_path: Path) -> None:
    write(tmp_path, "inner.flow.yaml", CHILD)
    said = problems(test_of(tmp_path, PARENT, "- name: it"))
    assert said[0].startswith("step `get` runs `inner`, whose step `get` calls `http.get`")


def test_edges_that_no_test_takes_are_reported(tmp_path: Path) -> None:
    report = test_of(tmp_path, PAID, "- name: never\n  expect: {outputs: {status: late}}")
    assert report.missed == [("pay", "Stop")]
    assert report.share == 2 / 3


def test_the_command_prints_problems_with_places_and_exits_1(tmp_path: Path) -> None:
    file = write(tmp_path, "x.flow.yaml", PAID + "tests:\n  - name: paid\n    expect: {outputs: {status: o1}}\n")
    done = cli("test", file)
    assert done.code == 1
    assert f'{file}:24: outputs.status: expected "o1", got "late"' in done.out
    assert "2 of 3 edges taken; not: pay → Stop" in done.out
    assert "0 passed, 1 failed" in done.out


def test_json_holds_every_test_and_the_coverage(tmp_path: Path) -> None:
    file = write(tmp_path, "x.flow.yaml", PAID + "tests:\n  - name: late\n    expect: {outputs: {status: late}}\n")
    (flow,) = cli("test", file, "--json").json["data"]["flows"]
    assert (flow["edges"], flow["edges_taken"], flow["edges_missed"]) == (3, 2, [["pay", "Stop"]])
    assert [(t["name"], t["ok"], t["path"]) for t in flow["tests"]] == [("late", True, ["pay", "late"])]


def test_a_share_of_edges_can_be_demanded(tmp_path: Path) -> None:
    file = write(tmp_path, "x.flow.yaml", PAID + "tests:\n  - name: late\n    expect: {outputs: {status: late}}\n")
    assert cli("test", file, "--min-edges", "60").code == 0
    assert cli("test", file, "--min-edges", "70").code == 1


def test_a_flow_with_errors_is_exit_3_and_the_others_run(tmp_path: Path) -> None:
    write(tmp_path, "a.flow.yaml", "flow: a\nsteps: {a: {on: Start, call: text.slgu}}\n")
    write(tmp_path, "b.flow.yaml", PAID + "tests:\n  - name: late\n    expect: {outputs: {status: late}}\n")
    done = cli("test", tmp_path)
    assert (done.code, "1 passed, 0 failed, 1 flow with errors" in done.out) == (3, True)


def pytest_in(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args]
    return subprocess.run(words, cwd=folder, env=ENV, capture_output=True, text=True, check=False, timeout=60)


def test_pytest_collects_flow_tests_when_it_is_told_to(tmp_path: Path) -> None:
    text = (
        PAID
        + "tests:\n  - name: late\n    expect: {outputs: {status: late}}\n  - name: wrong\n    expect: {path: [late]}\n"
    )
    write(tmp_path, "x.flow.yaml", text)
    write(tmp_path, "broken.flow.yaml", "flow: b\nsteps: {a: {on: Start, call: text.slgu, emit: Stop}}\n")
    done = pytest_in(tmp_path, "--flows")
    assert "1 passed" in done.stdout and "2 failed" in done.stdout
    assert "x.flow.yaml:26: path: expected [late]" in done.stdout
    assert "error[FLW504]" in done.stdout and "Traceback" not in done.stdout
    assert "edges taken; not: pay → Stop" in done.stdout


def test_pytest_leaves_flow_files_alone_by_default(tmp_path: Path) -> None:
    write(tmp_path, "x.flow.yaml", PAID + "tests:\n  - name: late\n")
    assert pytest_in(tmp_path).returncode == 5
    write(tmp_path, "pytest.ini", "[pytest]\nflow_tests = true\n")
    assert "1 passed" in pytest_in(tmp_path).stdout


def test_the_pytest_plugin_costs_nothing_until_it_is_used() -> None:
    code = "import sys, orchestrator.testing.pytest_flows\nprint(*[m for m in ('yaml', 'pydantic', 'orchestrator.compiler') if m in sys.modules])"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_flows_of_the_repository_have_tests() -> None:
    texts = [file.read_text("utf-8") for file in FLOWS.glob("*.flow.yaml")]
    assert len(texts) >= 15
    assert [text.splitlines()[1] for text in texts if "\ntests:\n" not in text] == []
