"""A run in the foreground of a terminal: shows it, takes answers, and stops where only somebody else can move it on."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from orchestrator.authoring.run_service import RunService
from orchestrator.cli.asking import Answers, GroupsOf, TerminalAsker
from orchestrator.cli.progress import Progress
from orchestrator.errors import RunFinished, StoreBusy
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.people import Request
from orchestrator.runtime.questions import open_asks

OTHERS = frozenset({"remind", "escalate", "expire", "wait", "run"})  # timers of what somebody else is to do
TICK_S = 0.25
LAST_WORD_S = 0.5
TURN_S = 0.25


class Foreground:
    """Everything that one command does with the runs of one engine."""

    def __init__(self, engine: Engine, progress: Progress, answers: Answers, *, until: str | None = None) -> None:
        self.engine = engine
        self.service = RunService(engine)
        self._progress = progress
        self._answers = answers
        self._until = until
        self.stopped_at: int | None = None  # the length of the log when `until` had ended
        self._changed = asyncio.Event()
        self._steps: dict[int, str] = {}
        self.first: Actor | None = None  # the run that was made first, also when its start is not done
        self._root: Actor | None = None
        self._asker: TerminalAsker | None = None
        self._asking: asyncio.Task[None] | None = None
        engine.on_actor.append(self._watch)

    def ask_on_terminal(self, user: str | None, groups_of: GroupsOf) -> None:
        """Ask the person at the terminal, if there is one."""
        if sys.stdin.isatty() and self._progress.screen.is_live:
            self._asker = TerminalAsker(self.service, self._progress.screen, user, groups_of)

    def _watch(self, run: Actor) -> None:
        def relay(entry: Any) -> None:  # a tick, or what a step streamed
            self._progress.tell(run, entry)
            if run.parent is None:
                self._look_for_end(run, entry)
            self._changed.set()

        run.relay = relay
        self.first = self.first or run

    def _look_for_end(self, run: Actor, entry: Any) -> None:
        if isinstance(entry, t.StepStarted):
            self._steps[entry.act] = entry.step
        elif (
            isinstance(entry, t.StepSettled)
            and entry.again_at is None
            and self.stopped_at is None
            and self._steps.get(entry.act) == self._until is not None
        ):
            self.stopped_at = run.base + len(run.log)
            run.is_passive = True  # what follows is decided, and does not begin

    async def admitted(self, run: Actor) -> None:
        """Return when a run that has to queue for its flow's `concurrency` may begin, here.

        Raises: RunFinished if another process has run it to its end meanwhile.
        """
        engine = self.engine
        if not isinstance(engine, DurableEngine) or run.sink is not None:
            return
        before = (await engine.journal.ahead(run.run_id))[:1]
        self._progress.screen.line(
            f"run {run.run_id} waits for its turn (`concurrency` of `{run.plan.ir.name}`)"
            + "".join(
                f": run {name} is before it; `orchestrator runs show {name}` says how it stands" for name in before
            )
        )
        while run.sink is None:
            try:
                await engine.acquire(run.run_id)
            except StoreBusy:
                await asyncio.sleep(TURN_S)

    async def follow(self, root: Actor) -> None:
        """Return when the run is over, waits for somebody else, or has come to `until`.

        Raises: AnswerRefused if the last given answer of a step was refused; what made the run leave this process.
        """
        self._root = root
        more: asyncio.Future[None] | None = None
        try:
            while not root.is_over and self.stopped_at is None:
                if root.lost is not None:
                    raise root.lost
                self._changed.clear()
                if more is None or more.done():
                    more = root.wait_for_more()
                    more.add_done_callback(lambda _: self._changed.set())
                await self._answer_open_requests(root)
                if self._waits_for_others(root):
                    return
                self._progress.redraw(self._runs(), self.engine.clock.now())
                try:
                    async with asyncio.timeout(TICK_S):  # wait_for would swallow a Ctrl-C that meets a change
                        await self._changed.wait()
                except TimeoutError:
                    continue
                await asyncio.sleep(0)
        finally:
            await self._end()

    async def _answer_open_requests(self, root: Actor) -> None:
        asking = self._asking
        if asking is not None and asking.done():
            self._asking = None
            asking.result()
        for run in self._runs():
            for request in list(open_asks(run).values()):
                step = self._step_here(run, request.step)
                if self._answers.has_for(step):
                    await self._give(run, request, step)
                    return
                if self._asker is not None and self._asker.is_there and self._asking is None:
                    self._asking = asyncio.create_task(self._asker.ask(run, request))
                    self._asking.add_done_callback(lambda _: self._changed.set())
                    return

    async def _give(self, run: Actor, request: Request, step: str) -> None:
        try:
            await self._answers.give(self.service, run, request, step, self._progress.screen)
        except RunFinished:
            pass
        self._changed.set()

    def _runs(self) -> list[Actor]:
        return [run for run in self.engine.runs.values() if not run.is_over]

    def _step_here(self, run: Actor, step: str) -> str:
        """The step of the started flow that something in a flow it calls stands for."""
        seen = 0
        while run.parent is not None and seen < 64:
            parent = self.engine.runs.get(run.parent[0])
            if parent is None:
                break
            act = next((a for child, a in parent.state.children.items() if child == run.run_id), run.parent[1])
            caller = parent.state.acts.get(act)
            if caller is None:
                break
            run, step, seen = parent, caller.step.name, seen + 1
        return step

    def _waits_for_others(self, root: Actor) -> bool:
        """Whether only people or events from outside can move anything on: nothing runs, no timer of its own is set."""
        if self._asking is not None or (self._asker is not None and self._asker.is_there and self._has_requests()):
            return False
        return self._rests_for_others(root, set())

    def _has_requests(self) -> bool:
        return any(open_asks(run) for run in self._runs())

    def _rests_for_others(self, run: Actor, seen: set[str]) -> bool:
        state = run.state
        if run.is_over or run.run_id in seen:
            return run.run_id in seen
        seen.add(run.run_id)
        if run.plan.ir.kind == "function" and not run.is_quiet:
            return False  # one branch of it may wait while another one works
        if state.is_over or state.busy > 0 or any(timer.kind not in OTHERS for timer in state.timers.values()):
            return False
        if run.plan.ir.kind == "function" and not run.is_quiet:  # a question is open, and other branches still work
            return False
        if any(self._answers.has_for(self._step_here(run, request.step)) for request in open_asks(run).values()):
            return False
        for child in state.children:
            actor = self.engine.runs.get(child)
            if actor is None or not self._rests_for_others(actor, seen):
                return False
        return True

    async def _end(self) -> None:
        if self._asking is not None:
            if self._root is not None and self._root.is_over:  # it sees so itself, and tells that the question is gone
                await asyncio.wait({self._asking}, timeout=LAST_WORD_S)
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._asker is not None:
            self._asker.close()
        self._progress.screen.close()
