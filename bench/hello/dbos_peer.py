"""Cold start of dbos on a new SQLite file in the working directory."""

import asyncio
import os
import sys

from _report import report
from dbos import DBOS, DBOSConfig


@DBOS.step()
async def greet(name: str) -> str:
    return f"hello {name}"


@DBOS.workflow()
async def hello(name: str) -> str:
    return await greet(name)


DBOS(config=DBOSConfig(name="hello", system_database_url="sqlite:///hello.db", log_level="ERROR"))
DBOS.launch()
report(asyncio.run(hello("world")))
sys.stdout.flush()
os._exit(0)
