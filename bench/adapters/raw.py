"""Hand-written asyncio: the limit. No engine, but the same event objects that an engine's user passes."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from queue import SimpleQueue

from pydantic import BaseModel, ConfigDict, create_model
from workloads import CHAIN, CONCURRENT, KEYS, digest, flow_file, mix, work_on

Mark = Callable[[str], None]
Run = Callable[[Mark], Awaitable[int]]


class Event(BaseModel):
    model_config = ConfigDict(extra="allow")


class Hop(Event):
    i: int
    acc: int


class Item(Event):
    i: int


class Done(Event):
    i: int
    value: int


class Stop(Event):
    result: int


def chain(n: int, directory: Path) -> Run:
    kinds = [create_model(f"Hop{i}", __base__=Hop) for i in range(n)]

    def make(i: int, gives: type[Hop]) -> Callable[[Hop], Awaitable[Hop]]:
        async def hop(ev: Hop) -> Hop:
            return gives(i=i, acc=mix(ev.acc, i))

        return hop

    steps = [make(i, kind) for i, kind in enumerate(kinds)]

    async def run(mark: Mark) -> int:
        ev = Hop(i=0, acc=0)
        for step in steps:
            ev = await step(ev)
        return ev.acc

    return run


class Ping(Hop): ...


class Pong(Hop): ...


async def ping(ev: Hop) -> Pong:
    return Pong(i=ev.i + 1, acc=mix(ev.acc, ev.i))


async def pong(ev: Hop) -> Ping:
    return Ping(i=ev.i + 1, acc=mix(ev.acc, ev.i))


def loop(n: int, directory: Path) -> Run:
    async def run(mark: Mark) -> int:
        ev: Hop = Ping(i=0, acc=0)
        while ev.i < n:
            ev = await ping(ev) if isinstance(ev, Ping) else await pong(ev)
        return ev.acc

    return run


def fan_out(n: int, directory: Path) -> Run:
    async def work(ev: Item) -> Done:
        return Done(i=ev.i, value=await work_on(ev.i))

    async def run(mark: Mark) -> int:
        done = await asyncio.gather(*[work(Item(i=i)) for i in range(n)])
        return Stop(result=digest(d.value for d in done)).result

    return run


def many_runs(n: int, directory: Path) -> Run:
    async def hop(ev: Hop) -> Hop:
        await asyncio.sleep(0)
        return Hop(i=ev.i + 1, acc=mix(ev.acc, ev.i))

    async def flow(start: int) -> int:
        ev = Hop(i=0, acc=start)
        for _ in range(CHAIN):
            ev = await hop(ev)
        return ev.acc

    async def run(mark: Mark) -> int:
        return digest(await asyncio.gather(*[flow(r) for r in range(n)]))

    return run


def waiting(n: int, directory: Path) -> Run:
    async def flow(r: int, answer: asyncio.Future[Item]) -> int:
        return mix(r, (await answer).i)

    async def run(mark: Mark) -> int:
        futures = [asyncio.get_running_loop().create_future() for _ in range(n)]
        tasks = [asyncio.create_task(flow(r, future)) for r, future in enumerate(futures)]
        await asyncio.sleep(0)
        mark("park")
        for future in futures:
            future.set_result(Item(i=7))
        return digest(await asyncio.gather(*tasks))

    return run


def shared_state(n: int, directory: Path) -> Run:
    async def turn(ev: Item, state: dict[str, int]) -> Item:
        for k, key in enumerate(KEYS):
            state[key] = mix(state[key], ev.i + k)
        return Item(i=ev.i + 1)

    async def run(mark: Mark) -> int:
        state = dict.fromkeys(KEYS, 0)
        ev = Item(i=0)
        while ev.i < n:
            ev = await turn(ev, state)
        return digest(state.values())

    return run


def stream(n: int, directory: Path) -> Run:
    async def run(mark: Mark) -> int:
        queue: asyncio.Queue[Item | None] = asyncio.Queue()

        async def write() -> None:
            for i in range(n):
                queue.put_nowait(Item(i=i))
                if i % 100 == 99:
                    await asyncio.sleep(0)
            queue.put_nowait(None)

        writer = asyncio.create_task(write())
        acc = 0
        while (ev := await queue.get()) is not None:
            acc = mix(acc, ev.i)
        await writer
        return acc

    return run


def open_database(path: Path, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("CREATE TABLE IF NOT EXISTS ticks (run INTEGER, seq INTEGER, body BLOB)")
    return connection


def commit(connection: sqlite3.Connection, rows: list[tuple[int, int, bytes]]) -> None:
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO ticks VALUES (?, ?, ?)", rows)
    connection.execute("COMMIT")


def durable_relaxed(n: int, directory: Path) -> Run:
    """Rows in groups of 64, WAL with synchronous=NORMAL: survives a kill, may lose the last group at a power cut."""
    connection = open_database(directory / "raw.db", "NORMAL")

    async def run(mark: Mark) -> int:
        rows: list[tuple[int, int, bytes]] = []
        ev: Hop = Ping(i=0, acc=0)
        while ev.i < n:
            ev = await ping(ev) if isinstance(ev, Ping) else await pong(ev)
            rows.append((0, ev.i, ev.__pydantic_serializer__.to_json(ev)))
            if len(rows) == 64:
                commit(connection, rows)
                rows = []
        commit(connection, rows)
        return ev.acc

    return run


class Writer:
    """One thread that commits what has been handed in, all that waits as one transaction."""

    def __init__(self, path: Path) -> None:
        self.connection = open_database(path, "FULL")
        self.jobs: SimpleQueue[tuple[tuple[int, int, bytes], asyncio.Future[None]]] = SimpleQueue()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self) -> None:
        while True:
            batch = [self.jobs.get()]
            while not self.jobs.empty():
                batch.append(self.jobs.get())
            commit(self.connection, [row for row, _ in batch])
            batch[0][1].get_loop().call_soon_threadsafe(self.tell, [future for _, future in batch])

    @staticmethod
    def tell(futures: list[asyncio.Future[None]]) -> None:
        for future in futures:
            future.set_result(None)

    async def write(self, row: tuple[int, int, bytes]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.jobs.put((row, future))
        await future


async def durable_run(writer: Writer, run_id: int, n: int) -> int:
    ev: Hop = Ping(i=0, acc=0)
    while ev.i < n:
        ev = await ping(ev) if isinstance(ev, Ping) else await pong(ev)
        await writer.write((run_id, ev.i, ev.__pydantic_serializer__.to_json(ev)))
    return ev.acc


def durable_strict(n: int, directory: Path) -> Run:
    """Every step committed with synchronous=FULL by one writer thread before the next one starts, hop included."""
    writer = Writer(directory / "raw.db")

    async def run(mark: Mark) -> int:
        return await durable_run(writer, 0, n)

    return run


def durable_concurrent(n: int, directory: Path) -> Run:
    """The same writer thread, shared by many runs at a time, so that one commit serves many steps."""
    writer = Writer(directory / "raw.db")

    async def run(mark: Mark) -> int:
        runs = [durable_run(writer, r, n // CONCURRENT) for r in range(CONCURRENT)]
        return digest(await asyncio.gather(*runs))

    return run


def compile_file(n: int, directory: Path) -> Run:
    """The floor of reading a flow: PyYAML's C parser and composer, and the language's own schema, compiled to code."""
    import fastjsonschema
    import yaml

    class Loader(yaml.CSafeLoader):
        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
            for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
        }

    text = flow_file(n)
    schema = Path(__file__).parents[2] / "schemas" / "flow.draft-07.schema.json"
    check = fastjsonschema.compile(json.loads(schema.read_text("utf-8")))

    async def run(mark: Mark) -> int:
        return len(check(yaml.load(text, Loader))["steps"])

    return run


def functional(n: int, directory: Path) -> Run:
    async def add(acc: int, i: int) -> int:
        return mix(acc, i)

    async def run(mark: Mark) -> int:
        acc = 0
        for i in range(n):
            acc = await add(acc, i)
        return acc

    return run


WORKLOADS = {
    "W1": chain,
    "W2": loop,
    "W3": fan_out,
    "W3C": fan_out,
    "W4": many_runs,
    "W5": waiting,
    "W6": shared_state,
    "W7": stream,
    "W9": durable_relaxed,
    "W9S": durable_strict,
    "W9C": durable_concurrent,
    "W10": compile_file,
    "W11": functional,
}
