"""Hostile expressions: what broke other template languages is refused here, at once and in little memory.

The groups are those of the security study (reference/reliability-security.md, 4.1): reaching objects, changing data,
statements, growth, endless work, and nesting.
"""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.expr import ExprError, ExprSyntaxError, compile_expr, compile_value, encode_text

REACHING = [
    "ev.__class__",
    "ev['__class__']",
    "''.__class__.__mro__[1].__subclasses__()",
    "''['__class__']",
    "ev | attr('__class__')",
    "[ev] | map(attribute='__class__') | list",
    "[ev] | map(attribute='a.__class__') | list",
    "[ev] | groupby('__class__')",
    "[ev] | sum(attribute='__class__')",
    "[ev] | sort(attribute='__init__')",
    "'{0.__class__}'.format(ev)",
    "'{0.__class__}' | format(ev)",
    "'%s' | format(ev)",
    "'{x.__class__}'.format_map({'x': ev})",
    "['{0.__class__}'.format] | map('string')",
    "self.__init__",
    "self._TemplateReference__context",
    "cycler.__init__.__globals__",
    "lipsum.__globals__['os'].popen('id')",
    "joiner.__init__",
    "namespace(a=1)",
    "request.application",
    "config",
    "ev.items()",
    "ev.get('a')",
    "ev.model_copy()",
    "ev.parse_file('/etc/passwd')",
    "ev.parse_raw('x', allow_pickle=true)",
    "client.delete_all()",
    "ev | xmlattr",
    "ev | pprint",
    "'a' | urlize",
    "get_flashed_messages.__globals__",
    "().__class__",
    "(1).real",
    "ev.__getitem__",
    "now.__class__",
    "range.__class__",
    "range.__init__(1)",
    "true.__class__",
    "ev|map('attr', '__class__')",
    "ev['a'].__class__",
    "text.encode('utf-8')",
    "ev['_' ~ '_class_' ~ '_']",
]
CHANGING = [
    "l.append(1)",
    "l.clear()",
    "ev.update({'a': 2})",
    "ev.pop('a')",
    "ev.msg = 'x'",
    "(x := 1)",
    "lambda x: x",
    "[x for x in l]",
    "{**ev}",
    "range(*l)",
    "await ev",
    "l.sort()",
]
STATEMENTS = [
    "{% for x in l %}{{ x }}{% endfor %}",
    "{% include 'x' %}",
    "{% import 'os' as os %}",
    "{% set x = 1 %}",
    "{% macro m() %}{% endmacro %}",
    "{# comment #}",
    "}}{{ 1",
    "ev; 1",
    "import os",
    "x if",
]
GROWTH = [
    "'a' * 10**9",
    "10**9 * 'a'",
    "[0] * 10**8",
    "[[0] * 10000] * 10000",
    "('a' * 262144) * 2",
    "('a' * 200000) ~ ('a' * 200000)",
    "('a' * 200000) + ('a' * 200000)",
    "'%1000000000s' % 'a'",
    "'%0*d' % (1000000000, 1)",
    "'{:>1000000000}'.format('a')",
    "'a'.ljust(10**9)",
    "'a'.zfill(10**9)",
    "'a' | center(10**9)",
    "('a' * 100000) | replace('a', 'b' * 1000)",
    "('a' * 100000) | replace('', 'b' * 1000)",
    "range(10000) | join('x' * 1000)",
    "range(10000) | map('string') | join('x' * 100000)",
    "'a' | indent(10**9)",
    "'a' | wordwrap(1)",
    "lipsum(100000)",
    "[1] | batch(10**9, 'x')",
    "[1] | slice(10**9)",
    "'x' | truncate(10**12, leeway=10**12)",
    "[text] | map('replace', '', text) | list",
    "big | map('replace', 'i', 'y' * 200000) | list",
    "{'a': text * 50} | tojson(indent=10**9)",
    "0 | date('%Y' * 100000)",
    "0 | date('%1000000000d')",
    "1 | round(10**9)",
    "(1 / 3) | round(400)",
    "[big, big, big, big, big, big, big, big, big, big, big]",
    "{'a': text * 50, 'b': [text * 50, {'c': [big, big, big, big, big, big, big, big, big, big]}]}",
    "range(10000) | map(attribute='x', default=big)",
    "range(10000) | map(attribute='x', default=text) | list",
    "('9' * 10000) | int",
    "('[' * 100000) | fromjson",
    "('9' * 5000) | fromjson",
    "big | map('list') | map('list') | map('tojson') | join",
    "text | list | map('upper') | join(text)",
    "(text * 200) | list",
    "(text * 20) | split('a') | join(text * 100)",
]
ENDLESS = [
    "range(100001)",
    "range(10**12)",
    "range(0, 10**30, 3)",
    "range(-(10**30), 10**30)",
    "2 ** 10**8",
    "9**9**9",
    "(9 ** 64) ** 64",
    "10 ** 64 * 10 ** 64 * 10 ** 64 * 10 ** 64 * 10 ** 64",
    "2.0 ** 64 ** 64",
    "(-8) ** 0.5",
    "0 ** -1",
    "1e308 * 10",
    " + ".join(["(big | sort | length)"] * 30),
    " or ".join(["(big | unique | length == 1)"] * 30),
    " or ".join(["'z' in big"] * 900),
    " or ".join(["big == copy and 0"] * 400),
    " or ".join(["(text in text * 50) and 0"] * 120),
    " ~ ".join(["(text * 50)"] * 100),
    "[" + ", ".join(["text * 50"] * 300) + "]",
    "[" + ", ".join(["[0] * 100000"] * 100) + "]",
    "[" + ", ".join(["big[1:]"] * 100) + "]",
    "[" + ", ".join(["range(10000)"] * 300) + "]",
    "range(10000) | map('string') | list | sort | unique | map('upper') | list | sort | unique | list | sort",
]
NESTING = [
    "(" * 5000 + "1" + ")" * 5000,
    "[" * 5000 + "]" * 5000,
    "-" * 5000 + "1",
    "not " * 4000 + "1",
    "1" + "+1" * 5000,
    "x" + ".a" * 5000,
    "x" + "[0]" * 4000,
    "x" + "|upper" * 2500,
    "1 if 1 else " * 1000 + "1",
    "a is defined " * 1200,
    "{'a':" * 3000,
    "'" * 16_001,
    "x" * 20_000,
    "'\\N{" * 2000,
    "x[" * 8000,
]
SCOPE: dict[str, Any] = {
    "ev": {"a": "x", "msg": "m"},
    "l": [1, 2],
    "text": "a" * 5000,
    "big": [f"item {i}" for i in range(20_000)],
    "copy": [f"item {i}" for i in range(20_000)],
    "now": "2026-12-01T00:00:00Z",
}
HOSTILE = REACHING + CHANGING + STATEMENTS + GROWTH + ENDLESS + NESTING


@pytest.mark.parametrize("source", HOSTILE, ids=lambda source: source[:60].encode("unicode_escape").decode())
def test_a_hostile_expression_is_refused_at_once(source: str) -> None:
    spent = []
    for _ in range(3):  # the best of three, for a machine that others share
        began = time.process_time()
        with pytest.raises((ExprSyntaxError, ExprError)):
            compile_expr(source).evaluate(SCOPE)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.05


def test_refusing_all_of_them_takes_little_memory() -> None:
    tracemalloc.start()
    for source in HOSTILE:
        with pytest.raises((ExprSyntaxError, ExprError)):
            compile_expr(source).evaluate(SCOPE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000


@pytest.mark.parametrize("text", ["${{", "${{ '", "${{ {", "${{" * 5000, "${{ x }" * 2000, "${{ '}}' " * 2000])
def test_hostile_text_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ExprSyntaxError):
        encode_text(text)
    assert time.process_time() - began < 0.05


def test_data_that_looks_like_an_expression_is_never_evaluated() -> None:
    scope = {"ev": {"a": "${{ ev.b }} {{ 1 }} {% for %}"}}
    assert compile_value(encode_text("${{ ev.a }}")).render(scope) == scope["ev"]["a"]
    assert compile_value(encode_text("x ${{ ev.a }}")).render(scope) == "x " + scope["ev"]["a"]


def test_a_text_of_many_large_values_is_refused() -> None:
    value = compile_value(encode_text("${{ t }}" * 10))
    with pytest.raises(ExprError, match="more than 1,048,576 characters"):
        value.render({"t": "x" * 200_000})


def test_the_expressions_of_one_value_share_a_budget() -> None:
    value = compile_value([{"$expr": "big | sort | length"}] * 100)
    with pytest.raises(ExprError, match="do too much work together"):
        value.render(SCOPE)


_PIECES = st.sampled_from(
    r"""ev ev.a l big text now null true 1 2.5 'x' "y" ( ) [ ] { } . , : | + - * / // % ** ~ == != < <= > >= = and or
    not in is if else defined none upper length map join sort attribute= first default range( tojson ' " \ ${{ }} _ é
    """.split()  # noqa: SIM905
)
_LETTERS = st.sampled_from("abc.'\"|(){}[]$%&!?=<>+-*/~ \n\t\\_019éß文\u200b\u202e\ud800\x00😀")


def place_of_the_error(source: str, scope: dict[str, Any]) -> tuple[int, int]:
    """Where an expression fails; nothing but the two errors may come out."""
    try:
        compile_expr(source).evaluate(scope)
    except (ExprSyntaxError, ExprError) as error:
        return error.start, error.end
    return 0, 0


@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.lists(_PIECES, max_size=14).map(" ".join))
def test_any_mix_of_tokens_gives_a_value_or_an_error_with_a_place(source: str) -> None:
    start, end = place_of_the_error(source, SCOPE)
    assert 0 <= start <= end <= len(source)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.text(_LETTERS, max_size=30))
def test_any_text_at_all_gives_a_value_or_an_error_with_a_place(source: str) -> None:
    start, end = place_of_the_error(source, {})
    assert 0 <= start <= end <= len(source)
