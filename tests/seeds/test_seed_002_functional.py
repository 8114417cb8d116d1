"""Every code example of seed 002, with only its import lines changed; helpers that the page leaves out stand above it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "flows" / "python"))
from stand_in import Agent, StandInClient  # noqa: E402

client = StandInClient()


# --- what the page takes for granted -------------------------------------------------------------------------------


async def to_upper_case(text: str) -> str:
    return text.upper()


async def reverse_text(text: str) -> str:
    return text[::-1]


async def http_get(url: str) -> dict:
    http_get.calls += 1
    return {"url": url, "body": "raw"}


http_get.calls = 0


def process(raw: dict) -> str:
    return raw["body"].upper()


# --- the @workflow decorator ---------------------------------------------------------------------------------------


def test_text_pipeline_called_directly_gives_the_raw_value_and_run_wraps_it() -> None:
    from orchestrator.functional import WorkflowRunState, workflow

    @workflow
    async def text_pipeline(text: str) -> str:
        upper = await to_upper_case(text)
        return await reverse_text(upper)

    async def main():
        # Calling the decorated function directly returns the raw return value
        raw = await text_pipeline("hello world")  # str — the raw return value
        # .run() wraps the result in a WorkflowRunResult with events and state
        result = await text_pipeline.run("hello world")
        print(result.text)  # first output as a string
        print(result.get_outputs())  # list of all outputs
        print(result.get_final_state())  # WorkflowRunState.IDLE
        return raw, result

    raw, result = asyncio.run(main())
    assert raw == result.text == "DLROW OLLEH"
    assert result.get_outputs() == ["DLROW OLLEH"]
    assert result.get_final_state() is WorkflowRunState.IDLE


def test_decorator_with_arguments() -> None:
    from orchestrator.functional import InMemoryCheckpointStorage, workflow

    storage = InMemoryCheckpointStorage()

    @workflow(name="my_pipeline", description="Uppercase then reverse", checkpoint_storage=storage)
    async def text_pipeline(text: str) -> str: ...

    assert (text_pipeline.name, text_pipeline.description) == ("my_pipeline", "Uppercase then reverse")
    assert asyncio.run(text_pipeline.run("x")).get_outputs() == []
    assert asyncio.run(storage.get_latest(workflow_name="my_pipeline")) is not None


def test_name_defaults_to_the_function_and_description_to_none() -> None:
    from orchestrator.functional import workflow

    @workflow
    async def text_pipeline(text: str) -> str:
        return text

    assert (text_pipeline.name, text_pipeline.description) == ("text_pipeline", None)


# --- signatures ----------------------------------------------------------------------------------------------------


def test_signature_forms() -> None:
    from orchestrator.functional import WorkflowRunContext, workflow

    async def process(data):
        return data + "!"

    # No ctx needed — just a plain pipeline
    @workflow
    async def simple_pipeline(data: str) -> str:
        result = await process(data)
        return result

    # ctx needed for HITL, state, or custom events
    @workflow
    async def hitl_pipeline(data: str, ctx: WorkflowRunContext) -> str:
        feedback = await ctx.request_info({"draft": data}, response_type=str)
        return feedback

    @workflow
    async def bare_ctx_pipeline(data: str, ctx) -> str:
        return ctx.get_state("absent", "bare") + data

    async def main():
        assert (await simple_pipeline.run("a")).text == "a!"
        assert (await bare_ctx_pipeline.run("a")).text == "barea"
        paused = await hitl_pipeline.run("a")
        (request,) = paused.get_request_info_events()
        return (await hitl_pipeline.run(responses={request.request_id: "good"})).text

    assert asyncio.run(main()) == "good"


# --- run() parameters ----------------------------------------------------------------------------------------------


def test_include_status_events_and_storage_given_to_run() -> None:
    from orchestrator.functional import InMemoryCheckpointStorage, workflow

    @workflow
    async def pipeline(text: str) -> str:
        return text

    async def main():
        storage = InMemoryCheckpointStorage()
        result = await pipeline.run("x", checkpoint_storage=storage, include_status_events=True)
        latest = await storage.get_latest(workflow_name="pipeline")
        again = await pipeline.run(checkpoint_id=latest.checkpoint_id, checkpoint_storage=storage)
        return result, again

    result, again = asyncio.run(main())
    assert [event.type for event in result] == ["started", "status", "output", "status"]
    assert again.text == "x"


# --- streaming -----------------------------------------------------------------------------------------------------


def test_streaming_example() -> None:
    from orchestrator.functional import WorkflowRunState, workflow

    async def fetch_data(url):
        return {"url": url}

    async def transform_data(raw):
        return raw["url"].upper()

    @workflow
    async def data_pipeline(url: str) -> str:
        raw = await fetch_data(url)
        return await transform_data(raw)

    async def main():
        outputs = []
        # stream=True returns a ResponseStream you iterate with async for
        stream = data_pipeline.run("https://example.com/api/data", stream=True)
        async for event in stream:
            if event.type == "output":
                print(f"Output: {event.data}")
                outputs.append(event.data)
        # After iteration, get_final_response() returns the WorkflowRunResult
        result = await stream.get_final_response()
        print(f"Final state: {result.get_final_state()}")
        return outputs, result

    outputs, result = asyncio.run(main())
    assert outputs == ["HTTPS://EXAMPLE.COM/API/DATA"]
    assert result.get_final_state() is WorkflowRunState.IDLE


# --- @step ---------------------------------------------------------------------------------------------------------


def test_step_example_emits_events_and_is_transparent_outside() -> None:
    from orchestrator.functional import step, workflow

    @step
    async def fetch_data(url: str) -> dict:
        # expensive — hits a real API
        return await http_get(url)

    @workflow
    async def pipeline(url: str) -> str:
        raw = await fetch_data(url)
        return process(raw)

    result = asyncio.run(pipeline.run("u"))
    assert result.text == "RAW"
    assert [(e.type, e.executor_id) for e in result if e.type.startswith("executor")] == [
        ("executor_invoked", "fetch_data"),
        ("executor_completed", "fetch_data"),
    ]
    assert asyncio.run(fetch_data("v")) == {"url": "v", "body": "raw"}


def test_step_failure_is_shown_and_raised() -> None:
    from orchestrator.functional import step, workflow

    @step
    async def broken() -> str:
        raise LookupError("gone")

    @workflow
    async def pipeline(x: str) -> str:
        return await broken()

    async def main():
        stream = pipeline.run("x", stream=True)
        events = []
        with pytest.raises(LookupError, match="gone"):
            async for event in stream:
                events.append(event)
        return events

    events = asyncio.run(main())
    assert [e.type for e in events if e.type != "status"] == [
        "started",
        "executor_invoked",
        "executor_failed",
        "failed",
    ]


def test_caching_and_checkpoints_example() -> None:
    from orchestrator.functional import InMemoryCheckpointStorage, step, workflow

    agent = Agent(name="Writer", instructions="Write a short poem.", client=StandInClient())
    storage = InMemoryCheckpointStorage()

    @step  # cached — won't re-run on resume
    async def call_llm(prompt: str) -> str:
        return (await agent.run(prompt)).text

    # No @step — cheap, fine to re-run
    async def validate(text: str) -> bool:
        return len(text) > 0

    @workflow(checkpoint_storage=storage)
    async def pipeline(topic: str) -> str:
        draft = await call_llm(f"Write about: {topic}")
        ok = await validate(draft)
        return draft if ok else ""

    async def main():
        first = await pipeline.run("tea")
        saved = await storage.list_checkpoints(workflow_name="pipeline")
        latest = await storage.get_latest(workflow_name="pipeline")
        return first, saved, await pipeline.run(checkpoint_id=latest.checkpoint_id)

    first, saved, second = asyncio.run(main())
    assert first.text == second.text != ""
    assert agent.client.calls == 1
    assert len(saved) >= 1
    assert [e.type for e in second] == ["executor_bypassed", "output"]


def test_step_with_a_name() -> None:
    from orchestrator.functional import step, workflow

    @step(name="transform")
    async def transform_data(raw: dict) -> str: ...

    @workflow
    async def pipeline(raw: dict):
        return await transform_data(raw)

    result = asyncio.run(pipeline.run({"a": 1}))
    assert {event.executor_id for event in result} == {"transform"}


def test_step_gets_the_context_injected() -> None:
    from orchestrator.functional import WorkflowRunContext, step, workflow

    @step
    async def remember(ctx: WorkflowRunContext, key: str) -> str:
        ctx.set_state(key, "seen")
        return key

    @workflow
    async def pipeline(key: str, ctx: WorkflowRunContext) -> str:
        await remember(key)
        return ctx.get_state(key)

    assert asyncio.run(pipeline.run("k")).text == "seen"


# --- request_info --------------------------------------------------------------------------------------------------


def make_review_pipeline():
    from orchestrator.functional import WorkflowRunContext, step, workflow

    counts = SimpleNamespace(drafts=0)

    @step
    async def write_draft(topic: str) -> str:
        counts.drafts += 1
        return f"about {topic}"

    async def revise_draft(draft, feedback):
        return f"{draft}: {feedback}"

    @workflow
    async def review_pipeline(topic: str, ctx: WorkflowRunContext) -> str:
        draft = await write_draft(topic)
        feedback = await ctx.request_info(
            {"draft": draft, "instructions": "Please review this draft"},
            response_type=str,
            request_id="review_request",
        )
        return await revise_draft(draft, feedback)

    return review_pipeline, counts


def test_two_phase_resume() -> None:
    from orchestrator.functional import WorkflowRunState

    review_pipeline, counts = make_review_pipeline()

    async def main():
        # Phase 1 — run until the workflow pauses
        result1 = await review_pipeline.run("AI Safety")
        assert result1.get_final_state() == WorkflowRunState.IDLE_WITH_PENDING_REQUESTS
        requests = result1.get_request_info_events()
        print(requests[0].request_id)  # "review_request"
        assert requests[0].request_id == "review_request"
        # Phase 2 — resume with the human's answer
        result2 = await review_pipeline.run(responses={"review_request": "Add more details about alignment research"})
        print(result2.text)
        return result2

    result2 = asyncio.run(main())
    assert result2.text == "about AI Safety: Add more details about alignment research"
    assert counts.drafts == 1
    assert "executor_bypassed" in [event.type for event in result2]


def test_request_info_works_inside_a_step() -> None:
    from orchestrator.functional import WorkflowRunContext, step, workflow

    @step
    async def ask(draft: str, ctx: WorkflowRunContext) -> str:
        return await ctx.request_info({"draft": draft}, response_type=str, request_id="inner")

    @workflow
    async def pipeline(draft: str) -> str:
        return await ask(draft) + "."

    async def main():
        await pipeline.run("d")
        return await pipeline.run(responses={"inner": "ok"})

    assert asyncio.run(main()).text == "ok."


# --- events, state, streaming mode ---------------------------------------------------------------------------------


def test_add_event_state_and_is_streaming() -> None:
    from orchestrator.functional import RunContext, WorkflowEvent, WorkflowRunContext, step, workflow

    @step
    async def helper_step(ctx: RunContext) -> bool:
        return ctx.is_streaming()

    @workflow
    async def pipeline(x: str, ctx: WorkflowRunContext) -> str:
        ctx.add_event(WorkflowEvent("progress", data=50))
        ctx.set_state("count", 3)
        await ctx.request_info("go on?", response_type=str, request_id="q")
        return f"{ctx.get_state('count')} {await helper_step()}"

    async def main():
        paused = await pipeline.run("x")
        assert [e.data for e in paused if e.type == "progress"] == [50]
        stream = pipeline.run(responses={"q": "yes"}, stream=True)
        return (await stream.get_final_response()).text

    assert asyncio.run(main()) == "3 True"


def test_get_run_context_in_a_helper_and_outside() -> None:
    from orchestrator.functional import get_run_context, workflow

    async def helper():
        ctx = get_run_context()
        if ctx is not None:
            ctx.set_state("helper_ran", True)

    @workflow
    async def pipeline(x: str) -> bool:
        await helper()
        return get_run_context().get_state("helper_ran")

    asyncio.run(helper())
    assert get_run_context() is None
    assert asyncio.run(pipeline(None)) is True


# --- asyncio.gather ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decorated", [False, True])
def test_research_pipeline_with_gather(decorated) -> None:
    import asyncio

    from orchestrator.functional import step, workflow

    mark = step if decorated else (lambda fn: fn)

    @mark
    async def research_web(topic):
        await asyncio.sleep(0.002)
        return f"web {topic}"

    @mark
    async def research_papers(topic):
        return f"papers {topic}"

    @mark
    async def research_news(topic):
        return f"news {topic}"

    async def synthesize(parts):
        return ", ".join(parts)

    @workflow
    async def research_pipeline(topic: str) -> str:
        web, papers, news = await asyncio.gather(
            research_web(topic),
            research_papers(topic),
            research_news(topic),
        )
        return await synthesize([web, papers, news])

    result = asyncio.run(research_pipeline.run("tea"))
    assert result.text == "web tea, papers tea, news tea"
    assert len([e for e in result if e.type == "executor_completed"]) == (3 if decorated else 0)


# --- agents --------------------------------------------------------------------------------------------------------


def test_agents_inside_a_workflow_and_in_a_step() -> None:
    from orchestrator.functional import step, workflow

    writer = Agent(name="WriterAgent", instructions="Write a short poem.", client=client)
    reviewer = Agent(name="ReviewerAgent", instructions="Review the poem.", client=client)

    @workflow
    async def poem_workflow(topic: str) -> str:
        poem = (await writer.run(f"Write a poem about: {topic}")).text
        review = (await reviewer.run(f"Review this poem: {poem}")).text
        return f"Poem:\n{poem}\n\nReview: {review}"

    @step
    async def write_poem(topic: str) -> str:
        return (await writer.run(f"Write a poem about: {topic}")).text

    @workflow
    async def stepped(topic: str) -> str:
        return await write_poem(topic)

    assert asyncio.run(poem_workflow.run("rain")).text.startswith("Poem:\nRain at dawn")
    assert asyncio.run(stepped.run("rain")).text.startswith("Rain at dawn")


def test_as_agent() -> None:
    from orchestrator.functional import workflow

    @workflow
    async def poem_workflow(topic: str) -> str:
        return f"a poem: {topic}"

    # Wrap as an agent
    agent = poem_workflow.as_agent(name="PoemAgent")

    async def main():
        # Use with the standard agent interface
        response = await agent.run("Write a poem about the ocean")
        print(response.text)
        return response

    assert agent.name == "PoemAgent"
    assert poem_workflow.as_agent().name == "poem_workflow"
    assert asyncio.run(main()).text == "a poem: Write a poem about the ocean"
