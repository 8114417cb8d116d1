"""Workflows as plain async functions: `@workflow`, `@step`, and a context to ask, remember and tell.

Example:
    @step
    async def fetch(url: str) -> str: ...

    @workflow
    async def pipeline(url: str, ctx: WorkflowRunContext) -> str:
        text = await fetch(url)
        return await ctx.request_info({"text": text}, response_type=str, request_id="review")

    result = await pipeline.run("https://example.com")
    result = await pipeline.run(responses={"review": "fine"})
"""

from orchestrator.functional.agent import AgentResponse, FunctionalWorkflowAgent
from orchestrator.functional.context import RunContext, WorkflowRunContext, get_run_context
from orchestrator.functional.errors import (
    InvalidResponse,
    ReplayDiverged,
    RequestError,
    RunArgumentError,
    RunReleased,
    SignatureError,
    UnknownCheckpoint,
)
from orchestrator.functional.events import WorkflowErrorDetails, WorkflowEvent, WorkflowRunResult, WorkflowRunState
from orchestrator.functional.files import FileCheckpointStorage
from orchestrator.functional.memory import InMemoryCheckpointStorage
from orchestrator.functional.record_log import CheckpointStorage, WorkflowCheckpoint
from orchestrator.functional.sqlite import SQLiteCheckpointStorage
from orchestrator.functional.steps import step
from orchestrator.functional.stream import ResponseStream
from orchestrator.functional.workflow import FunctionalWorkflow, workflow

__all__ = [
    "AgentResponse",
    "CheckpointStorage",
    "FileCheckpointStorage",
    "FunctionalWorkflow",
    "FunctionalWorkflowAgent",
    "InMemoryCheckpointStorage",
    "InvalidResponse",
    "ReplayDiverged",
    "RequestError",
    "ResponseStream",
    "RunArgumentError",
    "RunContext",
    "RunReleased",
    "SQLiteCheckpointStorage",
    "SignatureError",
    "UnknownCheckpoint",
    "WorkflowCheckpoint",
    "WorkflowErrorDetails",
    "WorkflowEvent",
    "WorkflowRunContext",
    "WorkflowRunResult",
    "WorkflowRunState",
    "get_run_context",
    "step",
    "workflow",
]
