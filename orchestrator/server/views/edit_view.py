"""What the editor page knows of the language: words to complete by place, and the palette of steps. Pure but for the schema.

Words come from the published JSON Schema, the catalog and the flow itself, so that the page has no list of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from orchestrator.expr.filters import FILTERS
from orchestrator.ir.model import FlowIR
from orchestrator.language.schema_files import flow_schema
from orchestrator.server.views.plugin_view import callable_view
from orchestrator.server.views.wording import short

Json = Any  # plain JSON
ROOTS = (
    "inputs", "ev", "state", "item", "index", "result", "error", "outcome", "answers", "voters", "events", "count",
    "attempt", "meta", "run", "now", "secrets",
)  # fmt: skip
PLACES = {
    "top": "",
    "step": "stepKeys",
    "ask": "ask",
    "retry": "retry",
    "emit": "emitEntry",
    "to": "audience",
    "trigger": "trigger",
}


class Word(TypedDict):
    """Something to complete. `apply` is what is put in."""

    label: str
    detail: str
    info: str
    apply: str


class Sample(TypedDict):
    """A step to put in from the palette."""

    title: str
    about: str
    yaml: str


@functools.cache
def key_words() -> dict[str, list[Word]]:
    """The keys of each kind of mapping, from the language's schema."""
    schema = flow_schema()
    found: dict[str, list[Word]] = {}
    for place, name in PLACES.items():
        part = schema if not name else schema["$defs"].get(name, {})
        found[place] = [_key(key, about) for key, about in (part.get("properties") or {}).items()]
    return found


def _key(name: str, part: Json) -> Word:
    about = str(part.get("description") or "") if isinstance(part, dict) else ""
    return {"label": name, "detail": "", "info": short(about, 300), "apply": f"{name}: "}


def words_of(ir: FlowIR | None, infos: Iterable[Mapping[str, Json]]) -> dict[str, Json]:
    """All words for one flow.

    Shape: {keys: {place: [word]}, callables: [word], fields: {callable: [word]}, events: [word], steps: [word], roots: [word],
    filters: [word]}.
    """
    views = [callable_view(info) for info in infos]
    return {
        "keys": key_words(),
        "callables": [
            {"label": v["name"], "detail": "", "info": short(v["about"], 300), "apply": v["name"]} for v in views
        ],
        "fields": {
            v["name"]: [
                {"label": p["name"], "detail": p["type"], "info": p["about"], "apply": f"{p['name']}: "}
                for p in v["parameters"]
            ]
            for v in views
        },
        "events": _events(ir),
        "steps": [] if ir is None else [_word(name, "step") for name in ir.steps],
        "roots": [_word(f"inputs.{name}", "input") for name in _inputs(ir)]
        + [_word(f"state.{name}", "state") for name in _state(ir)]
        + [_word(name, "") for name in ROOTS],
        "filters": [
            {"label": spec.name, "detail": spec.takes, "info": spec.summary, "apply": spec.name}
            for spec in FILTERS.values()
        ],
    }


def _events(ir: FlowIR | None) -> list[Word]:
    names = [] if ir is None else [event.name for event in ir.events.values() if event.kind == "plain"]
    return [_word(name, "event") for name in dict.fromkeys([*names, "Start", "Stop", "Failed"])]


def _inputs(ir: FlowIR | None) -> list[str]:
    return list((ir.inputs or {}).get("properties") or ()) if ir is not None and isinstance(ir.inputs, dict) else []


def _state(ir: FlowIR | None) -> list[str]:
    return list(ir.state) if ir is not None else []


def _word(label: str, detail: str) -> Word:
    return {"label": label, "detail": detail, "info": "", "apply": label}


def palette_of(infos: Iterable[Mapping[str, Json]]) -> list[Sample]:
    """Steps to put in: those of the language first, then one per callable."""
    samples: list[Sample] = list(LANGUAGE_STEPS)
    for view in map(callable_view, infos):
        samples.append({"title": view["name"], "about": short(view["about"], 140), "yaml": view["yaml"]})
    return samples


LANGUAGE_STEPS: list[Sample] = [
    {
        "title": "ask people",
        "about": "Opens a request in the inbox; its verdicts decide what follows.",
        "yaml": "review:\n  on: Drafted\n  ask:\n    title: Publish it?\n    show:\n      body: ${{ ev.text }}\n    form:\n"
        "      verdict: approve | rework\n      notes: str | null\n    to: {groups: [editors]}\n    deadline: 2d\n"
        "  emit:\n    approve: Approved\n    rework: NeedsWork\n    timeout: Dropped",
    },
    {
        "title": "wait for an event",
        "about": "Goes on when the event comes, or when the time is over.",
        "yaml": "hold:\n  on: Ordered\n  wait:\n    event: Paid\n    within: 3d\n  emit: Shipped",
    },
    {
        "title": "wait for a time",
        "about": "A timer that survives restarts.",
        "yaml": "pause:\n  on: Drafted\n  wait: 2h\n  emit: Ready",
    },
    {
        "title": "fan out",
        "about": "Emits one event per item, as one group.",
        "yaml": "split:\n  on: Start\n  emit:\n    event: Part\n    for_each: inputs.parts\n    with:\n      text: ${{ item }}",
    },
    {
        "title": "collect",
        "about": "Waits for every member of the group.",
        "yaml": "gather:\n  on: PartDone\n  collect: all\n  emit:\n    event: Stop\n    with:\n      count: ${{ count }}",
    },
    {
        "title": "end",
        "about": "Ends the run with its outputs.",
        "yaml": "finish:\n  on: Approved\n  emit:\n    event: Stop\n    with:\n      status: done",
    },
]
