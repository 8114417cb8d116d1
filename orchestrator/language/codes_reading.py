"""The codes FLW1xx: what can be wrong with the bytes and the YAML of a flow file."""

from __future__ import annotations

from orchestrator.language.codes import CodeInfo, step, table
from orchestrator.language.limits import MAX_BYTES, MAX_DEPTH, MAX_FINDINGS

_GOOD = step("on: Start", "emit: Stop")

READING_CODES = table(
    CodeInfo(
        "FLW100",
        "file too large",
        f"A flow file may have {MAX_BYTES:,} bytes. Long texts belong into files or inputs, and a flow of that length into "
        "sub-flows that `imports:` brings in.",
        "# a file of more than a million bytes",
        _GOOD,
        bad_bytes=b"#" * (MAX_BYTES + 1),
    ),
    CodeInfo(
        "FLW101",
        "not YAML",
        "The text breaks a rule of YAML itself, so nothing after this place was read: a missing space after a colon, a "
        "line that fits no level of indentation, a quote or bracket without its end.",
        step("on: Start", "  call: http.get"),
        step("on: Start", "call: http.get"),
    ),
    CodeInfo(
        "FLW102",
        "not UTF-8",
        "Flow files are UTF-8 text. The place is that of the first byte that is no part of a character.",
        "flow: caf\\xe9 (saved as Latin-1)",
        _GOOD,
        bad_bytes=b"flow: caf\xe9\n",
    ),
    CodeInfo(
        "FLW103",
        "control or invisible character",
        "Control characters and unusual line breaks are refused everywhere. Characters that are invisible or turn the "
        "direction of the text are refused in names, and warned of in texts and comments: what people read there is not "
        "what the flow does.",
        step("on: Start", "title: a\x07b", "emit: Stop"),
        step("on: Start", "title: ab", "emit: Stop"),
    ),
    CodeInfo(
        "FLW104",
        "tab",
        "YAML indents with spaces. A tab looks like several of them and counts as none, and readers disagree about tabs "
        "between the parts of a line, so they are refused outside of texts and comments.",
        "flow: example\nsteps:\n\twork:\n\t\ton: Start\n",
        _GOOD,
    ),
    CodeInfo(
        "FLW105",
        "duplicate key",
        "A key stands twice in one mapping. Many readers take the last one in silence; here one of them must go.",
        step("on: Start", "emit: Stop", "emit: none"),
        _GOOD,
    ),
    CodeInfo(
        "FLW106",
        "tag",
        "Tags such as `!!str` or `!include` ask a reader to make something other than plain data. A flow is plain data.",
        step("on: Start", "title: !!str 5", "emit: Stop"),
        step("on: Start", "title: '5'", "emit: Stop"),
    ),
    CodeInfo(
        "FLW107",
        "merge key",
        "`<<` copies the keys of another mapping and hides what a step really holds. What steps share belongs into "
        "`defaults:`. Plain aliases are fine.",
        "flow: example\nx-base: &base\n  emit: Stop\nsteps:\n  work:\n    <<: *base\n    on: Start\n    emit: Stop\n",
        "flow: example\ndefaults:\n  emit: Stop\nsteps:\n  work:\n    on: Start\n",
    ),
    CodeInfo(
        "FLW108",
        "several documents",
        "A line of `---` begins another YAML document. A flow file holds one flow.",
        _GOOD + "---\n" + _GOOD,
        _GOOD,
    ),
    CodeInfo(
        "FLW109",
        "alias of nothing",
        "`*name` repeats what `&name` marked above. Here there is no such mark, or the alias stands inside what it repeats.",
        step("on: Start", "title: *headline", "emit: Stop"),
        step("on: Start", "title: '*headline'", "emit: Stop"),
    ),
    CodeInfo(
        "FLW110",
        "text that YAML bends",
        "Without quotes YAML reads something else than the text that stands here: ` #` begins a comment, a comma or `{` "
        "splits a value inside `{ }`, `: ` makes a key, and a value that begins with a quote ends at the next one. "
        "The fix quotes the whole text.",
        step("on: Start", "title: Issue #12", "emit: Stop"),
        step("on: Start", 'title: "Issue #12"', "emit: Stop"),
    ),
    CodeInfo(
        "FLW111",
        "key that is no text",
        "Keys are text. Numbers and `true` must be quoted as keys; a list or mapping cannot be one. `{{ x }}` is a "
        "mapping inside a mapping to YAML: expressions are written `${{ x }}`.",
        step("on: Start", "call: data.pick", "with:", "  1: one"),
        step("on: Start", "call: data.pick", "with:", "  '1': one"),
    ),
    CodeInfo(
        "FLW112",
        "limit of reading",
        f"A file may nest {MAX_DEPTH} levels deep and hold 100,000 values, those that aliases repeat included; a text may "
        "have 200,000 characters and a key 256. A flow may have 6,000 steps and 5,000 different expressions. Reading stops "
        "at the place where a limit is passed.",
        "x-deep: [[[[… 65 levels …]]]]",
        _GOOD,
        bad_bytes=b"x-deep: " + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    ),
    CodeInfo(
        "FLW113",
        "YAML directive",
        "Lines that begin with % (`%YAML 1.1`, `%TAG`) change how YAML is read, and not every reader follows them.",
        "%YAML 1.1\n---\n" + _GOOD,
        _GOOD,
    ),
    CodeInfo(
        "FLW114",
        "number that cannot be stored",
        "Values are kept as JSON: no infinity, no not-a-number, no integer of more than 64 bits. Long digits are mostly "
        "identifiers, and those are text.",
        step("on: Start", "set:", "  order: 12345678901234567890123", "emit: Stop"),
        step("on: Start", "set:", "  order: '12345678901234567890123'", "emit: Stop"),
    ),
    CodeInfo(
        "FLW115",
        "text that looks like a constant",
        "Only `true`, `false` and `null` in small letters are constants; `True` is text.",
        step("on: Start", "set:", "  ready: True", "emit: Stop"),
        step("on: Start", "set:", "  ready: true", "emit: Stop"),
    ),
    CodeInfo(
        "FLW116",
        "expression that is not closed",
        "A `${{` needs its `}}` in the same text, with an expression between them.",
        step("on: Start", "call: text.upper", "with:", "  text: Hello ${{ inputs.name", "emit: Stop"),
        step("on: Start", "call: text.upper", "with:", "  text: Hello ${{ inputs.name }}", "emit: Stop"),
    ),
    CodeInfo(
        "FLW117",
        "form that readers disagree about",
        "`? ` begins a key that may be anything. YAML readers differ in it, and plain `key: value` says the same.",
        "? flow\n: example\nsteps:\n  work:\n    on: Start\n    emit: Stop\n",
        _GOOD,
    ),
    CodeInfo(
        "FLW118",
        "more findings than are shown",
        f"A check shows {MAX_FINDINGS} findings of a file and stops. Mend these and check again; errors are shown before "
        "warnings.",
        "… 200 mistakes …",
        _GOOD,
        bad_bytes=b"flow: example\nsteps:\n" + b"".join(b"  s%d: {onn: Start}\n" % n for n in range(MAX_FINDINGS + 1)),
    ),
)
