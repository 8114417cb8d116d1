"""A real server under load: 200 runs under way, 500 open streams, 50 requests a second; answers checked, nothing lost.

Five seconds by default; `make load` takes five minutes (LOAD_SECONDS), and prints the figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.kit import write_flows
from tests.server.test_commands import running

SECONDS = float(os.environ.get("LOAD_SECONDS", "5"))
RUNS = int(os.environ.get("LOAD_RUNS", "200"))
STREAMS = int(os.environ.get("LOAD_STREAMS", "500"))
PER_SECOND = float(os.environ.get("LOAD_RATE", "50"))
FLOW = """
flow: order
inputs: {order: str}
outputs: {order: str, by: str}
events:
  Paid: {external: true, fields: {order: str, by: str}}
  Checked: {order: str}
steps:
  check:
    on: Start
    emit: {event: Checked, with: {order: "${{ inputs.order }}"}}
  hold:
    on: Checked
    wait: {event: Paid, match: {order: "${{ inputs.order }}"}, within: 3d}
    emit: {event: Stop, with: {order: "${{ inputs.order }}", by: "${{ result.by }}"}}
  late:
    on: hold.timeout
    emit: {event: Stop, with: {order: late, by: nobody}}
"""
NUMBER = re.compile(rb"^id: [0-9a-f]+\.(\d+)$", re.M)


@dataclass(slots=True)
class Figures:
    """What was measured."""

    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    begun: dict[str, str] = field(default_factory=dict)  # run id -> order
    paid: set[str] = field(default_factory=set)

    def report(self, seconds: float) -> dict[str, float]:
        """Seconds at the percentiles, rates and counts."""
        ordered = sorted(self.latencies)

        def at(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 1)

        return {
            "requests": len(ordered),
            "per_second": round(len(ordered) / seconds, 1),
            "p50_ms": at(0.5),
            "p95_ms": at(0.95),
            "p99_ms": at(0.99),
            "max_ms": at(1),
            "errors": len(self.errors),
            "runs": len(self.begun),
            "ended": len(self.paid),
        }


class Load:
    """The clients."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.figures = Figures()
        self.waiting: deque[str] = deque()
        self.tabs: list[bytearray] = []
        self.logs: list[list[int]] = []

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        began = time.perf_counter()
        try:
            answer = await self.client.request(method, path, json=body)
        except httpx.HTTPError as error:
            self.figures.errors.append(f"{method} {path}: {type(error).__name__}")
            return None
        self.figures.latencies.append(time.perf_counter() - began)
        if answer.status_code >= 400:
            self.figures.errors.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            return None
        return answer.json()

    async def begin(self) -> None:
        order = f"o{len(self.figures.begun)}"
        self.figures.begun[order] = order
        started = await self.ask("POST", "/api/flows/order/runs", {"inputs": {"order": order}, "run_id": order})
        if started is not None:
            self.waiting.append(order)

    async def pay(self) -> None:
        if self.waiting:
            run_id = self.waiting.popleft()
            if await self.ask(
                "POST", f"/api/runs/{run_id}/events", {"event": "Paid", "data": {"order": run_id, "by": "card"}}
            ):
                self.figures.paid.add(run_id)

    async def look(self) -> None:
        run_id = self.waiting[len(self.waiting) // 2] if self.waiting else "o0"
        await self.ask("GET", f"/api/runs/{run_id}")

    async def browse(self) -> None:
        await self.ask("GET", "/api/runs?limit=20")

    async def tab(self) -> None:
        seen = bytearray()
        self.tabs.append(seen)
        async with self.client.stream("GET", "/api/stream?topics=run", timeout=None) as response:
            async for chunk in response.aiter_raw():
                seen += chunk

    async def log(self, run_id: str) -> None:
        numbers: list[int] = []
        self.logs.append(numbers)
        headers = {"Accept": "text/event-stream"}
        async with self.client.stream("GET", f"/api/runs/{run_id}/events", headers=headers, timeout=None) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: ") and "seq" in (entry := json.loads(line[6:])):
                    numbers.append(entry["seq"])


async def drive(url: str) -> tuple[Load, dict[str, float]]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30, trust_env=False) as client:
        load = Load(client)
        for _ in range(0, RUNS, 20):
            await asyncio.gather(*(load.begin() for _ in range(min(20, RUNS))))
        followed = list(load.waiting)[: STREAMS // 10]
        streams = [asyncio.create_task(load.log(run_id)) for run_id in followed]
        streams += [asyncio.create_task(load.tab()) for _ in range(STREAMS - len(followed))]
        while len([tab for tab in load.tabs if tab]) < STREAMS - len(followed):
            await asyncio.sleep(0.05)
        load.figures.latencies.clear()
        began = time.perf_counter()
        asking: list[asyncio.Task[None]] = []
        kinds = (load.pay, load.begin, load.look, load.browse)
        for number in range(int(SECONDS * PER_SECOND)):
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
            asking.append(asyncio.create_task(kinds[number % 4]()))
        await asyncio.gather(*asking)
        report = load.figures.report(time.perf_counter() - began)
        print(f"\nload over {SECONDS:g} s with {RUNS} runs and {STREAMS} streams: {json.dumps(report)}")
        await check(load)
        await asyncio.sleep(1.0)
        for task in streams:
            task.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        return load, report


async def check(load: Load) -> None:
    """Every run that was started is there, and every payment that was acknowledged ended its run with its data."""
    for _ in range(200):
        unpaid = {
            row["run_id"]
            for row in (await load.client.get("/api/runs?status=waiting,running&limit=500")).json()["runs"]
        }
        if unpaid == set(load.waiting):
            break
        await asyncio.sleep(0.1)
    assert unpaid == set(load.waiting)
    for run_id in sorted(load.figures.paid):
        answer = await load.client.get(f"/api/runs/{run_id}")
        while answer.status_code == 429:
            await asyncio.sleep(float(answer.headers["retry-after"]))
            answer = await load.client.get(f"/api/runs/{run_id}")
        run = answer.json()
        assert run["status"] == "done" and run["outputs"] == {"order": run_id, "by": "card"}, run


@pytest.mark.timeout(3600)
def test_a_loaded_server_loses_nothing_and_answers_in_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(write_flows(tmp_path, order=FLOW), "serve") as server, capsys.disabled():
        load, report = asyncio.run(drive(server.url))
    assert load.figures.errors == []
    for tab in load.tabs:
        numbers = [int(found) for found in NUMBER.findall(bytes(tab))]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) and len(numbers) > 1
    for numbers in load.logs:
        assert numbers == list(range(len(numbers))) and numbers
    assert report["p95_ms"] < 2_000
