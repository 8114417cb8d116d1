"""The rules of `checking` for fields, operators and comparisons: each gives a type and at most a few findings."""

from __future__ import annotations

from orchestrator.expr.findings import ExprFinding, error, warning
from orchestrator.expr.nodes import Expr, Literal, Scalar, word_span
from orchestrator.expr.suggest import listed, nearest
from orchestrator.expr.types import (
    ANY,
    BOOL,
    DATETIME,
    DURATION,
    FLOAT,
    INT,
    NULL,
    NUMERIC,
    STR,
    TEXT_LIKE,
    EnumT,
    ListT,
    ObjectT,
    TypeT,
    field_type,
    is_nullable,
    literals_of,
    members,
    to_text,
    union,
    widened,
    without_null,
)
from orchestrator.expr.unparse import unparse

_COMPARABLE = frozenset({INT, FLOAT, BOOL, STR, DATETIME})
_ORDER = frozenset({"==", "!=", "<", "<=", ">", ">="})
ITEM = "an item"  # stands for what has no name of its own
Answer = tuple[TypeT, ExprFinding | None]


def explain(t: TypeT) -> str:
    """A type in a message, cut if long."""
    if isinstance(t, EnumT) and len(t.values) == 1:
        return _literal(t.values[0])
    text = to_text(t)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_field(owner: TypeT, name: str, owner_text: str, start: int, end: int) -> Answer:
    """The type of `owner.name`."""
    if owner == ANY:
        return ANY, None
    found: list[TypeT] = []
    is_partial = False
    for member in members(without_null(owner)) if owner != NULL else ():
        kind = ANY if member == ANY else field_type(member, name) if isinstance(member, ObjectT) else None
        found += [] if kind is None else [kind]
        is_partial = is_partial or kind is None
    if not found:
        return ANY, _no_field(owner, name, owner_text, start, end)
    result = union(*found, NULL) if is_partial else union(*found)
    if not is_nullable(owner):
        return result, None
    help = f"ask first: `{owner_text} and {owner_text}.{name}`, or `if {owner_text} else …`"
    return result, warning("FLW329", f"{_quoted(owner_text)} may be null, and null has no fields", start, end, help)


def read_item(owner: TypeT, at: TypeT, owner_text: str, start: int, end: int) -> Answer:
    """The type of `owner[at]` for an index that is not written out as a text."""
    if owner == ANY:
        return ANY, None
    found: list[TypeT] = []
    wanted: set[str] = set()
    for member in members(without_null(owner)) if owner != NULL else ():
        match member:
            case ListT(item=item):
                found += [item]
                wanted.add("a whole number")
            case ObjectT(fields=fields, is_open=is_open):
                found += [ANY] if is_open or not fields else list(fields.values())
                wanted.add("a text")
            case _ if member in TEXT_LIKE or isinstance(member, EnumT):
                found += [STR]
                wanted.add("a whole number")
            case _:
                pass
    if not found:
        return ANY, error("FLW323", f"{_quoted(owner_text)} is {explain(owner)} and has no items", start, end)
    given = {
        "a whole number" if widened(m) == INT else "a text" if m in TEXT_LIKE else "" for m in members(widened(at))
    }
    if at != ANY and not given & wanted and "" not in given | wanted:
        message = f"{_quoted(owner_text)} is {explain(owner)}; its index must be {' or '.join(sorted(wanted))}"
        return union(*found), error("FLW333", message, start, end)
    return union(*found), None


def arithmetic_type(op: str, left: TypeT, right: TypeT, start: int, end: int) -> Answer:
    """The type of `left op right`."""
    if left == ANY or right == ANY:
        return ANY, None
    kinds = [m for side in (left, right) for m in members(widened(side)) if m != NULL]
    if all(kind in NUMERIC for kind in kinds) and kinds:
        result: TypeT = FLOAT if op == "/" or FLOAT in kinds else INT
        return result, _null_operand(op, left, right, start, end)
    if op == "+" and all(kind in TEXT_LIKE for kind in kinds):
        return STR, _null_operand(op, left, right, start, end)
    if op == "+" and all(isinstance(kind, ListT) for kind in kinds):
        items = union(*(kind.item for kind in kinds if isinstance(kind, ListT)))
        return ListT(items), _null_operand(op, left, right, start, end)
    if op == "*" and INT in kinds and any(kind in TEXT_LIKE or isinstance(kind, ListT) for kind in kinds):
        return widened(left if INT not in members(widened(left)) else right), None
    help = "`~` joins anything as text" if op == "+" and any(kind in TEXT_LIKE for kind in kinds) else None
    if op == "%" and any(kind in TEXT_LIKE for kind in members(widened(left))):
        help = "`%` does not format text; join with `~`"
    if help is None and any(kind in TEXT_LIKE for kind in kinds):
        help = "a text that holds a number becomes one with `| int` or `| float`"
    message = f"`{op}` cannot work on {explain(left)} and {explain(right)}"
    return ANY, error("FLW324", message, start, end, help)


def signed_type(op: str, operand: TypeT, start: int, end: int) -> Answer:
    """The type of `-x` or `+x`."""
    kinds = members(widened(without_null(operand)))
    if operand == ANY or all(kind in NUMERIC for kind in kinds):
        return (FLOAT if FLOAT in kinds else INT if operand != ANY else ANY), None
    return ANY, error("FLW324", f"`{op}` needs a number, not {explain(operand)}", start, end)


def check_comparison(op: str, left_node: Expr, left: TypeT, right_node: Expr, right: TypeT) -> list[ExprFinding]:
    """What is wrong with one comparison."""
    if ANY in (left, right) or (left is right and left in _COMPARABLE and op in _ORDER):
        return []
    if op in ("==", "!="):
        return _check_equality(left_node, left, right_node, right)
    if op in ("in", "not in"):
        return _check_membership(left_node, left, right_node, right)
    return _check_order(op, left_node, left, right_node, right)


def _check_equality(left_node: Expr, left: TypeT, right_node: Expr, right: TypeT) -> list[ExprFinding]:
    for values, node in ((left, right_node), (right, left_node)):
        finding = _check_enum(values, node)
        if finding is not None:
            return [finding]
    if _may_be_equal(left, right):
        return []
    message = f"{explain(left)} and {explain(right)} are never equal"
    return [warning("FLW331", message, left_node.start, right_node.end, _convert_help(left, right))]


def _check_membership(left_node: Expr, left: TypeT, right_node: Expr, right: TypeT) -> list[ExprFinding]:
    findings: list[ExprFinding] = []
    for member in members(without_null(right)):
        if isinstance(member, ListT) and member.item != ANY:
            values = getattr(right_node, "items", ())
            enum = [_check_enum(left, item) for item in values if isinstance(item, Literal)]
            findings += [found for found in enum if found is not None]
            if not findings and not _may_be_equal(left, member.item):
                message = f"{explain(left)} is never in {explain(right)}"
                findings.append(warning("FLW331", message, left_node.start, right_node.end))
        elif member in NUMERIC:
            message = f"`in` needs a list, an object or a text on its right, not {explain(right)}"
            findings.append(error("FLW324", message, left_node.start, right_node.end))
    return findings


def _check_order(op: str, left_node: Expr, left: TypeT, right_node: Expr, right: TypeT) -> list[ExprFinding]:
    start, end = left_node.start, right_node.end
    kinds = [set(members(widened(without_null(side)))) for side in (left, right)]
    if any(DURATION in side for side in kinds):
        help = "compare numbers: `x | duration('s') < 60`"
        return [error("FLW324", f"`{op}` cannot compare durations, they are texts such as `90s`", start, end, help)]
    fits = all(k <= NUMERIC for k in kinds) or all(k <= {STR, DATETIME} for k in kinds) or any(ANY in k for k in kinds)
    if not fits and not all(all(isinstance(kind, ListT) for kind in side) for side in kinds):
        message = f"`{op}` cannot compare {explain(left)} with {explain(right)}"
        return [error("FLW324", message, start, end, _convert_help(left, right))]
    for node, side in ((left_node, left), (right_node, right)):
        if is_nullable(side):
            message = f"`{unparse(node)}` may be null, and null has no order"
            return [warning("FLW329", message, node.start, node.end, "say what holds then: `| default(…)`")]
    return []


def _check_enum(values: TypeT, node: Expr) -> ExprFinding | None:
    """A literal that an enum does not have."""
    allowed = literals_of(values)
    if allowed is None or len(allowed) < 2 or not isinstance(node, Literal) or node.value is None:
        return None
    if any(node.value == value and type(node.value) is type(value) for value in allowed):
        return None
    texts = [value for value in allowed if isinstance(value, str)]
    guess = nearest(node.value, texts) if isinstance(node.value, str) else None
    help = f"did you mean `{guess}`?" if guess else None
    message = f"{_literal(node.value)} is none of {listed(map(_literal, allowed))}"
    start, end = word_span(node)
    mend = guess if guess and isinstance(node.value, str) and end - start == len(node.value) else None
    return error("FLW326", message, start, end, help, replacement=mend)


def _may_be_equal(left: TypeT, right: TypeT) -> bool:
    for one in members(widened(left)):
        for other in members(widened(right)):
            if ANY in (one, other) or one == other or (one in NUMERIC and other in NUMERIC):
                return True
            if (one in TEXT_LIKE and other in TEXT_LIKE) or type(one) is type(other) is not type(STR):
                return True
            if NULL in (one, other):
                return True  # `x == null` is how one asks; whether it can be is another question
    return False


def _no_field(owner: TypeT, name: str, owner_text: str, start: int, end: int) -> ExprFinding:
    objects = [m for m in members(owner) if isinstance(m, ObjectT)]
    if objects:
        names = list(dict.fromkeys(field for m in objects for field in m.fields))
        guess = nearest(name, names)
        help = f"did you mean `{guess}`?" if guess else None
        if owner_text == "secrets" and guess is None:
            help = f"ask for it at the top: `secrets: [{', '.join([*names, name])}]`"
        has = f"it has: {listed(names)}" if names else "it has no fields"
        message = f"{_quoted(owner_text)} has no field `{name}`; {has}"
        mend = guess if end - start == len(name) else None
        return error("FLW321", message, start, end, help, replacement=mend)
    help = None
    if any(isinstance(m, ListT) for m in members(owner)):
        help = f"take an item, `{owner_text}[0].{name}`, or all, `{owner_text} | map(attribute='{name}')`"
    message = f"{_quoted(owner_text)} is {explain(owner)} and has no fields"
    return error("FLW321", message, start, end, help)


def _null_operand(op: str, left: TypeT, right: TypeT, start: int, end: int) -> ExprFinding | None:
    if not is_nullable(left) and not is_nullable(right):
        return None
    return warning("FLW329", f"a side of `{op}` may be null", start, end, "say what holds then: `| default(0)`")


def _convert_help(left: TypeT, right: TypeT) -> str | None:
    kinds = {*members(widened(left)), *members(widened(right))}
    if kinds & TEXT_LIKE and kinds & {INT, FLOAT}:
        return "a text that holds a number becomes one with `| int` or `| float`"
    return "true and false stand without quotes" if kinds & TEXT_LIKE and BOOL in kinds else None


def _literal(value: Scalar) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    return text if text.startswith(ITEM) else f"`{text}`"
