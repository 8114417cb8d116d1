"""Copies and differences of state values: what keeps a step from changing the state behind the runtime's back. Pure.

Containers and pydantic models are copied, immutable values and objects of other kinds are shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

Path = tuple[str | int, ...]
IMMUTABLE = frozenset({str, int, float, bool, type(None), bytes, complex, frozenset})


def copy_value(value: Any) -> Any:
    """A value that shares no container with the original. Cost: O(size)."""
    kind = type(value)
    if kind in IMMUTABLE:
        return value
    if kind is dict:
        return {k: copy_value(v) for k, v in value.items()}
    if kind is list:
        return [copy_value(v) for v in value]
    if kind is tuple:
        return tuple(copy_value(v) for v in value)
    if kind is set:
        return set(value)
    if isinstance(value, BaseModel):
        copied = value.model_copy()
        inside: dict[str, Any] = copied.__dict__
        for name, item in inside.items():
            if type(item) not in IMMUTABLE:
                inside[name] = copy_value(item)
        return copied
    if isinstance(value, dict | list | set):
        return value.copy()
    return value


@dataclass(slots=True)
class Change:
    """One difference. kind: set, append, delete, or delta (a number that moved from `base` to `new`).

    `is_blind` says that the new value does not depend on the old one, so that the later of two writers may win.
    """

    kind: str
    path: Path
    new: Any = None
    base: Any = None
    is_blind: bool = True


def changes_between(base: Any, new: Any, path: Path) -> list[Change]:
    """The smallest moves that lead from one value to another.

    Numbers become deltas, grown lists appends, dicts the changes of their entries; all these can be applied on top of what
    others did meanwhile. What remains is a replacement that must not be based on an old value (`is_blind` False).
    """
    if _is_number(base) and _is_number(new):
        return [] if base == new and type(base) is type(new) else [Change("delta", path, new, base)]
    if type(base) is dict and type(new) is dict:
        return _dict_changes(base, new, path)
    if type(base) is list and type(new) is list and len(new) > len(base) and _equal(new[: len(base)], base):
        return [Change("append", path, item) for item in new[len(base) :]]
    if type(base) is type(new) and _equal(base, new):
        return []
    return [Change("set", path, new, base, is_blind=False)]


def _dict_changes(base: dict[Any, Any], new: dict[Any, Any], path: Path) -> list[Change]:
    found: list[Change] = []
    for key, item in new.items():
        if key not in base:
            found.append(Change("set", (*path, key), item))
        elif base[key] is not item:
            found += changes_between(base[key], item, (*path, key))
    found += [Change("delete", (*path, key)) for key in base if key not in new]
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except Exception:  # an arbitrary object's comparison: what cannot be compared counts as changed
        return False
