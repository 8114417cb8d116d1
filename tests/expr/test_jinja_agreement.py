"""Our parser and evaluator against Jinja2's own, on the subset that both have: the syntax is theirs, so is the meaning.

Jinja2 runs in the hardened environment, with its own filters put back where ours mean to do the same.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import nodes as theirs
from jinja2.exceptions import TemplateError
from jinja2.filters import FILTERS as DEFAULT_FILTERS
from jinja2.tests import TESTS as DEFAULT_TESTS

from orchestrator.expr import ExprError, ExprSyntaxError, compile_expr, parse
from orchestrator.expr import nodes as ours
from orchestrator.expr.errors import Fault
from orchestrator.expr.operators import to_text
from orchestrator.expr.sandbox import hardened_environment


def with_json_words(run: Any) -> Any:
    """Jinja2's filter, given the word that a value has in our text: `true`, not `True`."""
    return lambda value, *args, **named: run(to_text(value, [1000]), *args, **named)


SCOPE: dict[str, Any] = {
    "a": 3,
    "b": -2,
    "t": "Some Text",
    "l": [3, 1, 2],
    "names": ["kim", "Lee", "kim"],
    "rows": [{"n": 2, "ok": True, "in": {"x": "b"}}, {"n": 1, "ok": False, "in": {"x": "a"}}],
    "o": {"x": 1, "y": {"z": "deep"}},
    "yes": True,
    "empty": [],
}
JINJA = hardened_environment()
SAME_FILTERS = """
    upper lower title trim first last length list join abs sum min max sort unique reverse capitalize
""".split()  # noqa: SIM905
SAME_TESTS = "eq ne gt ge lt le in none string number divisibleby".split()  # noqa: SIM905
JINJA.filters.update({name: DEFAULT_FILTERS[name] for name in SAME_FILTERS})
JINJA.filters.update({name: with_json_words(DEFAULT_FILTERS[name]) for name in ("upper", "lower", "title", "trim")})
JINJA.tests.update({name: DEFAULT_TESTS[name] for name in SAME_TESTS})

MATH = {
    theirs.Add: "+", theirs.Sub: "-", theirs.Mul: "*", theirs.Div: "/", theirs.FloorDiv: "//",
    theirs.Mod: "%", theirs.Pow: "**",
}  # fmt: skip
COMPARISONS = {"eq": "==", "ne": "!=", "gt": ">", "gteq": ">=", "lt": "<", "lteq": "<=", "in": "in", "notin": "not in"}


def shape_of_jinja(node: Any) -> Any:
    """The grouping of Jinja2's tree, as nested tuples."""
    match node:
        case theirs.Const(value=value):
            return value
        case theirs.Name(name=name):
            return ("name", name)
        case theirs.Getattr(node=base, attr=attr):
            return ("attr", shape_of_jinja(base), attr)
        case theirs.Getitem(node=base, arg=theirs.Slice(start=a, stop=b, step=c)):
            return ("slice", shape_of_jinja(base), *(shape_of_jinja(x) if x else None for x in (a, b, c)))
        case theirs.Getitem(node=base, arg=arg):
            return ("index", shape_of_jinja(base), shape_of_jinja(arg))
        case theirs.Neg(node=inner) | theirs.Pos(node=inner):
            return ("-" if isinstance(node, theirs.Neg) else "+", shape_of_jinja(inner))
        case theirs.Not(node=inner):
            return ("not", shape_of_jinja(inner))
        case theirs.Or(left=left, right=right) | theirs.And(left=left, right=right):
            op = "or" if isinstance(node, theirs.Or) else "and"
            first, last = shape_of_jinja(left), shape_of_jinja(right)
            return (*first, last) if isinstance(first, tuple) and isinstance(left, type(node)) else (op, first, last)
        case theirs.Concat(nodes=parts):
            return ("~", *map(shape_of_jinja, parts))
        case theirs.Compare(expr=first, ops=ops):
            return ("compare", shape_of_jinja(first), *((COMPARISONS[o.op], shape_of_jinja(o.expr)) for o in ops))
        case theirs.CondExpr(test=test, expr1=then, expr2=orelse):
            return ("if", *map(shape_of_jinja, (test, then, orelse)))
        case theirs.List(items=items) | theirs.Tuple(items=items):
            return ("list", *map(shape_of_jinja, items))
        case theirs.Filter(node=base, name=name, args=args, kwargs=kwargs):
            return ("filter", shape_of_jinja(base), name, *map(shape_of_jinja, [*args, *(k.value for k in kwargs)]))
        case theirs.Test(node=base, name=name, args=args):
            return ("test", shape_of_jinja(base), name, *map(shape_of_jinja, args))
        case theirs.BinExpr(left=left, right=right):
            return (MATH[type(node)], shape_of_jinja(left), shape_of_jinja(right))
        case _:
            raise AssertionError(f"no shape for {node!r}")


def shape_of_ours(node: ours.Expr) -> Any:
    """The same of our tree."""
    match node:
        case ours.Literal(value=value):
            return value
        case ours.Name(id=name):
            return ("name", name)
        case ours.Attr(base=base, name=name):
            return ("attr", shape_of_ours(base), name)
        case ours.Slice(base=base, lower=a, upper=b, step=c):
            return ("slice", shape_of_ours(base), *(shape_of_ours(x) if x else None for x in (a, b, c)))
        case ours.Index(base=base, key=key):
            return ("index", shape_of_ours(base), shape_of_ours(key))
        case ours.Unary(op=op, operand=operand):
            return (op, shape_of_ours(operand))
        case ours.Not(operand=operand):
            return ("not", shape_of_ours(operand))
        case ours.Logic(op=op, items=(ours.Logic(op=inner) as first, *rest)) if op == inner:
            return (*shape_of_ours(first), *map(shape_of_ours, rest))
        case ours.Logic(op=op, items=items):
            return (op, *map(shape_of_ours, items))
        case ours.Concat(parts=parts):
            return ("~", *map(shape_of_ours, parts))
        case ours.Compare(first=first, rest=rest):
            return ("compare", shape_of_ours(first), *((op, shape_of_ours(operand)) for op, operand in rest))
        case ours.Cond(test=test, then=then, orelse=orelse):
            return ("if", *map(shape_of_ours, (test, then, orelse)))
        case ours.ListLit(items=items):
            return ("list", *map(shape_of_ours, items))
        case ours.Filter(base=base, name=name, args=args):
            return ("filter", shape_of_ours(base), name, *(shape_of_ours(arg) for _, arg in args))
        case ours.Test(base=base, name=name, args=args, is_negated=is_negated):
            asked = ("test", shape_of_ours(base), name, *(shape_of_ours(arg) for _, arg in args))
            return ("not", asked) if is_negated else asked
        case ours.Binary(op=op, left=left, right=right):
            return (op, shape_of_ours(left), shape_of_ours(right))
        case _:
            raise AssertionError(f"no shape for {node!r}")


_LEAVES = st.sampled_from(
    ["a", "b", "t", "l", "o.x", "o.y.z", "rows[0].n", "rows[-1]['in'].x", "l[1:]", "names[0]", "yes", "1", "2.5", "'x'",
     '"Some"', "true", "none", "[1, a]", "('k', t)", "l.0", "empty", "t[::-1]", "0"]
)  # fmt: skip
_SUFFIXES = st.sampled_from(
    ["| upper", "| length", "| first", "| last", "| sort", "| list", "| join(', ')", "| unique | list", "| abs", "| sum",
     "| max", "| title", "| reverse | list", "| sort(reverse=true)", "| replace('e', 'E')", "is none", "is not none",
     "is string", "is number", "is gt 2", "is in [1, 3]", "is divisibleby 2", "| default('d')", "| map('upper') | list",
     "| map(attribute='n') | list", "| selectattr('ok') | list", "| select | list", "| rejectattr('n', 'gt', 1) | list"]
)  # fmt: skip
_OPERATORS = st.sampled_from(
    ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "and", "or", "in", "not in", "** 2 +",
     "if yes else", "if a is none else"]
)  # fmt: skip


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{} {} {}".format, inner, _OPERATORS, inner),
        st.builds("{} {}".format, inner, _SUFFIXES),
        st.builds("({})".format, inner),
        st.builds("(not {})".format, inner),
        st.builds("-{}".format, inner),
    )


# after a test without argument Jinja reads the words `in`, `not`, `if` and `is` as a name, its argument
_TEST_THEN_WORD = re.compile(r"\bis (not )?(none|string|number) (in|not|if|is)\b")
_ANY = st.recursive(_LEAVES, _grow, max_leaves=6).filter(lambda source: not _TEST_THEN_WORD.search(source))
EXPRESSIONS = st.one_of(
    _ANY, st.builds("not {}".format, _ANY)
)  # elsewhere Jinja reads `not [1]` as a name and an index


def jinja_tree(source: str) -> Any:
    output = JINJA.parse("{{ " + source + " }}").body[0]
    return next(output.iter_child_nodes())


def shape_or_none(read: Any, source: str) -> Any:
    """The shape that one of the parsers gives, None if it refuses the source."""
    try:
        return read(source)
    except (ExprSyntaxError, TemplateError):
        return None


@settings(max_examples=500, deadline=None, derandomize=True)
@given(EXPRESSIONS)
def test_both_parsers_group_the_same_way(source: str) -> None:
    ours_is_stricter = source.count("**") > 1  # `a ** b ** c` needs parentheses
    mine = shape_or_none(lambda text: shape_of_ours(parse(text)), source)
    if mine is None and ours_is_stricter:
        return
    assert mine == shape_or_none(lambda text: shape_of_jinja(jinja_tree(text)), source)


_MARKS = str.maketrans("", "", "\"'()[]{}")


def plain(value: Any) -> Any:
    """Jinja2's tuples are lists here; in text its True and None are true and null, and lists are written as JSON."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value.lower().replace("none", "null").translate(_MARKS) if isinstance(value, str) else value


@settings(max_examples=500, deadline=None, derandomize=True)
@given(EXPRESSIONS.filter(lambda source: "('k', t)" not in source))  # their tuples equal no list
def test_where_both_give_a_value_it_is_the_same(source: str) -> None:
    try:
        mine = compile_expr(source).evaluate(SCOPE)
        other = JINJA.compile_expression(source, undefined_to_none=False)(SCOPE)
    except (ExprSyntaxError, ExprError, TemplateError, Fault, TypeError, ValueError, ArithmeticError):
        return  # they differ in what they refuse; ours is stricter and says where
    assert plain(mine) == plain(other)


EVERYDAY = [
    "state.round < inputs.max_rounds",
    "outcome == 'approve'",
    "ev.notes or 'none'",
    "events | map(attribute='summary') | list",
    "events | selectattr('ok') | map(attribute='lang') | join(', ')",
    "answers[-1].comment",
    "'Re: ' ~ ev.subject | upper",
    "ev.score >= 8 and ev.score <= 10 or ev.forced",
    "ev.tags | length > 2",
    "'x' in ev.tags",
    "ev.author if ev.author else 'nobody'",
    "(ev.score * 100) | round | int",
    "ev.subject | replace(' ', '-') | lower",
    "ev.tags | sort | first",
    "ev.optional is defined",
    "ev.optional | default(3) + 1",
    "ev.score ** 2 // 3 % 5",
    "[ev.score, 1] | max",
    "ev.tags[1:] + ['z']",
    "ev.subject is string",
    "not ev.forced",
    "ev.tags | unique | list",
    "(events | sum(attribute='n')) / (events | length)",
    "ev['subject'][0:2]",
    "ev.score == 9.0",
    "1 < ev.score < 10",
    "ev.tags | reject('eq', 'a') | list",
    "events | map(attribute='n') | select('gt', 1) | list",
    "ev.subject | truncate(8)",
    "-ev.score | abs",
]


@pytest.mark.parametrize("source", EVERYDAY)
def test_everyday_expressions_mean_the_same_in_both(source: str) -> None:
    scope = {
        "state": {"round": 1}, "inputs": {"max_rounds": 3}, "outcome": "approve", "answers": [{"comment": "fine"}],
        "ev": {"notes": "", "subject": "Hello big world", "score": 9, "forced": False, "tags": ["b", "a", "b"], "author": "kim"},
        "events": [{"summary": "s1", "ok": True, "lang": "de", "n": 1}, {"summary": "s2", "ok": False, "lang": "fr", "n": 2}],
    }  # fmt: skip
    theirs_value = JINJA.compile_expression(source)(scope)
    assert plain(compile_expr(source).evaluate(scope)) == plain(theirs_value)
