"""Where lines meet a box, and at which level lines that run sideways pass each other. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence


def spread(wanted: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Positions as near to the wanted ones (ascending) as a least distance and the limits allow.

    The distance shrinks when there is not room for all. Cost: linear. Source: pool adjacent violators.
    """
    if not wanted:
        return []
    count = len(wanted)
    if count > 1:
        least = min(least, (high - low) / (count - 1))
    pools: list[tuple[float, int]] = []  # (sum, count) of positions that move together
    for n, want in enumerate(wanted):
        total, size = want - n * least, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / size:
            other = pools.pop()
            total, size = total + other[0], size + other[1]
        pools.append((total, size))
    roof = high - (count - 1) * least
    flat = [min(max(total / size, low), roof) for total, size in pools for _ in range(size)]
    return [at + n * least for n, at in enumerate(flat)]


def levels(moves: Sequence[tuple[float, float]]) -> list[int]:
    """A level for each sideways move (from x above to x below), 0 uppermost: moves that meet get different ones.

    A move that comes from above where another goes down must pass first, else the two would run into one line; where
    that is circular, the first in order wins. Cost: quadratic; for the few lines of a small picture.
    """
    out = [0] * len(moves)
    left = sorted(range(len(moves)), key=lambda n: _turn(moves[n]))
    done: list[int] = []
    while left:
        n = next((n for n in left if not any(_blocks(moves[o], moves[n]) for o in left if o != n)), left[0])
        left.remove(n)
        out[n] = max((out[o] + 1 for o in done if _meet(moves[o], moves[n])), default=0)
        done.append(n)
    return out


def _turn(move: tuple[float, float]) -> tuple[int, float]:
    start, end = move
    return (0, -start) if end > start else (1, start)


def _blocks(first: tuple[float, float], later: tuple[float, float]) -> bool:
    return first[0] == later[1] and first[1] != later[0]


def _meet(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return min(one) <= max(other) and min(other) <= max(one)
