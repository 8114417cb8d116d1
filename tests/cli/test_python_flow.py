"""`run MODULE:NAME`: workflow classes and functions on the command line, over the store, with their questions in the inbox."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import process, write

CODE = """
import asyncio

from orchestrator import Event, StartEvent, StopEvent, Workflow, step
from orchestrator.functional import RunContext, workflow
from orchestrator.functional import step as call


class Greeted(Event):
    text: str


class Begin(StartEvent):
    name: str


class Greet(Workflow):
    @step
    async def greet(self, ev: Begin) -> Greeted:
        return Greeted(text=f"Hello, {ev.name}")

    @step
    async def shout(self, ev: Greeted) -> StopEvent:
        return StopEvent(result=ev.text.upper())


@call
async def draft(topic: str) -> str:
    with open("calls.txt", "a") as file:
        file.write(topic + " ")
    return f"About {topic}"


@workflow
async def review(topic: str, ctx: RunContext) -> str:
    text = await draft(topic)
    return f"{text}: {await ctx.request_info({'text': text}, response_type=str)}"


@call
async def slow(name: str) -> str:
    await asyncio.sleep(0.2)
    return await draft(name)


@workflow
async def beside(topic: str, ctx: RunContext) -> list[str]:
    async def branch() -> str:
        return await slow("a") + await slow("b")

    return list(await asyncio.gather(ctx.request_info("now?", response_type=str), branch()))


@workflow
async def around(topic: str) -> str:
    return (await review.run(topic)).text
"""
CALLER = """
flow: caller
imports: {review: ask:review}
inputs: {topic: str}
outputs: {text: str}
steps:
  go:
    on: Start
    call: flow.review
    with: {topic: "${{ inputs.topic }}"}
    emit: {event: Stop, with: {text: "${{ result }}"}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, "orchestrator.toml", '[python]\nallow = ["ask"]\n')
    write(tmp_path, "ask.py", CODE)
    write(tmp_path, "caller.flow.yaml", CALLER)
    return tmp_path


def test_a_class_runs_to_its_result(project: Path) -> None:
    done = process("run", "ask:Greet", "-i", "name=Kim", cwd=project)
    assert (done.code, json.loads(done.out)) == (0, "HELLO, KIM")
    assert "✓ greet  → Greeted" in done.err


def test_a_class_is_drawn(project: Path) -> None:
    assert "Greeted" in process("graph", "ask:Greet", "--format", "mermaid", cwd=project).out


@pytest.mark.parametrize("started", [("ask:review",), ("caller.flow.yaml",)])
def test_a_question_of_a_function_is_answered_by_another_process(started: tuple[str, ...], project: Path) -> None:
    asked = process("run", *started, "-i", "topic=Tea", "--run-id", "r1", cwd=project)
    assert asked.code == 4, asked.err
    [request] = process("inbox", "--json", cwd=project).json["data"]
    assert (request["step"], request["show"]) == ("review", {"content": {"text": "About Tea"}})
    decided = process("decide", request["id"], "--as", "kim", "-i", "answer=fine", cwd=project)
    result = json.loads(decided.out)
    assert (decided.code, result if isinstance(result, str) else result["text"]) == (0, "About Tea: fine")
    assert (project / "calls.txt").read_text().split() == ["Tea"]
    assert process("inbox", "--json", cwd=project).json["data"] == []


def test_a_question_does_not_end_the_command_while_another_branch_works(project: Path) -> None:
    asked = process("run", "ask:beside", "-i", "topic=Tea", "--run-id", "r1", cwd=project)
    assert (asked.code, (project / "calls.txt").read_text().split()) == (4, ["a", "b"])
    decided = process("decide", "r1", "--as", "kim", "-i", "answer=yes", cwd=project)
    assert json.loads(decided.out) == ["yes", "About aAbout b"]
    assert (project / "calls.txt").read_text().split() == ["a", "b"]


def test_a_question_of_an_inner_function_ends_the_command(project: Path) -> None:
    assert process("run", "ask:around", "-i", "topic=Tea", "--run-id", "r1", cwd=project).code == 4
    decided = process("decide", "r1", "--as", "kim", "-i", "answer=fine", cwd=project)
    assert json.loads(decided.out) == "About Tea: fine"


def test_the_audit_log_says_who_answered_a_function(project: Path) -> None:
    process("run", "ask:review", "-i", "topic=Tea", "--run-id", "r1", cwd=project)
    refused = process("decide", "r1", "--as", "lee", cwd=project)
    assert (refused.code, "the question stays open" in refused.err) == (2, True)
    process("decide", "r1", "--as", "kim", "-i", "answer=fine", cwd=project)
    lines = [json.loads(line) for line in process("runs", "logs", "r1", "--json", cwd=project).out.splitlines()]
    said = [(line["actor"], line["action"]) for line in lines]
    assert said == [
        ("", "request.opened"), ("lee", "refused.answer"), ("", "request.decided"), ("kim", "answer.answer"),
    ]  # fmt: skip
    again = process("decide", "r1", "--as", "kim", "-i", "answer=other", cwd=project)
    assert (again.code, "has been decided already" in again.err) == (7, True)


def test_an_answer_may_be_given_beforehand(project: Path) -> None:
    answer = 'review={"as": "kim", "answer": "fine"}'
    done = process("run", "ask:review", "-i", "topic=Tea", "--answer", answer, "-q", cwd=project)
    assert json.loads(done.out) == "About Tea: fine"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("ask:nope", "module 'ask' has no attribute 'nope'"),
        ("ask:CODE", "has no attribute"),
        ("os:path", '[python] allow = ["os"]'),
    ],
)
def test_what_is_no_workflow_is_named(target: str, said: str, project: Path) -> None:
    done = process("run", target, cwd=project)
    assert (done.code, said in done.err, "Traceback" in done.err) == (2, True, False)


def test_inputs_are_checked(project: Path) -> None:
    assert "name: Field required" in process("run", "ask:Greet", cwd=project).err
    assert "did you mean `topic`?" in process("run", "ask:review", "-i", "topc=Tea", cwd=project).err
