"""The codes FLW414 to FLW418 and FLW437: joins and fan-outs."""

from __future__ import annotations

from orchestrator.analysis.codes_table import ERROR, WARNING, CodeInfo, flow, table

JOIN_CODES = table(
    CodeInfo(
        "FLW414",
        ERROR,
        "a collect that can never be satisfied",
        "What the step waits for cannot all come: nothing before it fans out, the events exclude each other, or fewer can "
        "come than it counts.",
        flow("""
steps:
  work:
    on: Start
    wait: 1s
  report:
    on: work
    collect: all
    emit: Stop
"""),
        flow("""
inputs:
  names: [str]
events:
  Name: {name: str}
steps:
  split:
    on: Start
    emit: {event: Name, for_each: inputs.names, with: {name: "${{ item }}"}}
  report:
    on: Name
    collect: all
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW415",
        ERROR,
        "a collect that cannot know its group",
        "Events are gathered by the fan-out that they come from. These come from different depths, so which of them belong "
        "together is not known. Say it with `key`, or collect the fan-out first.",
        flow("""
inputs:
  names: [str]
events:
  Name: {name: str}
  Ready: {}
steps:
  split:
    on: Start
    emit: {event: Name, for_each: inputs.names, with: {name: "${{ item }}"}}
  prepare:
    on: Start
    emit: Ready
  report:
    on: [Name, Ready]
    collect: each
    emit: Stop
"""),
        flow("""
inputs:
  names: [str]
events:
  Name: {name: str}
  Ready: {}
steps:
  split:
    on: Start
    emit: {event: Name, for_each: inputs.names, with: {name: "${{ item }}"}}
  gather:
    on: Name
    collect: all
    wait: 1s
  prepare:
    on: Start
    emit: Ready
  report:
    on: [gather, Ready]
    collect: each
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW416",
        ERROR,
        "listens to the end of the run",
        "`Stop`, `Failed` and `Cancelled` end a run, so nothing starts after them. Use `finally` for clean-up.",
        flow("""
steps:
  work:
    on: Start
    emit: Stop
  after:
    on: Stop
    emit: none
"""),
        flow("""
steps:
  work:
    on: Start
    emit:
      all: [Stop, after]
  after:
    emit: none
"""),
    ),
    CodeInfo(
        "FLW417",
        ERROR,
        "collects what it does not listen to",
        "`each` gathers events of `on`.",
        flow("""
events:
  A: {}
  B: {}
steps:
  left:
    on: Start
    emit: A
  right:
    on: Start
    emit: B
  other:
    on: B
    emit: none
  both:
    on: A
    collect: {each: [A, B]}
    emit: Stop
"""),
        flow("""
events:
  A: {}
  B: {}
steps:
  left:
    on: Start
    emit: A
  right:
    on: Start
    emit: B
  both:
    on: [A, B]
    collect: {each: [A, B]}
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW418",
        ERROR,
        "not an outcome",
        "The short form of `emit` names the outcomes of the step's `ask`: the verdicts of its form, `timeout` when it has a "
        "deadline, `undecided`, and `answered` for a form without verdicts.",
        flow("""
steps:
  review:
    on: Start
    ask:
      title: Publish?
      form: {verdict: approve | reject}
      to: {users: [kim]}
    emit:
      approve: Stop
      reject: Stop
      aprove: Stop
"""),
        flow("""
steps:
  review:
    on: Start
    ask:
      title: Publish?
      form: {verdict: approve | reject}
      to: {users: [kim]}
    emit:
      approve: Stop
      reject: Stop
"""),
    ),
    CodeInfo(
        "FLW437",
        WARNING,
        "a count that may never be reached",
        "Members of the fan-out may fail, and `count` waits for successes. With too few left it waits for ever: give it "
        "`within`, or use `collect: all`, where failed members count too.",
        flow("""
inputs:
  urls: [str]
events:
  Url: {url: str}
steps:
  split:
    on: Start
    emit: {event: Url, for_each: inputs.urls, with: {url: "${{ item }}"}}
  fetch:
    on: Url
    call: http.get
    with: {url: "${{ inputs.urls[0] }}"}
  three:
    on: fetch
    collect: {count: 3}
    emit: Stop
"""),
        flow("""
inputs:
  urls: [str]
events:
  Url: {url: str}
steps:
  split:
    on: Start
    emit: {event: Url, for_each: inputs.urls, with: {url: "${{ item }}"}}
  fetch:
    on: Url
    call: http.get
    with: {url: "${{ inputs.urls[0] }}"}
  every:
    on: fetch
    collect: all
    emit: Stop
"""),
    ),
)
