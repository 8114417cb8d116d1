"""Did-you-mean: the name that somebody meant, out of those legal where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_MANY = 5_000  # legal names beyond which nothing is suggested
_MOST = 200  # candidates whose distance is worked out; a bound on time for files with thousands of names


def edit_distance(a: str, b: str, limit: int) -> int:
    """Damerau-Levenshtein distance (one insert, delete, change or swap of neighbours costs 1), at most `limit` + 1."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, char in enumerate(a, 1):
        last_before, before, row = before, row, [i]
        for j, other in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (char != other))
            if i > 1 and j > 1 and char == b[j - 2] and a[i - 2] == other:
                cost = min(cost, last_before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]


def suggest(name: str, legal: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str | None:
    """The legal name that is closest to `name`: the same but for case, a known synonym, or a few edits away.

    Two names equally close give the one that starts alike, else the first in the order of `legal`.
    """
    if len(name) > 100:
        return None
    names = list(legal)
    if len(names) > _MANY:
        return None
    folded = _fold(name)
    limit = max(1, len(name) // 3)
    near = [(index, n) for index, n in enumerate(names) if -limit <= len(n) - len(name) <= limit]
    for _, candidate in near:
        if len(candidate) == len(name) and _fold(candidate) == folded:
            return candidate
    if synonyms and folded in synonyms and synonyms[folded] in names:
        return synonyms[folded]
    if len(near) > _MOST:
        near = [(index, n) for index, n in near if n[:2] == name[:2] or n[-2:] == name[-2:]][:_MOST]
    best: tuple[int, bool, int] | None = None
    for index, candidate in near:
        distance = edit_distance(folded, _fold(candidate), limit)
        if distance > limit or distance >= max(len(name), len(candidate)):
            continue
        rank = (distance, candidate[:1] != name[:1], index)
        if best is None or rank < best:
            best = rank
    return None if best is None else names[best[2]]


def _fold(name: str) -> str:
    return name.casefold().replace("-", "_")
