"""orchestrator: the shared class API text, durable runs, flow files and functional workflows."""

from __future__ import annotations

import asyncio
import importlib
import sys
import types
from pathlib import Path

from workloads import CONCURRENT, digest, flow_file, mix

import orchestrator

NAMES = "Context Event HumanResponseEvent InputRequiredEvent StartEvent StopEvent Workflow step"

bench_api = types.ModuleType("bench_api")
bench_api.__dict__.update({name: getattr(orchestrator, name) for name in NAMES.split()})
bench_api.__dict__["in_order"] = lambda events: events  # a join promises the order of emission
sys.modules["bench_api"] = bench_api

from adapters import class_api  # noqa: E402
from adapters.class_api import Mark, Run  # noqa: E402


def store_url(directory: Path, mode: str) -> str:
    return f"sqlite:///{directory / 'ours.db'}?durability={mode}"


def durable_relaxed(n: int, directory: Path) -> Run:
    return durable(n, store_url(directory, "relaxed"))


def durable_strict(n: int, directory: Path) -> Run:
    return durable(n, store_url(directory, "strict"))


def durable(n: int, store: str) -> Run:
    workflow = class_api.Loop(timeout=None, store=store)

    async def run(mark: Mark) -> int:
        return await workflow.run(start_event=class_api.Begin(n=n))

    return run


def durable_concurrent(n: int, directory: Path) -> Run:
    workflow = class_api.Loop(timeout=None, store=store_url(directory, "strict"))

    async def run(mark: Mark) -> int:
        handlers = [workflow.run(start_event=class_api.Begin(n=n // CONCURRENT)) for _ in range(CONCURRENT)]
        return digest(await asyncio.gather(*handlers))

    return run


def compile_file(n: int, directory: Path) -> Run:
    path = directory / f"chain{n}.flow.yaml"
    path.write_text(flow_file(n), encoding="utf-8")

    async def run(mark: Mark) -> int:
        return len(orchestrator.load(path).steps)

    return run


def functional(n: int, directory: Path) -> Run:
    return functional_run(n)


def functional_durable(n: int, directory: Path) -> Run:
    return functional_run(n, store=store_url(directory, "relaxed"))


def functional_run(n: int, **options: str) -> Run:
    api = importlib.import_module("orchestrator.functional")

    @api.step
    async def add(acc: int, i: int) -> int:
        return mix(acc, i)

    @api.workflow
    async def total(count: int) -> int:
        acc = 0
        for i in range(count):
            acc = await add(acc, i)
        return acc

    async def run(mark: Mark) -> int:
        result = await total.run(n, **options)
        return result.get_outputs()[0]

    return run


WORKLOADS = {
    **class_api.WORKLOADS,
    "W9": durable_relaxed,
    "W9S": durable_strict,
    "W9C": durable_concurrent,
    "W10": compile_file,
    "W11": functional,
    "W11D": functional_durable,
}
