"""The codes FLW5xx: names and types of what is handed over, calls, imports."""

from __future__ import annotations

from orchestrator.analysis.codes_table import ERROR, INFO, WARNING, CodeInfo, flow, table

_GET = "    call: http.get\n    with: {url: https://example.com}\n"

TYPE_CODES = table(
    CodeInfo(
        "FLW501",
        ERROR,
        "a field that nothing gives",
        "A field of an event that `with` leaves out is filled by equal name and type from the result, then from `ev`; a "
        "scalar result fills the only field left. This one is filled by none of them.",
        flow("""
outputs:
  title: str
steps:
  work:
    on: Start
    emit: Stop
"""),
        flow("""
inputs:
  title: str
outputs:
  title: str
steps:
  work:
    on: Start
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW502",
        ERROR,
        "an unknown field",
        "The event, or the flow's `outputs`, has no field of this name.",
        flow("""
outputs:
  title: str
steps:
  work:
    on: Start
    emit:
      event: Stop
      with: {title: Hello, auhtor: kim}
"""),
        flow("""
outputs:
  title: str
steps:
  work:
    on: Start
    emit:
      event: Stop
      with: {title: Hello}
"""),
    ),
    CodeInfo(
        "FLW503",
        ERROR,
        "a value of the wrong type",
        "The value can never be of the type that is declared for its place.",
        flow("""
outputs:
  size: int
steps:
  work:
    on: Start
    emit:
      event: Stop
      with: {size: large}
"""),
        flow("""
outputs:
  size: int
steps:
  work:
    on: Start
    emit:
      event: Stop
      with: {size: 3}
"""),
    ),
    CodeInfo(
        "FLW504",
        ERROR,
        "an unknown callable",
        "No plugin, no registered function and no imported flow has this name.",
        flow(
            "steps:\n  work:\n    on: Start\n    call: http.gte\n    with: {url: https://example.com}\n    emit: Stop"
        ),
        flow(f"steps:\n  work:\n    on: Start\n{_GET}    emit: Stop"),
    ),
    CodeInfo(
        "FLW505",
        ERROR,
        "an unknown argument",
        "The callable takes no `with` field of this name.",
        flow(
            "steps:\n  work:\n    on: Start\n    call: http.get\n"
            "    with: {url: https://example.com, timeot: 5s}\n    emit: Stop"
        ),
        flow(
            "steps:\n  work:\n    on: Start\n    call: http.get\n"
            "    with: {url: https://example.com, timeout: 5s}\n    emit: Stop"
        ),
    ),
    CodeInfo(
        "FLW506",
        ERROR,
        "a missing argument",
        "The callable cannot do without this `with` field.",
        flow("steps:\n  work:\n    on: Start\n    call: http.get\n    emit: Stop"),
        flow(f"steps:\n  work:\n    on: Start\n{_GET}    emit: Stop"),
    ),
    CodeInfo(
        "FLW509",
        ERROR,
        "unknown state",
        "`set` writes keys that are declared under `state`.",
        flow("""
state:
  round: 0
steps:
  work:
    on: Start
    set:
      rounds: 1
      round: 1
    emit: Stop
"""),
        flow("""
state:
  round: 0
steps:
  work:
    on: Start
    set:
      round: 1
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW510",
        ERROR,
        "an import that cannot be used",
        "The file or module is not there, is not allowed by the project, or has errors of its own.",
        flow(
            "imports:\n  child: ./nowhere.flow.yaml\nsteps:\n  work:\n    on: Start\n    call: flow.child\n    emit: Stop"
        ),
        flow("steps:\n  work:\n    on: Start\n    emit: Stop"),
    ),
    CodeInfo(
        "FLW511",
        ERROR,
        "a schema file that cannot be used",
        "`{schema: ./file.json}` names a JSON file of the project that holds a JSON Schema.",
        flow("inputs:\n  order: {schema: ./nowhere.json}\nsteps:\n  work:\n    on: Start\n    emit: Stop"),
        flow("inputs:\n  order: {id: str}\nsteps:\n  work:\n    on: Start\n    emit: Stop"),
    ),
    CodeInfo(
        "FLW512",
        ERROR,
        "flows that call each other in a circle",
        "A flow must not import itself, directly or through others: such runs would start each other without end.",
        flow(
            "imports:\n  again: ./example.flow.yaml\nsteps:\n  work:\n    on: Start\n    call: flow.again\n    emit: Stop"
        ),
        flow("steps:\n  work:\n    on: Start\n    emit: Stop"),
    ),
    CodeInfo(
        "FLW513",
        ERROR,
        "a misspelt error code",
        "The code is unknown and nearly one that is known, so the entry would never match. Codes are `http.404`, patterns "
        "such as `http.5xx` or `http.*`, `timeout`, `any`, and what callables declare.",
        flow(f"steps:\n  work:\n    on: Start\n{_GET}    retry: {{max: 3, errors: [timeuot]}}\n    emit: Stop"),
        flow(f"steps:\n  work:\n    on: Start\n{_GET}    retry: {{max: 3, errors: [timeout]}}\n    emit: Stop"),
    ),
    CodeInfo(
        "FLW515",
        INFO,
        "a result of unknown type",
        "The callable does not say what it returns, so what the flow reads of the result cannot be checked. A return "
        "annotation on the function mends that.",
        flow("""
outputs:
  body: any
steps:
  work:
    on: Start
    call: example.mystery
    emit:
      event: Stop
      with: {body: "${{ result.body }}"}
"""),
        flow("""
outputs:
  body: any
steps:
  work:
    on: Start
    call: http.get
    with: {url: https://example.com}
    emit:
      event: Stop
      with: {body: "${{ result.json }}"}
"""),
    ),
    CodeInfo(
        "FLW517",
        ERROR,
        "a trigger with wrong inputs",
        "A trigger must give every input of the flow that has no default, and no other.",
        flow("""
inputs:
  day: str
triggers:
  - cron: 0 6 * * *
steps:
  work:
    on: Start
    emit: Stop
"""),
        flow("""
inputs:
  day: str
triggers:
  - cron: 0 6 * * *
    inputs: {day: "${{ now }}"}
steps:
  work:
    on: Start
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW518",
        ERROR,
        "a schema that cannot be used",
        "The `schema` of a call is written like the fields of an event, or as JSON Schema.",
        flow(
            "steps:\n  work:\n    on: Start\n    call: llm.chat\n"
            "    with: {prompt: hello, schema: {label: [bug, other]}}\n    emit: Stop"
        ),
        flow(
            "steps:\n  work:\n    on: Start\n    call: llm.chat\n"
            "    with: {prompt: hello, schema: {label: bug | other}}\n    emit: Stop"
        ),
    ),
    CodeInfo(
        "FLW519",
        WARNING,
        "a value that may be null",
        "The value may be null, and null is not allowed in its place. Say what holds then, with `or` or `| default(…)`.",
        flow("""
inputs:
  note: str | null
outputs:
  note: str
steps:
  work:
    on: Start
    emit:
      event: Stop
      with: {note: "${{ inputs.note }}"}
"""),
        flow("""
inputs:
  note: str | null
outputs:
  note: str
steps:
  work:
    on: Start
    emit:
      event: Stop
      with: {note: "${{ inputs.note or '' }}"}
"""),
    ),
    CodeInfo(
        "FLW520",
        WARNING,
        "a result that is dropped",
        "The field of the event is filled from `ev`, because that comes before a scalar result, and nothing reads the result. "
        "Say with `with` which of the two is meant.",
        flow("""
inputs:
  prompt: str
events:
  Polished: {value: str}
  Drafted: {value: str}
steps:
  draft:
    on: Start
    emit: {event: Drafted, with: {value: "${{ inputs.prompt }}"}}
  polish:
    on: Drafted
    call: text.upper
    with: {text: "${{ ev.value }}"}
    emit: Polished
  done:
    on: Polished
    emit: Stop
"""),
        flow("""
inputs:
  prompt: str
events:
  Polished: {value: str}
  Drafted: {value: str}
steps:
  draft:
    on: Start
    emit: {event: Drafted, with: {value: "${{ inputs.prompt }}"}}
  polish:
    on: Drafted
    call: text.upper
    with: {text: "${{ ev.value }}"}
    emit: {event: Polished, with: {value: "${{ result }}"}}
  done:
    on: Polished
    emit: Stop
"""),
    ),
    CodeInfo(
        "FLW523",
        ERROR,
        "test that does not fit its flow",
        "What a test gives (`inputs`, `answers`, `events`) is what the flow takes, and what it expects (`outputs`, `events`, "
        "`waiting`, `failed`) can come: it is there, and of its type. Else the test fails whatever the flow does.",
        flow("""
inputs:
  amount: int
steps:
  work:
    on: Start
    emit: Stop
tests:
  - name: works
    inputs:
      amuont: 3
"""),
        flow("""
inputs:
  amount: int
steps:
  work:
    on: Start
    emit: Stop
tests:
  - name: works
    inputs:
      amount: 3
"""),
    ),
    CodeInfo(
        "FLW522",
        ERROR,
        "two flows of one name",
        "Runs, triggers and child calls find a flow by its name, so a project has each name once.",
        "",
        flow("steps:\n  work:\n    on: Start\n    emit: Stop"),
    ),
)
