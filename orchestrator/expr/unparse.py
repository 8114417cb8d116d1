"""Writes a syntax tree as source again, with as many parentheses as it takes to be read the same way."""

from __future__ import annotations

import json
from typing import assert_never

from orchestrator.expr.nodes import (
    Attr,
    Binary,
    Call,
    Compare,
    Concat,
    Cond,
    DictLit,
    Expr,
    Filter,
    Index,
    ListLit,
    Literal,
    Logic,
    Name,
    Not,
    Scalar,
    Slice,
    Test,
    Unary,
)

_ATOMS = (Literal, ListLit, DictLit, Name, Attr, Index, Slice, Call)


def unparse(node: Expr) -> str:
    """A source whose tree is this one, apart from places."""
    match node:
        case Literal(value=value):
            return _literal(value)
        case ListLit(items=items):
            return f"[{', '.join(map(unparse, items))}]"
        case DictLit(entries=entries):
            return "{" + ", ".join(f"{_inner(key)}: {unparse(value)}" for key, value in entries) + "}"
        case Name(id=name):
            return name
        case Attr(base=base, name=name):
            return f"{_inner(base)}.{name}"
        case Index(base=base, key=key):
            return f"{_inner(base)}[{unparse(key)}]"
        case Slice(base=base, lower=lower, upper=upper, step=step):
            bounds = [unparse(part) if part else "" for part in (lower, upper)] + ([unparse(step)] if step else [])
            return f"{_inner(base)}[{':'.join(bounds)}]"
        case Unary(op=op, operand=operand):
            return f"{op}{_inner(operand)}"
        case Not(operand=operand):
            return f"not {_inner(operand)}"
        case Binary(op=op, left=left, right=right):
            return f"{_inner(left)} {op} {_inner(right)}"
        case Concat(parts=parts):
            return " ~ ".join(map(_inner, parts))
        case Logic(op=op, items=items):
            return f" {op} ".join(map(_inner, items))
        case Compare(first=first, rest=rest):
            return " ".join([_inner(first), *(f"{op} {_inner(operand)}" for op, operand in rest)])
        case Cond(test=test, then=then, orelse=orelse):
            return f"{_inner(then)} if {_inner(test)} else {_inner(orelse)}"
        case Filter(base=base, name=name, args=args):
            return f"{_inner(base)} | {name}{_arguments(args)}"
        case Test(base=base, name=name, args=args, is_negated=is_negated):
            return f"{_inner(base)} is {'not ' if is_negated else ''}{name}{_arguments(args)}"
        case Call(name=name, args=args):
            return f"{name}({', '.join(map(unparse, args))})"
        case _:
            assert_never(node)


def _inner(node: Expr) -> str:
    text = unparse(node)
    return text if isinstance(node, _ATOMS) else f"({text})"


def _literal(value: Scalar) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def _arguments(args: tuple[tuple[str, Expr], ...]) -> str:
    named = [f"{name}={unparse(arg)}" for name, arg in args if name != "*"]
    rest = [unparse(arg) for name, arg in args if name == "*"]
    if rest:  # further arguments follow the ones before them by position
        named = [unparse(arg) for name, arg in args if name != "*"]
    return f"({', '.join(named + rest)})" if args else ""
