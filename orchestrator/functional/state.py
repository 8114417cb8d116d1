"""A run's key/value state: who sees which write, and how a replay sees the same.

Every read and write is a recorded call with a path, so a pass that runs the body again reads what it read and writes nothing
twice. In the workflow function a write is committed at once. In a step it is *staged*: seen by the step and what it calls,
committed with the step's result or at its next question, and gone if the attempt fails. A read is recorded with what it saw;
one that sees what an earlier read in the same pass saw refers to that, so a large value that is read often is kept once.
"""

from __future__ import annotations

from typing import Any

from orchestrator.functional.errors import RunArgumentError
from orchestrator.functional.frames import Frame
from orchestrator.functional.values import ATOMS, copy_value, encode_plain

Writes = tuple[tuple[str, tuple[str | int, ...], Any], ...]
_SET, _GET = "!set", "!get"


def set_value(frame: Frame, key: str, value: Any) -> None:
    """Write a value. Raises: RunArgumentError for a bad key, NotSerializable for a value that a storage cannot keep."""
    run = frame.run
    _check_key(key)
    if run.is_released:
        run.refuse_now()
    path = f"{frame.path}{_SET}#{frame.next(_SET)}"
    if path in (run.act.record or ()):
        run.visited.add(path)
        return
    where = f"step `{frame.step.path.rstrip('/')}`" if frame.step is not None else "the workflow function"
    what = f"workflow `{run.session.workflow.name}`: state `{key}`, set in {where},"
    value = encode_plain(value, what) if run.is_durable else copy_value(value, what)
    full = frame.namespace + key
    step = frame.step
    if step is None:
        run.record(path, None, None, (("set", (full,), value),))
        return
    if step.staged is None or step.overlay is None:
        step.staged, step.overlay = [], {}
    step.staged.append((path, ("set", full, value)))
    step.overlay[full] = value


def get_value(frame: Frame, key: str, default: Any) -> Any:
    """Read a value, as a copy. Raises: RunArgumentError for a bad key."""
    run = frame.run
    _check_key(key)
    if run.is_released:
        run.refuse_now()
    path = f"{frame.path}{_GET}#{frame.next(_GET)}"
    full = frame.namespace + key
    known = (run.act.record or {}).get(path)
    if known is not None:
        run.visited.add(path)
        return _seen(frame, known[1], default)
    seen = _look(frame, full, path)
    if frame.step is None:
        run.record(path, seen, None)
    elif frame.step.staged is None:
        frame.step.staged, frame.step.overlay = [(path, ("get", full, seen))], {}
    else:
        frame.step.staged.append((path, ("get", full, seen)))
    return _seen(frame, seen, default)


def close_stage(step: Frame) -> Writes:
    """The writes to commit with a step's result; what an inner step commits replaces what an outer one staged before."""
    overlay = step.overlay
    if not overlay:
        return ()
    outer = step.outer_step
    while outer is not None:
        if outer.overlay:
            for key in overlay:
                outer.overlay.pop(key, None)
        outer = outer.outer_step
    return tuple(("set", (key,), value) for key, value in overlay.items())


def commit_stage(step: Frame | None) -> None:
    """Commit what a step and those around it have staged, because the step is about to wait."""
    if step is None:
        return
    commit_stage(step.outer_step)
    staged, overlay = step.staged, step.overlay
    step.staged = step.overlay = None
    for path, (kind, key, value) in staged or ():
        if kind == "get":
            step.run.record(path, value, None)
        elif overlay is not None and overlay.get(key) is value:
            step.run.record(path, None, None, (("set", (key,), value),))
        else:
            step.run.record(path, None, None)


def drop_stage(step: Frame) -> None:
    """An attempt failed: what it staged is gone, and its calls are counted from the start again."""
    step.staged = step.overlay = step.counts = None
    step.calls = 0
    inside = [path for path in step.run.visited if path.startswith(step.path)]
    step.run.visited.difference_update(inside)


def _look(frame: Frame, full: str, path: str) -> dict[str, Any]:
    """What a read sees: `{"v": value}`, `{"as": path of an earlier read}`, or nothing."""
    step = frame.step
    while step is not None:
        if step.overlay is not None and full in step.overlay:
            return {"v": step.overlay[full]}
        step = step.outer_step
    state = frame.run.actor.state.vars
    if full not in state:
        return {}
    value = state[full]
    if type(value) in ATOMS:
        return {"v": value}
    before = frame.run.reads.get(full)
    if before is not None and before[0] is value:
        return {"as": before[1]}
    if frame.step is None:  # a step's reads are recorded only if it comes to wait
        frame.run.reads[full] = (value, path)
    return {"v": value}


def _seen(frame: Frame, seen: dict[str, Any], default: Any) -> Any:
    while "as" in seen:
        seen = (frame.run.act.record or {})[seen["as"]][1]
    return copy_value(seen["v"]) if "v" in seen else default


def _check_key(key: str) -> None:
    if not isinstance(key, str) or not key:
        raise RunArgumentError(f"a state key is a non-empty text, not {key!r}")
    if key.startswith("_"):
        raise RunArgumentError(f"state key {key!r} starts with an underscore; such keys are the runtime's own")
