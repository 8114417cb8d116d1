"""Pictures of a run: its state as JSON, and the path it took through its flow. Pure; knows no store and no HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.draw.model import FAILED, START, STOP
from orchestrator.draw.overlay import RunPath, StepState, Visit
from orchestrator.ir.link import routes
from orchestrator.ir.model import FlowIR
from orchestrator.runtime import ticks as t
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


def run_path(flow: FlowIR, entries: Iterable[Any], waiting: Iterable[str] = (), *, is_over: bool = False) -> RunPath:
    """Which steps a run visited and which edges it took, from the entries of its log. Cost: linear in the log."""
    heard = routes(flow)
    steps: dict[str, list[Any]] = {}  # step -> [state, count]
    edges: dict[tuple[str, str, str], int] = {}
    names: dict[int, str] = {}
    for entry in entries:
        match entry:
            case t.Started():
                _emit(edges, heard, flow, START, entry.type, None)
            case t.StepStarted():
                names[entry.act] = entry.step
                visit = steps.setdefault(entry.step, [StepState.RUNNING, 0])
                visit[0] = StepState.WAITING if entry.parks else StepState.RUNNING
                visit[1] += entry.attempt == 1 and entry.phase == "main"
            case t.StepSettled():
                name = names.get(entry.act)
                if name is None:
                    continue
                if entry.again_at is None:
                    steps[name][0] = StepState.DONE if entry.error is None or entry.is_handled else StepState.FAILED
                _emit_all(edges, heard, flow, name, entry.emitted)
                if entry.error is not None and not entry.is_handled and entry.again_at is None:
                    edges[name, "Failed", FAILED] = edges.get((name, "Failed", FAILED), 0) + 1
            case t.Flushed():
                _emit_all(edges, heard, flow, names.get(entry.act, START), entry.emitted)
            case _:
                continue
    still = set(waiting)
    for name, visit in steps.items():
        if name in still:
            visit[0] = StepState.WAITING
        elif is_over and visit[0] in (StepState.RUNNING, StepState.WAITING):
            visit[0] = StepState.SKIPPED
    return RunPath({name: Visit(state, max(1, count)) for name, (state, count) in steps.items()}, edges)


def _emit_all(edges: dict[Any, int], heard: Any, flow: FlowIR, source: str, emitted: Iterable[Any]) -> None:
    for item in emitted:
        for name, _, target in item.members if isinstance(item, t.Fan) else (item,):
            _emit(edges, heard, flow, source, name, target)


def _emit(
    edges: dict[tuple[str, str, str], int], heard: Any, flow: FlowIR, source: str, event: str, target: str | None
) -> None:
    takers = [target] if target is not None else list(heard.get(event, ()))
    if event in flow.stop:
        takers.append(STOP)
    for taker in takers:
        edges[source, event, taker] = edges.get((source, event, taker), 0) + 1
