"""One seeded history: several workers, runs and people over one journal, with crashes, stalls, skewed clocks and lost answers,
and then a quiet time in which everything must end. Afterwards every invariant of SAFETY is checked against what was kept.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.authoring.project import Project
from orchestrator.errors import OrchestratorError, RunFinished, StoreError
from orchestrator.journal.memory import MemoryJournal
from orchestrator.plugin.services import StepContext
from orchestrator.runtime.codec import PLAIN, decode_tick
from orchestrator.runtime.durable import DurableEngine
from orchestrator.runtime.flow_bind import start_tick
from orchestrator.runtime.journal import FINAL, Batch, Committed, InboxEntry
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.sink import SnapshotRule
from orchestrator.runtime.snapshot import encode_state, fold
from orchestrator.runtime.state import RunState
from tests.durable.battery import BATTERY, Calls, Case
from tests.durable.kit import World, settled_calls
from tests.sim.faults import FaultyJournal, Rates
from tests.sim.loop import SimClock, SimLoop, Stuck

FAULTS_S = 20.0
QUIET_S = 400.0
LEASE_S = 3.0


@dataclass
class Truth(MemoryJournal):
    """The journal, with a history of who committed what."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[tuple[str, int, str]] = []
        self.settled: set[tuple[str, int]] = set()

    def commit_now(self, batch: Batch) -> Committed:
        run = self.rows.get(batch.run_id)
        before = (len(run.ticks), run.status) if run is not None else (0, "")
        result = super().commit_now(batch)
        run = self.rows[batch.run_id]
        if before[1] in FINAL:
            assert len(run.ticks) == before[0], "something happened after the end"
        if batch.ticks and len(run.ticks) > before[0]:
            self.history.append((batch.run_id, batch.epoch, batch.worker))
            if any(text.startswith(('["settled"', '["progress"')) for text in batch.ticks):
                self.settled = settled_calls(self)
        return result


@dataclass
class Worker:
    """A simulated process."""

    name: str
    journal: FaultyJournal
    engine: DurableEngine
    clock: SimClock

    @property
    def is_alive(self) -> bool:
        return not self.journal.is_dead

    def crash(self) -> None:
        self.journal.die()
        self.engine.abandon()


@dataclass
class Sim:
    """The state of one history."""

    seed: int
    rng: random.Random
    truth: Truth
    plans: dict[str, FlowPlan]
    project: Project
    cases: dict[str, Case] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    accepted: set[tuple[str, str]] = field(default_factory=set)
    seen: dict[str, list[Any]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    count: int = 0

    def start_worker(self) -> Worker:
        self.count += 1
        rng = random.Random(self.rng.random())
        rates = Rates() if self.rng.random() < 0.8 else Rates(busy=0.15, unknown=0.15, slow_s=0.3)
        journal = FaultyJournal(self.truth, rng, rates)
        clock = SimClock(self.rng.uniform(-1, 1))
        engine = DurableEngine(
            journal,
            self.project.plan,
            clock=clock,
            worker=f"w{self.count}",
            lease_s=LEASE_S,
            poll_s=0.5,
            snapshots=SnapshotRule(ticks=3, bytes=200, idle_ticks=2),
        )
        engine.serve()
        worker = Worker(f"w{self.count}", journal, engine, clock)
        self.workers.append(worker)
        return worker

    @property
    def alive(self) -> list[Worker]:
        return [w for w in self.workers if w.is_alive]

    @property
    def is_over(self) -> bool:
        return all(
            run_id in self.truth.rows and self.truth.rows[run_id].status in FINAL for run_id in self.cases
        ) and all(r.status in FINAL for r in self.truth.rows.values())


CURRENT: list[Sim] = []


class SimCalls(Calls):
    """Calls that check, when they begin, that their result is not there yet."""

    async def _note(self, ctx: StepContext) -> None:
        sim = CURRENT[0]
        run: Any = getattr(ctx, "run")  # noqa: B009 - the protocol hides it
        worker = run.engine.worker
        call = (ctx.idempotency_key, ctx.attempt)
        row = sim.truth.rows[ctx.run_id]
        if call in sim.truth.settled and row.owner == worker and row.epoch == run.sink.epoch:
            sim.violations.append(f"{call} was called by {worker}, who holds the run, after its result was kept")
        await asyncio.sleep(sim.rng.choice((0.0, 0.0, 0.01, 0.3)))


@cache
def project_with_plans() -> tuple[Project, dict[str, FlowPlan]]:
    """The compiled battery; the same for every seed."""
    world = World(Path(tempfile.mkdtemp(prefix="sim-")), MemoryJournal(), **SimCalls().steps())
    plans = {case.name: world.prepare(case) for case in BATTERY}
    plans |= {name: world.plan(text, name) for case in BATTERY for name, text in case.others.items()}
    return world.project, plans


def simulate(seed: int, truth: Truth | None = None) -> Sim:
    """Run one history and check it. Raises: AssertionError, Stuck."""
    project, plans = project_with_plans()
    sim = Sim(seed, random.Random(seed), truth or Truth(), plans, project)
    CURRENT[:] = [sim]
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(_history(sim))
    check(sim)
    return sim


async def _history(sim: Sim) -> None:
    for _ in range(sim.rng.randint(1, 3)):
        sim.start_worker()
    tasks = []
    for number in range(sim.rng.randint(1, 3)):
        case = sim.rng.choice(BATTERY)
        sim.cases[f"r{number}"] = case
        tasks.append(asyncio.create_task(_client(sim, f"r{number}", case)))
        tasks.append(asyncio.create_task(_reader(sim, f"r{number}")))
    await _chaos(sim)
    for worker in sim.workers:
        worker.journal.rates = Rates(0.0, 0.0)
    if not sim.alive:
        sim.start_worker()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + QUIET_S
    while not sim.is_over and loop.time() < deadline:
        await asyncio.sleep(1.0)
    if not sim.is_over:
        rows = {r.new.run_id: (r.status, r.outcome, r.owner, r.ready_at) for r in sim.truth.rows.values()}
        raise Stuck(f"seed {sim.seed}: not everything ended: {rows}")
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    for worker in sim.alive:
        await worker.engine.aclose()


async def _chaos(sim: Sim) -> None:
    loop, rng = asyncio.get_running_loop(), sim.rng
    while loop.time() < FAULTS_S:
        await asyncio.sleep(rng.expovariate(0.6))
        if not sim.workers:
            continue
        worker = rng.choice(sim.workers)
        match rng.choice(("crash", "crash", "stall", "jump", "start", "nothing")):
            case "crash" if worker.is_alive:
                worker.crash()
                loop.call_later(rng.random() * 2, lambda: len(sim.alive) < 3 and sim.start_worker())
            case "stall":
                worker.journal.stalled_until = loop.time() + rng.choice((0.5, LEASE_S * 1.5, LEASE_S * 4))
            case "jump":
                worker.clock.skew_s = rng.uniform(-3, 3)
            case "start" if len(sim.alive) < 3:
                sim.start_worker()


async def _client(sim: Sim, run_id: str, case: Case) -> None:
    """Starts a run, sends what it needs, twice and in any order, and goes on until it was heard."""
    await _start(sim, run_id, case)
    posts = [(f"event-{n}", "event", {"type": e, "value": f}) for n, (e, f) in enumerate(case.events)]
    if sim.rng.random() < 0.1:
        sim.cancelled.add(run_id)
        posts.append(("stop", "cancel", {"reason": "somebody changed their mind"}))
    while sim.truth.rows[run_id].status not in FINAL:
        await asyncio.sleep(sim.rng.random() * 2)
        for dedup, kind, data in sim.rng.sample(posts, len(posts)):
            await _post(sim, InboxEntry(run_id, kind, data, dedup, SimClock().now()))
        await _answer(sim, run_id, case)


async def _start(sim: Sim, run_id: str, case: Case) -> None:
    while run_id not in sim.truth.rows:
        if not sim.alive:
            await asyncio.sleep(0.5)
            continue
        worker = sim.rng.choice(sim.alive)
        plan = sim.plans[case.name]
        try:
            starting = worker.engine.start(plan, start_tick(plan, case.inputs, worker.clock.now()), run_id=run_id)
            async with asyncio.timeout(2):
                await starting
        except (OrchestratorError, TimeoutError):
            await asyncio.sleep(0.2)


async def _post(sim: Sim, entry: InboxEntry) -> None:
    if not sim.alive or sim.truth.rows[entry.run_id].status in FINAL:
        return
    worker = sim.rng.choice(sim.alive)
    try:
        async with asyncio.timeout(5):
            await worker.engine.deliver(entry)
    except (StoreError, TimeoutError) as error:
        if not isinstance(error, RunFinished):
            return
    if entry.dedup in sim.truth.rows[entry.run_id].inbox:
        sim.accepted.add((entry.run_id, entry.dedup))


async def _answer(sim: Sim, run_id: str, case: Case) -> None:
    for request in list(sim.truth.rows[run_id].requests.values()):
        for step, user, verdict in sim.rng.sample(case.answers, len(case.answers)):
            if request.state == "open" and request.step == step:
                data = {"request": request.request_id, "who": {"user": user}, "form": {"verdict": verdict}}
                number = sim.rng.randint(0, 2)  # people click twice
                await _post(sim, InboxEntry(run_id, "answer", data, f"{user}-{number}", SimClock().now()))


async def _reader(sim: Sim, run_id: str) -> None:
    """Follows a run's log by number, as a page does."""
    seen = sim.seen.setdefault(run_id, [])
    while True:
        row = sim.truth.rows.get(run_id)
        if row is not None:
            for seq, tick in await sim.truth.ticks(run_id, len(seen) - 1, 5):
                assert seq == len(seen)
                seen.append(tick)
            if row.status in FINAL and len(seen) == len(row.ticks):
                return
        await asyncio.sleep(sim.rng.random())


def check(sim: Sim) -> None:
    """Every invariant, against what was kept."""
    truth = sim.truth
    assert not sim.violations, sim.violations
    for run_id, case in sim.cases.items():
        row = truth.rows[run_id]
        is_cancelled = run_id in sim.cancelled and row.status == "cancelled"
        assert is_cancelled or row.status == case.status, (run_id, case.name, row.status, row.outcome)
        if case.outputs is not None and not is_cancelled:
            assert row.outcome["result"] == case.outputs, row.outcome
    for run_id, row in truth.rows.items():
        ticks = [json.loads(text) for text in row.ticks]
        if run_id in sim.seen:
            assert sim.seen[run_id] == ticks, "a reader saw another log"
        _check_ticks(sim, run_id, ticks)
        _check_state(sim, run_id)
        epochs = [epoch for run, epoch, _ in truth.history if run == run_id]
        assert epochs == sorted(epochs), "a worker committed after it was fenced"
        owners: dict[int, str] = {}
        for run, epoch, worker in truth.history:
            if run == run_id:
                assert owners.setdefault(epoch, worker) == worker, "two workers committed with one epoch"
    from orchestrator.journal.audit import verify

    assert verify(truth.audit_log).is_intact


def _check_ticks(sim: Sim, run_id: str, ticks: list[Any]) -> None:
    settled: set[tuple[int, int]] = set()
    dedups: dict[str, int] = {}
    for seq, row in enumerate(ticks):
        tick: Any = decode_tick(seq, row, PLAIN)
        if row[0] == "settled":
            assert (tick.act, tick.attempt) not in settled, "a result was kept twice"
            settled.add((tick.act, tick.attempt))
        elif row[0] == "event":
            dedups[tick.dedup] = dedups.get(tick.dedup, 0) + 1
    assert all(count == 1 for count in dedups.values()), "an event was applied twice"
    for run, dedup in sim.accepted:
        if run == run_id and dedup.startswith("event-"):
            item = sim.truth.rows[run].inbox[dedup]
            assert item.is_done, "an accepted event was never consumed"
    decided = [e for e in sim.truth.audit_log if e.row.run_id == run_id and e.row.action == "request.decided"]
    requests = [e.row.data["request"] for e in decided]
    assert len(requests) == len(set(requests)), "a request was decided twice"


def _check_state(sim: Sim, run_id: str) -> None:
    """The state after a snapshot and the ticks after it is that of all ticks."""
    row = sim.truth.rows[run_id]
    plan = next(p for p in sim.plans.values() if p.hash == row.flow_hash)
    ticks = [decode_tick(seq, json.loads(text), PLAIN) for seq, text in enumerate(row.ticks)]
    if row.snapshot is not None:
        folded = encode_state(fold(plan, RunState(), ticks[: row.snapshot[0]]), PLAIN)
        assert json.loads(json.dumps(folded)) == json.loads(row.snapshot[1]), (
            "the snapshot is not the state of its ticks"
        )
