"""`.as_agent()`: text, streaming, questions as approval requests."""

from __future__ import annotations

import asyncio
from typing import Any

from orchestrator.functional import RunContext, WorkflowEvent, workflow


@workflow(description="Reviews")
async def review(draft: str, ctx: RunContext) -> str:
    ctx.add_event(WorkflowEvent("progress"))
    return f"{draft}: {await ctx.request_info({'draft': draft}, str, request_id='r')}"


@workflow
async def echo(x: Any) -> Any:
    return x


def test_names_and_ids() -> None:
    agent = review.as_agent(name="Reviewer")
    assert (agent.name, agent.id, agent.description) == ("Reviewer", "FunctionalWorkflowAgent_Reviewer", "Reviews")
    assert review.as_agent().name == "review"


def test_questions_are_approval_requests_and_responses_go_on() -> None:
    agent = review.as_agent()

    async def main() -> Any:
        first = await agent.run("d")
        (request,) = first.user_input_requests
        assert list(agent.pending_requests) == ["r"]
        return request, await agent.run(responses={request.id: "good"})

    request, done = asyncio.run(main())
    assert (request.type, request.name) == ("function_approval_request", "request_info")
    assert request.arguments == {"request_id": "r", "data": {"draft": "d"}}
    assert (done.text, done.messages[0].role, agent.pending_requests) == ("d: good", "assistant", {})


def test_results_that_are_no_text_become_json() -> None:
    agent = echo.as_agent()
    assert [asyncio.run(agent.run(x)).text for x in ({"ü": 1}, 3, [True], {1, 2} - {2})] == [
        '{"ü": 1}',
        "3",
        "[true]",
        "{1}",
    ]
    assert asyncio.run(agent.run(None)).text == ""


def test_a_streaming_agent_gives_messages_and_then_the_response() -> None:
    async def main() -> Any:
        stream = echo.as_agent("E").run("hi", stream=True)
        return [m.text async for m in stream], await stream.get_final_response()

    messages, response = asyncio.run(main())
    assert (messages, response.text, response.messages[0].author_name) == (["hi"], "hi", "E")
