"""The codes FLW430 to FLW435: warnings about the graph."""

from __future__ import annotations

from orchestrator.analysis.codes_table import WARNING, CodeInfo, flow, table

GRAPH_WARNINGS = table(
    CodeInfo(
        "FLW430",
        WARNING,
        "a condition that could end the run halfway",
        "When the condition of a step is false the event is skipped. Here nothing else runs at that moment, so the run would "
        "stall. Put the condition into the `emit` before the step, where both cases have a way out.",
        flow("""
inputs:
  really: bool
steps:
  work:
    on: Start
    when: inputs.really
    emit: Stop
"""),
        flow("""
inputs:
  really: bool
steps:
  work:
    on: Start
    emit:
      - when: inputs.really
        event: Stop
      - event: Failed
        with: {code: work.off, message: switched off}
"""),
    ),
    CodeInfo(
        "FLW431",
        WARNING,
        "an event that plays no part",
        "It is declared, but no step emits it or listens to it.",
        flow("""
events:
  Old: {}
steps:
  work:
    on: Start
    emit: Stop
"""),
        flow("""
steps:
  work:
    on: Start
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW432",
        WARNING,
        "a race for the end of the run",
        "Two branches run in parallel and each leads to the end of the run. The first one wins, and what the other one was "
        "doing is cut off. Join them with `collect`; a branch that ends in `none` is given time to finish.",
        flow("""
steps:
  left:
    on: Start
    emit: Stop
  right:
    on: Start
    emit: Stop
"""),
        flow("""
steps:
  left:
    on: Start
    wait: 1s
  right:
    on: Start
    wait: 1s
  both:
    on: [left, right]
    collect: each
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW433",
        WARNING,
        "parallel writes to one state key",
        "Steps that run side by side, or the items of a fan-out, overwrite the same key. What it holds in the end depends on "
        "which of them started last. Adding to the key (`state.n + 1`) is safe.",
        flow("""
state:
  last: ''
steps:
  left:
    on: Start
    set: {last: left}
  right:
    on: Start
    set: {last: right}
  both:
    on: [left, right]
    collect: each
    emit: Stop
"""),
        flow("""
state:
  left: ''
  right: ''
steps:
  left:
    on: Start
    set: {left: done}
  right:
    on: Start
    set: {right: done}
  both:
    on: [left, right]
    collect: each
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW434",
        WARNING,
        "a bound where there is no loop",
        "`max_visits` bounds a loop through the step, and this step is in none.",
        flow("""
steps:
  work:
    on: Start
    max_visits: 3
    emit: Stop
"""),
        flow("""
steps:
  work:
    on: Start
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW435",
        WARNING,
        "state that is never written",
        "No step sets the key, so it always has its first value. An input with a default says that better.",
        flow("""
state:
  limit: 3
steps:
  work:
    on: Start
    emit: Stop
"""),
        flow("""
inputs:
  limit: {type: int, default: 3}
steps:
  work:
    on: Start
    emit: Stop
"""),
    ),
)
