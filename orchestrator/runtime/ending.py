"""How a run ends: a Stop and its drain, a failure with `undo` and `finally`, cancellation, and a stall."""

from __future__ import annotations

from typing import Any

from orchestrator.runtime.reduction import SERVICE_TIMERS, Reduction, clear_timer, set_timer
from orchestrator.runtime.state import Activation, EventRef, Payload, Phase, RunState, Status, Undo
from orchestrator.runtime.ticks import CancelChild, CancelTask, Finish


def stop_run(r: Reduction, type: str, value: Payload, drain_s: float | None) -> None:
    """Record the result; the first Stop wins. Side branches get `drain_s` seconds (the flow's), or are cancelled at once."""
    state = r.state
    if state.result is not None:
        return
    state.result = EventRef(state.next_id, type, value, None, None)
    state.next_id += 1
    state.final = Status.DONE
    drain_s = r.plan.ir.drain_s if drain_s is None else drain_s
    if drain_s == 0:
        _clear_work(r, keeps_cleanup=True)
        _clean_up(r)
        return
    state.status = Status.STOPPING
    set_timer(r, r.at + drain_s, "drain", None)


def end_drain(r: Reduction) -> None:
    """Cancel what is left after a Stop and finish."""
    _clear_work(r, keeps_cleanup=True)
    _clean_up(r)


def fail_run(r: Reduction, error: dict[str, Any], status: Status = Status.FAILED) -> None:
    """End the run with an error: cancel what runs, undo finished steps newest first, run `finally`, then finish."""
    state = r.state
    if state.status is Status.CLEANING:
        state.error = state.error or error
        return
    if state.result is not None and status is not Status.CANCELLED:
        # a side branch failed after Stop: the result stands, the failure is kept for readers of the run
        state.meta.setdefault("late_errors", []).append(error)
        return
    state.error = error
    state.final = status
    state.result = None
    _clear_work(r, keeps_cleanup=True)
    state.cleanup = list(reversed(state.undo)) + state.cleanup
    state.undo = []
    _clean_up(r)


def cancel_run(r: Reduction, error: dict[str, Any], status: Status) -> None:
    """Cancel or time out the run. A Python workflow keeps its in-flight work in the state, so that it can resume."""
    if r.plan.ir.kind != "yaml":
        state = r.state
        if state.status is Status.CLEANING:
            return
        for act in state.acts.values():
            if act.is_running or act.waits:
                r.out.append(CancelTask(act))
        for child in state.children:
            r.out.append(CancelChild(child))
        for timer in list(state.timers.values()):
            if timer.kind in SERVICE_TIMERS:
                clear_timer(r, timer.id)
        state.error = error
        _finish(r, status)
        return
    fail_run(r, error, status)


def next_cleanup(r: Reduction) -> None:
    """Start the next undo or finally call, or finish."""
    state = r.state
    if not state.cleanup:
        _finish(r, state.final)
        return
    item = state.cleanup.pop(0)
    act = Activation(state.next_id, r.plan.steps[item.step], item.events, None, None, r.cause)
    state.next_id += 1
    act.phase = item.phase
    act.input = item.input
    act.outcome = (item.status, item.result)
    act.error = item.error
    state.acts[act.id] = act
    state.busy += 1
    r.out.append(act)


def settle_quiet(r: Reduction) -> None:
    """Nothing runs any more: finish a stopping run, or end a stalled one with a report."""
    state = r.state
    if state.status is Status.STOPPING:
        if not (_has_event_timers(state) or state.open_waits or state.requests or state.children):
            _clear_work(r, keeps_cleanup=False)
            _clean_up(r)
    elif state.status is Status.RUNNING and not (
        r.plan.is_reachable or state.acts or _has_event_timers(state) or state.pending
    ):
        fail_run(r, {"code": "stalled", "message": stall_report(r), "step": None, "attempt": 0, "details": None})


def stall_report(r: Reduction) -> str:
    """What a run that can make no progress still lacks, in words."""
    lacks = []
    for (name, _), buffer in r.state.joins.items():
        join = r.plan.steps[name].join
        have = sorted({e.type for e in buffer.events} | {t for t, q in buffer.queues.items() if q})
        wants = [e for e in (join.events if join else ()) if e not in have]
        if not wants:
            wants = (
                ["its `until`"]
                if join is not None and join.mode == "until"
                else [f"{join.count if join else 0} events"]
            )
        lacks.append(f"step `{name}` has {', '.join(have) or 'nothing'} and waits for {', '.join(wants)}")
    for (name, buffer_name), types in r.state.buffers.items():
        have = [f"{len(q)} {t}" for t, q in types.items() if q]
        if have:
            lacks.append(f"step `{name}` has collected {', '.join(have)} in buffer `{buffer_name}` and waits for more")
    reason = "; ".join(lacks) or "every step has ended and none of them emitted a stop event"
    return f"the run can make no progress: {reason}"


def _has_event_timers(state: RunState) -> bool:
    if "timers" not in state.made:
        return False
    return any(t.kind not in SERVICE_TIMERS for t in state.timers.values())


def _clear_work(r: Reduction, *, keeps_cleanup: bool) -> None:
    """Take everything that is under way out of the run. Cost: O(in flight), once per run."""
    state = r.state
    for act in state.acts.values():
        if keeps_cleanup and act.step.ir.finally_ is not None and act.phase is Phase.MAIN and act.first_at:
            status = "timeout" if state.final is Status.TIMEOUT else "cancelled"
            state.cleanup.append(Undo(act.step.name, act.events, act.input, None, status, Phase.FINALLY, act.error))
        r.out.append(CancelTask(act))
    for key in list(state.requests) if "requests" in state.made else ():
        from orchestrator.runtime.people import close_request

        close_request(r, key, "cancelled")
    for child in state.children if "children" in state.made else ():
        r.out.append(CancelChild(child))
    for timer in list(state.timers) if "timers" in state.made else ():
        clear_timer(r, timer)
    state.drop_work()


def _clean_up(r: Reduction) -> None:
    if r.state.cleanup:
        r.state.status = Status.CLEANING
        next_cleanup(r)
    else:
        _finish(r, r.state.final)


def _finish(r: Reduction, status: Status) -> None:
    r.state.status = status
    r.state.ended_at = r.at
    r.out.append(Finish(status))
