"""Which regular expressions are sure to run in reasonable time: no back-reference, look-around or nested quantifier.

Theory: a backtracking matcher takes exponential time when one text can be split among the repetitions of a group in
more than one way. That needs a repetition inside a repetition, or alternatives inside one that can begin alike.
"""

from __future__ import annotations

import re
import warnings
from re import _constants as ops  # type: ignore[attr-defined]  # the parser that `re` itself uses; it has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MAX_PATTERN = 1_000
_REPEATS = (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT)
_MANY = 16

Item = tuple[Any, Any]  # an operator of `re._constants` and its argument, whose shape depends on it


def why_not_linear(pattern: str) -> str | None:
    """Why a pattern is refused, in a few words, or None when it is fine."""
    if len(pattern) > MAX_PATTERN:
        return f"it is longer than {MAX_PATTERN:,} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parsed = parser.parse(pattern)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        return f"it is no regular expression: {error}"
    try:
        return _check(list(parsed), is_repeated=False)
    except RecursionError:
        return "it is nested too deep"


def _check(items: list[Item], *, is_repeated: bool) -> str | None:
    for op, argument in items:
        reason = _check_item(op, argument, is_repeated=is_repeated)
        if reason is not None:
            return reason
    return None


def _check_item(op: Any, argument: Any, *, is_repeated: bool) -> str | None:
    if op in (ops.GROUPREF, ops.GROUPREF_EXISTS):
        return "it refers back to a group"
    if op in (ops.ASSERT, ops.ASSERT_NOT):
        return "it looks ahead or behind"
    if op in _REPEATS:
        least, most, body = argument
        is_varying = least != most or most > _MANY
        if is_repeated and is_varying:
            return "it repeats what already repeats"
        return _check(list(body), is_repeated=is_repeated or most > 1)
    if op is ops.SUBPATTERN:
        return _check(list(argument[-1]), is_repeated=is_repeated)
    if op is ops.ATOMIC_GROUP:
        return _check(list(argument), is_repeated=is_repeated)
    if op is ops.BRANCH:
        alternatives = [list(branch) for branch in argument[1]]
        if is_repeated and not _begin_apart(alternatives):
            return "it repeats alternatives that can begin alike"
        for branch in alternatives:
            reason = _check(branch, is_repeated=is_repeated)
            if reason is not None:
                return reason
    return None


def _begin_apart(alternatives: list[list[Item]]) -> bool:
    seen: set[int] = set()
    for branch in alternatives:
        first = _first_chars(branch)
        if first is None or first & seen:
            return False
        seen |= first
    return True


def _first_chars(branch: list[Item]) -> set[int] | None:
    """The characters a branch can begin with, or None when that is not a short list."""
    if not branch:
        return None
    op, argument = branch[0]
    if op is ops.LITERAL:
        return {argument}
    if op is ops.IN and all(kind is ops.LITERAL for kind, _ in argument):
        return {char for _, char in argument}
    if op is ops.SUBPATTERN:
        return _first_chars(list(argument[-1]))
    return None
