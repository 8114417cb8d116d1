"""The codes of findings about expressions (FLW3xx): what each means, with an example that has it and one that has not.

The examples are run by a test. `form` says how they are read: as an expression, as text with `${{ }}`, as a condition,
or as a `for_each`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CodeDoc:
    """What `orchestrator explain` shows for a code."""

    title: str
    explanation: str
    bad: str
    good: str
    form: str = "expression"


CODES: Final[dict[str, CodeDoc]] = {
    "FLW301": CodeDoc(
        "unexpected text in an expression",
        "The expression cannot be read from here on: an operator, a bracket or a quote is missing or too many.",
        "ev.score > 8 9",
        "ev.score > 8",
    ),
    "FLW302": CodeDoc(
        "text that is not closed",
        "A text in quotes has no closing quote, or holds an escape that stands for no character.",
        "ev.kind == 'draft",
        "ev.kind == 'draft'",
    ),
    "FLW303": CodeDoc(
        "`${{` that is not closed",
        "Every `${{` needs its `}}`. For the characters themselves write `${{ '${{' }}`.",
        "Hello ${{ ev.name",
        "Hello ${{ ev.name }}",
        "text",
    ),
    "FLW304": CodeDoc(
        "text around an expression where only an expression can stand",
        "`when`, `until`, `for_each`, `key` and `retry.if` are expressions as they are. `${{ }}` may stand around the"
        " whole, but text beside it would make the value a text, which always counts as true.",
        "${{ ev.ok }} and more",
        "${{ ev.ok and ev.more }}",
        "condition",
    ),
    "FLW305": CodeDoc(
        "empty expression",
        "There is nothing between `${{` and `}}`, or an expression is empty.",
        "Hello ${{ }}",
        "Hello ${{ ev.name }}",
        "text",
    ),
    "FLW306": CodeDoc(
        "operator of another language",
        "Expressions use the words `and`, `or`, `not`, compare with `==` and choose with `a if c else b`.",
        "ev.ok && ev.score > 8",
        "ev.ok and ev.score > 8",
    ),
    "FLW307": CodeDoc(
        "unknown filter",
        "After `|` stands the name of a filter from a fixed list; flows cannot add filters. Other work is a step's.",
        "ev.items | lenght",
        "ev.items | length",
    ),
    "FLW308": CodeDoc(
        "unknown test",
        "After `is` stands the name of a test from a fixed list, such as `defined`, `none`, `eq` or `string`.",
        "ev.notes is definde",
        "ev.notes is defined",
    ),
    "FLW309": CodeDoc(
        "wrong arguments",
        "A filter, test or function got too many or too few arguments, or one of a name that it does not have.",
        "ev.items | join(sep=', ')",
        "ev.items | join(', ')",
    ),
    "FLW310": CodeDoc(
        "call",
        "Nothing can be called in an expression but `range`. What other languages do with methods, filters do here.",
        "ev.name.upper()",
        "ev.name | upper",
    ),
    "FLW311": CodeDoc(
        "name that begins with `_`",
        "Roots, fields and filters never begin with `_`. A field of foreign data that does is read with brackets.",
        "ev._id",
        "ev['_id']",
    ),
    "FLW312": CodeDoc(
        "expression too large",
        "An expression may have 16 kB, 2,000 parts and 40 levels. Larger work belongs in a registered callable.",
        "((((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))))))",
        "1",
    ),
    "FLW313": CodeDoc(
        "bracket that is not closed",
        "A `(`, `[` or `{` has no partner.",
        "(ev.score + 1",
        "(ev.score + 1)",
    ),
    "FLW314": CodeDoc(
        "number that cannot be read",
        "Numbers are decimal, do not begin with 0 and are not larger than any use.",
        "ev.score + 010",
        "ev.score + 10",
    ),
    "FLW315": CodeDoc(
        "`if` without `else`",
        "A choice always says what the value is otherwise; `else null` if it is nothing.",
        "ev.name if ev.ok",
        "ev.name if ev.ok else null",
    ),
    "FLW320": CodeDoc(
        "unknown name",
        "The first name of a path is one of the roots, such as `ev`, `inputs` or `state`; a text stands in quotes.",
        "evt.name == 'x'",
        "ev.name == 'x'",
    ),
    "FLW321": CodeDoc(
        "unknown field",
        "The event, result or object has no field of this name. Fields come from `events:`, `inputs:`, `state:` and"
        " the types of callables.",
        "ev.nmae == 'x'",
        "ev.name == 'x'",
    ),
    "FLW322": CodeDoc(
        "root that does not exist here",
        "Some roots exist only in some places: `result` after the call, `item` under `for_each`, `secrets` in `with`.",
        "result.text",
        "ev.name",
    ),
    "FLW323": CodeDoc(
        "filter or index on the wrong type",
        "The value is not of a type that the filter works on.",
        "ev.items | upper",
        "ev.items | map('upper')",
    ),
    "FLW324": CodeDoc(
        "operator on the wrong types",
        "The operator has no meaning for these types: a text and a number are joined with `~`, not added.",
        "ev.name + ev.score",
        "ev.name ~ ev.score",
    ),
    "FLW325": CodeDoc(
        "condition that is not true or false",
        "A text or number that is always there counts as true unless empty or 0, which is hardly what is meant: the"
        " text 'false' is true. Compare it with something.",
        "ev.name",
        "ev.name != ''",
        "condition",
    ),
    "FLW326": CodeDoc(
        "value that the enum does not have",
        "The value compared with is none of those that the other side can have, so the answer is always the same.",
        "ev.verdict == 'aprove'",
        "ev.verdict == 'approve'",
    ),
    "FLW327": CodeDoc(
        "constant condition",
        "The condition reads nothing, so it is always true, always false, or always fails.",
        "'ev.ok'",
        "ev.ok",
        "condition",
    ),
    "FLW328": CodeDoc(
        "`for_each` over something that is no list",
        "`for_each` goes through the items of a list. An object becomes one with `| items` or `| values`.",
        "ev.name",
        "ev.items",
        "for_each",
    ),
    "FLW329": CodeDoc(
        "value that may be null",
        "Null has no fields, no order and no sum. Ask first, or say with `| default(…)` what holds then.",
        "ev.user.name",
        "ev.user.name if ev.user else ''",
    ),
    "FLW330": CodeDoc(
        "secret that is computed with",
        "A secret can be placed alone or in text, and nothing else: what is computed of it would not be masked.",
        "secrets.TOKEN | upper",
        "'Bearer ' ~ secrets.TOKEN",
    ),
    "FLW331": CodeDoc(
        "values that are never equal",
        "Values of these types are never the same, so the answer never changes.",
        "ev.score == '3'",
        "ev.score == 3",
    ),
    "FLW333": CodeDoc(
        "index of the wrong type",
        "A list is read with a whole number, an object with a text.",
        "ev.items[ev.name]",
        "ev.items[0]",
    ),
}
