"""Journals that earlier versions wrote: every one of them is read, replayed and continued, for ever."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.authoring.run_service import RunService
from orchestrator.dispatch.operate import check_replay
from orchestrator.journal.memory import MemoryJournal
from orchestrator.journal.open import open_journal
from orchestrator.journal.schema import VERSION
from orchestrator.journal.store import RunRow, StoredRun
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.journal import FINAL, AuditRow, InboxEntry, RequestRow
from tests.durable.battery import ASK, BATTERY, Calls, Case
from tests.durable.kit import World, drive, settled_calls

FOLDER = Path(__file__).with_name("pinned")
VERSIONS = sorted(folder.name for folder in FOLDER.iterdir())
CASES = {case.name: case for case in BATTERY}
WHOLE = sorted(FOLDER.glob("*/*-whole.jsonl"))
CUT = sorted(FOLDER.glob("*/*-cut.jsonl"))
FILES = sorted(FOLDER.glob("*/ask.db.gz"))


def name(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def case_of(path: Path) -> Case:
    return CASES[path.stem.rpartition("-")[0]]


async def fill(journal: Any, lines: list[str]) -> list[str]:  # a Store
    """Import what a file holds; gives the ids of its runs."""
    names = []
    for line in lines:
        data = json.loads(line)
        requests = [RequestRow(**{**row, "audience": tuple(row["audience"])}) for row in data["requests"]]
        audit = [AuditRow(**row) for row in data["audit"]]
        inbox = [InboxEntry(**entry) for entry in data["inbox"]]
        snapshot = tuple(data["snapshot"]) if data["snapshot"] else None
        row = RunRow(**data["row"])
        run = StoredRun(row, data["flow"], data["first_seq"], data["ticks"], snapshot, requests, audit, inbox)
        await journal.import_run(run, now=time.time())
        names.append(row.run_id)
    return names


def test_this_version_is_recorded() -> None:
    assert f"v{VERSION}" in VERSIONS, "run `python -m tests.journal.record` and commit what it writes"
    assert len(WHOLE) == len(CUT) == len(BATTERY) * len(VERSIONS) and len(FILES) == len(VERSIONS)


@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_a_recorded_run_gives_the_same_decisions(path: Path, tmp_path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()

    async def work() -> None:
        journal: Any = open_journal(f"sqlite:///{tmp_path}/runs.db")
        world = World(tmp_path, journal, **Calls().steps())
        world.prepare(case_of(path))
        for run_id in await fill(journal, lines):
            report = await check_replay(journal, run_id, world.project.bind)
            assert report.is_same, report.divergences
            assert (await journal.run(run_id)).status in FINAL
        await world.aclose()
        await journal.aclose()

    asyncio.run(work())


@pytest.mark.parametrize("path", CUT, ids=name)
def test_a_recorded_run_that_was_cut_off_goes_on(path: Path, tmp_path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()

    async def work() -> None:
        journal, calls, case = MemoryJournal(), Calls(), case_of(path)
        await fill(journal, lines)
        finished = settled_calls(journal)
        world = World(tmp_path, journal, **calls.steps())
        world.prepare(case)
        await drive(world, case, world.service(serves=True))
        await world.aclose()
        assert not finished & set(calls.made)
        run = journal.rows["r"]
        assert run.status == case.status and (case.outputs is None or run.outcome["result"] == case.outputs)

    asyncio.run(work())


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_recorded_file_is_opened_and_its_run_decided(path: Path, tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_bytes(gzip.decompress(path.read_bytes()))

    async def work() -> None:
        journal: Any = open_journal(f"sqlite:///{tmp_path}/runs.db")
        world = World(tmp_path, journal, **Calls().steps())
        world.prepare(ASK)
        service = RunService(world.engine(serves=True))
        for step, user, verdict in ASK.answers:
            [request] = [row for _, row in await journal.requests(run_id="r") if row.step == step]
            await service.answer("r", request.request_id, user=user, form={"verdict": verdict})
        while (await journal.run("r")).status not in FINAL:
            await asyncio.sleep(0.01)
        run = await journal.run("r")
        assert (run.status, run.outcome["result"]) == (ASK.status, ASK.outputs)
        assert (await journal.verify_audit()).is_intact
        assert isinstance(service.engine, DurableEngine)
        await world.aclose()
        await journal.aclose()

    asyncio.run(work())
