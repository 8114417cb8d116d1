"""Sixteen workflows as flow files. Their twins are in classes.py and functions.py; the steps they call are in work.py."""

from __future__ import annotations

CHAIN = """\
flow: chain
inputs: {n: int}
outputs: {result: any}
events:
  Doubled: {n: int}
  Raised: {n: int}
steps:
  double:
    on: Start
    call: work.double
    with: {n: "${{ inputs.n }}"}
    emit:
      event: Doubled
      with: {n: "${{ result }}"}
  raise_it:
    on: Doubled
    call: work.add
    with: {n: "${{ ev.n }}", by: 1}
    emit:
      event: Raised
      with: {n: "${{ result }}"}
  close:
    on: Raised
    emit:
      event: Stop
      with: {result: "${{ ev.n }}"}
"""
BRANCH = """\
flow: branch
inputs: {n: int}
outputs: {result: any}
events:
  Small: {n: int}
  Big: {n: int}
steps:
  measure:
    on: Start
    emit:
      - when: inputs.n < 10
        event: Small
        with: {n: "${{ inputs.n }}"}
      - event: Big
        with: {n: "${{ inputs.n }}"}
  grow:
    on: Small
    call: work.add
    with: {n: "${{ ev.n }}", by: 100}
    emit:
      event: Stop
      with: {result: "${{ result }}"}
  halve:
    on: Big
    call: work.halve
    with: {n: "${{ ev.n }}"}
    emit:
      event: Stop
      with: {result: "${{ result }}"}
"""
LOOP = """\
flow: loop
inputs: {n: int}
outputs: {result: any}
events:
  Tried: {n: int}
  Again: {n: int}
steps:
  try_it:
    on: [Start, Again]
    max_visits: 50
    call: work.double
    with: {n: "${{ ev.n }}"}
    emit:
      event: Tried
      with: {n: "${{ result }}"}
  judge:
    on: Tried
    emit:
      - when: ev.n > 100
        event: Stop
        with: {result: "${{ ev.n }}"}
      - event: Again
        with: {n: "${{ ev.n }}"}
"""
FAN_OUT = """\
flow: fan-out
inputs: {words: [str]}
outputs: {result: any}
events:
  Word: {text: str}
  Shouted: {text: str}
steps:
  split:
    on: Start
    emit:
      event: Word
      for_each: inputs.words
      with: {text: "${{ item }}"}
  shout:
    on: Word
    call: work.shout
    with: {text: "${{ ev.text }}"}
    emit:
      event: Shouted
      with: {text: "${{ result }}"}
  merge:
    on: Shouted
    collect: all
    emit:
      event: Stop
      with: {result: "${{ events | map(attribute='text') | join(' ') }}"}
"""
JOIN = """\
flow: join
inputs: {n: int}
outputs: {result: any}
events:
  Left: {n: int}
  Right: {n: int}
steps:
  left:
    on: Start
    call: work.double
    with: {n: "${{ inputs.n }}"}
    emit:
      event: Left
      with: {n: "${{ result }}"}
  right:
    on: Start
    call: work.add
    with: {n: "${{ inputs.n }}", by: 5}
    emit:
      event: Right
      with: {n: "${{ result }}"}
  both:
    on: [Left, Right]
    collect: each
    emit:
      event: Stop
      with: {result: "${{ events[0].n * events[1].n }}"}
"""
FIRST = """\
flow: first
inputs: {words: [str]}
outputs: {result: any}
events:
  Word: {text: str}
  Shouted: {text: str}
steps:
  split:
    on: Start
    emit:
      event: Word
      for_each: inputs.words
      with: {text: "${{ item }}"}
  shout:
    on: Word
    concurrency: 1
    call: work.shout
    with: {text: "${{ ev.text }}"}
    emit:
      event: Shouted
      with: {text: "${{ result }}"}
  take:
    on: Shouted
    collect: {first: 2}
    emit:
      event: Stop
      cancel: true
      with: {result: "${{ events | map(attribute='text') | join(' ') }}"}
"""
RETRY = """\
flow: retry
inputs: {n: int}
outputs: {result: any}
steps:
  flaky:
    on: Start
    call: work.flaky
    with: {n: "${{ inputs.n }}"}
    retry: {max: 3}
    id: ${{ run.id }}
    emit:
      event: Stop
      with: {result: "${{ result }}"}
"""
FAILS = """\
flow: fails
inputs: {n: int}
outputs: {result: any}
events:
  Doubled: {n: int}
steps:
  double:
    on: Start
    call: work.double
    with: {n: "${{ inputs.n }}"}
    emit:
      event: Doubled
      with: {n: "${{ result }}"}
  burst:
    on: Doubled
    call: work.burst
    with: {n: "${{ ev.n }}"}
    emit:
      event: Stop
      with: {result: "${{ result }}"}
"""
STATE = """\
flow: state
inputs: {words: [str]}
outputs: {result: any}
state:
  count: 0
events:
  Word: {text: str}
  Counted: {size: int}
steps:
  split:
    on: Start
    emit:
      event: Word
      for_each: inputs.words
      with: {text: "${{ item }}"}
  count:
    on: Word
    concurrency: 1
    call: work.size
    with: {text: "${{ ev.text }}"}
    emit:
      event: Counted
      with: {size: "${{ result }}"}
      set: {count: "${{ state.count + result }}"}
  sum_up:
    on: Counted
    collect: all
    emit:
      event: Stop
      with: {result: "${{ state.count }}"}
"""
WAIT = """\
flow: wait
inputs: {n: int}
outputs: {result: any}
events:
  Doubled: {n: int}
  Approved:
    external: true
    fields: {by: str}
steps:
  double:
    on: Start
    call: work.double
    with: {n: "${{ inputs.n }}"}
    emit:
      event: Doubled
      with: {n: "${{ result }}"}
  approve:
    on: Doubled
    wait: {event: Approved}
    emit:
      event: Stop
      with: {result: "${{ ev.n }} by ${{ result.by }}"}
"""
NESTED = """\
flow: nested
inputs: {n: int}
outputs: {result: any}
imports: {chain: ./chain.flow.yaml}
events:
  Chained: {n: any}
steps:
  chain:
    on: Start
    call: flow.chain
    with: {n: "${{ inputs.n }}"}
    emit:
      event: Chained
      with: {n: "${{ result.result }}"}
  add_ten:
    on: Chained
    call: work.add
    with: {n: "${{ ev.n }}", by: 10}
    emit:
      event: Stop
      with: {result: "${{ result }}"}
"""
TWO_LISTENERS = """\
flow: two-listeners
inputs: {text: str}
outputs: {result: any}
events:
  Came: {text: str}
  Sized: {size: int}
  Loud: {text: str}
steps:
  receive:
    on: Start
    emit:
      event: Came
      with: {text: "${{ inputs.text }}"}
  measure:
    on: Came
    call: work.size
    with: {text: "${{ ev.text }}"}
    emit:
      event: Sized
      with: {size: "${{ result }}"}
  shout:
    on: Came
    call: work.shout
    with: {text: "${{ ev.text }}"}
    emit:
      event: Loud
      with: {text: "${{ result }}"}
  report:
    on: [Sized, Loud]
    collect: each
    emit:
      event: Stop
      with: {result: "${{ events[1].text }} ${{ events[0].size }}"}
"""
SPENT = """\
flow: spent
inputs: {n: int}
outputs: {result: any}
steps:
  burst:
    on: Start
    call: work.burst
    with: {n: "${{ inputs.n }}"}
    retry: {max: 2}
    emit:
      event: Stop
      with: {result: "${{ result }}"}
"""
RESCUE = """\
flow: rescue
inputs: {n: int}
outputs: {result: any}
events:
  Doubled: {n: int}
steps:
  double:
    on: Start
    call: work.double
    with: {n: "${{ inputs.n }}"}
    emit:
      event: Doubled
      with: {n: "${{ result }}"}
  burst:
    on: Doubled
    call: work.burst
    with: {n: "${{ ev.n }}"}
    emit:
      event: Stop
      with: {result: "${{ result }}"}
  rescue:
    on: burst.failed
    call: work.shout
    with: {text: "${{ ev.error.step }}"}
    emit:
      event: Stop
      with: {result: "${{ result }}"}
"""
EITHER = """\
flow: either
inputs: {n: int}
outputs: {result: any}
events:
  Small: {n: int}
  Big: {n: int}
steps:
  measure:
    on: Start
    emit:
      - when: inputs.n < 10
        event: Small
        with: {n: "${{ inputs.n }}"}
      - event: Big
        with: {n: "${{ inputs.n }}"}
  double:
    on: [Small, Big]
    call: work.double
    with: {n: "${{ ev.n }}"}
    emit:
      event: Stop
      with: {result: "${{ ev.type }} ${{ result }}"}
"""
NESTED_FAN_OUT = """\
flow: nested-fan-out
inputs: {lines: [[str]]}
outputs: {result: any}
events:
  Line: {words: [str]}
  Word: {text: str}
  Shouted: {text: str}
  Joined: {text: str}
steps:
  split:
    on: Start
    emit:
      event: Line
      for_each: inputs.lines
      with: {words: "${{ item }}"}
  cut:
    on: Line
    emit:
      event: Word
      for_each: ev.words
      with: {text: "${{ item }}"}
  shout:
    on: Word
    concurrency: 1
    call: work.shout
    with: {text: "${{ ev.text }}"}
    emit:
      event: Shouted
      with: {text: "${{ result }}"}
  rejoin:
    on: Shouted
    collect: all
    emit:
      event: Joined
      with: {text: "${{ events | map(attribute='text') | join(' ') }}"}
  merge:
    on: Joined
    collect: all
    emit:
      event: Stop
      with: {result: "${{ events | map(attribute='text') | join('; ') }}"}
"""
