"""`await load("x.flow.yaml").run(...)` inside a workflow function: a recorded call, whose flow is a child run.

What people are asked by the flow, the function asks in turn: the run pauses, its requests have ids like `review#0/ask-2`, and
`run(responses={...})` answers them with the fields of the form and `as`, the name of who answers. Over a store the flow's run
is kept with the function's; with a checkpoint storage it begins again in another process and gets the recorded answers.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from orchestrator.authoring.child_runs import recorded_result
from orchestrator.authoring.engines import host_of
from orchestrator.authoring.open_requests import OpenRequest, OpenRequests
from orchestrator.authoring.run_service import RunService
from orchestrator.authoring.run_start import Start, is_durable, show_child, take
from orchestrator.authoring.taking_up import acquired
from orchestrator.errors import RunFinished, StoreBusy
from orchestrator.functional.frames import Frame, current_frame, frame_here, path_name
from orchestrator.functional.questions import ask
from orchestrator.functional.signature import FunctionShape
from orchestrator.functional.steps import StepDefinition, run_step
from orchestrator.ir.model import Origin
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.answering import AnswerRefused
from orchestrator.runtime.questions import RELAYS

WHO = "as"


class FlowCall:
    """One call of a flow in a workflow function; its place is taken when it is made, and it runs when it is awaited."""

    __slots__ = ("_frame", "_inputs", "_name", "_outcome", "_path", "_place", "_start")

    def __init__(self, start: Start, frame: Frame, name: str, inputs: Mapping[str, Any]) -> None:
        self._start = start
        self._frame = frame
        self._name = name
        self._inputs = dict(inputs)
        self._place = frame.calls
        frame.calls += 1
        part = path_name(name)
        self._path = f"{frame.path}{part}#{frame.next(part)}"
        self._outcome: asyncio.Future[Any] | None = None

    async def result(self) -> Any:
        """The outputs of the flow, the same for everyone who awaits them. Raises: what failed it."""
        if self._outcome is None:
            self._outcome = asyncio.get_running_loop().create_future()
            definition = StepDefinition(self._perform, _SHAPE, self._name)
            try:
                value = await run_step(definition, self._frame, self._path, self._place, (), self._inputs)
            except Exception as error:
                self._outcome.set_exception(error)
                self._outcome.exception()
                raise
            self._outcome.set_result(value)
            return value
        return await asyncio.shield(self._outcome)

    async def _perform(self, **inputs: Any) -> Any:
        frame = current_frame.get()
        assert frame is not None
        child = await _Child.of(self._start, frame, self._path, self._name)
        try:
            return await child.ended()
        finally:
            child.leave()


class _Child:
    """The child run of a call, in one pass over the function."""

    def __init__(self, start: Start, frame: Frame, path: str, run_id: str) -> None:
        self._start = start
        self._frame = frame
        self._path = path
        self._run_id = run_id
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._is_pinned = False

    @classmethod
    async def of(cls, start: Start, frame: Frame, path: str, name: str) -> _Child:
        """The child of a call: a new one, or the one that an earlier pass or process has started."""
        parent, act = frame.run.actor, frame.run.act
        digest = hashlib.sha256(path.encode()).hexdigest()[:8]
        child = cls(start, frame, path, f"{parent.run_id}.{path_name(name)}-{digest}")
        if child._run_id in (act.record or {}):
            return child
        if child._run_id not in parent.state.children or not await child._found(parent):
            await child._begun(parent)
        child._pin(1)
        return child

    async def _begun(self, parent: Actor) -> None:
        start, session, act = self._start, self._frame.run.session, self._frame.run.act
        start.began = asyncio.get_running_loop().create_future()
        tick = start.launch.first_tick(parent.now())
        session.starting[self._run_id] = (start.launch.plan(), tick)
        self._expect(parent)
        start.run_id = self._run_id
        if self._run_id in parent.state.children:  # its process is gone, and no store has it
            parent.apply(t.ChildSettled(0, 0.0, -1, self._run_id, "cancelled"))
            (act.record or {}).pop(self._run_id, None)
        parent.apply(t.ChildOpened(0, 0.0, act.cause, act.id, f"{self._path}/!flow", self._run_id))
        if parent.sink is not None:
            await parent.sink.flush()
        if self._run_id not in (act.record or {}):
            await start.began

    async def _found(self, parent: Actor) -> bool:
        live = parent.engine.runs.get(self._run_id)
        if live is not None:
            self._start.run = live
            if not is_durable(parent.engine):
                parent.engine.adopt(parent, live)
            return True
        if not is_durable(parent.engine):
            return False
        self._expect(parent)
        engine: Any = parent.engine
        try:
            await acquired(engine, self._run_id)
        except (StoreBusy, RunFinished):
            pass  # its end is told in any case
        return True

    def _expect(self, parent: Actor) -> None:
        """Take the child's actor when it is there."""
        if is_durable(parent.engine):
            host_of(parent.engine).expected[self._run_id] = self._adopt
        else:
            self._frame.run.session.expected[self._run_id] = self._adopt

    def _adopt(self, actor: Actor) -> None:
        take(self._start, actor)
        show_child(self._frame.run.actor, actor)
        began = self._start.began
        if began is not None and not began.done():
            began.set_result(None)

    def _pin(self, count: int) -> None:
        """Keep the child in this process as long as the pass lasts."""
        run = self._start.run
        if run is None or run.sink is None or not is_durable(run.engine) or (count < 0 and not self._is_pinned):
            return
        engine: Any = run.engine
        sink: Any = run.sink
        self._is_pinned = count > 0
        if count > 0:
            sink.pins += 1
        elif run.lost is None:
            engine.unpin(run)

    def leave(self) -> None:
        """The pass ends, or the child has."""
        for task in self._asking.values():
            task.cancel()
        self._pin(-1)

    async def ended(self) -> Any:
        """The outputs of the child; until then, what it asks people is asked by the function. Raises: what failed it."""
        run, act = self._frame.run, self._frame.run.act
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        run.session.told[self._run_id] = told
        while self._run_id not in (act.record or {}):
            self._ask_what_is_open()
            waits: list[asyncio.Future[Any]] = [told, *self._asking.values()]
            child = self._start.run
            if child is not None and not (self._asking and child.rests):
                waits.append(child.wait_for_more())
            elif self._asking:
                waits.remove(told)  # only people can move it on: the run may pause
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for name, task in list(self._asking.items()):
                if task.done():
                    del self._asking[name]
                    task.result()
        return recorded_result((act.record or {})[self._run_id])

    def _ask_what_is_open(self) -> None:
        for request in OpenRequests(self._start):
            if request.id not in self._asking:
                self._asking[request.id] = asyncio.create_task(self._ask(request), name=request.id)

    async def _ask(self, request: OpenRequest) -> None:
        """Ask until the request is decided: a quorum takes several answers."""
        count, problem = 0, None
        while any(open_now.id == request.id for open_now in OpenRequests(self._start)):
            frame = frame_here()
            assert frame is not None
            name = f"{self._path}/{request.id}" + (f"/{count + 1}" if count else "")
            answer = await ask(frame, self._shown(request, problem), _answer_type(request), name)
            count += 1
            problem = await self._give(request, dict(answer))

    def _shown(self, request: OpenRequest, problem: str | None) -> dict[str, Any]:
        shown = {
            "flow": request.flow,
            "step": request.step,
            "title": request.title,
            "show": dict(request.show),
            "form": dict(request.form),
            "to": dict(request.to) if request.to is not None else None,
        }
        if (
            self._start.engine is self._frame.run.actor.engine
        ):  # people find the request itself where they would find this
            shown[RELAYS] = f"{request.run_id}/{request.id.rpartition('~')[2]}"
        return shown if problem is None else {**shown, "problem": problem}

    async def _give(self, request: OpenRequest, answer: dict[str, Any]) -> str | None:
        """Answer the child; gives why it was refused, if the question must be asked again."""
        user = str(answer.pop(WHO))
        name = request.id.rpartition("~")[2]
        groups = list((request.to or {}).get("groups", ()))
        known = getattr(self._start.launch, "groups_of", None)
        of_person = known(user) if known is not None else None
        service = RunService(self._start.engine)
        try:
            await service.answer(
                request.run_id, name, user=user, groups=groups if of_person is None else of_person, form=answer
            )
        except AnswerRefused as error:
            return None if error.kind == "conflict" else str(error)
        except RunFinished:
            return None
        return None


def _answer_type(request: OpenRequest) -> Any:  # an annotation
    """What an answer must look like: the fields of the form, and who gives it."""
    form = dict(request.form)
    schema = {
        **form,
        "properties": {**form.get("properties", {}), WHO: {"type": "string"}},
        "required": [*form.get("required", ()), WHO],
    }

    def checked(value: dict[str, Any]) -> dict[str, Any]:
        from orchestrator.plugin.schema_check import compile_schema

        problems = compile_schema({"additionalProperties": False, **schema}).problems(value)
        if problems:
            raise ValueError("; ".join(f"{p.path}: {p.message}" if p.path else p.message for p in problems[:8]))
        return value

    return Annotated[dict[str, Any], AfterValidator(checked), WithJsonSchema(schema)]


_SHAPE = FunctionShape(
    names=(),
    input=None,
    has_default=False,
    input_hint=None,
    context=None,
    context_at=-1,
    default=None,
    is_positional=False,
    return_hint=None,
    origin=Origin(str(Path(__file__)), 1),
)
