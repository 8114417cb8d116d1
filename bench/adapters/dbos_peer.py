"""dbos on SQLite: every workflow and step is recorded in its system database, so every figure is a durable one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig
from workloads import CHAIN, digest, mix, work_on

Mark = Callable[[str], None]
Run = Callable[[Mark], Awaitable[int]]
LAUNCHED: list[DBOS] = []


@DBOS.step()
async def add(acc: int, i: int) -> int:
    return mix(acc, i)


@DBOS.step()
async def hop(acc: int, i: int) -> int:
    await asyncio.sleep(0)
    return mix(acc, i)


@DBOS.step()
async def work(i: int) -> int:
    return await work_on(i)


@DBOS.workflow()
async def loop_flow(n: int) -> int:
    acc = 0
    for i in range(n):
        acc = await add(acc, i)
    return acc


@DBOS.workflow()
async def fan_flow(n: int) -> int:
    return digest(await asyncio.gather(*[work(i) for i in range(n)]))


@DBOS.workflow()
async def chain_flow(start: int) -> int:
    acc = start
    for i in range(CHAIN):
        acc = await hop(acc, i)
    return acc


@DBOS.workflow()
async def ask_flow(r: int) -> int:
    await DBOS.set_event_async("asked", True)
    return mix(r, await DBOS.recv_async("answer", timeout_seconds=600))


@DBOS.workflow()
async def stream_flow(n: int) -> int:
    for i in range(n):
        await DBOS.write_stream_async("items", i)
    await DBOS.close_stream_async("items")
    return 0


def launch(directory: Path) -> None:
    if not LAUNCHED:
        url = f"sqlite:///{directory / 'dbos.db'}"
        LAUNCHED.append(DBOS(config=DBOSConfig(name="bench", system_database_url=url, log_level="ERROR")))
        DBOS.launch()


def flow(workflow: Callable[[int], Awaitable[int]]) -> Callable[[int, Path], Run]:
    def build(n: int, directory: Path) -> Run:
        launch(directory)

        async def run(mark: Mark) -> int:
            return await workflow(n)

        return run

    return build


def many_runs(n: int, directory: Path) -> Run:
    launch(directory)

    async def run(mark: Mark) -> int:
        return digest(await asyncio.gather(*[chain_flow(r) for r in range(n)]))

    return run


def waiting(n: int, directory: Path) -> Run:
    launch(directory)

    async def run(mark: Mark) -> int:
        handles: list[Any] = [await DBOS.start_workflow_async(ask_flow, r) for r in range(n)]
        await asyncio.gather(*[DBOS.get_event_async(handle.workflow_id, "asked") for handle in handles])
        mark("park")
        for handle in handles:
            await DBOS.send_async(handle.workflow_id, 7, "answer")
        return digest([await handle.get_result() for handle in handles])

    return run


def stream(n: int, directory: Path) -> Run:
    launch(directory)

    async def run(mark: Mark) -> int:
        handle = await DBOS.start_workflow_async(stream_flow, n)
        acc = 0
        async for i in DBOS.read_stream_async(handle.workflow_id, "items"):
            acc = mix(acc, i)
        await handle.get_result()
        return acc

    return run


WORKLOADS = {
    "W2": flow(loop_flow),
    "W3": flow(fan_flow),
    "W4": many_runs,
    "W5": waiting,
    "W7": stream,
    "W9": flow(loop_flow),
}
