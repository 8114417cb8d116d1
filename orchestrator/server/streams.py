"""Server-sent events and NDJSON: a run's log from any sequence number, and one stream per tab for everything that changes.

The id of each event says where to go on: a run's entries by their number; the tab's stream by `boot.number`, and
`;RUN=seq` for each run that it follows. What is gone is told as `reset`: nothing is lost silently.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import StreamingResponse

from orchestrator.errors import UnknownRun
from orchestrator.server.book import ENDED, RunBook, RunDetail
from orchestrator.server.desk import Desk
from orchestrator.server.problems import Refused

HEARTBEAT_S = 15.0
PAGE = 500
TOPICS = ("run", "request", "flows", "schedules")
MAX_FOLLOWED = 20
SSE_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def encode_event(data: str, *, event: str | None = None, id: str | None = None) -> bytes:
    """One server-sent event. `data` is on one line: JSON text without line breaks."""
    head = (f"id: {id}\n" if id is not None else "") + (f"event: {event}\n" if event is not None else "")
    return f"{head}data: {data}\n\n".encode()


def dump(value: Any) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


async def run_entries(
    desk: Desk, book: RunBook, run_id: str, after: int, *, is_whole: bool = False
) -> AsyncIterator[list[Any] | None]:
    """The log of a run in stretches, as it grows, to its end; None when nothing came for `HEARTBEAT_S`.

    Every entry comes exactly once, in order.
    """
    place = after
    while not desk.bus.is_closed:
        status = await book.status(run_id)  # before the log: one that has ended grows no more
        entries = await book.log(run_id, place, PAGE, is_whole=is_whole)
        if entries:
            place = entries[-1]["seq"]
            yield entries
            continue
        if status in ENDED:
            return
        if not await _grown(desk, book, run_id, place):
            yield None


async def _grown(desk: Desk, book: RunBook, run_id: str, place: int) -> bool:
    """Wait for more; False after `HEARTBEAT_S`. A server that stops lets go."""
    more = asyncio.ensure_future(book.grown(run_id, place))
    closing = asyncio.ensure_future(desk.bus.closed())
    try:
        done, _ = await asyncio.wait({more, closing}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
        if more in done:
            more.result()
        return bool(done)
    finally:
        for task in (more, closing):
            task.cancel()


def end_of(detail: RunDetail) -> dict[str, Any]:
    """How a run ended, as the last event of its stream."""
    return {
        "run_id": detail.row.run_id,
        "status": detail.row.status,
        "outputs": detail.outputs,
        "error": detail.row.error,
    }


async def run_sse(desk: Desk, book: RunBook, run_id: str, after: int) -> AsyncIterator[bytes]:
    """A run's log as server-sent events, then `end`. The end repeats the last id: it is no entry of the log."""
    last = after
    async for entries in run_entries(desk, book, run_id, after):
        if entries is None:
            yield b": still here\n\n"
            continue
        last = entries[-1]["seq"]
        yield b"".join(encode_event(dump(entry), id=str(entry["seq"])) for entry in entries)
    detail = await book.run(run_id)
    if detail.row.status in ENDED:
        yield encode_event(dump(end_of(detail)), event="end", id=str(last))


async def run_ndjson(desk: Desk, book: RunBook, run_id: str, after: int) -> AsyncIterator[bytes]:
    """A run's log as one JSON object per line, to its end."""
    async for entries in run_entries(desk, book, run_id, after):
        yield b"\n" if entries is None else b"".join(dump(entry).encode() + b"\n" for entry in entries)


@dataclass(slots=True)
class Place:
    """Where a tab's stream is: the bus's boot and number, and the last number seen of each followed run."""

    boot: str = ""
    number: int = -1
    runs: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return ";".join([f"{self.boot}.{self.number}", *(f"{run}={seq}" for run, seq in self.runs.items())])

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises: Refused 422 for what this server never gave."""
        head, *runs = text.split(";")
        boot, _, number = head.partition(".")
        try:
            followed = {run: int(seq) for run, _, seq in (part.rpartition("=") for part in runs)}
            return cls(boot, int(number), followed)
        except ValueError:
            raise Refused(422, "stream.place", "the Last-Event-ID is not one that this server gave") from None


async def tab_stream(desk: Desk, place: Place, topics: frozenset[str], *, shows_details: bool) -> AsyncIterator[bytes]:
    """Everything a page needs to know, on one connection: notes of what changed, and the logs of followed runs.

    Runs that cannot be found are told as `gone` once. With `shows_details` off, notes say only that something changed.
    """
    bus = desk.bus
    if place.boot != bus.boot:
        is_new = place.boot == ""
        place.boot, place.number = bus.boot, bus.number
        yield encode_event("{}", event="hello" if is_new else "reset", id=str(place))
    books: dict[str, RunBook] = {}
    ended: set[str] = set()
    moved = set(place.runs)  # followed runs that may have more to read
    while not bus.is_closed:
        out: list[bytes] = []
        notes = bus.since(place.number)
        if notes is None:
            place.number = bus.number
            moved |= place.runs.keys()
            out.append(encode_event("{}", event="reset", id=str(place)))
        for note in notes or ():
            place.number = note.number
            if note.topic == "run":
                named = note.data["run_id"]  # None: some run of another process
                moved |= place.runs.keys() if named is None else {named} & place.runs.keys()
            if note.topic in topics and shows_details and not place.runs:
                out.append(note.sent)
            elif note.topic in topics:
                out.append(encode_event(note.payload if shows_details else "{}", event=note.topic, id=str(place)))
        for run_id in [run_id for run_id in moved if run_id not in ended]:
            read = await _followed(desk, place, run_id, books, ended)
            if len(read) < PAGE:
                moved.discard(run_id)
            out += read
        if out:
            yield b"".join(out)
        elif not await bus.wait(place.number, HEARTBEAT_S):
            yield b": still here\n\n"


async def _followed(desk: Desk, place: Place, run_id: str, books: dict[str, RunBook], ended: set[str]) -> list[bytes]:
    out: list[bytes] = []
    try:
        book = books.get(run_id) or books.setdefault(run_id, await desk.book_of(run_id))
        status = await book.status(run_id)
        entries = await book.log(run_id, place.runs[run_id], PAGE)
        for entry in entries:
            place.runs[run_id] = entry["seq"]
            out.append(encode_event(dump({"run_id": run_id, **entry}), event="entry", id=str(place)))
        if status in ENDED and len(entries) < PAGE:
            ended.add(run_id)
            out.append(encode_event(dump(end_of(await book.run(run_id))), event="end", id=str(place)))
    except UnknownRun:
        ended.add(run_id)
        out.append(encode_event(dump({"run_id": run_id}), event="gone", id=str(place)))
    return out


class LiveStream(StreamingResponse):
    """A stream that counts while it is open; too many are refused before they begin."""

    def __init__(
        self, desk: Desk, body: AsyncIterator[bytes], media_type: str, headers: Mapping[str, str] = SSE_HEADERS
    ) -> None:
        if desk.streams >= desk.settings.max_streams:
            raise Refused(
                503, "stream.full", "too many streams are open", "close some pages", headers={"Retry-After": "5"}
            )
        super().__init__(self._counted(desk, body), media_type=media_type, headers=dict(headers))

    async def _counted(self, desk: Desk, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        desk.streams += 1
        try:
            async for chunk in body:
                yield chunk
        finally:
            desk.streams -= 1
