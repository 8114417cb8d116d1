"""A function as the one step of a flow: its FlowIR, and the body that the runtime drives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from orchestrator.authoring.python_child import show_in_parent
from orchestrator.errors import RunCancelled
from orchestrator.functional.errors import RequestError
from orchestrator.functional.events import WorkflowErrorDetails
from orchestrator.functional.outcomes import Outcome, Raised, Returned, Superfluous
from orchestrator.functional.questions import schema_of
from orchestrator.functional.session import RunSession
from orchestrator.functional.values import Encoded, encode, plain_json
from orchestrator.ir.model import BodyIR, EventIR, FlowIR, StepIR
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.questions import relayed
from orchestrator.runtime.state import Activation, EventRef

if TYPE_CHECKING:  # a workflow owns its body
    from orchestrator.functional.workflow import FunctionalWorkflow


def flow_from_function(workflow: FunctionalWorkflow[Any]) -> FlowIR:
    """The flow of a functional workflow: one procedure step from Start to Stop that may ask.

    What the function calls is not in it: calls are found when they happen, and recorded by their path. So no change of the
    code makes another flow; a change that matters shows when a recorded call is not repeated.
    """
    shape = workflow.shape
    takes: dict[str, Any] = {"type": "object", "properties": {}}
    if shape.input is not None:
        schema = schema_of(shape.input_hint) if shape.input_hint is not None else None
        takes["properties"][shape.input] = True if schema is None else schema
        takes["required"] = [] if shape.has_default else [shape.input]
    origin = shape.origin
    return FlowIR(
        name=workflow.name,
        kind="function",
        events={
            "Start": EventIR("Start", schema=takes, kind="start", origin=origin),
            "Stop": EventIR("Stop", kind="stop", origin=origin),
            "Request": EventIR("Request", kind="ask", origin=origin),
        },
        steps={
            workflow.name: StepIR(
                name=workflow.name,
                accepts=("Start",),
                emits=("Stop",),
                body=BodyIR("procedure", ref=workflow.name),
                description=workflow.description or "",
                origin=origin,
            )
        },
        inputs=takes,
        drain_s=0.0,
        description=workflow.description or "",
        origin=origin,
    )


def session_of(workflow: FunctionalWorkflow[Any], run: Actor) -> RunSession:
    """What this process knows of a run; made here for a run that its engine started, woke or took from a journal."""
    if isinstance(run.data, RunSession):
        return run.data
    told = run.on_finish
    session = RunSession(workflow, run)
    session.keep_questions(tick for tick in run.log if isinstance(tick, t.WaitOpened))
    session.keep_open_questions()
    if told is not None:
        finish = session.finished

        def tell(actor: Actor) -> None:
            finish(actor)
            told(actor)

        run.on_finish = tell
    return session


def go_on(run: Actor) -> None:
    """Have the function of a run that its store gave back run again: a branch of it may have worked when its process died.

    One that only waits comes to the same pause, from its record. What came for the run meanwhile is applied first.
    """

    def start() -> None:
        is_idle = not (run.is_over or run.is_passive or run.has_drivers or run.has_ready)
        body: Any = next(iter(run.plan.steps.values())).body
        is_opening = run.run_id in body.workflow.opening  # whoever takes it up says what comes next
        if is_idle and run.lost is None and run.state.acts and not is_opening:
            session_of(body.workflow, run).start_pass()

    asyncio.get_running_loop().call_soon(start)


def attach(run: Actor) -> None:
    """Give a run of a function its live side: what it shows is shown by its caller too, and it goes on."""
    show_in_parent(run)
    go_on(run)


class FunctionBody:
    """The body of the step: a pass over the function."""

    is_plain = True
    is_pure = False

    def __init__(self, workflow: FunctionalWorkflow[Any]) -> None:
        self.workflow = workflow

    def guard(self, run: Actor, event: EventRef) -> t.Delivered:
        """Never asked for: the step has no condition."""
        return t.Delivered(0, 0.0, -1, event.id, self.workflow.name, True)

    def prepare(self, run: Actor, act: Activation) -> t.StepStarted:
        """Nothing to prepare."""
        return t.StepStarted(0, 0.0, act.cause, act.id, act.attempt)

    async def perform(self, run: Actor, act: Activation) -> Outcome:
        """One pass."""
        session = session_of(self.workflow, run)
        if (
            session.current is not None
        ):  # an engine that took the run from its store and an answer both asked for a pass
            return Superfluous()
        current = session.begin_pass(act)
        if run.sink is not None:
            await run.sink.flush()
        work = current.execute(lambda: self.workflow.start_body(current, act.events[0].value))
        if current.traces:
            from orchestrator.functional.tracing import traced_pass

            outcome = await traced_pass(run, work)
        else:
            outcome = await work
        if run.sink is not None:
            await run.sink.flush()
        return outcome

    def settle(self, run: Actor, act: Activation, result: Outcome) -> t.StepSettled | None:
        """What a pass came to; None if the run goes on later."""
        if isinstance(result, Returned):
            value = result.value
            if run.sink is not None and value is not None:
                what = f"the result of workflow `{self.workflow.name}`"
                try:
                    value = Encoded(encode(value, self.workflow.shape.return_hint, what), value)
                except Exception as error:  # NotSerializable, or whatever a custom serializer raises
                    return self.fail(run, act, error)
            return t.StepSettled(0, 0.0, act.cause, act.id, act.attempt, (("Stop", value, None),))
        if isinstance(result, Raised):
            return self.fail(run, act, result.error)
        if not isinstance(result, Superfluous):
            session_of(self.workflow, run).end_pass(result)
        return None

    def fail(self, run: Actor, act: Activation, error: BaseException | dict[str, Any]) -> t.StepSettled:
        """The function raised: the run has failed."""
        if isinstance(error, dict):
            record = {**error, "type": error.get("code", "error")}
            return t.StepSettled(0, 0.0, act.cause, act.id, act.attempt, error=record)
        if isinstance(error, asyncio.CancelledError):
            error = RunCancelled("the workflow function was cancelled from inside", run_id=run.run_id)
        run.exception = error
        details = WorkflowErrorDetails.of(error, self.workflow.name)
        record = {
            "code": getattr(error, "code", None) if isinstance(getattr(error, "code", None), str) else "step.failed",
            "type": details.error_type,
            "message": details.message,
            "step": self.workflow.name,
            "attempt": act.attempt,
            "details": None,
        }
        return t.StepSettled(0, 0.0, act.cause, act.id, act.attempt, error=record)

    def wake(self, run: Actor, act: Activation, wake: t.Wake) -> None:
        """An answer has come."""
        session_of(self.workflow, run).wake(act, wake.path)

    def questions(self, run: Actor) -> dict[str, Any]:
        """The open questions of a live run, as `question_data` takes them."""
        session = session_of(self.workflow, run)
        asked = {request_id: session.asked[request_id] for request_id in session.pending()}
        return {
            request_id: {"text": q.text, "source": q.source, "schema": q.schema, "data": plain_json(q.data)}
            for request_id, q in asked.items()
        }

    def answer(self, run: Actor, request_id: str, value: Any) -> None:
        """Take an answer to an open question. Raises: RequestError, InvalidResponse; the question stays open."""
        session = session_of(self.workflow, run)
        asked = session.asked.get(request_id)
        if asked is not None and (real := relayed({"data": plain_json(asked.data)})):
            raise RequestError(f"question {request_id!r} repeats request {real}; answer that one")
        session.answer(session.check_answers({request_id: value}))

    def child_start(self, run: Actor, act: Activation, child: str) -> tuple[Any, t.Started]:
        """The plan and first tick of a flow that the function starts."""
        started: tuple[Any, t.Started] = session_of(self.workflow, run).starting.pop(child)
        return started

    def adopt_child(self, run: Actor, act: Activation, child: Actor) -> None:
        """Give the run of such a flow its live side, before its first tick."""
        session_of(self.workflow, run).expected.pop(child.run_id)(child)

    def drop(self, run: Actor, act: Activation) -> None:
        """The driver is cancelled with the activation and ends the pass; who waits for a run that is gone is told."""
        if run.lost is not None and isinstance(run.data, RunSession):
            run.data.lost(run.lost)
