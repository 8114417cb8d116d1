"""Runs the `tests:` of a flow file: the real compiler and runtime, virtual time, calls with effects mocked and nothing else.

The clock moves only when the run is quiet: first answers that are left are given, then the next event or timer comes due.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.authoring.project import Project
from orchestrator.authoring.run_service import RunService, path_of
from orchestrator.compiler.compile import Compiled
from orchestrator.diagnostics import Span
from orchestrator.errors import OrchestratorError, StepError
from orchestrator.ir.model import FlowIR
from orchestrator.language.nodes import to_plain
from orchestrator.language.spec import ExpectSpec, TestSpec
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.answering import AnswerRefused, answer_request
from orchestrator.runtime.clock import VirtualClock
from orchestrator.runtime.engine import Engine
from orchestrator.runtime.flow_bind import FlowBinding, bind_flow
from orchestrator.runtime.people import Request
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.state import Activation, Status

MAX_TURNS = 100_000
REAL_LIMIT_S = 30.0


@dataclass(slots=True)
class FlowTestResult:
    """How one test ended; `problems` is empty when it passed."""

    name: str
    span: Span
    problems: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    outputs: Any = None
    took_s: float = 0.0
    edges: set[tuple[str, str]] = field(default_factory=set)

    @property
    def is_ok(self) -> bool:
        """Whether everything that was expected held."""
        return not self.problems


@dataclass(slots=True)
class FlowTestReport:
    """All tests of one file, and which of the flow's edges they took."""

    file: Path
    results: list[FlowTestResult]
    edges: set[tuple[str, str]]

    @property
    def taken(self) -> set[tuple[str, str]]:
        """The (step, event) edges that some test took."""
        return {edge for result in self.results for edge in result.edges} & self.edges

    @property
    def missed(self) -> list[tuple[str, str]]:
        """The edges that no test took, sorted."""
        return sorted(self.edges - self.taken)


def run_flow_tests(project: Project, file: Path, *, only: str | None = None) -> FlowTestReport:
    """Run the tests of a flow file.

    Raises: CompileFailed if the flow has errors.
    """
    compiled = project.compile(file)
    flow = compiled.checked()
    assert compiled.spec is not None
    results = [
        asyncio.run(_run_test(project, compiled, flow, test))
        for test in compiled.spec.tests
        if only is None or only in test.name.value
    ]
    edges = {(step.name, event) for step in flow.steps.values() for event in step.emits}
    return FlowTestReport(file, results, edges)


async def _run_test(project: Project, compiled: Compiled, flow: FlowIR, test: TestSpec) -> FlowTestResult:
    began = time.perf_counter()
    result = FlowTestResult(test.name.value, test.name.span)
    bench = _Bench(project, flow, test)
    try:
        await bench.run()
    except OrchestratorError as error:
        result.problems.append(str(error))
    run = bench.actor
    if run is not None:
        result.path = path_of(run.log)
        result.outputs = run.state.result.value if run.state.result is not None else None
        result.edges = _edges_of(run)
        result.problems += bench.problems
        result.problems += _compare(run, result, test.expect, bench.given)
        if not run.is_over:
            run.discard()
    result.took_s = time.perf_counter() - began
    return result


class _Bench:
    """One test under way."""

    def __init__(self, project: Project, flow: FlowIR, test: TestSpec) -> None:
        self.project = project
        self.flow = flow
        self.test = test
        self.clock = VirtualClock()
        self.engine = Engine(clock=self.clock)
        self.actor: Actor | None = None
        self.problems: list[str] = []
        self.given = 0
        self._answers = {step: deque(x.value for x in items) for step, items in test.answers.items()}
        self._mocks: dict[str, Any] = {
            step: deque(m.value) if isinstance(m.value, list) else m.value for step, m in test.mocks.items()
        }
        people = project.config.people
        self._groups_of: dict[str, list[str]] | None = None
        if people.groups:
            self._groups_of = {}
            for group, users in people.groups.items():
                for user in users:
                    self._groups_of.setdefault(user, []).append(group)

    async def run(self) -> None:
        """Drive the run until it ends or can only wait."""
        plan = self._plan(self.flow)
        inputs = to_plain(self.test.inputs) if self.test.inputs is not None else {}
        assert isinstance(inputs, dict)
        self.actor = await RunService(self.engine).start(plan, inputs)
        started = self.clock.now()
        events = deque(sorted(self.test.events, key=lambda e: e.after.value.seconds if e.after is not None else 0.0))
        for _ in range(MAX_TURNS):
            await self._settle()
            if self.actor.is_over:
                return
            if self._give_answer():
                continue
            next_event = None
            if events:
                after = events[0].after
                next_event = started + (after.value.seconds if after is not None else 0.0)
            next_timer = self.clock.next_due()
            if next_event is not None and (next_timer is None or next_event <= next_timer):
                event = events.popleft()
                self.clock.advance(max(0.0, next_event - self.clock.now()))
                value = event.with_ if event.with_ is not None else {}
                self.actor.apply(t.EventIn(0, 0.0, -1, event.event.value, value))
            elif not self.clock.advance_to_next():
                return
        self.problems.append(f"the run took more than {MAX_TURNS} turns; does a loop never end?")

    def _plan(self, flow: FlowIR) -> FlowPlan:
        binding = FlowBinding(
            self.project.catalog,
            self.project.hub,
            resolve_flow=self._child,
            intercept=self._intercept,
            people=self.project.binding.people,
            replaced=frozenset(name.partition(".")[0] for name in self._mocks),
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
                busy = sorted(
                    {a.step.name for r in self.engine.runs.values() for a in r.state.acts.values() if a.is_running}
                )
                raise StepError("timeout", f"step {', '.join(busy)} ran for more than {REAL_LIMIT_S:g} s of real time")

    def _give_answer(self) -> bool:
        for run in list(self.engine.runs.values()):
            for request in list(run.state.requests.values()):
                queue = self._answers.get(request.step)
                if queue:
                    self._answer(run, request, queue.popleft())
                    return True
        return False

    def _answer(self, run: Actor, request: Request, answer: Any) -> None:
        self.given += 1
        form = dict(answer)
        user = str(form.pop("as", "") or "someone")
        groups = form.pop("groups", None)
        item = form.pop("item", None)
        if groups is None:
            audience = request.data.get("to") or {}
            escalated = (request.data.get("escalate") or {}).get("to") or {}
            open_groups = [*audience.get("groups", ()), *escalated.get("groups", ())]
            groups = open_groups if self._groups_of is None else self._groups_of.get(user, [])
        try:
            answer_request(run, request.id, user=user, groups=groups, form=form, item=item)
        except AnswerRefused as error:
            if error.kind == "invalid":
                self.problems.append(f"the answer of {user} to `{request.step}`: {error}")

    def _intercept(
        self, run: Actor, act: Activation, target: str, inputs: dict[str, Any], suffix: str
    ) -> Awaitable[Any] | None:
        name = act.step.name if act.phase.value == "main" else f"{act.step.name}.{act.phase.value}"
        if name in self._mocks:
            return _answer_mock(name, self._mocks[name])
        info = self.project.catalog.get(target)
        if info is not None and info.effect == "none":
            return None
        self.problems.append(f"step `{name}` calls `{target}`, which may have an effect, and the test does not mock it")
        return _answer_mock(name, {"error": "test.unmocked", "message": f"`{name}` is not mocked"})


async def _answer_mock(name: str, mock: Any) -> Any:  # what a mock holds
    if isinstance(mock, deque):
        if not mock:
            raise StepError("test.mock_spent", f"the mock of `{name}` has no entry left for this attempt")
        mock = mock.popleft()
    if isinstance(mock, dict) and "error" in mock and set(mock) <= {"error", "message", "details"}:
        raise StepError(str(mock["error"]), str(mock.get("message", "")), details=mock.get("details"))
    return mock


def _edges_of(run: Actor) -> set[tuple[str, str]]:
    steps: dict[int, str] = {}
    taken: set[tuple[str, str]] = set()
    for entry in run.log:
        if isinstance(entry, t.StepStarted):
            steps[entry.act] = entry.step
        elif isinstance(entry, t.StepSettled):
            for item in entry.emitted:
                members = item.members if isinstance(item, t.Fan) else (item,)
                taken.update((steps.get(entry.act, "?"), member[0]) for member in members)
    return taken


def _compare(run: Actor, result: FlowTestResult, expect: ExpectSpec | None, given: int) -> list[str]:
    state = run.state
    problems: list[str] = []
    wants_failure = expect is not None and expect.failed is not None
    wants_waiting = expect is not None and expect.waiting is not None
    if state.status in (Status.FAILED, Status.TIMEOUT, Status.CANCELLED) and not wants_failure:
        error = state.error or {}
        problems.append(f"the run {state.status.value}: {error.get('code')}: {error.get('message')}")
    if not run.is_over and not wants_waiting:
        steps = sorted({r.step for r in state.requests.values()}) or ["an event from outside"]
        problems.append(f"the run still waits for {', '.join(steps)}")
    if expect is None:
        return problems
    if expect.path is not None:
        wanted = [name.value for name in expect.path]
        if wanted != result.path:
            problems.append(f"path: expected {' → '.join(wanted)}\n      got      {' → '.join(result.path)}")
    if expect.outputs is not None:
        problems += [
            f"outputs{where}: expected {a!r}, got {b!r}" for where, a, b in _missing(expect.outputs, result.outputs)
        ]
    if expect.failed is not None:
        code = (state.error or {}).get("code") if state.status is not Status.DONE else None
        if code != expect.failed.value:
            problems.append(f"failed: expected {expect.failed.value}, got {code or state.status.value}")
    if expect.events is not None:
        problems += _compare_events([e.value for e in expect.events], run)
    if expect.waiting is not None:
        waiting = sorted(
            {r.step for r in state.requests.values()} | {state.acts[a].step.name for a in state.open_waits}
        )
        if waiting != sorted(w.value for w in expect.waiting):
            problems.append(f"waiting: expected {sorted(w.value for w in expect.waiting)}, got {waiting}")
    return problems


def _compare_events(wanted: list[str], run: Actor) -> list[str]:
    emitted = [
        member[0]
        for entry in run.log
        if isinstance(entry, t.StepSettled)
        for item in entry.emitted
        for member in (item.members if isinstance(item, t.Fan) else (item,))
    ]
    rest = iter(emitted)
    lacking = next((name for name in wanted if name not in rest), None)
    if lacking is None:
        return []
    return [f"events: `{lacking}` was not emitted in this order; emitted were {', '.join(emitted) or 'none'}"]


def _missing(wanted: Any, got: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """What of `wanted` is not in `got`: mappings may have more keys, everything else must be equal."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        found: list[tuple[str, Any, Any]] = []
        for key, value in wanted.items():
            found += _missing(value, got.get(key), f"{where}.{key}")
        return found
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [x for i, (a, b) in enumerate(zip(wanted, got, strict=True)) for x in _missing(a, b, f"{where}[{i}]")]
    return [] if wanted == got and isinstance(wanted, bool) == isinstance(got, bool) else [(where, wanted, got)]
