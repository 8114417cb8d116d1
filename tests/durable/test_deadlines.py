"""Reminders, escalation and deadline of a request over a SQLite file, by a moved clock and processes that come and go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestrator.authoring.run_service import RunService
from orchestrator.errors import RunFinished
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.runtime.answering import AnswerRefused
from orchestrator.runtime.clock import VirtualClock
from tests.durable.kit import World

FLOW = """
flow: review
outputs: {status: str}
steps:
  review:
    on: Start
    ask:
      title: Publish?
      form: {verdict: approve | reject}
      to: {users: [ann, lee]}
      quorum: {approve: 2}
      remind: [10m, 20m]
      escalate: {after: 1h, to: {users: [zoe, kim], not: [kim]}}
      deadline: 2h
    emit:
      approve: {event: Stop, with: {status: approved}}
      reject: {event: Stop, with: {status: rejected}}
      timeout: late
  late:
    wait: 1h
    emit: {event: Stop, with: {status: late}}
"""
ASK = "review-2"


class Days:
    """One run that asks, and processes that look after it now and then."""

    def __init__(self, root: Path) -> None:
        self.clock = VirtualClock()
        self.file = root / "runs.db"
        self.root = root
        self.journal = SqliteJournal(self.file)

    async def begin(self) -> None:
        world = World(self.root, self.journal)
        service = RunService(world.engine(clock=self.clock))
        await service.start(world.plan(FLOW), {}, run_id="r")
        await world.aclose()

    async def answer(self, user: str, verdict: str = "approve") -> None:
        """By a process that does nothing else, as `decide` is."""
        world = World(self.root, self.journal)
        try:
            await RunService(world.engine(clock=self.clock)).answer("r", ASK, user=user, form={"verdict": verdict})
        finally:
            await world.aclose()

    async def look_after(self) -> None:
        """A process that serves comes, does what is due, and goes."""
        world = World(self.root, self.journal)
        engine = world.engine(clock=self.clock, serves=True)
        for _ in range(5):
            await engine.sweep()
            self.clock.advance(0)
            await asyncio.sleep(0.01)
        await world.aclose()

    async def log(self) -> list[str]:
        return [entry.row.action for entry in await self.journal.audit(run_id="r")]

    async def status(self) -> str:
        (row,) = [
            row for state in ("open", "timeout", "decided") for _, row in await self.journal.requests(state=state)
        ]
        return row.state


@pytest.fixture
def days(tmp_path: Path) -> Days:
    return Days(tmp_path)


def test_reminders_and_escalation_come_once_by_whichever_process_is_there(days: Days) -> None:
    async def story() -> None:
        await days.begin()
        for minutes in (11, 10, 10, 40):
            days.clock.advance(minutes * 60)
            await days.look_after()
        assert await days.log() == ["request.opened", "request.reminded", "request.reminded", "request.escalated"]
        with pytest.raises(AnswerRefused, match="can never answer"):
            await days.answer("kim")
        await days.answer("zoe")
        await days.answer("lee")
        assert await days.status() == "decided"
        await days.journal.aclose()

    asyncio.run(story())


def test_an_answer_after_the_deadline_is_refused_though_no_process_was_there_when_it_passed(days: Days) -> None:
    async def story() -> None:
        await days.begin()
        await days.answer("lee")
        days.clock.advance(2 * 3600 + 1)
        with pytest.raises(AnswerRefused, match="its deadline has passed"):
            await days.answer("ann")
        assert (await days.log())[-1] == "refused.answer"
        await days.look_after()
        assert await days.status() == "timeout"
        await days.journal.aclose()

    asyncio.run(story())


def test_a_later_process_does_not_open_a_request_again_that_has_expired(days: Days) -> None:
    async def story() -> None:
        await days.begin()
        days.clock.advance(2 * 3600 + 1)
        await days.look_after()
        days.clock.advance(3601)
        await days.look_after()
        run = await days.journal.run("r")
        assert (run.status, run.outcome["result"]) == ("done", {"status": "late"})
        with pytest.raises(RunFinished):
            await days.answer("lee")
        assert (await days.log())[-2:] == ["request.timeout", "refused.answer"]
        await days.journal.aclose()

    asyncio.run(story())


def test_a_clock_that_goes_back_brings_no_reminder_twice(days: Days) -> None:
    async def story() -> None:
        await days.begin()
        days.clock.advance(11 * 60)
        await days.look_after()
        days.clock.advance(-11 * 60)
        for _ in range(2):
            days.clock.advance(11 * 60)
            await days.look_after()
        assert await days.log() == ["request.opened", "request.reminded", "request.reminded"]
        await days.journal.aclose()

    asyncio.run(story())


def test_those_who_are_asked_later_are_waited_for_before_a_vote_is_undecided(days: Days) -> None:
    async def story() -> None:
        await days.begin()
        days.clock.advance(3601)
        await days.look_after()
        await days.answer("lee")
        assert await days.status() == "open", "zoe may still approve"
        await days.answer("zoe")
        assert await days.status() == "decided"
        await days.journal.aclose()

    asyncio.run(story())
