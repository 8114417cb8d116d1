"""How much one expression may be, cost and make. Every bound of the expression language is in this file.

A `Fuel` is a list of one number: what is left of the budget of one evaluation. Simple expressions never touch it.
"""

from __future__ import annotations

from typing import TypeAlias

from orchestrator.expr.errors import Fault

SOURCE_BYTES = 16_384
NODES = 2_000
DEPTH = 40

TEXT_BYTES = 262_144  # characters of any text that an operator, filter or template makes
TEMPLATE_BYTES = 1_048_576  # characters of a text with expressions in it
ITEMS = 100_000  # items of any list that an operator or filter makes
RANGE_ITEMS = 10_000
EXPONENT = 64
INTEGER_BITS = 1_024
JSON_DEPTH = 64
DATE_FORMAT_CHARS = 200
FUEL = 200_000  # of one expression; a unit is about 0.1 µs of work
RENDER_FUEL = 10 * FUEL  # of all expressions in one rendered value

Fuel: TypeAlias = list[int]


def burn(fuel: Fuel, units: int) -> None:
    """Take the cost of a piece of work before it is done."""
    fuel[0] -= units
    if fuel[0] < 0:
        raise Fault(
            "the expression does too much work for one evaluation",
            "do it in a step of its own, with a registered callable",
        )


def allow_text(size: int, fuel: Fuel) -> None:
    """Refuse a text before it is made, else take its cost."""
    if size > TEXT_BYTES:
        raise Fault(f"the text would have {size:,} characters; an expression may make {TEXT_BYTES:,}")
    if size > 64:
        burn(fuel, size // 64)


def allow_items(count: int, fuel: Fuel) -> None:
    """Refuse a list before it is made, else take its cost."""
    if count > ITEMS:
        raise Fault(f"the list would have {count:,} items; an expression may make {ITEMS:,}")
    burn(fuel, count // 8)
