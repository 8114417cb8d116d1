"""Did-you-mean: the nearest of the names that are legal here. Knows nothing of what the names stand for."""

from __future__ import annotations

from collections.abc import Iterable

MANY = 2_000  # choices beyond which nothing is suggested: a program has written them
MOST = 40  # choices whose distance is worked out, more for short words
WORK = 8_000  # letters times letters that may be compared before only choices alike at the ends are
LONG = 100  # letters of a word for which nothing is suggested


def likely(word: str, choices: Iterable[str]) -> list[str]:
    """The choices that are worth a comparison, a bounded number: as long as the word, and where many are, alike at its ends."""
    known = list(choices)
    size = len(word)
    if size > LONG or len(known) > MANY:
        return []
    limit = max(1, size // 3)
    near = [choice for choice in known if -limit <= len(choice) - size <= limit]
    most = max(MOST, WORK // max(1, size * size))
    if len(near) <= most:
        return near
    head, tail = word[:limit], word[-limit:]
    same = [choice for choice in near if choice.casefold() == word.casefold()]
    both = [choice for choice in near if choice.startswith(head) and choice.endswith(tail)]
    return [*same, *(both or [choice for choice in near if choice.startswith(head) or choice.endswith(tail)])][:most]


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice the writer most likely meant, or None: same letters in other case first, then by typing distance."""
    folded = word.casefold()
    limit = max(1, len(word) // 3)
    best: tuple[int, str] | None = None
    for choice in likely(word, choices):
        if choice.casefold() == folded:
            return choice
        distance = edit_distance(folded, choice.casefold(), limit)
        if distance <= limit and distance < len(word) and (best is None or distance < best[0]):
            best = (distance, choice)
    return None if best is None else best[1]


def edit_distance(left: str, right: str, limit: int = 1_000) -> int:
    """How many letters to add, drop, change or swap with the next to get from one word to the other.

    Cost: O(len(left) * len(right)); stops early once every way costs more than `limit`, returning `limit + 1`.
    """
    before: list[int] = []
    last = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
        before, last = last, row
    return last[-1]


def listed(names: Iterable[str], limit: int = 12) -> str:
    """`a, b, c` for a message, cut after `limit` names with the number left out."""
    all_names = list(names)
    shown = ", ".join(all_names[:limit])
    return shown if len(all_names) <= limit else f"{shown} and {len(all_names) - limit} more"
