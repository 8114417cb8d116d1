"""What the integration tests share: flow files in a folder, and stores in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from orchestrator import LoadedFlow, WorkflowHandler, load

REVIEW = """
flow: review
inputs: {text: str}
outputs: {text: str, by: str}
steps:
  tidy:
    on: Start
    call: my.tidy
    with: {text: "${{ inputs.text }}"}
  ask:
    on: tidy
    ask:
      title: Publish "${{ ev.result }}"?
      show: {body: "${{ ev.result }}"}
      form:
        verdict: approve | reject
        note: str | null
      to: {users: [kim]}
    emit:
      approve: publish
      reject: refuse
  refuse:
    emit: {event: Failed, with: {code: review.refused, message: kim refused it}}
  publish:
    call: my.publish
    with: {text: "${{ inputs.text }}"}
    emit:
      event: Stop
      with:
        text: ${{ result }}
        by: kim
"""


def tidy(text: str) -> str:
    return text.strip()


def publish(text: str) -> str:
    return f"published {text.strip()}"


STEPS: dict[str, Callable[..., object]] = {"my.tidy": tidy, "my.publish": publish}


def write(folder: Path, name: str, text: str) -> Path:
    """A flow file."""
    path = folder / f"{name}.flow.yaml"
    path.write_text(text.lstrip(), "utf-8")
    return path


PLAIN = """
flow: plain
inputs: {text: str}
outputs: {text: str}
steps:
  publish:
    on: Start
    call: my.publish
    with: {text: "${{ inputs.text }}"}
    emit: {event: Stop, with: {text: "${{ result }}"}}
"""


def review(folder: Path, **options: Any) -> LoadedFlow:
    """The flow that asks kim."""
    return load(write(folder, "review", REVIEW), steps=STEPS, **options)


def url(folder: Path) -> str:
    """The URL of a store in a folder."""
    return f"sqlite:///{folder}/runs.db"


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function to its end."""

    async def whole() -> Any:
        return await asyncio.wait_for(main(), 20)

    return asyncio.run(whole())


async def until(condition: Callable[[], Any]) -> Any:
    """Let the loop turn until something holds."""
    for _ in range(4000):
        found = condition()
        if found:
            return found
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come to that")


async def asked(handler: WorkflowHandler) -> Any:
    """The first open question of a run, once it asks."""
    return (await until(handler.requests))[0]
