"""pydantic-ai agents as steps of a flow, and flows as their tools, against an OpenAI-compatible model on loopback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.authoring.loaded import load
from orchestrator.testing.loopback import Calls, Failure, LoopbackServer, ModelEndpoint
from tests.cli.support import ENV, cli, process, write

PLUGIN = '''\
"""Reads tickets with an agent."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from orchestrator.agents import ERRORS, flow_tool, run_agent
from orchestrator.plugin import Context, Llm, Plugin

if TYPE_CHECKING:
    from pydantic_ai import Agent

support = Plugin("support")


class Ticket(BaseModel):
    """What a ticket is about."""

    team: Literal["billing", "technical"]
    urgency: int


@functools.cache
def reader() -> Agent[None, Ticket]:
    from pydantic_ai import Agent

    from orchestrator import load

    find = load(Path(__file__).parents[1] / "find-customer.flow.yaml")
    return Agent(output_type=Ticket, instructions="You read tickets.", tools=[flow_tool(find)])


@support.step(errors=ERRORS)
async def read(llm: Llm, ctx: Context, text: str) -> Ticket:
    """Read a ticket."""
    return await run_agent(reader, text, llm=llm, ctx=ctx, max_requests=4)
'''
FIND = """\
flow: find-customer
description: Find a customer by name.
inputs: {name: str}
outputs: {id: str}
steps:
  find:
    on: Start
    call: text.slug
    with: {text: "${{ inputs.name }}"}
    emit: {event: Stop, with: {id: "${{ result }}"}}
"""
FLOW = """\
flow: triage
inputs: {text: str}
outputs: {team: str, urgency: int}
steps:
  read:
    on: Start
    call: support.read
    with: {text: "${{ inputs.text }}"}
    emit: {event: Stop, with: {team: "${{ result.team }}", urgency: "${{ result.urgency }}"}}
"""
DONE = Calls((("final_result", {"team": "billing", "urgency": 3}),))


class Desk:
    """A project with an agent, and the model it asks."""

    def __init__(self, folder: Path, model: ModelEndpoint, url: str) -> None:
        self.folder, self.model = folder, model
        self.config = f'[plugins]\nfolder = "plugins"\n[llm]\nbase_url = "{url}/v1"\nmodel = "small"\n'
        write(folder, "orchestrator.toml", self.config)
        write(folder, "plugins/support.py", PLUGIN)
        write(folder, "find-customer.flow.yaml", FIND)
        write(folder, "triage.flow.yaml", FLOW)

    def run(self) -> Any:
        """The flow's outputs. Raises: what made it fail."""
        return load(self.folder / "triage.flow.yaml").run_sync(text="Ada was charged twice")

    def error(self) -> str:
        """The code that the run failed with."""
        done = process("run", "triage.flow.yaml", "-i", "text=x", "--store", "memory:", "--json", cwd=self.folder)
        return str(done.json["data"]["error"]["code"])


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    model = ModelEndpoint()
    with LoopbackServer(model.app) as server:
        yield Desk(tmp_path, model, server.url)


def test_an_agent_is_a_step_that_is_checked_without_being_imported(desk: Desk) -> None:
    before = set(sys.modules)
    assert cli("check", cwd=desk.folder).code == 0
    wrong = FLOW.replace("result.team", "result.tema")
    write(desk.folder, "triage.flow.yaml", wrong)
    done = cli("check", cwd=desk.folder)
    assert done.code == 3 and "tema" in done.out
    assert "orchestrator_project" not in " ".join(set(sys.modules) - before)


def test_the_agent_answers_with_its_type(desk: Desk) -> None:
    desk.model.reply_next(DONE)
    assert desk.run() == {"team": "billing", "urgency": 3}
    (sent,) = [r.body for r in desk.model.received]
    assert sent["messages"][0] == {"role": "system", "content": "You read tickets."}
    assert {t["function"]["name"] for t in sent["tools"]} == {"find_customer", "final_result"}


def test_a_flow_is_a_tool_of_the_agent(desk: Desk) -> None:
    desk.model.reply_next(Calls((("find_customer", {"name": "Ada"}),)), DONE)
    assert desk.run()["team"] == "billing"
    tool = desk.model.received[1].body["messages"][-1]
    assert (tool["role"], tool["tool_call_id"], tool["content"]) == ("tool", "call-0", '{"id":"ada"}')
    about = next(
        t["function"] for t in desk.model.received[0].body["tools"] if t["function"]["name"] == "find_customer"
    )
    assert (about["description"], about["parameters"]["required"]) == ("Find a customer by name.", ["name"])


def test_a_flow_that_fails_is_told_to_the_agent(desk: Desk) -> None:
    desk.model.reply_next(Calls((("find_customer", {"nam": "Ada"}),)), DONE)
    assert desk.run()["team"] == "billing"
    assert "name" in desk.model.received[1].body["messages"][-1]["content"]


def test_an_answer_that_does_not_fit_is_sent_back(desk: Desk) -> None:
    desk.model.reply_next(Calls((("final_result", {"team": "sales", "urgency": 3}),)), DONE)
    assert desk.run() == {"team": "billing", "urgency": 3}
    assert "billing" in desk.model.received[1].body["messages"][-1]["content"]


def test_an_agent_that_never_ends_is_stopped(desk: Desk) -> None:
    desk.model.reply_next(*[Calls((("find_customer", {"name": "Ada"}),))] * 9)
    assert desk.error() == "agent.limit"
    assert len(desk.model.received) == 4


def test_an_agent_that_gives_only_nonsense_fails(desk: Desk) -> None:
    desk.model.reply_next(*[Calls((("final_result", {"team": "sales"}),))] * 9)
    assert desk.error() == "agent.failed"


def test_the_budget_of_the_run_holds_for_the_agent(desk: Desk) -> None:
    write(desk.folder, "orchestrator.toml", desk.config + "[limits]\nllm_tokens = 5\n")
    desk.model.reply_next(Calls((("find_customer", {"name": "Ada"}),)), DONE)
    assert desk.error() == "limit.llm_tokens"
    assert len(desk.model.received) == 1


def test_errors_of_the_model_keep_their_codes(desk: Desk) -> None:
    desk.model.reply_next(Failure(429))
    assert desk.error() == "llm.rate_limit"


def test_an_agent_is_recorded_and_replayed_without_a_model(desk: Desk) -> None:
    write(desk.folder, "orchestrator.toml", desk.config + 'record = "answers.jsonl"\n')
    desk.model.reply_next(Calls((("find_customer", {"name": "Ada"}),)), DONE)
    first = desk.run()
    write(
        desk.folder,
        "orchestrator.toml",
        '[plugins]\nfolder = "plugins"\n[llm]\nmodel = "small"\nreplay = "answers.jsonl"\n',
    )
    assert desk.run() == first
    assert len(desk.model.received) == 2


def test_tool_calls_show_on_the_stream_of_the_run(desk: Desk) -> None:
    desk.model.reply_next(Calls((("find_customer", {"name": "Ada"}),)), DONE)
    done = process("run", "triage.flow.yaml", "-i", "text=x", "--json", cwd=desk.folder)
    events = process("runs", "events", done.json["data"]["run_id"], cwd=desk.folder)
    assert "agent.tool" in events.out and "find_customer" in events.out


def test_the_plugin_keeps_the_contract_and_is_quick_to_import(desk: Desk) -> None:
    done = process("plugin", "check", "support", cwd=desk.folder)
    assert (done.code, done.out) == (0, "")


def test_without_the_extra_the_message_says_what_to_install(desk: Desk) -> None:
    blocked = "import sys; sys.modules['pydantic_ai'] = None; from orchestrator.cli.app import run; run(sys.argv[1:])"
    words = [sys.executable, "-c", blocked, "run", "--step", "support.read", "-i", "text=x"]
    done = subprocess.run(words, cwd=desk.folder, env=ENV, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert 'agent.not_installed: agents need the extra: pip install "orchestrator-flows[agents]"' in done.stderr
