"""What the parser says of text that is no expression, with the way out: above all for habits from other languages."""

from __future__ import annotations

from typing import Final

from orchestrator.expr.errors import ExprSyntaxError
from orchestrator.expr.limits import DEPTH, INTEGER_BITS, NODES
from orchestrator.expr.nodes import Attr, Expr, Name, children

_METHODS: Final = {
    **{name: f"`| {name}`" for name in ("upper", "lower", "title", "items", "keys", "values", "split", "capitalize")},
    "strip": "`| trim`",
    "replace": "`| replace(old, new)`",
    "join": "`list | join(', ')`",
    "get": "`ev['key'] | default(…)`",
    "format": "`~`, or text with `${{ }}` in it",
    "startswith": "`x[:3] == 'abc'`",
    "endswith": "`x[-3:] == 'abc'`",
    "count": "`| length`",
    "append": "`list + [item]`",
}
_CALLS: Final = {
    "len": "`x | length`",
    "str": "`x | string`",
    "now": "`now`, a value",
    **{name: f"`x | {name}`" for name in ("int", "float", "round", "abs", "min", "max", "sum", "list", "default")},
    "sorted": "`x | sort`",
    "success": "nothing: a step only follows the events it listens to",
    "failure": "`on: step.failed`",
    "contains": "`part in whole`",
    "toJSON": "`x | tojson`",
    "fromJSON": "`x | fromjson`",
}
CLOSERS: Final = {"(": ")", "[": "]", "{": "}"}
_VALUE_ENDS: Final = frozenset({"name", "str", "int", "float", ")", "]", "}"})


def refuse_call(target: Expr) -> ExprSyntaxError:
    """There are no calls: what to write instead of a function or method that other languages have."""
    start, name = target.start, "this"
    known: str | None = None
    if isinstance(target, Attr):
        start, name, known = target.end - len(target.name), target.name, _METHODS.get(target.name)
    elif isinstance(target, Name):
        name, known = target.id, _CALLS.get(target.id)
    help = f"write {known}" if known else "work is done by filters (`x | name`) and by steps"
    return ExprSyntaxError("FLW310", f"`{name}` cannot be called", start, target.end, help)


def check_size(tree: Expr, end: int) -> None:
    """Refuse a tree of too many nodes, or one that is too deep."""
    count = 0
    level = [tree]
    for _ in range(DEPTH):
        count += len(level)
        if count > NODES:
            raise ExprSyntaxError("FLW312", f"the expression has more than {NODES:,} parts", 0, end)
        level = [child for node in level for child in children(node)]
        if not level:
            return
    raise ExprSyntaxError("FLW312", f"the expression is nested more than {DEPTH} deep", 0, end)


def not_closed(bracket: str, start: int) -> ExprSyntaxError:
    """The source ends inside a bracket; the place is the bracket."""
    help = f"add `{CLOSERS[bracket]}` at the end"
    return ExprSyntaxError("FLW313", f"`{bracket}` is not closed", start, start + 1, help)


def double_bar(start: int, left_end: int, right_start: int) -> ExprSyntaxError:
    """`||`, which other languages have for `or`; the places around it say whether spaces are needed."""
    help = "`||` is written `or` here"
    word = f"{' ' if left_end == start else ''}or{' ' if right_start == start + 2 else ''}"
    return ExprSyntaxError("FLW306", "`||` is not part of an expression", start, start + 2, help, replacement=word)


def triple_equals(op: str, start: int, end: int) -> ExprSyntaxError:
    """`===` and `!==`, as in JavaScript."""
    help = f"values are compared with `{op}`"
    return ExprSyntaxError("FLW306", f"`{op}=` is not part of an expression", start, end, help, replacement=op)


def unquoted_key(key: Name) -> ExprSyntaxError:
    """`{a: 1}`, as in JavaScript."""
    help = f"the keys of an object are quoted: {{'{key.id}': …}}"
    return ExprSyntaxError("FLW301", f"`{key.id}` is no text", key.start, key.end, help, replacement=f"'{key.id}'")


def ends_early(size: int, last_start: int | None, wanted: str) -> ExprSyntaxError:
    """The source ends where more must follow; the place is its last token."""
    if last_start is None:
        return ExprSyntaxError("FLW305", "the expression is empty", 0, size)
    return ExprSyntaxError(
        "FLW301", f"the expression ends too early; here {wanted or 'a value'} should follow", last_start, size
    )


def unexpected_token(kind: str, text: str, start: int, before: str, wanted: str) -> ExprSyntaxError:
    """A token that cannot stand where it does; `before` is the kind of the one before it."""
    end = start + len(text)
    if kind == "=":
        help = "two values are compared with `==`"
        return ExprSyntaxError("FLW306", "`=` is not part of an expression", start, end, help, replacement="==")
    hint = "between two values an operator is missing; text stands in quotes" if before in _VALUE_ENDS else None
    want = f"; here {wanted} should follow" if wanted else ""
    shown = text if len(text) <= 40 else f"{text[:37]}..."
    return ExprSyntaxError("FLW301", f"`{shown}` is not expected here{want}", start, end, hint)


def number_of(kind: str, text: str, start: int) -> int | float:
    """The number that a token stands for. Raises: ExprSyntaxError for one with a leading 0, or too large."""
    digits = text.replace("_", "")
    end = start + len(text)
    if kind == "int":
        if len(digits) > 1 and digits[0] == "0":
            plain = digits.lstrip("0") or "0"
            raise ExprSyntaxError("FLW314", f"`{text}` begins with 0", start, end, f"write {plain}", replacement=plain)
        if len(digits) <= INTEGER_BITS // 4:
            return int(digits)
    elif float(digits) != float("inf"):
        return float(digits)
    raise ExprSyntaxError("FLW314", "the number is too large", start, end)
