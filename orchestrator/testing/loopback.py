"""Small real servers on 127.0.0.1, for demos and tests: a publishing service and an OpenAI-compatible model endpoint.

They run in a thread under uvicorn, keep what they were sent, and can be told to fail on purpose. Nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from orchestrator.plugin.llm import ChatRequest
from orchestrator.plugin.llm_fake import FakeModel

Json = Any  # plain JSON


class LoopbackServer:
    """Serves an ASGI app on a free port of 127.0.0.1 while it is entered.

    Example:
        with LoopbackServer(PostService().app) as server:
            print(server.url)
    """

    def __init__(self, app: Any, *, port: int = 0, lifespan: Literal["on", "off"] = "off") -> None:
        self._config = uvicorn.Config(
            app, log_level="warning", lifespan=lifespan, ws="none", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(self._config)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen(128)  # from here on connections wait in the queue, so nobody needs to wait for the thread
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name=f"loopback-{self.port}", daemon=True)

    @property
    def url(self) -> str:
        """Where it is, such as `http://127.0.0.1:51234`."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> LoopbackServer:
        """Begin to serve; `stop` ends it."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and wait for the thread."""
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def __enter__(self) -> LoopbackServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class Received:
    """One request as a server got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: Json


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that a server gives once instead of its own."""

    status: int
    body: Json = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Calls:
    """A model's answer that wants tools called: (name, arguments) each."""

    calls: tuple[tuple[str, Json], ...]


class PostService:
    """A content service: `POST /posts`, `GET /posts`, `GET|PUT|DELETE /posts/{id}`, pages of ten, optional bearer token.

    A repeated Idempotency-Key gives the first answer again. `fail_next` puts failures in front.
    """

    def __init__(self, *, token: str = "") -> None:
        self.posts: dict[str, Json] = {}
        self.received: list[Received] = []
        self._token = token
        self._failures: deque[Failure] = deque()
        self._answered: dict[str, Json] = {}
        self.app = Starlette(
            routes=[
                Route("/posts", self._create, methods=["POST"]),
                Route("/posts", self._list, methods=["GET"]),
                Route("/posts/{id}", self._one, methods=["GET", "PUT", "DELETE"]),
                Route("/health", self._health, methods=["GET"]),
            ]
        )

    def fail_next(self, *failures: Failure) -> None:
        """Have the next requests fail, one each."""
        self._failures.extend(failures)

    async def _enter(self, request: Request) -> Response | None:
        """Note the request, and answer it here if it must fail."""
        raw = await request.body()
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = raw.decode(errors="replace")
        self.received.append(Received(request.method, request.url.path, dict(request.headers), body))
        if self._failures:
            return await _fail(self._failures.popleft())
        if self._token and request.headers.get("authorization") != f"Bearer {self._token}":
            return JSONResponse({"error": "who are you?"}, 401)
        return None

    async def _create(self, request: Request) -> Response:
        if (early := await self._enter(request)) is not None:
            return early
        body = self.received[-1].body
        if not isinstance(body, dict) or not body.get("title"):
            return JSONResponse({"error": "a post needs a title"}, 422)
        key = request.headers.get("idempotency-key", "")
        if key in self._answered:
            return JSONResponse(self._answered[key], 200)
        post = body | {"id": str(len(self.posts) + 1), "url": f"{request.base_url}posts/{len(self.posts) + 1}"}
        self.posts[post["id"]] = post
        if key:
            self._answered[key] = post
        return JSONResponse(post, 201)

    async def _list(self, request: Request) -> Response:
        if (early := await self._enter(request)) is not None:
            return early
        page = int(request.query_params.get("page", "1"))
        posts = list(self.posts.values())
        more = len(posts) > page * 10
        headers = {"Link": f'<{request.base_url}posts?page={page + 1}>; rel="next"'} if more else {}
        items = posts[(page - 1) * 10 : page * 10]
        return JSONResponse({"items": items, "next": page + 1 if more else None}, headers=headers)

    async def _one(self, request: Request) -> Response:
        if (early := await self._enter(request)) is not None:
            return early
        key = request.path_params["id"]
        if key not in self.posts:
            return JSONResponse({"error": f"no post {key}"}, 404)
        if request.method == "DELETE":
            del self.posts[key]
            return Response(status_code=204)
        if request.method == "PUT":
            self.posts[key] = self.received[-1].body | {"id": key}
        return JSONResponse(self.posts[key])

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"ok": True})


class ModelEndpoint:
    """An OpenAI-compatible `POST /v1/chat/completions`: text, JSON by schema, tools, streaming, usage, errors.

    Answers come from `replies` in order (text, a JSON value, `Calls` of tools, or a Failure), then from the built-in fake
    model. Texts of a structured answer are made to fit the wanted schema. `knows_schema=False` refuses `response_format`, as
    old servers do.
    """

    def __init__(self, *, key: str = "", replies: Iterable[Json] = (), knows_schema: bool = True) -> None:
        self.received: list[Received] = []
        self._key = key
        self._replies: deque[Json] = deque(replies)
        self._knows_schema = knows_schema
        self._model = FakeModel()
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/models", self._models, methods=["GET"]),
            ]
        )

    def reply_next(self, *replies: Json) -> None:
        """Give these answers to the next requests, one each."""
        self._replies.extend(replies)

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "loopback", "object": "model"}]})

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.received.append(Received("POST", request.url.path, dict(request.headers), body))
        if self._key and request.headers.get("authorization") != f"Bearer {self._key}":
            return JSONResponse({"error": {"message": "Incorrect API key provided"}}, 401)
        if "response_format" in body and not self._knows_schema:
            return JSONResponse({"error": {"message": "Unrecognized request argument: response_format"}}, 400)
        reply = self._replies.popleft() if self._replies else None
        if isinstance(reply, Failure):
            return await _fail(reply)
        message = await self._message(body, reply)
        usage = {
            "prompt_tokens": len(json.dumps(body["messages"])) // 4,
            "completion_tokens": max(1, len(message["content"] or "") // 4),
        }
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        head = {"id": f"chatcmpl-{len(self.received)}", "created": 0, "model": body.get("model") or "loopback"}
        if not body.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": finish}
            return JSONResponse(head | {"object": "chat.completion", "choices": [choice], "usage": usage})
        return StreamingResponse(_events(head, message, finish, usage), media_type="text/event-stream")

    async def _message(self, body: Json, reply: Json) -> dict[str, Json]:
        schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
        request = ChatRequest(tuple(body["messages"]), schema=schema, tools=tuple(body.get("tools") or ()))
        if isinstance(reply, Calls):
            wanted = [
                {"id": f"call-{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
                for n, (name, given) in enumerate(reply.calls)
            ]
            return {"role": "assistant", "content": None, "tool_calls": wanted}
        if reply is not None:
            text = reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False)
            return {"role": "assistant", "content": text}
        answer = await self._model.complete(request)
        message: dict[str, Json] = {"role": "assistant", "content": answer.text or None}
        if answer.tool_calls:
            message["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": json.dumps(c.arguments)}}
                for c in answer.tool_calls
            ]
        return message


async def _events(head: Json, message: dict[str, Json], finish: str, usage: Json) -> AsyncIterator[str]:
    """A chat completion as server-sent events: text word by word, tool calls in two pieces, then usage."""

    def event(delta: Json, reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return f"data: {json.dumps(head | {'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"

    yield event({"role": "assistant", "content": ""})
    for number, word in enumerate((message["content"] or "").split(" ")):
        yield event({"content": word if number == 0 else f" {word}"})
    for index, call in enumerate(message.get("tool_calls") or ()):
        name, text = call["function"]["name"], call["function"]["arguments"]
        yield event({"tool_calls": [{"index": index, "id": call["id"], "function": {"name": name, "arguments": ""}}]})
        for part in (text[: len(text) // 2], text[len(text) // 2 :]):
            yield event({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield event({}, finish)
    yield f"data: {json.dumps(head | {'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


async def _fail(failure: Failure) -> Response:
    if failure.delay_s:
        await asyncio.sleep(failure.delay_s)
    body = failure.body if failure.body is not None else {"error": {"message": f"failed on purpose ({failure.status})"}}
    if isinstance(body, str):
        return Response(body, failure.status, failure.headers)
    return JSONResponse(body, failure.status, failure.headers)
