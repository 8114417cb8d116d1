"""When a run that is here may be given up, and how: a waiting run is rows only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import (
    OrchestratorError,
)
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.sink import ActorSink

if TYPE_CHECKING:  # loaded with the first flow that keeps results
    pass

from orchestrator.runtime.durable_base import HeldRuns


class RestingRuns(HeldRuns):
    """Letting go of runs that rest."""

    def status_of(self, actor: Actor) -> str:
        """A run's status as its row shows it."""
        state = actor.state
        if state.is_over or (state.busy > 0 and not actor.is_quiet):
            return state.status.value
        return "waiting"

    def may_release(self, actor: Actor, sink: ActorSink) -> bool:
        """Whether the claim can be given up with the next commit: the run is over, or rests and nobody here needs it."""
        if actor.state.is_over:
            return True
        if sink.pins or not (actor.is_quiet or (actor.is_passive and actor.rests)):
            return False
        return self.serves or actor.is_passive

    def wake_at_of(self, actor: Actor) -> float | None:
        """When a run that is given up is due: now if something is under way in it, else with its next timer."""
        if not actor.rests or actor.has_ready:
            return self.clock.now()
        return min((x.due for x in actor.state.timers.values()), default=None)

    def rest_if_quiet(self, actor: Actor) -> None:
        """Give up a run that rests, if that is not under way already."""
        sink = self.sinks.get(actor.run_id)
        if sink is None or sink.actor is not actor or sink.is_dirty or sink.is_releasing or actor.state.is_over:
            return
        if self.may_release(actor, sink):
            sink.is_releasing = True
            self.keeper.spawn(self.give_up(actor, sink))

    async def give_up(self, actor: Actor, sink: ActorSink) -> None:
        """Let go of a run whose ticks are committed; whatever is under way in it is started again by the next claimer."""
        sink.is_releasing = True
        wake_at = self.wake_at_of(actor)
        self._drop(actor)
        try:
            await self.journal.release(actor.run_id, sink.epoch, wake_at=wake_at)
        except OrchestratorError:
            self.keeper.give_up_later(actor.run_id, sink.epoch, wake_at)
            raise
        self.keeper.wake()

    def finished(self, actor: Actor) -> None:
        """A run has ended and that is committed."""
