"""An MCP server whose tools have odd names and schemas, written against the SDK's low level."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool

ADDRESS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [
    Tool(
        name="search.Issues",
        description="A first line that goes on and on. " * 6,
        input_schema={
            "type": "object",
            "properties": {
                "max-results": {"type": "integer", "minimum": 1},
                "from": {"type": "string", "enum": ["open", "closed"]},
                "at": {"$ref": "#/$defs/Address"},
            },
            "required": ["from"],
            "$defs": {"Address": ADDRESS},
        },
    ),
    Tool(name="search_issues", description="Collides.", input_schema={"type": "object"}),
    Tool(
        name="far", description="A schema elsewhere.", input_schema={"type": "object", "$ref": "https://evil.example/x"}
    ),
    Tool(
        name="2fast", description="Begins with a digit.", input_schema={"type": "object", "additionalProperties": True}
    ),
    Tool(
        name="liar",
        description="Breaks its own promise.",
        input_schema={"type": "object"},
        output_schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    ),
]


async def list_tools(ctx: Any, params: Any) -> ListToolsResult:
    return ListToolsResult(tools=TOOLS)


async def call_tool(ctx: Any, params: Any) -> CallToolResult:
    given = json.dumps(params.arguments, sort_keys=True)
    structured = {"n": "many"} if params.name == "liar" else None
    return CallToolResult(content=[TextContent(text=f"{params.name} {given}")], structured_content=structured)


async def main() -> None:
    server = Server("odd", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(main())
