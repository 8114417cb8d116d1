"""A raw TCP server on 127.0.0.1 that answers HTTP in every wrong way; each path is one kind of misbehaviour."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Handler = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One request and the way back to its sender."""

    def __init__(self, head: str, body: bytes, writer: asyncio.StreamWriter, base: str) -> None:
        self.head = head
        self.body = body
        self.base = base
        self.method, self.target = head.split(" ", 2)[:2]
        self._writer = writer

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", "Connection: close"]
        if "Content_Length" not in headers:
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


class HostileServer:
    """What a test sees: where the server is and what it was sent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.heads: list[str] = []


@asynccontextmanager
async def hostile_server() -> AsyncIterator[HostileServer]:
    """The server while it runs."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            size = next((int(x.split(":")[1]) for x in head.split("\r\n") if x.lower().startswith("content-length")), 0)
            body = await reader.readexactly(size)
            seen.append(head)
            port = writer.get_extra_info("sockname")[1]
            exchange = Exchange(head, body, writer, f"http://127.0.0.1:{port}")
            path = exchange.target.partition("?")[0]
            await PATHS.get(path, not_found)(exchange)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    hostile = HostileServer(server.sockets[0].getsockname()[1])
    hostile.heads = seen
    try:
        yield hostile
    finally:
        server.close()


async def not_found(exchange: Exchange) -> None:
    await exchange.reply(404, b"nothing here")


async def too_many(exchange: Exchange) -> None:
    await exchange.reply(429, b"slow down", Retry_After="7")


async def broken(exchange: Exchange) -> None:
    await exchange.reply(500, b"it broke\nwith details")


async def silence(exchange: Exchange) -> None:
    await asyncio.sleep(30)


async def trickle(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(600):
        await exchange.raw(b"x")
        await asyncio.sleep(0.05)


async def garbage(exchange: Exchange) -> None:
    await exchange.raw(b"\x00\x01\x02 this is no HTTP\r\n\r\n")


async def hang_up(exchange: Exchange) -> None:
    return


async def cut_off(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")


async def endless(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    for _ in range(10_000):
        await exchange.raw(piece)


def _bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return b"".join([packer.compress(b"\0" * 1_000_000) for _ in range(megabytes)]) + packer.flush()


BOMB = _bomb(200)  # 0.2 MB that become 200 MB


async def gzip_bomb(exchange: Exchange) -> None:
    await exchange.reply(200, BOMB, Content_Encoding="gzip")


async def gzip_fine(exchange: Exchange) -> None:
    await exchange.reply(200, gzip.compress(b'{"ok": true}'), Content_Encoding="gzip", Content_Type="application/json")


async def gzip_lie(exchange: Exchange) -> None:
    await exchange.reply(200, b"this is not gzip", Content_Encoding="gzip")


async def brotli(exchange: Exchange) -> None:
    await exchange.reply(200, b"???", Content_Encoding="br")


async def bad_json(exchange: Exchange) -> None:
    await exchange.reply(200, b'{"half": ', Content_Type="application/json")


async def nan_json(exchange: Exchange) -> None:
    await exchange.reply(200, b'{"x": NaN}', Content_Type="application/json")


async def deep_json(exchange: Exchange) -> None:
    await exchange.reply(200, b"[" * 200_000, Content_Type="application/json")


async def echo(exchange: Exchange) -> None:
    body = {"head": exchange.head, "body": exchange.body.decode()}
    await exchange.reply(200, json.dumps(body).encode(), Content_Type="application/json")


async def loop(exchange: Exchange) -> None:
    await exchange.reply(302, Location="/loop")


async def to_private(exchange: Exchange) -> None:
    await exchange.reply(302, Location="http://10.0.0.1/admin")


async def to_metadata(exchange: Exchange) -> None:
    await exchange.reply(302, Location="http://[::ffff:169.254.169.254]/latest")


async def to_file(exchange: Exchange) -> None:
    await exchange.reply(302, Location="file:///etc/passwd")


async def to_localhost(exchange: Exchange) -> None:
    port = exchange.base.rpartition(":")[2]
    await exchange.reply(307, Location=f"http://localhost:{port}/echo")


async def see_other(exchange: Exchange) -> None:
    await exchange.reply(303, Location="/echo")


async def sse_broken(exchange: Exchange) -> None:
    await exchange.reply(200, b'data: {"choices": [{"delta"\n\n', Content_Type="text/event-stream")


async def sse_odd(exchange: Exchange) -> None:
    event = {"choices": [{"delta": {"content": {"text": "hi"}}, "finish_reason": "stop"}]}
    await exchange.reply(200, f"data: {json.dumps(event)}\n\n".encode(), Content_Type="text/event-stream")


async def sse_odd_call(exchange: Exchange) -> None:
    event = {"choices": [{"delta": {"tool_calls": [{"index": "first"}]}, "finish_reason": "stop"}]}
    await exchange.reply(200, f"data: {json.dumps(event)}\n\n".encode(), Content_Type="text/event-stream")


async def odd_usage(exchange: Exchange) -> None:
    body = b'{"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": 1e400}}'
    await exchange.reply(200, body, Content_Type="application/json")


async def to_nothing(exchange: Exchange) -> None:
    await exchange.reply(302, Location="http://[::1")


async def gzip_cut(exchange: Exchange) -> None:
    await exchange.reply(200, gzip.compress(b"hello" * 1000)[:-12], Content_Encoding="gzip", Content_Type="text/plain")


async def sse_cut(exchange: Exchange) -> None:
    event = {"choices": [{"delta": {"content": "half an ans"}, "finish_reason": None}]}
    await exchange.reply(200, f"data: {json.dumps(event)}\n\n".encode(), Content_Type="text/event-stream")


async def sse_error(exchange: Exchange) -> None:
    await exchange.reply(200, b'data: {"error": {"message": "overloaded"}}\n\n', Content_Type="text/event-stream")


PATHS: dict[str, Handler] = {
    "/429": too_many,
    "/500": broken,
    "/silence": silence,
    "/trickle": trickle,
    "/garbage": garbage,
    "/hang-up": hang_up,
    "/cut-off": cut_off,
    "/endless": endless,
    "/gzip-bomb": gzip_bomb,
    "/gzip-fine": gzip_fine,
    "/gzip-lie": gzip_lie,
    "/gzip-cut": gzip_cut,
    "/to-nothing": to_nothing,
    "/brotli": brotli,
    "/bad-json": bad_json,
    "/nan-json": nan_json,
    "/deep-json": deep_json,
    "/echo": echo,
    "/loop": loop,
    "/to-private": to_private,
    "/to-metadata": to_metadata,
    "/to-file": to_file,
    "/to-localhost": to_localhost,
    "/see-other": see_other,
    "/sse-broken/chat/completions": sse_broken,
    "/sse-cut/chat/completions": sse_cut,
    "/sse-odd/chat/completions": sse_odd,
    "/sse-odd-call/chat/completions": sse_odd_call,
    "/odd-usage/chat/completions": odd_usage,
    "/sse-error/chat/completions": sse_error,
    "/garbage/chat/completions": garbage,
    "/bad-json/chat/completions": bad_json,
    "/429/chat/completions": too_many,
    "/500/chat/completions": broken,
    "/silence/chat/completions": silence,
}
