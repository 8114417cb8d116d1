"""What expressions cost, in CPU microseconds: evaluating, rendering, reading, compiling, checking; Jinja2 beside it.

Run: PYTHONPATH=. python bench/bench_expr.py
Each figure is the least of five rounds. Every row first checks that the value is right.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestrator.expr import compile_expr, compile_value, encode_text
from orchestrator.expr import compiled as compiled_module
from orchestrator.expr import parser as parser_module
from orchestrator.expr.checking import infer
from orchestrator.expr.sandbox import hardened_environment
from orchestrator.expr.types import BOOL, INT, STR, EnumT, ListT, ObjectT, TypeT

SCOPE: dict[str, Any] = {
    "state": {"round": 1},
    "inputs": {"max_rounds": 3, "topic": "Autumn"},
    "outcome": "approve",
    "ev": {"text": "Some text", "user": {"name": "kim"}, "notes": None},
    "events": [{"ok": i % 2 == 0, "lang": f"l{i}"} for i in range(10)],
}
TYPES: dict[str, TypeT] = {
    "state": ObjectT({"round": INT}),
    "inputs": ObjectT({"max_rounds": INT, "topic": STR}),
    "outcome": EnumT(("approve", "rework")),
    "ev": ObjectT({"text": STR, "user": ObjectT({"name": STR}), "notes": STR}),
    "events": ListT(ObjectT({"ok": BOOL, "lang": STR})),
}
EXPRESSIONS: dict[str, Any] = {
    "state.round < inputs.max_rounds": True,
    "outcome == 'approve'": True,
    "outcome == 'approve' and state.round < inputs.max_rounds": True,
    "ev.notes or 'none'": "none",
    "ev.user.name | default('nobody')": "kim",
    "events | length > 3": True,
    "events | selectattr('ok') | map(attribute='lang') | join(',')": "l0,l2,l4,l6,l8",
}
TEXT = "Write about ${{ inputs.topic }}, round ${{ state.round }} of ${{ inputs.max_rounds }}."


def cpu_us(work: Callable[[], object], number: int = 5_000) -> float:
    """CPU microseconds of one call."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(number):
            work()
        best = min(best, time.process_time() - began)
    return best / number * 1e6


def must_be(value: object, expected: object) -> None:
    if value != expected:
        raise SystemExit(f"wrong result: {value!r} is not {expected!r}")


def print_row(source: str, expected: object, jinja: ImmutableSandboxedEnvironment) -> None:
    compiled, theirs = compile_expr(source), jinja.compile_expression(source)
    must_be(compiled.evaluate(SCOPE), expected)
    must_be(theirs(SCOPE), expected)
    figures = (
        cpu_us(lambda: compiled.evaluate(SCOPE), 20_000),
        cpu_us(lambda: theirs(SCOPE), 2_000),
        cpu_us(lambda: parser_module._parse(source), 2_000),
        cpu_us(lambda: _compile_anew(source), 2_000),
        cpu_us(lambda: infer(compiled.expr, TYPES), 2_000),
        cpu_us(lambda: jinja.compile_expression(source), 50),
    )
    print(f"{source:62} {figures[0]:7.2f} {figures[1]:7.1f} {figures[2]:7.1f} {figures[3]:8.1f}", end=" ")
    print(f"{figures[4]:7.1f} {figures[5]:14.0f}")


def main() -> None:
    jinja = hardened_environment()
    print(f"{'expression':62} {'eval':>7} {'jinja':>7} {'parse':>7} {'compile':>8} {'check':>7} {'jinja compile':>14}")
    for source, expected in EXPRESSIONS.items():
        print_row(source, expected, jinja)
    value = compile_value(encode_text(TEXT))
    must_be(value.render(SCOPE), "Write about Autumn, round 1 of 3.")
    print(f"{'text with 3 slots, render':62} {cpu_us(lambda: value.render(SCOPE), 20_000):7.2f}")
    print(f"{'text with 3 slots, encode and first compile':62} {cpu_us(_text_anew, 1_000):7.1f}")


def _compile_anew(source: str) -> object:
    """First compile, as if the expression had never been seen."""
    parser_module._parse_kept.cache_clear()
    return compiled_module._compile(source, frozenset())


def _text_anew() -> object:
    parser_module._parse_kept.cache_clear()
    compiled_module._compile_kept.cache_clear()
    return compile_value(encode_text(TEXT))


if __name__ == "__main__":
    main()
