"""A run's state as clients see it. Pure; knows no store and no HTTP."""

from __future__ import annotations

from typing import Any

from orchestrator.runtime.state import RunState
from orchestrator.server.tick_views import preview, to_json

Json = Any  # plain JSON


def status_of(state: RunState) -> str:
    """The status that people see: a run that nothing works on is `waiting`."""
    if not state.is_over and state.status.value == "running" and state.busy <= 0:
        return "waiting"
    return state.status.value


def waiting_steps(state: RunState) -> tuple[str, ...]:
    """The steps that wait for somebody or something outside."""
    found = {request.step for request in state.requests.values()}
    found |= {state.acts[act].step.name for act in state.open_waits if act in state.acts}
    return tuple(sorted(found))


def state_view(state: RunState) -> Json:
    """What a run holds at one moment.

    Shape: {seq, status, vars, steps: [{step, act, attempt, phase, is_running}], joins, groups, waits, requests, timers,
    children, queued}.
    """
    return {
        "seq": state.seq - 1,
        "status": status_of(state),
        "vars": {name: preview(to_json(value)) for name, value in state.vars.items()},
        "steps": [
            {
                "step": act.step.name,
                "act": act.id,
                "attempt": act.attempt,
                "phase": act.phase.value,
                "is_running": act.is_running,
            }
            for act in state.acts.values()
        ],
        "queued": {name: len(queue) for name, queue in state.queues.items() if queue},
        "joins": [
            {
                "step": buffer.step,
                "key": to_json(buffer.key),
                "collected": len(buffer.events) or sum(map(len, buffer.queues.values())),
            }
            for buffer in state.joins.values()
        ],
        "groups": [{"site": group.site, "size": group.size, "open": group.open} for group in state.groups.values()],
        "waits": [
            {"act": act, "path": path, "event": wait.type, "match": to_json(wait.match)}
            for act, waits in state.open_waits.items()
            for path, wait in waits.items()
        ],
        "requests": [{"request": r.id, "step": r.step, "revision": r.revision} for r in state.requests.values()],
        "timers": [{"kind": timer.kind, "due": timer.due} for timer in state.timers.values()],
        "children": list(state.children),
        "result": None if state.result is None else preview(to_json(state.result.value)),
        "error": to_json(state.error),
    }


def shown_error(error: Any) -> Json:
    """What a list tells of why a run failed."""
    if error is None:
        return None
    return {
        key: to_json(value) for key, value in error.items() if key in ("code", "message", "step", "attempt", "details")
    }
