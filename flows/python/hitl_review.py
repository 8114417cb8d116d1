"""A person in the middle: the workflow pauses for a review and goes on with it; the draft is not written twice."""

import asyncio

from orchestrator.functional import WorkflowRunContext, WorkflowRunState, step, workflow

drafts_written = 0


@step
async def write_draft(topic: str) -> str:
    """A first version."""
    global drafts_written
    drafts_written += 1
    return f"Draft about {topic}"


@step
async def revise_draft(draft: str, feedback: str) -> str:
    """The version after the review."""
    return f"{draft} (revised: {feedback})"


@workflow
async def review_pipeline(topic: str, ctx: WorkflowRunContext) -> str:
    """Draft, review, revise."""
    draft = await write_draft(topic)
    feedback = await ctx.request_info(
        {"draft": draft, "instructions": "Please review this draft"},
        response_type=str,
        request_id="review_request",
    )
    return await revise_draft(draft, feedback)


async def main() -> None:
    """Both phases."""
    paused = await review_pipeline.run("AI Safety")
    assert paused.get_final_state() is WorkflowRunState.IDLE_WITH_PENDING_REQUESTS
    question = paused.get_request_info_events()[0]
    print("asked:", question.request_id, question.data["draft"])
    done = await review_pipeline.run(responses={question.request_id: "Add more details about alignment research"})
    print("result:", done.text)
    print("drafts written:", drafts_written)


if __name__ == "__main__":
    asyncio.run(main())
