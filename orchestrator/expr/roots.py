"""The roots of a scope, and where each exists: what to say when one is named where it does not."""

from __future__ import annotations

from typing import Final

ROOTS: Final = {
    "inputs": "everywhere: the inputs of the flow",
    "ev": "in a step that listens to an event, and in a webhook trigger",
    "state": "in steps",
    "item": "under `for_each`",
    "index": "under `for_each`",
    "result": "after the step's call: in its `emit`, `undo` and `repeat.until`",
    "error": "in `catch`, in `retry.if`, and as fields of `s.failed`",
    "outcome": "in the `emit` of an `ask`",
    "answers": "in the `emit` of an `ask`",
    "voters": "in the `emit` of an `ask`",
    "events": "in a step with `collect`",
    "count": "in a step with `collect`",
    "attempt": "in `with` and `retry`",
    "meta": "after a call, in `finally` and `undo`, and in triggers",
    "run": "in steps",
    "now": "everywhere",
    "secrets": "in `with` of a call",
}
FOREIGN: Final = {
    "steps": "the result of another step is not in scope: carry it in the event, or `set` it in state",
    "needs": "the result of another step is not in scope: carry it in the event, or `set` it in state",
    "event": "the event that fired the step is `ev`",
    "input": "the inputs of the flow are `inputs`",
    "trigger": "what a trigger brings is `ev` and `meta`",
    "env": "there is no environment: declare an input, or a name in `secrets`",
    "vars": "write `inputs` or `state`",
    "loop": "the position under `for_each` is `index`",
    "self": "the run itself is `run`",
    "payload": "the fields of the event are those of `ev`",
    "output": "the result of the call is `result`",
    "outputs": "the result of the call is `result`",
    "github": "write `ev`, `inputs` or `run`",
}
