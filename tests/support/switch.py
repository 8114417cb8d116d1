"""A name that points to one database server after another: a TCP port whose connections go to a socket of choice."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path


class Switch:
    """Forwards to `socket` until `turn`; connections that were made before end then, as when a name moves to another host."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(5)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def turn(self, socket: Path) -> None:
        """Point to another server."""
        self._socket = socket
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result(5)

    def close(self) -> None:
        self._server.close()
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _drop(self) -> None:
        for writer in list(self._open):
            writer.close()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            inner, outer = await asyncio.open_unix_connection(str(self._socket / ".s.PGSQL.5432"))
            self._open.add(outer)
            await asyncio.gather(self._pump(reader, outer), self._pump(inner, writer))
        except OSError:
            writer.close()
        finally:
            self._open.discard(writer)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # the other end is gone
        finally:
            sink.close()
            self._open.discard(sink)
