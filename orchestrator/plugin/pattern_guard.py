"""Which regular expressions may stand in a flow, a schema or a form. Pure; runs no pattern.

A pattern may not look around or refer back, and no repeat may contain another one unless it is plain where one round of the
outer repeat ends. Theory: `(x+)*` can split one text in exponentially many ways; `(-x+)*` cannot, because every round begins
with a character that the inner repeat cannot eat. So an unbounded repeat around an unbounded repeat is allowed only if some
character that must occur in each round is in none of the inner repeats' sets. Patterns that pass are run by a linear engine
in any case (see schema_check.py); this rule keeps them harmless in editors and browsers too.
"""

from __future__ import annotations

import re
import re._parser as parser  # type: ignore[import-not-found]  # the parse tree has no public name
import warnings
from functools import lru_cache
from typing import Any

MAX_PATTERN = 1000
MAX_REPEAT = 1000
_ALL = frozenset(range(257))  # Latin-1 code points, and 256 for everything above
_LOOK = {"ASSERT", "ASSERT_NOT"}
_BACK = {"GROUPREF", "GROUPREF_EXISTS"}
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
Node = Any  # (opcode, argument) of the standard library's parser
Chars = frozenset[int]


@lru_cache(maxsize=1024)
def pattern_problem(pattern: str) -> str | None:
    """Why a pattern is refused, None if it may be used."""
    if len(pattern) > MAX_PATTERN:
        return f"it is longer than {MAX_PATTERN} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as problem:
        return f"it is not a regular expression ({problem})"
    return _problem(tree)


def _problem(nodes: Any) -> str | None:  # Any: a sequence of nodes
    for node in nodes:
        name = str(node[0])
        if name in _LOOK:
            return "it looks ahead or behind"
        if name in _BACK:
            return "it refers back to a group"
        if name in _REPEATS:
            low, high, body = node[1]
            if (high != parser.MAXREPEAT and high > MAX_REPEAT) or low > MAX_REPEAT:
                return f"it repeats more than {MAX_REPEAT} times"
            if high == parser.MAXREPEAT or high > 1:
                inner = _repeated(body)
                if inner and not (_must_have(body) - inner):
                    return "it repeats a repeat, which can take for ever"
                if _is_ambiguous(body):
                    return "it repeats a choice whose branches begin alike, which can take for ever"
        for child in _children(node):
            problem = _problem(child)
            if problem is not None:
                return problem
    return None


def _children(node: Node) -> list[Any]:
    name, argument = str(node[0]), node[1]
    if name in _REPEATS:
        return [argument[2]]
    if name == "SUBPATTERN":
        return [argument[3]]
    if name == "ATOMIC_GROUP":
        return [argument]
    if name == "BRANCH":
        return list(argument[1])
    return []


def _repeated(nodes: Any) -> Chars:
    """All characters that a repeat inside can eat."""
    found: Chars = frozenset()
    for node in nodes:
        if str(node[0]) in _REPEATS and (
            node[1][1] == parser.MAXREPEAT or (node[1][1] > 1 and node[1][0] != node[1][1])
        ):
            found |= _may_eat(node[1][2])
        if str(node[0]) == "BRANCH" and any(len(branch) == 0 for branch in node[1][1]):
            found |= _may_eat([node])  # `a|aa` is parsed as `a(|a)`: a choice with nothing in it is an optional repeat
        for child in _children(node):
            found |= _repeated(child)
    return found


def _must_have(nodes: Any) -> Chars:
    """Characters of parts that occur in every round, each part being one character wide."""
    found: Chars = frozenset()
    for node in nodes:
        name = str(node[0])
        if name in ("LITERAL", "IN", "NOT_LITERAL", "CATEGORY"):
            found |= _chars(node)
        elif name == "SUBPATTERN":
            found |= _must_have(node[1][3])
    return found


def _may_eat(nodes: Any) -> Chars:
    found: Chars = frozenset()
    for node in nodes:
        children = _children(node)
        found |= _chars(node) if not children else frozenset().union(*(_may_eat(child) for child in children))
    return found


def _is_ambiguous(nodes: Any) -> bool:
    """Whether a repeated choice has branches that can begin with the same character."""
    for node in nodes:
        if str(node[0]) == "BRANCH":
            seen: set[int] = set()
            for branch in node[1][1]:
                first = _first(branch)
                if seen & first:
                    return True
                seen |= first
        elif str(node[0]) == "SUBPATTERN" and _is_ambiguous(node[1][3]):
            return True
    return False


def _first(nodes: Any) -> Chars:
    for node in nodes:
        children = _children(node)
        if not children:
            return _chars(node)
        return frozenset().union(*(_first(child) for child in children))
    return frozenset()


def _chars(node: Node) -> Chars:
    name, argument = str(node[0]), node[1]
    if name == "LITERAL":
        return frozenset({min(argument, 256)})
    if name == "NOT_LITERAL":
        return _ALL - {argument}
    if name == "RANGE":
        return frozenset(range(min(argument[0], 256), min(argument[1], 256) + 1))
    if name == "CATEGORY":
        return _category(str(argument))
    if name == "IN":
        is_negated = bool(argument) and str(argument[0][0]) == "NEGATE"
        members = argument[1:] if is_negated else argument
        found: Chars = frozenset().union(*(_chars(member) for member in members))
        return _ALL - found if is_negated else found
    return frozenset() if name == "AT" else _ALL


def _category(name: str) -> Chars:
    letter = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}.get(name.rpartition("_")[2], "")
    if not letter:
        return _ALL
    inside = frozenset(c for c in range(256) if re.match(letter, chr(c))) | {256}
    return (_ALL - inside) | {256} if "_NOT_" in name else inside
