"""What a timer that comes due does to a run: again, a wait, a deadline, a join, the run's own end, requests to people."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.runtime import ticks as t
from orchestrator.runtime.ending import end_drain, fail_run
from orchestrator.runtime.joins import expire_join
from orchestrator.runtime.reduction import (
    Reduction,
    doom,
    pull,
    restart,
    unpark,
)
from orchestrator.runtime.state import Status, Timer
from orchestrator.runtime.waiting import drop_waits, expire_wait


def fire_timer(r: Reduction, tick: t.TimerFired) -> None:
    """A timer came due; one that was cleared does nothing."""
    state = r.state
    timer = state.timers.pop(tick.timer, None)
    if timer is None:
        return
    _FIRE[timer.kind](r, timer)


def _fire_again(r: Reduction, timer: Timer) -> None:
    act = r.state.acts.get(timer.ref)
    if act is not None:
        restart(r, act)


def _fire_wait(r: Reduction, timer: Timer) -> None:
    expire_wait(r, timer.ref, timer.data)


def _fire_sleep(r: Reduction, timer: Timer) -> None:
    act = r.state.acts.get(timer.ref)
    if act is not None:
        unpark(r, act)
        r.out.append(t.Wake(act, "wait", "slept", None))


def _fire_deadline(r: Reduction, timer: Timer) -> None:
    act = r.state.acts.get(timer.ref)
    if act is None:
        return
    drop_waits(r, act)
    if act.waits:
        act.waits = 1
        unpark(r, act)
    act.attempt += 1
    act.is_running = False
    r.out.append(t.CancelTask(act))
    doom(r, act, "deadline", f"step `{act.step.name}` was not done by its deadline")


def _fire_join(r: Reduction, timer: Timer) -> None:
    expire_join(r, r.plan.steps[timer.ref], timer.data)


def _fire_run(r: Reduction, timer: Timer) -> None:
    error = {"code": "timeout", "message": "the run took longer than its timeout", "step": None, "attempt": 0}
    fail_run(r, {**error, "details": None}, Status.TIMEOUT)


def _fire_drain(r: Reduction, timer: Timer) -> None:
    end_drain(r)


def _fire_rate(r: Reduction, timer: Timer) -> None:
    r.state.seen.discard(f"rate:{timer.ref}")
    pull(r, r.plan.steps[timer.ref])


def _fire_request(r: Reduction, timer: Timer) -> None:
    from orchestrator.runtime.people import fire_request_timer

    fire_request_timer(r, timer)


_FIRE: dict[str, Callable[[Reduction, Timer], None]] = {
    "again": _fire_again,
    "wait": _fire_wait,
    "sleep": _fire_sleep,
    "deadline": _fire_deadline,
    "join": _fire_join,
    "run": _fire_run,
    "drain": _fire_drain,
    "rate": _fire_rate,
    "remind": _fire_request,
    "escalate": _fire_request,
    "expire": _fire_request,
}
