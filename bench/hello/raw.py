"""Cold start of asyncio and pydantic alone."""

import asyncio

from _report import report
from pydantic import BaseModel, ConfigDict


class Start(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


async def hello(ev: Start) -> str:
    return f"hello {ev.name}"


report(asyncio.run(hello(Start(name="world"))))
