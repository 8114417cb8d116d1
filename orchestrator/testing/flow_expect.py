"""Compares a run with what a flow test expects of it. Every difference is a problem with its place in the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.diagnostics import Span
from orchestrator.language.spec import ExpectSpec, TestSpec
from orchestrator.runtime import ticks as t
from orchestrator.runtime.actor import Actor
from orchestrator.runtime.state import Status


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a test, and the place in the flow file that says otherwise."""

    text: str
    span: Span

    def __str__(self) -> str:
        return f"{self.span.file}:{self.span.line}: {self.text}"


def compare(run: Actor, path: list[str], outputs: Any, test: TestSpec) -> list[Problem]:  # outputs: plain JSON
    """Every way in which the run is not what the test expects."""
    expect = test.expect
    found = [Problem(text, test.name.span) for text in _ending(run, expect)]
    if expect is None:
        return found
    if expect.path is not None:
        wanted = [name.value for name in expect.path]
        if wanted != path:
            found.append(Problem(_path_text(wanted, path), _place(expect, "path")))
    if expect.outputs is not None:
        where = _place(expect, "outputs")
        found += [
            Problem(f"outputs{at}: expected {_shown(a)}, got {_shown(b)}", where)
            for at, a, b in missing(expect.outputs, outputs)
        ]
    if expect.failed is not None:
        state = run.state
        code = (state.error or {}).get("code") if state.status is not Status.DONE else None
        if code != expect.failed.value:
            message = (state.error or {}).get("message")
            ending = f"{code}: {message}" if code else f"the run is {_status(run)}"
            found.append(Problem(f"failed: expected {expect.failed.value}, got {ending}", expect.failed.span))
    if expect.events is not None:
        wanted = [event.value for event in expect.events]
        found += [Problem(text, _place(expect, "events")) for text in _events(wanted, run)]
    if expect.waiting is not None:
        waited, got = sorted({step.value for step in expect.waiting}), waiting_steps(run)
        if waited != got:
            text = f"waiting: expected {', '.join(waited) or 'nothing'}, got {', '.join(got) or _status(run)}"
            found.append(Problem(text, _place(expect, "waiting")))
    return found


def waiting_steps(run: Actor) -> list[str]:
    """The steps that wait for people, for events from outside, or for a flow that does."""
    state = run.state
    if run.is_over:
        return []
    waits = {r.step for r in state.requests.values()} | {state.acts[a].step.name for a in state.open_waits}
    waits |= {state.acts[act].step.name for act in state.children.values() if act in state.acts}
    return sorted(waits)


def emitted_events(log: Iterable[Any]) -> list[tuple[int, str]]:
    """What the steps of a run emitted, in order, with the activation that did."""
    return [
        (entry.act, member[0])
        for entry in log
        if isinstance(entry, t.StepSettled)
        for item in entry.emitted
        for member in (item.members if isinstance(item, t.Fan) else (item,))
    ]


def edges_taken(log: Sequence[Any]) -> set[tuple[str, str]]:
    """The (step, event) edges that a run took; an empty fan-out takes its edge too, as it is a way out."""
    steps = {entry.act: entry.step for entry in log if isinstance(entry, t.StepStarted)}
    return {(steps.get(act, "?"), event) for act, event in emitted_events(log)}


def missing(wanted: Any, got: Any, where: str = "") -> list[tuple[str, Any, Any]]:  # plain JSON
    """What of `wanted` is not in `got`: mappings may have more keys, everything else must be equal."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        found: list[tuple[str, Any, Any]] = []
        for key, value in wanted.items():
            found += (
                missing(value, got[key], f"{where}.{key}") if key in got else [(f"{where}.{key}", value, _Nothing())]
            )
        return found
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [x for i, (a, b) in enumerate(zip(wanted, got, strict=True)) for x in missing(a, b, f"{where}[{i}]")]
    return [] if wanted == got and isinstance(wanted, bool) == isinstance(got, bool) else [(where, wanted, got)]


class _Nothing:
    """Where a field is not there at all."""


def _shown(value: Any) -> str:  # plain JSON or nothing
    text = "nothing" if isinstance(value, _Nothing) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:199] + "…"


def _ending(run: Actor, expect: ExpectSpec | None) -> Iterable[str]:
    state = run.state
    if state.status in (Status.FAILED, Status.TIMEOUT, Status.CANCELLED) and (expect is None or expect.failed is None):
        error = state.error or {}
        where = f" in step `{error['step']}`" if error.get("step") else ""
        yield f"the run {_status(run)}{where}: {error.get('code')}: {error.get('message')}"
    if not run.is_over and (expect is None or (expect.waiting is None and expect.failed is None)):
        yield f"the run still waits for {', '.join(waiting_steps(run)) or 'an event from outside'}"


def _status(run: Actor) -> str:
    return run.state.status.value if run.is_over else "waiting"


def _path_text(wanted: list[str], got: list[str]) -> str:
    same = next((i for i, (a, b) in enumerate(zip(wanted, got, strict=False)) if a != b), min(len(wanted), len(got)))
    expected = " → ".join([*wanted[:same], f"[{wanted[same]}]", *wanted[same + 1 :]] if same < len(wanted) else wanted)
    actual = " → ".join([*got[:same], f"[{got[same]}]", *got[same + 1 :]] if same < len(got) else got)
    return f"path: expected {expected}\n      got      {actual or 'nothing'}"


def _events(wanted: list[str], run: Actor) -> list[str]:
    emitted = [event for _, event in emitted_events(run.log)]
    rest = iter(emitted)
    lacking = next((name for name in wanted if name not in rest), None)
    if lacking is None:
        return []
    return [f"events: `{lacking}` was not emitted in this order; emitted were {', '.join(emitted) or 'none'}"]


def _place(expect: ExpectSpec, key: str) -> Span:
    entry = expect.node.entries.get(key)
    return entry[0].span if entry is not None else expect.node.span
