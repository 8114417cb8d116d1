"""Did-you-mean: the name that somebody meant, out of those legal where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.expr.suggest import edit_distance, likely


def suggest(name: str, legal: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str | None:
    """The legal name that is closest to `name`: the same but for case, a known synonym, or a few edits away.

    Two names equally close give the one that starts alike, else the first in the order of `legal`.
    """
    names = list(legal)
    near = likely(name, names)
    folded = _fold(name)
    limit = max(1, len(name) // 3)
    for candidate in near:
        if len(candidate) == len(name) and _fold(candidate) == folded:
            return candidate
    if synonyms and folded in synonyms and synonyms[folded] in names:
        return synonyms[folded]
    best: tuple[int, bool, int] | None = None
    for index, candidate in enumerate(near):
        distance = edit_distance(folded, _fold(candidate), limit)
        if distance > limit or distance >= max(len(name), len(candidate)):
            continue
        rank = (distance, candidate[:1] != name[:1], index)
        if best is None or rank < best:
            best = rank
    return None if best is None else near[best[2]]


def _fold(name: str) -> str:
    return name.casefold().replace("-", "_")
