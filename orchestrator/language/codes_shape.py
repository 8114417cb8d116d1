"""The codes FLW2xx: keys, kinds of values, names, types and times, each looked at where it stands."""

from __future__ import annotations

from orchestrator.language.codes import CodeInfo, step, table, top

_GOOD = step("on: Start", "emit: Stop")

SHAPE_CODES = table(
    CodeInfo(
        "FLW200",
        "not a flow file",
        "A flow file is a mapping with at least `flow:` and `steps:`.",
        "- on: Start\n- emit: Stop\n",
        _GOOD,
    ),
    CodeInfo(
        "FLW201",
        "unknown key",
        "Nothing here has a key of this name, and nothing unknown is ever skipped: a misspelt `ask` would publish without "
        "approval. The suggestion is the closest key that is legal at this place.",
        step("on: Start", "aks: {title: Publish it}", "emit: Stop"),
        step("on: Start", "ask: {title: Publish it}", "emit: Stop"),
    ),
    CodeInfo(
        "FLW202",
        "missing key",
        "A key is needed here and not written.",
        "steps:\n  work:\n    on: Start\n    emit: Stop\n",
        _GOOD,
    ),
    CodeInfo(
        "FLW203",
        "value of the wrong kind",
        "A mapping, a list, text, a number or a boolean stands where another of these belongs.",
        step("on: Start", "call: http.get", "retry: 3"),
        step("on: Start", "call: http.get", "retry: {max: 3}"),
    ),
    CodeInfo(
        "FLW204",
        "unknown choice",
        "The value must be one of a few words.",
        step("on: Start", "call: http.get", "effect: sometimes"),
        step("on: Start", "call: http.get", "effect: none"),
    ),
    CodeInfo(
        "FLW205",
        "number out of bounds",
        "The number is too small or too large for what it counts.",
        step("on: Start", "call: http.get", "concurrency: 0"),
        step("on: Start", "call: http.get", "concurrency: 4"),
    ),
    CodeInfo(
        "FLW206",
        "form of a name",
        "Events are PascalCase, steps snake_case, callables `namespace.verb`, flows kebab-case and secrets UPPER_CASE, so "
        "that `on: review` can only be a step and `on: Approved` only an event.",
        top("events:", "  order_paid: {order: str}"),
        top("events:", "  OrderPaid: {order: str}"),
    ),
    CodeInfo(
        "FLW207",
        "reserved name",
        "`Start`, `Stop`, `Failed` and `Cancelled` are built in, and `none` means no event.",
        top("events:", "  Stop: {reason: str}"),
        top("events:", "  Stopped: {reason: str}"),
    ),
    CodeInfo(
        "FLW208",
        "listed twice",
        "The same name stands twice in one list.",
        step("on: [Start, Start]", "emit: Stop"),
        step("on: [Start]", "emit: Stop"),
    ),
    CodeInfo(
        "FLW209",
        "two verbs in one step",
        "A step does one thing: `call`, `ask` or `wait`.",
        step("on: Start", "call: http.get", "wait: 2h"),
        step("on: Start", "call: http.get"),
    ),
    CodeInfo(
        "FLW210",
        "key without effect",
        "The key is legal, but not beside what stands here, where it would do nothing.",
        step("on: Start", "retry: {max: 3}", "emit: Stop"),
        step("on: Start", "call: http.get", "retry: {max: 3}", "emit: Stop"),
    ),
    CodeInfo(
        "FLW211",
        "unknown type",
        "The types are `str int float bool any duration datetime`, `[T]`, `{field: T}`, `a | b`, `T | null`, a JSON "
        "Schema, and models that `imports:` brings in by a capital name.",
        top("inputs: {topic: string}"),
        top("inputs: {topic: str}"),
    ),
    CodeInfo(
        "FLW212",
        "type that cannot be read",
        "The text is no type: a bracket or a name is missing, or it is written as in another language.",
        top("inputs: {tags: 'list[str]'}"),
        top("inputs: {tags: [str]}"),
    ),
    CodeInfo(
        "FLW213",
        "default of another type",
        "The default value does not fit the type it stands beside.",
        top("inputs: {rounds: {type: int, default: three}}"),
        top("inputs: {rounds: {type: int, default: 3}}"),
    ),
    CodeInfo(
        "FLW214",
        "JSON Schema that is refused",
        "Schemas are JSON Schema 2020-12, closed in themselves and cheap to run: nothing is fetched, and patterns hold no "
        "back-reference, look-around or repetition of a repetition.",
        top("inputs:", "  code: {schema: {type: string, pattern: '^(a+)+$'}}"),
        top("inputs:", "  code: {schema: {type: string, pattern: '^a+$'}}"),
    ),
    CodeInfo(
        "FLW215",
        "time that cannot be read",
        "Durations are `500ms 30s 5m 4h 2d` or ISO 8601 and always have a unit; moments are `fri 17:00` or "
        "`2026-12-01T09:00`.",
        step("on: Start", "call: http.get", "timeout: 30"),
        step("on: Start", "call: http.get", "timeout: 30s"),
    ),
    CodeInfo(
        "FLW216",
        "rate that cannot be read",
        "A rate is a number of starts, a slash and a duration: `10/1m`.",
        step("on: Start", "call: http.get", "rate: 10/min"),
        step("on: Start", "call: http.get", "rate: 10/1m"),
    ),
    CodeInfo(
        "FLW217",
        "text around an expression",
        "`when`, `until`, `for_each`, `key` and `retry.if` are expressions as they stand, and a time is one expression or "
        "none. Text around `${{ }}` would make a string of it, and a string is always true.",
        step("on: Start", "when: ${{ inputs.go }} == true", "emit: Stop"),
        step("on: Start", "when: inputs.go == true", "emit: Stop"),
    ),
    CodeInfo(
        "FLW218",
        "expression in a fixed text",
        "Names and targets are fixed, so that the graph of a flow is known before it runs.",
        step("on: Start", "emit: ${{ inputs.next }}"),
        step("on: Start", "emit:", "  - {when: inputs.go, event: Stop}", "  - event: none"),
    ),
    CodeInfo(
        "FLW219",
        "no single form",
        "The mapping has several forms and none, or more than one of them, is written.",
        step("on: Start", "collect: {within: 1h}", "emit: Stop"),
        step("on: Start", "collect: {count: 3, within: 1h}", "emit: Stop"),
    ),
    CodeInfo(
        "FLW220",
        "unknown time zone",
        "Time zones are names of the IANA database.",
        top("timezone: Europe/Berlim"),
        top("timezone: Europe/Berlin"),
    ),
    CodeInfo(
        "FLW221",
        "import that names nothing",
        "An import is a flow inside the project, `./name.flow.yaml`, or a Python object, `module:Name`.",
        top("imports: {child: 'https://example.com/child.flow.yaml'}"),
        top("imports: {child: ./child.flow.yaml}"),
    ),
    CodeInfo(
        "FLW222",
        "format of another version",
        "`format` says which rules the file follows. This version knows one.",
        top("format: 2"),
        top("format: 1"),
    ),
    CodeInfo(
        "FLW223",
        "step that does nothing",
        "A step has a verb (`call`, `ask`, `wait`), or at least `set` or `emit`; a flow has at least one step.",
        step("on: Start", "when: inputs.go"),
        step("on: Start", "when: inputs.go", "emit: Stop"),
    ),
    CodeInfo(
        "FLW224",
        "trigger that cannot be read",
        "A cron line has five parts; the path of a webhook begins with `/`.",
        top("triggers:", "  - cron: every day"),
        top("triggers:", "  - cron: 0 9 * * *"),
    ),
    CodeInfo(
        "FLW225",
        "test of a step that does not exist",
        "A mock, an answer or a path in `tests:` names a step that the flow does not have.",
        top("tests:", "  - name: works", "    mocks: {wrk: done}"),
        top("tests:", "  - name: works", "    mocks: {work: done}"),
    ),
)
