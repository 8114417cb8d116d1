"""How a `run()` call gets its run: a new one, one that waits, one from a checkpoint, or a fork. Checks before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.errors import JournalConflict, UnknownRun
from orchestrator.functional.cutting import before_path, forked, without_end
from orchestrator.functional.entries import Entry, tick_of
from orchestrator.functional.errors import ReplayDiverged, RequestError, RunArgumentError
from orchestrator.functional.questions import several_runs, unknown_request
from orchestrator.functional.record_log import RecordLog, is_end
from orchestrator.functional.session import Phase, RunSession
from orchestrator.functional.sink import UNKEPT, RecordSink
from orchestrator.functional.values import Encoded, Value, copy_value, decode, encode, untyped
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.engine import Engine, current_engine, new_run_id
from orchestrator.runtime.reduce import reduce_tick
from orchestrator.runtime.reduction import Reduction
from orchestrator.runtime.state import RunState

if TYPE_CHECKING:  # a workflow makes openings; a journal is loaded when a store is used
    from orchestrator.functional.journalled import StoredRuns
    from orchestrator.functional.workflow import FunctionalWorkflow

OnDivergence = Literal["abort", "continue", "fork"]


class Opening:
    """The arguments of one `run()`."""

    __slots__ = (
        "_is_plain",
        "_stored",
        "checkpoint_id",
        "engine",
        "has_message",
        "is_streaming",
        "message",
        "on_divergence",
        "responses",
        "run_id",
        "storage",
        "store",
        "workflow",
    )

    def __init__(
        self,
        workflow: FunctionalWorkflow[Any],
        storage: RecordLog | None,
        store: Any,  # a URL, a Journal or an engine
        *,
        is_plain: bool,
    ) -> None:
        self.workflow = workflow
        self.storage = storage
        self.store = store
        self.engine: Engine | None = None
        self._stored: StoredRuns | None = None
        self.has_message = False
        self.message: Value = None
        self.responses: dict[str, Value] | None = None
        self.checkpoint_id: str | None = None
        self.run_id: str | None = None
        self.on_divergence: OnDivergence = "abort"
        self.is_streaming = False
        self._is_plain = is_plain

    @property
    def is_plain(self) -> bool:
        """Whether nothing but a message was given."""
        return self._is_plain and self.responses is None and self.checkpoint_id is None and self.run_id is None

    def check(self) -> None:
        """Whether the arguments go together. Raises: RunArgumentError."""
        name, shape = self.workflow.name, self.workflow.shape
        resumes = self.responses is not None or self.checkpoint_id is not None
        if self.responses is not None and not isinstance(self.responses, dict):
            raise RunArgumentError(
                f"{name}: responses is a dict of request id to answer, not {type(self.responses).__name__}"
            )
        if self.has_message and resumes:
            other = "responses" if self.responses is not None else "checkpoint_id"
            raise RunArgumentError(f"{name}: a message starts a run and {other} goes on with one; give one of them")
        if self.responses is not None and not self.responses and self.checkpoint_id is None:
            raise RunArgumentError(f"{name}: responses is empty; answer at least one request")
        if self.checkpoint_id is not None and self.storage is None:
            hint = "; a run in a store goes on by its run_id" if self.store is not None else ""
            raise RunArgumentError(f"{name}: checkpoint_id needs a checkpoint_storage, here or in @workflow(...){hint}")
        if self.on_divergence not in ("abort", "continue", "fork"):
            raise RunArgumentError(
                f'{name}: on_divergence is "abort", "continue" or "fork", not {self.on_divergence!r}'
            )
        if self.run_id is not None and not (isinstance(self.run_id, str) and self.run_id):
            raise RunArgumentError(f"{name}: run_id is {self.run_id!r}; it must be a non-empty text, or left out")
        if self.has_message and shape.input is None:
            raise RunArgumentError(f"{name}: takes no input, but was given {self.message!r}")
        if (
            not self.has_message
            and not resumes
            and shape.input is not None
            and not shape.has_default
            and self.run_id is None
        ):
            raise RunArgumentError(f"{name}: needs a message for `{shape.input}`, or responses, or a checkpoint_id")

    async def begin(self) -> tuple[RunSession, Phase]:
        """Get the run going; gives it and the look at it."""
        self._open()
        if self._stored is not None:
            return await self._begin_stored(self._stored)
        if self.checkpoint_id is not None:
            session = await self._from_checkpoint(self.checkpoint_id)
        elif self.responses is not None:
            session = await self._waiting()
        else:
            known = await self._known()
            if known is None:
                return self._start()
            session = known
        return await self._go_on(session)

    def _open(self) -> None:
        """Find the engine of the store, if there is one."""
        if self.store is None or self.engine is not None:
            return
        from orchestrator.functional.journalled import StoredRuns, engine_for

        self.engine = engine_for(self.store)
        if hasattr(self.engine, "journal"):
            self._stored = StoredRuns(self.workflow, self.engine)

    async def _begin_stored(self, runs: StoredRuns) -> tuple[RunSession, Phase]:
        if self.run_id is not None and not self.responses:
            known = await runs.find_known(self.run_id, self.has_message)
            if known is not None:
                return await self._go_on(known)
            self._need_message()
        elif self.responses is not None:
            run = runs.find_waiting(self.responses) if self.run_id is None else runs.find(self.run_id)
            return await self._go_on(await run)
        session, phase = await runs.start(self.first_tick(is_kept=True), self.run_id)
        session.is_streaming, session.on_divergence = self.is_streaming, self.on_divergence
        return session, phase

    def _start(self) -> tuple[RunSession, Phase]:
        tick = self.first_tick(is_kept=self.storage is not None)
        session = self._adopt(self.run_id or new_run_id(), None)
        session.actor.apply(tick)
        return session, session.begin_phase()

    def first_tick(self, *, is_kept: bool) -> t.Started:
        """What a new run starts with: the message, as JSON too if it is kept. Raises: NotSerializable."""
        workflow, shape = self.workflow, self.workflow.shape
        message: dict[str, Value] = {}
        if shape.input is not None:
            given = self.message if self.has_message else shape.default
            what = f"workflow `{workflow.name}`: the message"
            if is_kept:
                given = Encoded(encode(given, shape.input_hint, what), given)
            message[shape.input] = given if is_kept else copy_value(given, what)
        inputs = {name: untyped(value.json) if type(value) is Encoded else value for name, value in message.items()}
        return t.Started(0, 0.0, -1, "Start", message, inputs, meta={"workflow": workflow.name})

    async def _go_on(self, session: RunSession) -> tuple[RunSession, Phase]:
        session.is_streaming = self.is_streaming
        session.on_divergence = self.on_divergence
        if session.actor.is_over:
            return session, session.show_end(self.responses or {})
        try:
            new = session.check_answers(self.responses or {})
        except BaseException:
            if session.current is None:
                self.workflow.keep(session)
            raise
        phase = session.begin_phase()
        if new:
            session.answer(new)
        elif session.current is None and session.pending() and self.responses and self.checkpoint_id is None:
            await session.repeat_questions()
        else:
            session.start_pass()
        return session, phase

    def _adopt(self, run_id: str, state: RunState | None) -> RunSession:
        actor = (self.engine or current_engine()).create(self.workflow.plan, run_id=run_id, state=state)
        session = RunSession(self.workflow, actor, is_streaming=self.is_streaming)
        session.on_divergence = self.on_divergence
        if self.storage is not None:
            actor.sink = RecordSink(actor, self.storage)
        self.workflow.sessions[run_id] = session
        return session

    # Finding the run.

    async def find(self) -> RunSession:
        """The run that `run_id` names. Raises: UnknownRun."""
        self._open()
        if self._stored is not None and self.run_id is not None:
            return await self._stored.find(self.run_id)
        session = await self._known()
        if session is None:
            raise UnknownRun(f"no run {self.run_id!r} of workflow `{self.workflow.name}` is known here")
        return session

    async def _known(self) -> RunSession | None:
        """The run that `run_id` names, if there is one. Raises: JournalConflict if a message would start it again."""
        if self.run_id is None:
            return None
        session = self.workflow.sessions.get(self.run_id)
        entries = await self.storage.read(self.run_id) if self.storage is not None and session is None else None
        if (session is not None or entries) and self.has_message:
            raise JournalConflict(f"run {self.run_id!r} exists already; leave the message out to go on with it")
        if session is not None:
            self._attach(session)
            return session
        if entries:
            return await self._by_name(self.run_id, entries)
        self._need_message()
        return None

    def _need_message(self) -> None:
        shape = self.workflow.shape
        if not self.has_message and shape.input is not None and not shape.has_default:
            raise UnknownRun(
                f"no run {self.run_id!r} of workflow `{self.workflow.name}` is known here; give a message to start it"
            )

    async def _waiting(self) -> RunSession:
        """The one waiting run that asked for all the given answers. Raises: RequestError."""
        wanted = set(self.responses or {})
        here = {
            run_id: session
            for run_id, session in self.workflow.sessions.items()
            if self._has_same_storage(session) and wanted <= session.asked.keys() and session.pending()
        }
        found: dict[str, RunSession | None] = dict(here)
        pending = {name for session in self.workflow.sessions.values() for name in session.pending()}
        for summary in await self.storage.summaries(self.workflow.name) if self.storage is not None else ():
            pending.update(summary.pending)
            if wanted <= summary.asked and summary.pending:
                found.setdefault(summary.run_id, None)
        if self.run_id is not None:
            return await self._named(found)
        if not found:
            lost = next((name for name in sorted(wanted) if name not in pending), sorted(wanted)[0])
            raise RequestError(f"workflow `{self.workflow.name}`: " + unknown_request(lost, sorted(pending)))
        if len(found) > 1:
            raise RequestError(several_runs(self.workflow.name, wanted, found))
        return await self._take(*next(iter(found.items())))

    async def _named(self, found: dict[str, RunSession | None]) -> RunSession:
        assert self.run_id is not None
        if self.run_id in found:
            return await self._take(self.run_id, found[self.run_id])
        session = self.workflow.sessions.get(self.run_id)
        if session is not None:
            return session
        entries = await self.storage.read(self.run_id) if self.storage is not None else None
        if not entries:
            raise UnknownRun(f"no run {self.run_id!r} of workflow `{self.workflow.name}` is known here")
        return await self._by_name(self.run_id, entries)

    async def _by_name(self, run_id: str, entries: Sequence[Entry]) -> RunSession:
        """The run of an id as it is: one that has ended is only looked at."""
        if is_end(tick_of(entries[-1])):
            return self._fold(run_id, [tick_of(entry, self.workflow.plan.codec) for entry in entries])
        return await self._restore(run_id, entries, entries)

    async def _take(self, run_id: str, session: RunSession | None) -> RunSession:
        if session is not None:
            self._attach(session)
            return session
        assert self.storage is not None
        entries = await self.storage.read(run_id) or ()
        return await self._restore(run_id, entries, entries)

    def _attach(self, session: RunSession) -> None:
        """Have a run that waited in memory go on in this event loop."""
        engine = current_engine()
        if session.actor.engine is not engine:
            session.actor.engine = engine
            engine.runs[session.actor.run_id] = session.actor

    def _has_same_storage(self, session: RunSession) -> bool:
        sink = session.actor.sink
        return (sink.storage if isinstance(sink, RecordSink) else None) is self.storage

    # Restoring.

    async def _from_checkpoint(self, checkpoint_id: str) -> RunSession:
        assert self.storage is not None
        checkpoint = await self.storage.load(checkpoint_id)
        if checkpoint.workflow_name != self.workflow.name:
            raise RunArgumentError(
                f"checkpoint {checkpoint_id!r} is of workflow `{checkpoint.workflow_name}`, not `{self.workflow.name}`"
            )
        if self.run_id is not None and self.run_id != checkpoint.run_id:
            raise RunArgumentError(f"checkpoint {checkpoint_id!r} is of run {checkpoint.run_id}, not {self.run_id}")
        entries = [checkpoint.entries[i] for i in range(checkpoint.count)]
        everything = await self.storage.read(checkpoint.run_id) or entries
        return await self._restore(checkpoint.run_id, entries, everything)

    async def _restore(self, run_id: str, entries: Sequence[Entry], everything: Sequence[Entry]) -> RunSession:
        """The run as its entries say; a fork, if the run has gone on since or has ended."""
        assert self.storage is not None
        kept = without_end(entries, everything)
        is_fork = len(kept) < len(everything) or run_id in self.workflow.sessions
        if is_fork:
            kept = [forked(kept[0], run_id, self.workflow.plan.codec, self.workflow.name), *kept[1:]]
            run_id = new_run_id()
            pending = self.storage.append(run_id, kept)
            if pending is not None:
                await pending
        return self._fold(run_id, [tick_of(entry, self.workflow.plan.codec) for entry in kept])

    def _fold(self, run_id: str, ticks: list[t.Tick]) -> RunSession:
        reduction = Reduction(self.workflow.plan, RunState())
        for tick in ticks:
            reduce_tick(reduction, tick)
        if reduction.state.is_over:  # only looked at: nobody needs to find it
            session = RunSession(self.workflow, Actor(current_engine(), self.workflow.plan, run_id, reduction.state))
            session.last_tick = ticks[-1]
        else:
            session = self._adopt(run_id, reduction.state)
        first = ticks[-1].seq + 1
        if self.storage is not None and not session.actor.is_over:
            first = reduction.state.seq = first + UNKEPT
        session.actor.base = first
        for tick in ticks:
            if isinstance(tick, t.EventIn):
                session.given[tick.type.removeprefix("?")] = decode(tick.value, None)
        session.keep_questions(tick for tick in ticks if isinstance(tick, t.WaitOpened))
        return session

    async def follow(self, session: RunSession, phase: Phase) -> tuple[RunSession, Phase]:
        """What comes after a phase that was given up: the fork, if that was asked for. Raises: the phase's error."""
        error = phase.error
        assert error is not None
        if not isinstance(error, ReplayDiverged) or self.on_divergence != "fork":
            raise error
        self.on_divergence = "continue"  # what was recorded before the call holds; the rest is new
        run_id = session.actor.run_id
        if self._stored is not None:
            fork = await self._stored.fork(session, error)
        elif self.storage is not None:
            entries = await self.storage.read(run_id) or []
            kept = before_path(entries, error.path)
            fork = await self._restore(run_id, kept, entries)
        else:
            ticks = [tick for tick in session.actor.log if not isinstance(tick, tuple) and _is_replayed(tick)]
            cut = next((i for i, tick in enumerate(ticks) if getattr(tick, "path", None) == error.path), len(ticks))
            fork = self._fold(new_run_id(), ticks[:cut])
            for name, question in fork.asked.items():
                question.response_type = session.asked[name].response_type
        fork.is_streaming = self.is_streaming
        next_phase = fork.begin_phase()
        fork.start_pass()
        return fork, next_phase


def _is_replayed(tick: t.Tick) -> bool:
    return not isinstance(tick, t.Streamed | t.StepSettled | t.Cancel)
