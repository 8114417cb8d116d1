"""The codes FLW401 to FLW413: errors in the graph of steps and events."""

from __future__ import annotations

from orchestrator.analysis.codes_table import ERROR, CodeInfo, flow, table

GRAPH_CODES = table(
    CodeInfo(
        "FLW401",
        ERROR,
        "listens to what does not exist",
        "`on` names an event or a step. A name that is neither would never start the step, so it is an error with the "
        "nearest name as the fix.",
        flow("""
events:
  Approved: {}
steps:
  review:
    on: Start
    emit: Approved
  publish:
    on: Aproved
    emit: Stop
"""),
        flow("""
events:
  Approved: {}
steps:
  review:
    on: Start
    emit: Approved
  publish:
    on: Approved
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW402",
        ERROR,
        "emits what does not exist",
        "`emit`, `catch` and `on_timeout` name a declared event, a step, `Stop`, `Failed` or `none`.",
        flow("""
steps:
  review:
    on: Start
    emit: publsh
  publish:
    emit: Stop
"""),
        flow("""
steps:
  review:
    on: Start
    emit: publish
  publish:
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW403",
        ERROR,
        "listens to an event that nobody emits",
        "The event is declared, but no step emits it and it does not come from outside, so the step would wait for ever.",
        flow("""
events:
  Paid: {}
steps:
  order:
    on: Start
    emit: Stop
  ship:
    on: Paid
    emit: Stop
"""),
        flow("""
events:
  Paid: {external: true}
steps:
  order:
    on: Start
    emit: none
  ship:
    on: Paid
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW404",
        ERROR,
        "listens to a step that has its own `emit`",
        "`on: review` means `review.done`, which a step emits only when it has no `emit`. Listen to what it emits instead.",
        flow("""
events:
  Reviewed: {}
steps:
  review:
    on: Start
    emit: Reviewed
  log:
    on: Reviewed
    emit: Stop
  publish:
    on: review
    emit: none
"""),
        flow("""
events:
  Reviewed: {}
steps:
  review:
    on: Start
    emit: Reviewed
  log:
    on: Reviewed
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW405",
        ERROR,
        "an event that nobody hears",
        "Work that ends in an event which no step takes goes nowhere. A step without `emit` ends in its own `.done`. Where "
        "that is meant, write `emit: none`.",
        flow("""
steps:
  fetch:
    on: Start
    call: http.get
    with:
      url: https://example.com
"""),
        flow("""
steps:
  fetch:
    on: Start
    call: http.get
    with:
      url: https://example.com
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW406",
        ERROR,
        "a step that can never start",
        "No chain of events leads from `Start`, an external event or a trigger to this step.",
        flow("""
steps:
  work:
    on: Start
    emit: Stop
  tidy:
    emit: none
"""),
        flow("""
steps:
  work:
    on: Start
    emit:
      all: [Stop, tidy]
  tidy:
    emit: none
"""),
    ),
    CodeInfo(
        "FLW407",
        ERROR,
        "a flow that can never end",
        "A run ends with `Stop` or `Failed`. No step that can start leads to either.",
        flow("""
events:
  Tick: {external: true}
steps:
  note:
    on: [Start, Tick]
    emit: none
"""),
        flow("""
events:
  Tick: {external: true}
  Closed: {external: true}
steps:
  note:
    on: [Start, Tick]
    emit: none
  close:
    on: Closed
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW408",
        ERROR,
        "a loop without a way out",
        "Once the run is in these steps it can never reach an end: none of them leads anywhere else.",
        flow("""
events:
  Again: {}
steps:
  begin:
    on: Start
    emit:
      - when: now > '2030'
        event: Stop
      - event: Again
  spin:
    on: Again
    max_visits: 10
    emit: Again
"""),
        flow("""
events:
  Again: {}
steps:
  begin:
    on: Start
    emit:
      - when: now > '2030'
        event: Stop
      - event: Again
  spin:
    on: Again
    max_visits: 10
    emit:
      - when: now > '2031'
        event: Stop
      - event: Again
"""),
    ),
    CodeInfo(
        "FLW409",
        ERROR,
        "a run that stops halfway",
        "`none` is right for a side branch. Here nothing else runs beside the step, so the run would stall: it could never "
        "reach `Stop`. End it with `Stop` or `Failed`.",
        flow("""
inputs:
  age: int
steps:
  check:
    on: Start
    emit:
      - when: inputs.age >= 18
        event: Stop
      - event: none
"""),
        flow("""
inputs:
  age: int
steps:
  check:
    on: Start
    emit:
      - when: inputs.age >= 18
        event: Stop
      - event: Failed
        with: {code: check.age, message: too young}
"""),
    ),
    CodeInfo(
        "FLW410",
        ERROR,
        "a list of ways out that does not cover",
        "When no entry of `emit` matches, the step would go nowhere. End the list with an entry without `when`, or name "
        "every value of an enum, or every outcome of the `ask`.",
        flow("""
inputs:
  size: small | large
steps:
  pick:
    on: Start
    emit:
      - when: inputs.size == 'small'
        event: Stop
"""),
        flow("""
inputs:
  size: small | large
steps:
  pick:
    on: Start
    emit:
      - when: inputs.size == 'small'
        event: Stop
      - when: inputs.size == 'large'
        event: Failed
        with: {code: pick.large, message: too large}
"""),
    ),
    CodeInfo(
        "FLW411",
        ERROR,
        "a way out that is never taken",
        "The first entry whose `when` holds wins, and an entry without `when` always holds: nothing after it is looked at. "
        "So it is in `catch` with an entry whose errors an earlier one takes.",
        flow("""
steps:
  work:
    on: Start
    emit:
      - event: Stop
      - event: Failed
        with: {code: never, message: never}
"""),
        flow("""
inputs:
  strict: bool
steps:
  work:
    on: Start
    emit:
      - when: inputs.strict
        event: Failed
        with: {code: strict, message: no}
      - event: Stop
"""),
    ),
    CodeInfo(
        "FLW412",
        ERROR,
        "a loop that nothing bounds",
        "Every pass of a loop must come by a `when` that can change, or a step with `max_visits`, so that a mistake costs a "
        "few calls and not a bill. `max_visits: unlimited` says that you mean it.",
        flow("""
events:
  Again: {}
steps:
  poll:
    on: [Start, Again]
    call: http.get
    with:
      url: https://example.com
    catch:
      - errors: [any]
        event: Failed
    emit: Again
"""),
        flow("""
events:
  Again: {}
steps:
  poll:
    on: [Start, Again]
    call: http.get
    with:
      url: https://example.com
    max_visits: 20
    catch:
      - errors: [any]
        event: Failed
    emit: Again
"""),
    ),
    CodeInfo(
        "FLW413",
        ERROR,
        "a loop whose condition cannot change",
        "The condition that should end the loop reads only what no step of the loop changes: inputs, constants, or state "
        "that is set nowhere in the loop.",
        flow("""
events:
  Again: {}
inputs:
  rounds: int
steps:
  work:
    on: [Start, Again]
    emit:
      - when: inputs.rounds < 3
        event: Again
      - event: Stop
"""),
        flow("""
events:
  Again: {}
state:
  round: 0
steps:
  work:
    on: [Start, Again]
    set:
      round: ${{ state.round + 1 }}
    emit:
      - when: state.round < 3
        event: Again
      - event: Stop
"""),
    ),
)
