"""Makes the calls of a YAML step: one, or one per item, and none that its `id` or `cache` key has a result for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchestratorError
from orchestrator.ir.model import FlowIR, StepIR
from orchestrator.runtime import ticks as t
from orchestrator.runtime.state import Activation, Phase

if TYPE_CHECKING:  # the actor holds plans, which hold bodies
    from orchestrator.runtime.actor import Actor
    from orchestrator.runtime.flow_bind import FlowBinding

from orchestrator.runtime.flow_outcome import Call, error_record, plain_result


class PerformsCalls:
    """The half of a step's body that has effects."""

    flow: FlowIR
    ir: StepIR
    binding: FlowBinding
    _call: Call | None
    _fallback: Call | None
    _finally: Call | None
    _undo: Call | None
    _items: Any  # a compiled expression

    def perform(self, run: Actor, act: Activation) -> Any:
        """Make the call; a step without one has the result null."""
        if act.phase is Phase.MAIN:
            if self._call is None:
                return None
            if self._items is not None:
                return self._perform_items(run, act, self._call)
            return self._perform_known(
                run, act, self._call, act.input["with"], "", act.input.get("id"), act.input.get("cache")
            )
        call = {Phase.FALLBACK: self._fallback, Phase.FINALLY: self._finally, Phase.UNDO: self._undo}[act.phase]
        assert call is not None
        return self._invoke(run, act, call, act.input["with"], "")

    async def _perform_known(
        self,
        run: Actor,
        act: Activation,
        call: Call,
        inputs: dict[str, Any],
        suffix: str,
        key: str | None,
        cache: str | None,
    ) -> Any:
        """The call, unless its `id` or `cache` key has a result already."""
        if key is None and cache is None:
            return await self._invoke(run, act, call, inputs, suffix)
        memory = run.engine.call_memory or self.binding.memory
        if cache is not None and key is None:
            ttl_s = self.ir.cache.ttl_s if self.ir.cache is not None else None
            name = f"{self.flow.name}:{self.ir.name}"
            return await memory.cached(
                name, cache, ttl_s, run.now(), lambda: self._invoke(run, act, call, inputs, suffix)
            )
        holder = f"{run.run_id}/{self.ir.name}/{act.id}{suffix}"
        return await memory.once(
            self.flow.name, str(key), inputs, lambda: self._invoke(run, act, call, inputs, suffix), holder
        )

    async def _perform_items(self, run: Actor, act: Activation, call: Call) -> list[Any]:
        """One call per item, in parallel up to `concurrency`; every result is recorded as soon as it is there."""
        inputs: list[dict[str, Any]] = act.input["each"]
        results: list[Any] = [None] * len(inputs)
        slots = asyncio.Semaphore(self.ir.policy.concurrency or max(1, len(inputs)))
        keeps = self.ir.for_each is not None and self.ir.for_each.keeps_errors
        keys, caches = (_per_item(act.input.get(name), len(inputs)) for name in ("id", "cache"))

        async def one(index: int) -> None:
            path = f"item/{index}"
            known = (act.record or {}).get(path)
            if known is not None:
                results[index] = known[1]
                return
            async with slots:
                try:
                    value = plain_result(
                        await self._perform_known(
                            run, act, call, inputs[index], f"/{index}", keys[index], caches[index]
                        )
                    )
                except OrchestratorError as error:
                    if not keeps:
                        raise
                    value = {"error": error_record(error, self.ir.name, act.attempt)}
            results[index] = value
            if act.id in run.state.acts:
                run.apply(t.Progress(0, 0.0, act.cause, act.id, path, value))

        try:
            async with asyncio.TaskGroup() as group:
                for index in range(len(inputs)):
                    group.create_task(one(index))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return results

    def _invoke(self, run: Actor, act: Activation, call: Call, inputs: dict[str, Any], suffix: str) -> Awaitable[Any]:
        return self.binding.invoke(run, act, call.target, inputs, suffix)


def _per_item(keys: Any, count: int) -> list[str | None]:  # JSON; text in journals from before keys were per item
    """The `id` or `cache` key of every item."""
    return keys if isinstance(keys, list) else [None] * count
