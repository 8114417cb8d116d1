"""Drives the run of one flow test: real steps where they are pure, mocks where not, answers and events from the test.

The clock stands still while anything happens. When the run is quiet, answers that are left are given first; then the next
event of the test or the next timer comes due, whichever is earlier.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.run_service import RunService
from orchestrator.errors import StepError
from orchestrator.ir.model import FlowIR
from orchestrator.language.nodes import to_plain
from orchestrator.language.spec import TestEvent, TestSpec
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.answering import AnswerRefused, answer_request
from orchestrator.runtime.clock import VirtualClock
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.flow_bind import FlowBinding, bind_flow
from orchestrator.runtime.people import Request
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.state import Activation, Phase
from orchestrator.testing.flow_expect import Problem
from orchestrator.testing.mocks import mock_of, mocked_call

if TYPE_CHECKING:  # only named
    from orchestrator.authoring.project import Project

MAX_TURNS = 100_000
REAL_LIMIT_S = 30.0


class FlowBench:
    """One test under way. `actor` is the run, `problems` what went wrong besides what is expected of the run."""

    def __init__(self, project: Project, flow: FlowIR, test: TestSpec) -> None:
        self.project = project
        self.flow = flow
        self.test = test
        self.clock = VirtualClock()
        self.engine = Engine(clock=self.clock)
        self.actor: Actor | None = None
        self.problems: list[Problem] = []
        self._answers: dict[str, deque[Any]] = {
            step: deque(x.value for x in items) for step, items in test.answers.items()
        }
        self._mocks: dict[str, Any] = {step: mock_of(mock.value) for step, mock in test.mocks.items()}
        self._unmocked: set[tuple[str, str]] = set()
        llm = project.config.llm
        self._has_recording = bool(llm.replay or llm.record)
        people = project.config.people
        self._groups_of: dict[str, list[str]] | None = {} if people.groups else None
        for group, users in people.groups.items():
            for user in users:
                assert self._groups_of is not None
                self._groups_of.setdefault(user, []).append(group)

    async def run(self) -> None:
        """Drive the run until it ends or can only wait.

        Raises: UsageError for wrong inputs; StepError if a step runs for very long in real time.
        """
        plan = self._plan(self.flow)
        inputs = to_plain(self.test.inputs) if self.test.inputs is not None else {}
        assert isinstance(inputs, dict)
        self.actor = await RunService(self.engine).start(plan, inputs)
        started = self.clock.now()
        events = deque(sorted(self.test.events, key=_after))
        for _ in range(MAX_TURNS):
            await self._settle()
            if self.actor.is_over:
                break
            if self._give_answer():
                continue
            next_timer = self.clock.next_due()
            if events and (next_timer is None or started + _after(events[0]) <= next_timer):
                self._send(events.popleft(), started)
            elif not self.clock.advance_to_next():
                break
        else:
            self._problem(f"the run took more than {MAX_TURNS} turns; does a loop never end?")
        for event in events:
            self._problem(f"the run ended before `{event.event.value}` came", event)

    def leftovers(self) -> list[Problem]:
        """Answers and mocks that nothing asked for: no failure, but often a sign that the test expects something else."""
        found = []
        for step, queue in self._answers.items():
            if queue:
                found.append(Problem(f"{len(queue)} of the answers for `{step}` were not asked for", self._place(step)))
        for step, mock in self._mocks.items():
            if isinstance(mock, deque) and mock:
                found.append(Problem(f"{len(mock)} of the mocks of `{step}` were not used", self._place(step)))
        return found

    def _problem(self, text: str, at: TestEvent | None = None) -> None:
        self.problems.append(Problem(text, at.event.span if at is not None else self.test.name.span))

    def _place(self, step: str) -> Any:  # a Span
        key = self.test.answer_keys.get(step) or self.test.mock_keys.get(step)
        return key.span if key is not None else self.test.name.span

    # The run.

    def _plan(self, flow: FlowIR) -> FlowPlan:
        is_top = flow is self.flow
        binding = FlowBinding(
            self.project.catalog,
            self.project.hub,
            resolve_flow=self._child,
            intercept=self._intercept,
            people=self.project.binding.people,
            replaced=frozenset(name.partition(".")[0] for name in self._mocks) if is_top else frozenset(),
        )
        return bind_flow(flow, binding)

    def _child(self, parent: FlowIR, name: str) -> FlowPlan:
        resolve = self.project.binding.resolve_flow
        assert resolve is not None
        return self._plan(resolve(parent, name).ir)

    async def _settle(self) -> None:
        """Let everything happen that needs no time."""
        limit = time.monotonic() + REAL_LIMIT_S
        turns = 0
        while not all(run.is_quiet for run in self.engine.runs.values()):
            turns += 1
            await asyncio.sleep(0 if turns < 100 else 0.002)
            if time.monotonic() > limit:
                runs = self.engine.runs.values()
                busy = sorted({a.step.name for r in runs for a in r.state.acts.values() if a.is_running})
                raise StepError("timeout", f"step {', '.join(busy)} ran for more than {REAL_LIMIT_S:g} s of real time")

    def _send(self, event: TestEvent, started: float) -> None:
        assert self.actor is not None
        self.clock.advance(max(0.0, started + _after(event) - self.clock.now()))
        value = event.with_ if event.with_ is not None else {}
        if self.actor.is_over:
            self._problem(f"the run ended before `{event.event.value}` came", event)
        else:
            self.actor.apply(t.EventIn(0, 0.0, -1, event.event.value, value))

    def _step_here(self, run: Actor, step: str) -> str:
        """The step of the tested flow that something in a child run stands for: the one that called the child."""
        while run.parent is not None:
            parent = self.engine.runs.get(run.parent[0])
            act = parent.state.acts.get(run.parent[1]) if parent is not None else None
            if parent is None or act is None:
                break
            run, step = parent, act.step.name
        return step

    # People.

    def _give_answer(self) -> bool:
        for run in list(self.engine.runs.values()):
            for request in list(run.state.requests.values()):
                queue = self._answers.get(self._step_here(run, request.step))
                if queue and not self._must_wait(request, queue[0]):
                    self._answer(run, request, dict(queue.popleft()))
                    return True
        return False

    def _must_wait(self, request: Request, answer: dict[str, Any]) -> bool:
        """Whether the answer is of somebody who is asked only after the escalation, which has not come."""
        data = request.data
        escalate = data.get("escalate")
        if not escalate or request.is_escalated:
            return False
        user = str(answer.get("as", ""))
        first, later = data.get("to") or {}, escalate.get("to") or {}
        if user in first.get("not", ()) or user in first.get("users", ()):
            return False
        groups = answer["groups"] if "groups" in answer else self._groups(request, user)
        if set(groups) & set(first.get("groups", ())):
            return False
        return user in later.get("users", ()) or bool(set(groups) & set(later.get("groups", ())))

    def _groups(self, request: Request, user: str) -> list[str]:
        """The groups of a person: those of the project, or without `[people]` whatever the request asks for."""
        if self._groups_of is not None:
            return self._groups_of.get(user, [])
        audience = request.data.get("to") or {}
        escalated = (request.data.get("escalate") or {}).get("to") or {}
        return [*audience.get("groups", ()), *escalated.get("groups", ())]

    def _answer(self, run: Actor, request: Request, form: dict[str, Any]) -> None:
        """Give one answer. One that people may not give is refused as in real life; one that fits no form is a problem."""
        user = str(form.pop("as", "") or "someone")
        groups = form.pop("groups", None)
        item = form.pop("item", None)
        action = "answer"
        if request.data.get("edit") and isinstance(form.get("edit"), str) and len(form) == 1:
            action, form = "edit", {"text": form["edit"]}
        groups = self._groups(request, user) if groups is None else groups
        try:
            answer_request(run, request.id, user=user, groups=groups, form=form, item=item, action=action)
        except AnswerRefused as error:
            if error.kind == "invalid":
                step = self._step_here(run, request.step)
                self.problems.append(Problem(f"the answer of {user} to `{step}`: {error}", self._place(step)))

    # Calls.

    def _intercept(
        self, run: Actor, act: Activation, target: str, inputs: dict[str, Any], suffix: str
    ) -> Awaitable[Any] | None:
        name = act.step.name if act.phase is Phase.MAIN else f"{act.step.name}.{act.phase.value}"
        is_child = run.parent is not None
        if not is_child and name in self._mocks:
            return mocked_call(name, self._mocks[name])
        info = self.project.catalog.get(target)
        if info is not None and (info.effect == "none" or (info.namespace == "llm" and self._has_recording)):
            return None
        top = self._step_here(run, name)
        if (top, name) not in self._unmocked:
            self._unmocked.add((top, name))
            where = f"step `{name}`" if not is_child else f"step `{top}` runs `{run.plan.ir.name}`, whose step `{name}`"
            self._problem(f"{where} calls `{target}`, which may have an effect; give it a mock: `mocks: {{{top}: …}}`")
        return mocked_call(name, {"error": "test.unmocked", "message": f"`{name}` is not mocked"})


def _after(event: TestEvent) -> float:
    return event.after.value.seconds if event.after is not None else 0.0
