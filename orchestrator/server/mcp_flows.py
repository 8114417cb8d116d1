"""The flows of a project as MCP tools: one tool per flow, and one that looks after a run. Needs the extra `[mcp]`.

A call starts a run and answers when it has ended, or at once when it waits for people: they decide in their inbox, and the
client asks with `get_run` how it went on. A client that gives up a call cancels its run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchestratorError, RunFinished, UnknownRun
from orchestrator.plugin.schema_check import compile_schema
from orchestrator.server.book import ENDED, RunDetail
from orchestrator.server.desk import Desk
from orchestrator.server.operations import StartOrder, start_run
from orchestrator.server.problems import Refused
from orchestrator.server.shelf import Served

if TYPE_CHECKING:  # the extra
    from mcp.server import Server
    from mcp.server.context import ServerRequestContext
    from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams, Tool

Json = Any  # plain JSON
GET_RUN = "get_run"
POLL_S = 1.0
RUN_INPUT: Json = {
    "type": "object",
    "properties": {"run_id": {"type": "string", "description": "The run_id that a flow's tool gave."}},
    "required": ["run_id"],
    "additionalProperties": False,
}


def run_schema(outputs: Json) -> Json:
    """What a tool gives: how the run stands, and its outputs once it is done."""
    return {
        "type": "object",
        "properties": {
            "run_id": {"type": "string"},
            "status": {"type": "string", "description": "done, failed, cancelled, timeout, or waiting for people."},
            "outputs": {"anyOf": [outputs or {}, {"type": "null"}]},
            "error": {"description": "Code and message of a run that failed."},
            "waiting": {"type": "array", "items": {"type": "string"}, "description": "Steps that wait for people."},
        },
        "required": ["run_id", "status", "outputs", "error", "waiting"],
    }


class FlowTools:
    """The tools of one desk. `by` is who its runs are started by."""

    def __init__(self, desk: Desk, *, flows: tuple[str, ...] = (), by: str = "mcp") -> None:
        self._desk = desk
        self._flows = flows
        self._by = by

    def server(self, name: str) -> Server[Any]:
        """An MCP server that offers the tools, for any of the SDK's transports."""
        from mcp.server import Server

        return Server(name, on_list_tools=self._list, on_call_tool=self._call)

    def served(self) -> list[Served]:
        """The flows that are offered: those without errors, of the chosen names."""
        return [
            s for s in self._desk.shelf if s.is_ok and s.ir is not None and (not self._flows or s.name in self._flows)
        ]

    async def _list(self, ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None) -> ListToolsResult:
        from mcp.types import ListToolsResult, Tool

        tools = [_tool_of(served) for served in self.served()]
        about = "How a run stands that an earlier call started, and its outputs once it is done."
        tools.append(Tool(name=GET_RUN, description=about, input_schema=RUN_INPUT, output_schema=run_schema({})))
        return ListToolsResult(tools=tools)

    async def _call(self, ctx: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        arguments = params.arguments or {}
        try:
            if params.name == GET_RUN:
                problems = compile_schema(RUN_INPUT).problems(arguments)
                if problems:
                    return _failed("; ".join(map(str, problems)))
                return _answer(await self._desk.run(arguments["run_id"]))
            served = next((s for s in self.served() if s.name == params.name), None)
            if served is None:
                return _failed(
                    f"there is no flow {params.name[:100]!r}; there are {', '.join(s.name for s in self.served())}"
                )
            return _answer(await self._run(ctx, served, arguments))
        except Refused as refused:
            return _failed(refused.message)
        except OrchestratorError as error:
            return _failed(f"{error.code}: {error}")

    async def _run(self, ctx: ServerRequestContext[Any], served: Served, inputs: Mapping[str, Json]) -> RunDetail:
        desk = self._desk
        begun = await start_run(desk, served, StartOrder(inputs, by=self._by))
        steps = 0
        try:
            while True:
                number = desk.bus.number
                detail = await desk.run(begun.run_id)
                if _is_at_rest(detail):
                    return detail
                steps += 1
                await ctx.session.report_progress(steps, message=f"{served.name}: {detail.row.status}")
                await desk.bus.wait(number, POLL_S)
        except asyncio.CancelledError:
            desk.spawn(self._give_up(begun.run_id))  # this task is not let to wait any more
            raise

    async def _give_up(self, run_id: str) -> None:
        try:
            book = await self._desk.book_of(run_id)
            await book.cancel(run_id, "the MCP client gave up the call")
        except (UnknownRun, RunFinished):
            return


def _is_at_rest(detail: RunDetail) -> bool:
    """Whether only somebody outside can move a run on, or nobody: a timer of its own will."""
    row = detail.row
    return row.status in ENDED or row.status == "parked" or (row.status == "waiting" and bool(row.waiting))


def _tool_of(served: Served) -> Tool:
    from mcp.types import Tool

    assert served.ir is not None
    about = served.ir.description or served.ir.title or f"Run the workflow {served.name}."
    return Tool(
        name=served.name,
        title=served.ir.title or None,
        description=about,
        input_schema=served.input_schema,
        output_schema=run_schema(served.output_schema),
    )


def _answer(detail: RunDetail) -> CallToolResult:
    import json

    from mcp.types import CallToolResult, TextContent

    row = detail.row
    found = {
        "run_id": row.run_id,
        "status": row.status,
        "outputs": detail.outputs,
        "error": row.error,
        "waiting": list(row.waiting),
    }
    text = json.dumps(found, ensure_ascii=False, default=str)
    is_error = row.status in ENDED and row.status != "done"
    return CallToolResult(content=[TextContent(text=text)], structured_content=found, is_error=is_error)


def _failed(message: str) -> CallToolResult:
    from mcp.types import CallToolResult, TextContent

    return CallToolResult(content=[TextContent(text=message)], is_error=True)
