"""Open waits of bodies, found by event type and by the values they match. Decides which wait an event answers.

Shape: state.waits[type] maps the tuple of matched field names to {tuple of wanted values: {wait id: Wait}}; a wait without
`match` stands under (). An arriving event looks at one bucket per distinct tuple of field names, so the cost does not grow
with the number of waits. `state.open_waits` maps an activation to its
waits by path.
"""

from __future__ import annotations

from typing import Any

from orchestrator.runtime.reduction import Reduction, clear_timer, park, set_timer, unpark, wake
from orchestrator.runtime.state import Activation, EventRef, RunState, Wait
from orchestrator.runtime.ticks import CancelChild, Wake

_MISSING = object()


def open_wait(
    r: Reduction,
    act: Activation,
    path: str,
    *,
    type: str,
    match: dict[str, Any] | None,
    due: float | None,
    request_id: str | None = None,
    asked: Any = None,
) -> None:
    """Let an activation wait; an unclaimed event that came earlier answers at once."""
    early = _claim_early(r, type, match)
    if early is not None:
        _record(act, path, early)
        wake(r, act, Wake(act, path, "event", early))
        return
    wait = Wait(r.state.next_id, act.id, path, type, match, None, request_id, asked)
    r.state.next_id += 1
    if due is not None:
        wait.timer = set_timer(r, due, "wait", act.id, path)
    index_wait(r.state, wait)
    park(r, act)


def index_wait(state: RunState, wait: Wait) -> None:
    """Put an open wait where an event finds it."""
    names, values = _signature(wait.match)
    state.waits.setdefault(wait.type, {}).setdefault(names, {}).setdefault(values, {})[wait.id] = wait
    state.open_waits.setdefault(wait.act, {})[wait.path] = wait


def answer_waits(r: Reduction, event: EventRef) -> tuple[str, ...]:
    """Answer every open wait that the event matches; gives the names of the woken steps.

    Cost: O(waits answered + distinct sets of matched fields).
    """
    by_names = r.state.waits.get(event.type)
    if not by_names:
        return ()
    found: list[Wait] = []
    for names, by_values in by_names.items():
        wanted = tuple(_hashable(field_of(event.value, name)) for name in names)
        found.extend(by_values.get(wanted, {}).values())
    for wait in sorted(found, key=_wait_id):
        act = r.state.acts[wait.act]
        _close(r, wait)
        _record(act, wait.path, event)
        unpark(r, act)
        wake(r, act, Wake(act, wait.path, "event", event))
    return tuple(r.state.acts[w.act].step.name for w in found)


def expire_wait(r: Reduction, act_id: int, path: str) -> None:
    """A wait ran out of time."""
    wait = r.state.open_waits.get(act_id, {}).get(path)
    act = r.state.acts.get(act_id)
    if wait is None or act is None:
        return
    _close(r, wait)
    if act.record is None:
        act.record = {}
    act.record[path] = ("timeout", None)
    unpark(r, act)
    wake(r, act, Wake(act, path, "timeout", None))


def withdraw_wait(r: Reduction, act: Activation, path: str) -> None:
    """The body no longer waits."""
    wait = r.state.open_waits.get(act.id, {}).get(path)
    if wait is not None:
        _close(r, wait)
        unpark(r, act)


def drop_waits(r: Reduction, act: Activation) -> None:
    """Close everything an activation that leaves the run still waits for."""
    for wait in list(r.state.open_waits.get(act.id, {}).values()):
        _close(r, wait)
    owned, act.owned = act.owned, None
    for kind, key in owned or ():
        if kind == "timer":
            clear_timer(r, key)
        elif kind == "child":
            if r.state.children.pop(key, None) is not None:
                r.out.append(CancelChild(key))
        else:
            from orchestrator.runtime.people import close_request

            close_request(r, key, "cancelled")


def detach_children(r: Reduction, act: Activation) -> None:
    """A body returned without waiting for the child runs that it started: they go on by themselves."""
    for kind, key in act.owned or ():
        if kind == "child":
            r.state.children.pop(key, None)


def wait_for_answer(r: Reduction, request_id: str) -> Wait | None:
    """The open wait of a question of the functional API."""
    by_names = r.state.waits.get("?" + request_id)
    if not by_names:
        return None
    return next(iter(by_names[()][()].values()), None)


def field_of(value: Any, name: str) -> Any:
    """A field of a payload, live object or mapping; a missing one equals nothing."""
    if isinstance(value, dict):
        return value.get(name, _MISSING)
    return getattr(value, name, _MISSING)


def _close(r: Reduction, wait: Wait) -> None:
    names, values = _signature(wait.match)
    by_names = r.state.waits[wait.type]
    by_values = by_names[names]
    bucket = by_values[values]
    del bucket[wait.id]
    if not bucket:
        del by_values[values]
        if not by_values:
            del by_names[names]
            if not by_names:
                del r.state.waits[wait.type]
    paths = r.state.open_waits[wait.act]
    del paths[wait.path]
    if not paths:
        del r.state.open_waits[wait.act]
    clear_timer(r, wait.timer)


def _claim_early(r: Reduction, type: str, match: dict[str, Any] | None) -> EventRef | None:
    queue = r.state.unclaimed.get(type)
    if not queue:
        return None
    for place, event in enumerate(queue):
        if all(_hashable(field_of(event.value, k)) == _hashable(v) for k, v in (match or {}).items()):
            del queue[place]
            if not queue:
                del r.state.unclaimed[type]
            return event
    return None


def _record(act: Activation, path: str, event: EventRef) -> None:
    if act.record is None:
        act.record = {}
    act.record[path] = ("event", event)


def _signature(match: dict[str, Any] | None) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    if not match:
        return (), ()
    names = tuple(sorted(match))
    return names, tuple(_hashable(match[n]) for n in names)


def _hashable(value: Any) -> Any:
    """Equal values give equal keys; 1 and true stay different."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, dict):
        return ("dict", tuple(sorted((k, _hashable(v)) for k, v in value.items())))
    if isinstance(value, list | tuple):
        return ("list", tuple(_hashable(v) for v in value))
    try:
        hash(value)
    except TypeError:
        return ("repr", repr(value))
    return value


def _wait_id(wait: Wait) -> int:
    return wait.id
