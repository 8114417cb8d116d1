"""Binds a YAML flow to its callables: makes its plan, invokes what its steps call, checks payloads at the edges."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchestratorError, PluginError, StepError, UsageError
from orchestrator.ir.model import FlowIR
from orchestrator.plugin.catalog import Catalog
from orchestrator.plugin.hub import ServiceHub
from orchestrator.plugin.info import CallableInfo
from orchestrator.plugin.invoke import Invoker, bind_apart
from orchestrator.plugin.schema_check import compile_schema
from orchestrator.runtime import ticks as t
from orchestrator.runtime.flow_outcome import resolved
from orchestrator.runtime.flow_scope import due_of
from orchestrator.runtime.flow_step import FlowStepBody
from orchestrator.runtime.limits import DEFAULT_LIMITS, RunLimits
from orchestrator.runtime.plan import FlowPlan, plan_flow
from orchestrator.runtime.state import Activation

if TYPE_CHECKING:  # the actor holds plans, which hold this
    from orchestrator.runtime.actor import Actor

Intercept = Callable[["Actor", Activation, str, dict[str, Any], str], Awaitable[Any] | None]


@dataclass(slots=True)
class CallContext:
    """The attempt that a callable runs in; the `StepContext` of plugins."""

    run: Actor
    act: Activation
    loop: asyncio.AbstractEventLoop
    suffix: str = ""

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id

    @property
    def flow(self) -> str:
        """The flow's name; for a placed call, that of the flow whose step it is."""
        return self.run.plan.ir.name.partition(".")[0]

    @property
    def step(self) -> str:
        """The step's name."""
        return self.act.step.name

    @property
    def attempt(self) -> int:
        """The attempt, from 1."""
        return self.act.attempt

    @property
    def idempotency_key(self) -> str:
        """The same over all attempts of this call."""
        return f"{self.run.run_id}/{self.act.step.name}/{self.act.id}/{self.act.phase.value}{self.suffix}"

    @property
    def log(self) -> logging.Logger:
        """A logger named after the step."""
        return logging.getLogger(f"orchestrator.step.{self.act.step.name}")

    def now(self) -> datetime:
        """The engine's time."""
        return datetime.fromtimestamp(self.run.now(), UTC)

    def emit_progress(self, value: Any) -> None:
        """Show how far the step is."""
        self.write({"type": "progress", "step": self.step, "value": value})

    def write(self, event: Mapping[str, Any]) -> None:
        """Put an event on the run's stream, from any thread."""
        item = dict(event)
        if self.loop is _running_loop():
            self.run.stream(item, self.act.id, self.act.attempt)
        else:
            self.loop.call_soon_threadsafe(self.run.stream, item, self.act.id, self.act.attempt)


class CallMemory:
    """Results under `id` and `cache` keys, in memory; a durable store has its own with the same two methods."""

    def __init__(self) -> None:
        self._once: dict[tuple[str, str], tuple[str, asyncio.Future[Any]]] = {}
        self._cached: dict[tuple[str, str], tuple[float | None, Any]] = {}

    async def once(self, flow: str, key: str, inputs: Any, call: Callable[[], Awaitable[Any]], holder: str = "") -> Any:
        """The result under an `id`: made once, joined while it runs, reused afterwards. `holder` is who makes the call.

        Raises: StepError `id.conflict` if the key was used with other inputs. A failed call frees the key.
        """
        digest = digest_of(inputs)
        known = self._once.get((flow, key))
        if known is not None:
            if known[0] != digest:
                raise StepError(
                    "id.conflict", f"id {key!r} was used before with other inputs; an id names one piece of work"
                )
            return await asyncio.shield(known[1])
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._once[(flow, key)] = (digest, future)
        try:
            result = await call()
        except BaseException as error:
            del self._once[(flow, key)]
            if isinstance(error, asyncio.CancelledError):
                future.cancel()
            else:
                future.set_exception(error)
                future.exception()  # somebody may or may not wait for it
            raise
        future.set_result(result)
        return result

    async def spent(self, run_id: str) -> Any:  # plain JSON
        """What a run has spent on models in other processes; in memory there are none."""
        return None

    async def keep_spent(self, run_id: str, spent: Any) -> None:  # plain JSON
        """Let other processes know what a run has spent."""

    async def cached(
        self, scope: str, key: str, ttl_s: float | None, now: float, call: Callable[[], Awaitable[Any]]
    ) -> Any:
        """The result under a `cache` key that is younger than `ttl_s`, else a new one."""
        known = self._cached.get((scope, key))
        if known is not None and (known[0] is None or now < known[0]):
            return known[1]
        result = await call()
        self._cached[(scope, key)] = (now + ttl_s if ttl_s is not None else None, result)
        return result


def digest_of(value: Any) -> str:
    """A short name of plain data; equal data gives equal names."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(slots=True)
class FlowBinding:
    """What the steps of YAML flows are bound to in one process."""

    catalog: Catalog
    hub: ServiceHub
    resolve_flow: Callable[[FlowIR, str], FlowPlan] | None = None
    intercept: Intercept | None = None
    people: Mapping[str, list[str]] | None = None
    limits: RunLimits = DEFAULT_LIMITS
    replaced: frozenset[str] = frozenset()  # steps whose sub-flow is not run but intercepted
    memory: CallMemory = field(default_factory=CallMemory)
    _invokers: dict[str, Invoker] = field(default_factory=dict)
    _generation: int = 0

    def invoke(self, run: Actor, act: Activation, target: str, inputs: dict[str, Any], suffix: str) -> Awaitable[Any]:
        """Call a callable by name with rendered inputs; secrets are put in here and nowhere else."""
        if self.intercept is not None:
            answer = self.intercept(run, act, target, inputs, suffix)
            if answer is not None:
                return answer
        return self._invoke(run, act, target, inputs, suffix)

    async def _invoke(self, run: Actor, act: Activation, target: str, inputs: dict[str, Any], suffix: str) -> Any:
        if self._generation != self.catalog.generation:  # files have changed
            self._invokers.clear()
            self._generation = self.catalog.generation
        try:
            invoker = self._invokers.get(target) or await self._bind(target)
        except PluginError as error:
            await _set_aside(run, error)
            raise
        context = CallContext(run, act, asyncio.get_running_loop(), suffix)
        services = self.hub.services(context, invoker.info)
        services.ledger = run.engine.call_memory
        if run.plan.ir.secrets:
            inputs = resolved(inputs, lambda name: services.secrets.get(name).reveal())
        try:
            return await invoker(inputs, services)
        except StepError as error:
            misfit = misfit_of(target, inputs, invoker.info) if error.code == "type.payload" else None
            if misfit is not None:  # not the flow's mistake: it was checked against another version of the callable
                await _set_aside(run, misfit)
            raise

    async def _bind(self, target: str) -> Invoker:
        info = self.catalog.get(target)
        problem = self.catalog.problem(target)
        if problem is not None:
            raise PluginError(f"`{target}` cannot be called here: {problem.message}", plugin=target, code="binding")
        if info is None:
            raise PluginError(f"nothing is registered as `{target}` here", plugin=target, code="binding")
        generation = self.catalog.generation
        invoker = await bind_apart(info, self.hub.import_limit_s)
        if generation == self.catalog.generation:
            self._invokers[target] = invoker
        return invoker

    def follow(self, newer: FlowBinding) -> None:
        """Call from now on what the project that was loaded anew has, for runs that began before."""
        self.catalog, self.hub, self.people = newer.catalog, newer.hub, newer.people
        self._generation = -1

    def start_child(self, run: Actor, target: str, inputs: dict[str, Any]) -> tuple[FlowPlan, t.Started]:
        """The plan and first tick of `call: flow.x`."""
        plan = self.called_flow(run.plan.ir, target)
        if plan.start is not None:
            return plan, plan.start(inputs, run.now())
        return plan, start_tick(plan, inputs, run.now())

    def called_flow(self, flow: FlowIR, target: str) -> FlowPlan:
        """The plan of `flow.x`. Raises: UsageError, StoreError if it is not known here."""
        if self.resolve_flow is None:
            raise UsageError(f"{target} cannot be resolved: this flow was loaded without a project")
        return self.resolve_flow(flow, target.partition(".")[2])

    def membership(self, to: dict[str, list[str]] | None) -> dict[str, Any]:
        """Who can answer, where that is known: {"eligible": [user] or None, "groups_of": {user: [group]}}."""
        if to is None:
            return {"eligible": None, "groups_of": {}}
        if self.people is None:
            return {"eligible": None if to["groups"] or not to["users"] else to["users"], "groups_of": {}}
        eligible = dict.fromkeys(to["users"])
        groups_of: dict[str, list[str]] = {}
        for group, members in self.people.items():
            for user in members:
                groups_of.setdefault(user, []).append(group)
            if group in to["groups"]:
                eligible.update(dict.fromkeys(members))
        return {"eligible": list(eligible) or None, "groups_of": groups_of}

    def check_payload(self, plan: FlowPlan, emission: t.Emission) -> None:
        """Check what a step sends against the type of the event.

        Raises: StepError `type.payload`.
        """
        event = plan.ir.events.get(emission[0])
        if event is not None and event.kind == "step":
            return  # what a callable gave was checked when it returned
        schema: Any = plan.ir.outputs if emission[0] in plan.ir.stop else (event.schema if event is not None else True)
        if schema is True or not schema or not schema.get("properties"):
            return
        problems = compile_schema(schema).problems(emission[1])
        if problems:
            shown = "; ".join(f"`{p.path.lstrip('.')}` {p.message}" if p.path else p.message for p in problems[:5])
            raise StepError("type.payload", f"event `{emission[0]}`: {shown}")


async def _set_aside(run: Actor, error: OrchestratorError) -> None:
    """Park a run whose callable is not here as the flow knows it; returns where runs cannot be parked, which fail then."""
    if run.engine.set_aside_soon(run, error):
        await asyncio.get_running_loop().create_future()  # until the run is dropped here


def misfit_of(target: str, inputs: Mapping[str, Any], info: CallableInfo) -> PluginError | None:
    """Why a callable is not the one that a flow was checked against, as far as the names of its fields tell."""
    missing = [name for name in info.required if name not in inputs]
    unknown = [name for name in inputs if name not in info.fields]
    if not missing and not unknown:
        return None
    said = f"needs `{missing[0]}`" if missing else f"takes no `{unknown[0]}`"
    message = (
        f"`{target}` {said}, which it did not when this run began; `orchestrator migrate` moves the run to a new flow"
    )
    return PluginError(message, plugin=target, code="binding")


def bind_flow(flow: FlowIR, binding: FlowBinding) -> FlowPlan:
    """The flow, ready to run.

    Raises: ExprSyntaxError for IR that no compiler has checked.
    """
    bodies = {name: FlowStepBody(flow, step, binding) for name, step in flow.steps.items()}
    return plan_flow(flow, bodies, limits=binding.limits)


def start_tick(plan: FlowPlan, inputs: Mapping[str, Any], now: float, **meta: Any) -> t.Started:
    """The first tick of a run, with defaults filled in and inputs checked.

    Raises: UsageError that names every input that is missing, unknown or of the wrong type.
    """
    flow = plan.ir
    schema: Any = flow.inputs or {"type": "object", "properties": {}, "additionalProperties": False}
    values = dict(inputs)
    for name, part in schema.get("properties", {}).items():
        if name not in values and isinstance(part, dict) and "default" in part:
            values[name] = part["default"]
    problems = compile_schema({"additionalProperties": False, **schema}).problems(values)
    if problems:
        shown = "; ".join(f"`{p.path.lstrip('.')}` {p.message}" if p.path else p.message for p in problems[:8])
        raise UsageError(f"flow `{flow.name}` cannot start: {shown}", code="inputs")
    deadline = due_of(flow.timeout, now, flow.timezone) if flow.timeout is not None else None
    state = json.loads(json.dumps(flow.state))
    if plan.limits.undelivered_events != DEFAULT_LIMITS.undelivered_events:
        meta["undelivered"] = plan.limits.undelivered_events  # kept with the run: a replay decides by it
    return t.Started(0, 0.0, -1, flow.start, dict(values), values, state, meta, deadline)


def _start_of(
    start: Callable[[Mapping[str, Any], float], t.Started],
) -> Callable[[FlowPlan, Mapping[str, Any], float], t.Started]:
    return lambda plan, inputs, now: start(inputs, now)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
