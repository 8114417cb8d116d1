"""Records the runs of the battery as this version writes them: `python -m tests.journal.record`, once per journal version.

What is recorded stays for ever; `test_pinned.py` replays and continues it with every later version.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.journal.memory import MemoryJournal
from orchestrator.journal.open import open_journal
from orchestrator.journal.schema import VERSION
from tests.durable.battery import ASK, BATTERY, Calls, Case
from tests.durable.crashing import CrashingJournal
from tests.durable.kit import World, drive

FOLDER = Path(__file__).with_name("pinned")
CUT_AT = 3  # the commit after which the process dies


async def whole(case: Case, root: Path) -> MemoryJournal:
    """A run of a case to its end."""
    journal = MemoryJournal()
    world = World(root, journal, **Calls().steps())
    service = world.service(serves=True)
    await service.start(world.prepare(case), case.inputs, run_id="r")
    await drive(world, case, service)
    await world.aclose()
    return journal


async def cut(case: Case, root: Path) -> MemoryJournal:
    """A run of a case whose process died early."""
    journal = MemoryJournal()
    crashing = CrashingJournal(journal, CUT_AT, is_done=True)
    world = World(root, crashing, **Calls().steps())
    service = world.service(serves=True)
    starting = asyncio.ensure_future(service.start(world.prepare(case), case.inputs, run_id="r"))
    driving = asyncio.ensure_future(drive(world, case, service))
    await crashing.crashed.wait()
    for task in (starting, driving):
        task.cancel()
    await world.kill()
    return journal


async def waiting_file(root: Path) -> bytes:
    """A SQLite file in which the run of an approval waits."""
    file = root / "runs.db"
    journal: Any = open_journal(f"sqlite:///{file}")
    world = World(root, journal, **Calls().steps())
    service = world.service(serves=True)
    await service.start(world.prepare(ASK), ASK.inputs, run_id="r")
    while not await journal.requests(run_id="r"):
        await asyncio.sleep(0.01)
    await world.aclose()
    await journal.aclose()
    return file.read_bytes()


async def exported(journal: Any) -> list[str]:  # a Store
    runs = [await journal.export_run(name) for name in list(journal.rows)]
    return [json.dumps({"v": 1, **asdict(run)}, ensure_ascii=False) for run in runs]


def write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


async def main() -> None:
    place = FOLDER / f"v{VERSION}"
    place.mkdir(parents=True)
    for case in BATTERY:
        for kind, record in (("whole", whole), ("cut", cut)):
            with tempfile.TemporaryDirectory() as folder:
                write(place / f"{case.name}-{kind}.jsonl", await exported(await record(case, Path(folder))))
    with tempfile.TemporaryDirectory() as folder:
        (place / "ask.db.gz").write_bytes(gzip.compress(await waiting_file(Path(folder)), mtime=0))


if __name__ == "__main__":
    asyncio.run(main())
