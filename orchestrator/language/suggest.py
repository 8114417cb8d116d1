"""Did-you-mean: the name that somebody meant, out of those legal where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.expr.suggest import edit_distance

_MANY = 5_000  # legal names beyond which nothing is suggested
_MOST = 200  # candidates whose distance is worked out; a bound on time for files with thousands of names


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
