"""The syntax tree of an expression: a closed set of frozen nodes, each with its place in the source. Evaluates nothing.

`start` and `end` are offsets in the source. For `Attr` the name is the last token, so it begins at `end - len(name)`.
Parentheses leave no node. Arguments of filters and tests are bound to the parameter names of their table by the
parser, `*` standing for the further arguments of `map`, `select` and the like.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, assert_never

from orchestrator.ir.record import record

Scalar: TypeAlias = str | int | float | bool | None


@record
class Literal:
    """A text, number, `true`, `false` or `null`."""

    value: Scalar
    start: int
    end: int


@record
class ListLit:
    """`[a, b]`; Jinja's tuples are read as lists too."""

    items: tuple[Expr, ...]
    start: int
    end: int


@record
class DictLit:
    """`{'a': 1}`."""

    entries: tuple[tuple[Expr, Expr], ...]
    start: int
    end: int


@record
class Name:
    """A root of the scope, such as `ev`."""

    id: str
    start: int
    end: int


@record
class Attr:
    """`base.name`."""

    base: Expr
    name: str
    start: int
    end: int


@record
class Index:
    """`base[key]`, and `base.0`."""

    base: Expr
    key: Expr
    start: int
    end: int


@record
class Slice:
    """`base[lower:upper:step]`."""

    base: Expr
    lower: Expr | None
    upper: Expr | None
    step: Expr | None
    start: int
    end: int


@record
class Unary:
    """`-x` or `+x`."""

    op: str
    operand: Expr
    start: int
    end: int


@record
class Not:
    """`not x`."""

    operand: Expr
    start: int
    end: int


@record
class Binary:
    """Arithmetic: `+ - * / // % **`."""

    op: str
    left: Expr
    right: Expr
    start: int
    end: int


@record
class Concat:
    """`a ~ b ~ c`: the operands as one text."""

    parts: tuple[Expr, ...]
    start: int
    end: int


@record
class Logic:
    """`a and b and c`, or the same with `or`; gives the deciding operand, as in Python."""

    op: str
    items: tuple[Expr, ...]
    start: int
    end: int


@record
class Compare:
    """`a < b <= c`; each of `rest` is an operator (`in` and `not in` among them) and an operand."""

    first: Expr
    rest: tuple[tuple[str, Expr], ...]
    start: int
    end: int


@record
class Cond:
    """`then if test else orelse`."""

    test: Expr
    then: Expr
    orelse: Expr
    start: int
    end: int


@record
class Filter:
    """`base | name(args)`."""

    base: Expr
    name: str
    args: tuple[tuple[str, Expr], ...]
    name_start: int
    start: int
    end: int


@record
class Test:
    """`base is name(args)`, or `is not`."""

    __test__ = False  # pytest would take the class for a test

    base: Expr
    name: str
    args: tuple[tuple[str, Expr], ...]
    is_negated: bool
    name_start: int
    start: int
    end: int


@record
class Call:
    """`range(…)`: the only functions are those of an allow-list."""

    name: str
    args: tuple[Expr, ...]
    start: int
    end: int


Expr: TypeAlias = (
    Literal
    | ListLit
    | DictLit
    | Name
    | Attr
    | Index
    | Slice
    | Unary
    | Not
    | Binary
    | Concat
    | Logic
    | Compare
    | Cond
    | Filter
    | Test
    | Call
)


def children(node: Expr) -> tuple[Expr, ...]:
    """The direct parts of a node, in the order in which they are written."""
    match node:
        case Literal() | Name():
            return ()
        case ListLit(items=items) | Logic(items=items) | Concat(parts=items) | Call(args=items):
            return items
        case DictLit(entries=entries):
            return tuple(part for entry in entries for part in entry)
        case Attr(base=base):
            return (base,)
        case Index(base=base, key=key):
            return (base, key)
        case Slice(base=base, lower=lower, upper=upper, step=step):
            return (base, *(part for part in (lower, upper, step) if part is not None))
        case Unary(operand=operand) | Not(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
        case Compare(first=first, rest=rest):
            return (first, *(operand for _, operand in rest))
        case Cond(test=test, then=then, orelse=orelse):
            return (then, test, orelse)
        case Filter(base=base, args=args) | Test(base=base, args=args):
            return (base, *(arg for _, arg in args))
        case _:
            assert_never(node)


def walk(node: Expr) -> Iterator[Expr]:
    """The node and everything below it, parents first. Needs no recursion."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(children(current)))


def word_span(node: Expr) -> tuple[int, int]:
    """The place of a node, for a quoted text that of the word between the quotes (if it is written as it reads)."""
    is_plain_text = (
        isinstance(node, Literal) and isinstance(node.value, str) and node.end - node.start == len(node.value) + 2
    )
    return (node.start + 1, node.end - 1) if is_plain_text else (node.start, node.end)


def static_path(node: Expr) -> str | None:
    """`ev.user.name` for a plain chain of fields from a root (`[]` for an index into a list), else None."""
    match node:
        case Name(id=name):
            return name
        case Attr(base=base, name=name):
            path = static_path(base)
            return None if path is None else f"{path}.{name}"
        case Index(base=base, key=Literal(value=str() as key)):
            path = static_path(base)
            return None if path is None else f"{path}.{key}"
        case Index(base=base):
            path = static_path(base)
            return None if path is None else f"{path}[]"
        case _:
            return None


def is_constant(node: Expr) -> bool:
    """Whether nothing of the scope is read."""
    return not any(isinstance(part, Name) for part in walk(node))


def used_names(node: Expr) -> frozenset[str]:
    """Every path that is read: `ev.user.name` counts as itself, not as `ev` too."""
    found: set[str] = set()
    stack = [node]
    while stack:
        current = stack.pop()
        if current.__class__ is Literal:
            continue
        path = static_path(current)
        if path is None:
            stack.extend(children(current))
            continue
        found.add(path)
        while isinstance(current, Attr | Index):  # an index may hold an expression of its own
            if isinstance(current, Index) and not isinstance(current.key, Literal):
                stack.append(current.key)
            current = current.base
    return frozenset(found)
