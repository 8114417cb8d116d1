"""A real MCP server for the tests, on the official SDK: `python mcp_tools.py` speaks over its standard streams."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel

server = MCPServer("tools")


class Sum(BaseModel):
    """A sum."""

    total: int


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(first: int, second: int = 1) -> Sum:
    """Add two numbers."""
    return Sum(total=first + second)


@server.tool(name="shoutAloud", structured_output=False)
def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


@server.tool(structured_output=False)
def fail(why: str) -> str:
    """Fail for a reason."""
    raise ToolError(why)


@server.tool(structured_output=False)
def token() -> str:
    """Tell the token, which nobody should."""
    return f"the token is {os.environ.get('TOOLS_TOKEN', 'not there')}, the mode {os.environ.get('MODE', 'none')}"


@server.tool(structured_output=False)
def die() -> str:
    """End the server in the middle of a call."""
    os._exit(3)


@server.tool(structured_output=False)
def sleep(seconds: float) -> str:
    """Take a while."""
    time.sleep(seconds)
    return "slept"


@server.tool(structured_output=False)
async def count(ctx: Context[Any], to: int) -> str:
    """Count with progress."""
    for number in range(1, to + 1):
        await ctx.report_progress(number, to)
    return str(to)


if len(sys.argv) > 1 and sys.argv[1] == "more":

    @server.tool(structured_output=False)
    def extra() -> str:
        """A tool that came later."""
        return "extra"


if len(sys.argv) > 1 and sys.argv[1] == "other":
    server.remove_tool("add")

    @server.tool(name="add")
    def add_three(first: int, second: int, third: int) -> Sum:
        """Add three numbers."""
        return Sum(total=first + second + third)


if __name__ == "__main__":
    if sys.argv[1:] == ["broken"]:
        print("the licence key is missing", file=sys.stderr)
        sys.exit(1)
    server.run("stdio")
