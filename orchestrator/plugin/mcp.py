"""Tools of MCP servers as callables: `[mcp.servers.github]` and `call: github.create_issue`. Needs the extra `[mcp]`.

`pinned_tools` asks a server for its tools once, for a manifest that the project keeps (`orchestrator mcp pull`); checking reads
that file and starts nothing. A call opens the server's session, which all calls of the process share, and holds the server to
what was pinned: a tool that is gone or takes other fields is an error, never a guess.
"""

from __future__ import annotations

import asyncio
import contextvars
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, TextIO, cast
from weakref import WeakKeyDictionary

from orchestrator.errors import PluginError, StepError
from orchestrator.plugin.config_values import McpServer
from orchestrator.plugin.info import CallableInfo, Target
from orchestrator.plugin.manifest import VERSION, read_manifest
from orchestrator.plugin.schema_check import SchemaRefused, compile_schema
from orchestrator.plugin.secrets import Provider, SecretVault

if TYPE_CHECKING:  # the extra, loaded with the first session
    from pathlib import Path

    from mcp import Client
    from mcp.types import CallToolResult, Tool

    from orchestrator.plugin.services import StepContext
    from orchestrator.plugin.signature import Signature

Json = Any  # plain JSON
ERRORS = (
    "mcp.tool_failed",
    "mcp.failed",
    "mcp.unavailable",
    "mcp.changed",
    "mcp.bad_reply",
    "mcp.not_installed",
    "secret.missing",
    "timeout",
)
INSTALL = 'MCP needs the extra: pip install "orchestrator-flows[mcp]"'
MAX_TOOLS = 1000
TEXT_RESULT: Json = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "description": "All text of the answer."},
        "content": {"type": "array", "description": "Its parts as the server sent them, images and links too."},
    },
    "required": ["text", "content"],
}


def read_pinned(server: McpServer, path: Path) -> tuple[CallableInfo, ...]:
    """The pinned tools of a server as callables. Raises: PluginError if they were never pinned or cannot be read."""
    if not path.is_file():
        raise PluginError(
            f"the tools of MCP server {server.name} are not known yet; run `orchestrator mcp pull {server.name}`"
        )
    infos: dict[str, CallableInfo] = {}

    def loader_of(name: str) -> Callable[[], Target]:
        return lambda: McpTool(infos[name])

    infos |= {i.name: i for i in read_manifest(path, provider=f"mcp {server.name}", loader_of=loader_of)}
    foreign = next((name for name in infos if name.partition(".")[0] != server.name), None)
    if foreign is not None:
        raise PluginError(f"{path} pins {foreign}, which is no tool of {server.name}")
    return tuple(replace(info, errors=ERRORS, input_schema=_closed(info.input_schema)) for info in infos.values())


def _closed(schema: Json) -> Json:
    """Servers seldom say that other fields are refused; a misspelt one is to be found all the same."""
    return {"additionalProperties": False, **schema}


def verb_of(tool: str) -> str:
    """The name that a tool has in `call:`: `create-issue` and `createIssue` are `create_issue`."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", tool)
    verb = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")
    return verb if verb[:1].isalpha() else f"tool_{verb}"


async def pinned_tools(sessions: McpSessions, server: str) -> dict[str, Json]:
    """The manifest of what a server offers now. Raises: StepError; `mcp.bad_reply` for two tools of one name."""
    entries: dict[str, Json] = {}
    for tool in sorted(await sessions.tools(server), key=lambda tool: tool.name):
        name = f"{server}.{verb_of(tool.name)}"
        if name in entries:
            raise StepError("mcp.bad_reply", f"server {server} has two tools that would be {name}")
        entries[name] = _entry(name, tool)
    return {"v": VERSION, "callables": list(entries.values())}


def _entry(name: str, tool: Tool) -> Json:
    for schema in (tool.input_schema, tool.output_schema):
        try:
            compile_schema(True if schema is None else schema)
        except SchemaRefused as problem:
            raise StepError("mcp.bad_reply", f"the schema of {name} cannot be used: {problem}") from None
    hints = tool.annotations
    is_harmless = hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)
    return CallableInfo(
        name=name,
        input_schema=tool.input_schema,
        result_schema=_result_of(tool),
        is_idempotent=True if is_harmless else None,
        doc=(tool.description or tool.title or tool.name).strip(),
    ).to_json()


class McpTool:
    """What a pinned tool loads to: a function whose fields come from its schema."""

    def __init__(self, info: CallableInfo) -> None:
        self._info = info
        self._closed = _closed(info.input_schema)
        self._inputs = compile_schema(self._closed)
        self._result = compile_schema(info.result_schema)

    def plugin_signature(self) -> Signature:
        """The tool's fields; their values are checked by the tool's own schema, so they are of any type here."""
        from orchestrator.plugin.signature import MISSING, UNKNOWN, Inject, Param, Signature

        known = self._info.fields
        fields = tuple(Param(name, Any, MISSING if name in self._info.required else UNKNOWN) for name in known)
        injected = ((" sessions", Inject.MCP), (" context", Inject.CONTEXT))  # names that no field can have
        takes_more = self._closed["additionalProperties"] is not False
        return Signature(fields, injected, Any, is_async=True, streams=False, takes_more=takes_more)

    async def __call__(self, **arguments: Any) -> Json:
        sessions: McpSessions = arguments.pop(" sessions")
        context: StepContext = arguments.pop(" context")
        problems = self._inputs.problems(arguments)
        if problems:
            raise StepError("type.payload", f"with of {self._info.name}: {'; '.join(map(str, problems[:5]))}")
        result = await sessions.call(self._info, arguments, context)
        problems = self._result.problems(result)
        if problems:
            raise StepError("mcp.bad_reply", f"{self._info.name} broke its own schema: {problems[0]}")
        return result


class McpSessions:
    """The open sessions of one process, by event loop and server; opened by the first call, again after a server died."""

    def __init__(self, servers: Mapping[str, McpServer], provider: Provider, root: Path | None) -> None:
        self._servers = servers
        self._provider = provider
        self._root = root
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Session]] = WeakKeyDictionary()

    async def call(self, info: CallableInfo, arguments: Mapping[str, Json], context: StepContext) -> Json:
        """The result of a tool: its structured content, else `{text, content}`. Raises: StepError."""
        session = self._session(info.namespace)
        client, tools = await session.opened()
        verb = info.name.partition(".")[2]
        tool = next((t for t in tools if verb_of(t.name) == verb), None)
        if tool is None or tool.input_schema != info.input_schema or _result_of(tool) != info.result_schema:
            what = "is gone" if tool is None else "takes or gives something else"
            raise StepError(
                "mcp.changed", f"{info.name} {what} since it was pinned; `orchestrator mcp pull {info.namespace}`"
            )

        async def show(progress: float, total: float | None, message: str | None) -> None:
            context.emit_progress(message if message and not total else progress / total if total else progress)

        with session.failures(info.name):
            result = await client.call_tool(
                tool.name, dict(arguments), read_timeout_seconds=session.server.timeout_s, progress_callback=show
            )
        masker = session.vault.masker()
        if result.is_error:
            raise StepError(
                "mcp.tool_failed", masker.text(f"{info.name}: {_text_of(result)[:2000] or 'no reason given'}")
            )
        return masker.json(_result_json(result, is_structured=tool.output_schema is not None))

    async def tools(self, server: str) -> tuple[Tool, ...]:
        """What a server offers. Raises: StepError."""
        return (await self._session(server).opened())[1]

    async def aclose(self) -> None:
        """End the sessions of the running loop; a server that does not go by itself is killed."""
        sessions = self._open.pop(asyncio.get_running_loop(), {})
        await asyncio.gather(*(session.aclose() for session in sessions.values()))

    def _session(self, name: str) -> _Session:
        server = self._servers.get(name)
        if server is None:
            raise StepError("mcp.unavailable", f"[mcp.servers.{name}] is not in the project's config")
        sessions = self._open.setdefault(asyncio.get_running_loop(), {})
        session = sessions.get(name)
        if session is None or session.is_over:
            session = sessions[name] = _Session(server, self._provider, self._root)
        return session


class _Session:
    """One connection. A task of its own opens and closes it, because the client has to be left where it was entered."""

    def __init__(self, server: McpServer, provider: Provider, root: Path | None) -> None:
        self.server = server
        self.vault = SecretVault(provider)
        self._root = root
        self._closing = asyncio.Event()
        self._opened: asyncio.Future[tuple[Client, tuple[Tool, ...]]] = asyncio.get_running_loop().create_future()
        self._opened.add_done_callback(lambda done: done.cancelled() or done.exception())  # told to whoever asks
        # An empty context: the session outlives the step whose call opened it.
        self._owner = asyncio.create_task(self._own(), context=contextvars.Context())

    @property
    def is_over(self) -> bool:
        return self._owner.done() or self._closing.is_set()

    async def opened(self) -> tuple[Client, tuple[Tool, ...]]:
        """The client and the server's tools. Raises: StepError."""
        return await asyncio.shield(self._opened)

    async def aclose(self) -> None:
        self._closing.set()
        await asyncio.gather(self._owner, return_exceptions=True)

    @contextmanager
    def failures(self, what: str) -> Iterator[None]:
        """The errors of the client as errors that a flow can catch; after a lost connection the next call opens a new one."""
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED, REQUEST_TIMEOUT
        from pydantic import ValidationError

        try:
            yield
        except MCPError as problem:
            text = self.vault.masker().text(problem.message[:2000])
            if problem.code == REQUEST_TIMEOUT:
                raise StepError("timeout", f"{what} took longer than {self.server.timeout_s:g} s") from None
            if problem.code == CONNECTION_CLOSED:
                self._closing.set()
                raise StepError("mcp.unavailable", f"MCP server {self.server.name} ended during {what}") from None
            raise StepError("mcp.failed", f"{what}: {text}", details={"code": problem.code}) from None
        except (ValidationError, RuntimeError) as problem:
            first = self.vault.masker().text(str(problem).partition("\n")[0][:500])
            raise StepError("mcp.bad_reply", f"{what}: the answer is not MCP: {first}") from None

    async def _own(self) -> None:
        with tempfile.TemporaryFile() as errors:
            try:
                async with AsyncExitStack() as stack:
                    async with asyncio.timeout(self.server.timeout_s):
                        client = await stack.enter_async_context(await self._client(stack, errors))
                        tools = await _all_tools(client)
                    self._opened.set_result((client, tools))
                    await self._closing.wait()
            except Exception as problem:  # the library, the program and the network can fail in any way
                if not self._opened.done():
                    self._opened.set_exception(self._unavailable(problem, errors))
            finally:
                self._opened.cancel()

    async def _client(self, stack: AsyncExitStack, errors: IO[bytes]) -> Client:
        try:
            import httpx2
            from mcp import Client, StdioServerParameters, stdio_client
            from mcp.client.streamable_http import streamable_http_client
            from mcp.types import Implementation
        except ImportError:
            raise StepError("mcp.not_installed", INSTALL) from None
        server = self.server
        about = Implementation(name="orchestrator", version="1")
        if server.url:
            headers = {"Authorization": f"Bearer {self.vault.get(server.bearer).reveal()}"} if server.bearer else {}
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=server.timeout_s))
            return Client(streamable_http_client(server.url, http_client=http), client_info=about)
        program, *arguments = server.command
        env = dict(server.env) | {name: self.vault.get(name).reveal() for name in server.secrets}
        parameters = StdioServerParameters(command=program, args=arguments, env=env, cwd=self._root)
        return Client(stdio_client(parameters, errlog=cast("TextIO", errors)), client_info=about)

    def _unavailable(self, problem: Exception, errors: IO[bytes]) -> StepError:
        if isinstance(problem, StepError):
            return problem
        while isinstance(problem, ExceptionGroup):
            problem = problem.exceptions[0]
        errors.seek(max(0, errors.seek(0, 2) - 2000))
        said = errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        if isinstance(problem, TimeoutError):
            why = f"it did not answer within {self.server.timeout_s:g} s"
        else:
            why = f"{type(problem).__name__}: {str(problem)[:500]}"
        where = self.server.url or self.server.command[0]
        text = f"MCP server {self.server.name} ({where}) cannot be used: {why}" + (f"; it said: {said}" if said else "")
        return StepError("mcp.unavailable", self.vault.masker().text(text))


async def _all_tools(client: Client) -> tuple[Tool, ...]:
    found: list[Tool] = []
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor:
            return tuple(found)
        if len(found) > MAX_TOOLS:
            raise StepError("mcp.bad_reply", f"the server lists more than {MAX_TOOLS} tools")


def _result_of(tool: Tool) -> Json:
    return TEXT_RESULT if tool.output_schema is None else tool.output_schema


def _text_of(result: CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if part.type == "text")


def _result_json(result: CallToolResult, *, is_structured: bool) -> Json:
    if is_structured:
        return result.structured_content
    parts = [part.model_dump(mode="json", by_alias=True, exclude_none=True) for part in result.content]
    return {"text": _text_of(result), "content": parts}
