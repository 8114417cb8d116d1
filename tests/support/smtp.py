"""A small SMTP server on 127.0.0.1 that keeps what it gets; it refuses receivers named `refused`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Message:
    """One mail as it was handed over."""

    sender: str
    receivers: list[str]
    data: str


@dataclass
class MailServer:
    """What a test sees of the server."""

    port: int = 0
    messages: list[Message] = field(default_factory=list)


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    """The server while it runs."""
    state = MailServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender, receivers = "", list[str]()

        async def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())
            await writer.drain()

        await say("220 loopback")
        while line := (await reader.readline()).decode():
            verb = line.strip().upper()
            address = line.partition("<")[2].partition(">")[0]
            if verb.startswith("MAIL"):
                sender, receivers = address, []
                await say("250 ok")
            elif verb.startswith("RCPT"):
                is_refused = address.startswith("refused")
                receivers += [] if is_refused else [address]
                await say("550 nobody here" if is_refused else "250 ok")
            elif verb == "DATA":
                await say("354 go on")
                data = (await reader.readuntil(b"\r\n.\r\n")).decode()
                state.messages.append(Message(sender, receivers, data))
                await say("250 kept")
            elif verb == "QUIT":
                await say("221 bye")
                break
            else:
                await say("250 loopback")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
