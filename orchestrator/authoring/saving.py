"""`Context.to_dict` and `from_dict`: a run as one JSON object, with what is under way. It is the fold of its ticks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.authoring.context import Outside
from orchestrator.authoring.names import ClassCodec
from orchestrator.authoring.run_data import RunData
from orchestrator.authoring.serializer import JsonSerializer
from orchestrator.errors import ContextSerdeError, StoreError
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.plan import FlowPlan
from orchestrator.runtime.snapshot import decode_state, encode_state
from orchestrator.runtime.state import RunState, Status

VERSION = 1
Json = Any  # plain JSON
RESUMABLE = frozenset({Status.RUNNING, Status.CANCELLED})


@dataclass(slots=True)
class Saved:
    """A run to be resumed."""

    state: RunState
    run_id: str
    active_s: float
    children: dict[str, Json]


def save(outside: Outside, serializer: JsonSerializer | None, include_state: bool) -> dict[str, Json]:
    """A context as JSON.

    Raises: ContextSerdeError.
    """
    codec = _codec(outside, serializer)
    out: dict[str, Json] = {
        "version": VERSION,
        "workflow": outside.workflow.flow.name,
        "is_running": outside.is_running,
    }
    try:
        if outside.saved is not None:
            out["run"] = outside.saved
        elif outside.run is not None and outside.is_running:
            out["run"] = _save_run(outside.run, codec)
            if not include_state:
                out["run"]["state"]["vars"] = {}
        elif include_state:
            out["state"] = {
                name: codec.encode_value(value, f"state `{name}`")
                for name, value in outside.values().items()
                if not _is_excluded(outside, name)
            }
    except StoreError as error:
        raise ContextSerdeError(str(error)) from error
    return out


def _is_excluded(outside: Outside, name: str) -> bool:
    model = outside.model
    return model is not None and name in model.model_fields and bool(model.model_fields[name].exclude)


def _save_run(run: Actor, codec: ClassCodec) -> dict[str, Json]:
    children = {}
    for child_id in run.state.children:
        child = run.engine.runs.get(child_id)
        if child is not None and isinstance(child.data, RunData):
            children[child_id] = _save_run(child, child.plan.codec)
    return {
        "id": run.run_id,
        "active_s": round(run.active_s, 6),
        "state": encode_state(run.state, codec),
        "children": children,
    }


def restore(outside: Outside, data: Mapping[str, Any], serializer: JsonSerializer | None) -> None:
    """Fill a new context from what `save` gave.

    Raises: ContextSerdeError for data of another shape, workflow or newer version.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("version"), int):
        raise ContextSerdeError("this is no saved context: it has no `version`")
    if data["version"] > VERSION:
        raise ContextSerdeError(
            f"this context was saved in format {data['version']}; this version reads up to {VERSION}"
        )
    name = outside.workflow.flow.name
    if data.get("workflow") != name:
        raise ContextSerdeError(f"this context was saved by workflow {data.get('workflow')!r}, not by {name!r}")
    codec = _codec(outside, serializer)
    try:
        if data.get("run") is not None:
            _check_run(data["run"])
            outside.saved = data["run"]
            outside.vars = {k: codec.decode_value(v) for k, v in data["run"]["state"]["vars"].items()}
        else:
            values = {k: codec.decode_value(v) for k, v in data.get("state", {}).items()}
            outside.vars = {**outside.values(), **values}
    except (StoreError, AttributeError, TypeError, KeyError, ValueError) as error:
        raise ContextSerdeError(f"this context cannot be read: {error}") from error


def _check_run(run: Any) -> None:
    if not isinstance(run, Mapping) or not {"id", "state"} <= run.keys() or not isinstance(run["state"], Mapping):
        raise ContextSerdeError("the saved run has another shape: `id` and `state` are missing")


def state_to_resume(outside: Outside, plan: FlowPlan) -> Saved:
    """The run that a context holds, ready to go on.

    Raises: ContextSerdeError if it does not fit the workflow.
    """
    if outside.run is not None:  # cancelled in this process: its JSON gives a state of its own
        codec: ClassCodec = plan.codec
        try:
            data = _save_run(outside.run, codec)
        except StoreError as error:
            raise ContextSerdeError(f"the cancelled run cannot be resumed: {error}") from error
        return read_saved(data, plan)
    return read_saved(outside.saved, plan)


def read_saved(data: Mapping[str, Any], plan: FlowPlan) -> Saved:
    """A saved run as a state.

    Raises: ContextSerdeError if it does not fit the workflow.
    """
    try:
        state = decode_state(data["state"], plan, plan.codec)
    except StoreError as error:
        raise ContextSerdeError(str(error)) from error
    state.status = Status.RUNNING
    state.error = None
    return Saved(state, str(data["id"]), float(data.get("active_s", 0.0)), dict(data.get("children", {})))


def _codec(outside: Outside, serializer: JsonSerializer | None) -> ClassCodec:
    flow = outside.workflow.flow
    chosen = serializer or outside.workflow._serializer
    if chosen is None:
        return flow.codec
    return ClassCodec(flow.names, chosen, flow.state_model)
